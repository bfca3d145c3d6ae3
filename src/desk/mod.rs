//! What an operator sees before anything is decided, whichever face shows it. Orders themselves are
//! the loop's: [`crate::driver::Desk`].
//!
//! | file | holds |
//! |---|---|
//! | `evidence.rs` | what a mint says about one saga now |
//! | `mints.rs` | every mint: paused or not, and what is open there |

mod evidence;
mod mints;

pub use evidence::{Fresh, Input, Range};
pub use mints::{Standing, mints};
