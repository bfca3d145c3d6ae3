//! The adapters behind [`crate::ports::Bus`]. Neither knows of the other; what both must do is one
//! contract suite, `tests/it/bus_contract.rs`.

pub mod memory;
pub mod nats;

use crate::ports::{BusError, Stream};

/// No stream of ours takes this subject, or it is none.
fn no_stream(subject: &str) -> BusError {
    BusError::Never(format!("no stream takes the subject {subject:?}"))
}

/// A work queue has one consumer, and it is not a reader.
fn no_reader() -> BusError {
    let name = Stream::Commands.name();
    BusError::Unusable(format!(
        "{name} is a queue and cannot be read: look at one command by its position"
    ))
}
