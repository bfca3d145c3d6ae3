//! A message of the event stream: the exact body, and its place in the chain in the headers.

use chrono::{DateTime, Utc};

use crate::ports::{Message, Stored, header};
use crate::saga::chain::Record;
use crate::saga::event::Envelope;
use crate::saga::ids::SagaId;
use crate::saga::upcast;

/// An event as it was published. Its record has no private half: that is never published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Position in the stream; 0 for an event that was read from the store instead.
    pub sequence: u64,
    /// The event, hashes as the headers have them. Nothing is checked yet but that body and headers
    /// speak of the same event.
    pub record: Record,
    /// The body, read.
    pub envelope: Envelope,
}

impl Published {
    /// When it was recorded, by the process that recorded it.
    pub fn at(&self) -> DateTime<Utc> {
        self.envelope.at
    }
}

/// The header of this name, or an empty text.
fn header_of<'a>(message: &'a Message, name: &str) -> &'a str {
    let found = message.headers.iter().find(|(known, _)| known == name);
    found.map_or("", |(_, value)| value)
}

/// Reads a message.
///
/// # Errors
/// A sentence that names the position and what is wrong, without the body's content.
pub fn read(stored: &Stored) -> Result<Published, String> {
    let wrong = |what: &str| format!("message {} of the stream: {what}", stored.sequence);
    let message = &stored.message;
    let envelope = upcast::read(&message.body).map_err(|why| wrong(&why))?;
    let name = envelope.event.name();
    if message.subject != format!("melt.events.{name}") {
        return Err(wrong("its subject is not that of its event"));
    }
    let seq = envelope.seq.to_string();
    if header_of(message, header::SAGA) != envelope.saga || header_of(message, header::SEQ) != seq {
        return Err(wrong("its headers name another event than its body"));
    }
    let record = Record {
        saga: SagaId::new(&envelope.saga),
        seq: envelope.seq,
        name: name.to_owned(),
        body: message.body.clone(),
        private: None,
        prev_hash: header_of(message, header::PREV_HASH).to_owned(),
        hash: header_of(message, header::HASH).to_owned(),
    };
    Ok(Published {
        sequence: stored.sequence,
        record,
        envelope,
    })
}
