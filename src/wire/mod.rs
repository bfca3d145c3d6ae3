//! The public shapes on the bus: what producers send and get. They are strict, so that a slip is
//! refused and not guessed at, and their schemas are generated from here.
//!
//! | file | shape | where |
//! |---|---|---|
//! | `command.rs` | [`MeltSubmit`] | `melt.cmd.<producer>` |
//! | `reply.rs` | [`MeltReply`] | `melt.reply.<producer>.>` |
//! | `dead_letter.rs` | [`DeadLetter`] | `melt.dlq.<producer>`, the headers |
//! | `alert.rs` | [`CriticalAlert`] | `melt.alerts.critical` |

mod alert;
mod command;
mod dead_letter;
pub mod reply;

pub use alert::CriticalAlert;
pub use command::{COMMAND_BYTES, MeltSubmit, Version};
pub use dead_letter::DeadLetter;
pub(crate) use dead_letter::original_id;
pub use reply::{MeltReply, Outcome};
