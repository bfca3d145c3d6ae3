//! One message, and what the bus's answer to it means.

use crate::metrics::metrics;
use crate::ports::{Bus, BusError, Message, OutboxRow, Stream, header};

/// What became of a row's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// It lies in its stream at this position.
    Stored(u64),
    /// It was stored at a position that was taken already: the stream went back.
    WentBack,
    /// The server remembers its id and dropped it, but the first copy is not there any more: once
    /// its memory has passed, it takes it.
    Swallowed,
    /// It may or may not be stored.
    Away(String),
    /// It will never be taken.
    Never(String),
    /// The bus cannot be used.
    Fatal(BusError),
}

/// The stream of a row's message.
pub(super) fn stream(row: &OutboxRow) -> Stream {
    match row.link {
        Some(_) => Stream::Events,
        None => Stream::Replies,
    }
}

/// The message of a row.
fn message(row: &OutboxRow) -> Message {
    let saga = (header::SAGA.to_owned(), row.saga.as_str().to_owned());
    let link = row.link.iter().flat_map(|link| {
        [
            (header::SEQ.to_owned(), link.seq.to_string()),
            (header::HASH.to_owned(), link.hash.clone()),
            (header::PREV_HASH.to_owned(), link.prev_hash.clone()),
        ]
    });
    Message {
        subject: row.subject.clone(),
        id: row.id.clone(),
        headers: std::iter::once(saga).chain(link).collect(),
        body: row.body.clone(),
    }
}

/// Publishes a row. `top` is a position of the stream of events that was confirmed before.
pub(super) async fn send<B: Bus>(bus: &B, row: &OutboxRow, top: u64) -> Sent {
    let answer = match bus.publish(message(row)).await {
        Ok(answer) => answer,
        Err(BusError::Away(why)) => return Sent::Away(why),
        Err(BusError::Never(why)) => return Sent::Never(why),
        Err(error @ BusError::Unusable(_)) => return Sent::Fatal(error),
    };
    if !answer.duplicate {
        let back = row.link.is_some() && answer.sequence <= top;
        return match back {
            true => Sent::WentBack,
            false => {
                metrics().published.inc();
                Sent::Stored(answer.sequence)
            }
        };
    }
    metrics().duplicates.inc();
    // The server's word that it had this id is no word that it still has the message.
    match bus.at(stream(row), answer.sequence).await {
        Ok(Some(first)) if first.message.id == row.id => Sent::Stored(answer.sequence),
        Ok(_) => Sent::Swallowed,
        Err(error) => Sent::Away(error.to_string()),
    }
}
