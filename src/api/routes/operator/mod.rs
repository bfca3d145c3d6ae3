//! The operator's routes: look, understand, decide. They do what `meltd saga` and `meltd mints` do,
//! by the same functions: an order is held against the version that was seen and against fresh
//! evidence, and recorded with who and why.
//!
//! | file | holds |
//! |---|---|
//! | `sagas.rs` | lists, and one saga with its mint's word |
//! | `orders.rs` | park, resume, resolve |
//! | `mints.rs` | mints: list, pause, resume |

pub(crate) mod mints;
pub(crate) mod orders;
pub(crate) mod sagas;

use crate::api::answer::Answer;
use crate::api::caller::Caller;
use crate::api::extract::invalid;
use crate::api::routes::melt::named;

/// Who is recorded: the caller's own name, and the person that it speaks for.
fn by(caller: &Caller, person: Option<&str>) -> Answer<String> {
    let name = caller.name();
    let person = named("by", person)?;
    Ok(person.map_or(name.to_owned(), |person| format!("{name}: {person}")))
}

/// The reason that is recorded.
fn reason(text: &str) -> Answer<String> {
    let reason = named("reason", Some(text.trim()))?;
    reason.ok_or_else(|| invalid("reason is missing"))
}
