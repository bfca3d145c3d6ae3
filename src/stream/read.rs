//! The whole stream, page by page.

use std::time::Duration;

use super::message::{self, Published};
use crate::ports::{Begin, Bus, BusError, Stream};

/// Messages in a page: a few hundred kilobytes.
const PAGE: usize = 500;

/// How long a reader that does not follow waits for a page that ought to be there.
const WAIT: Duration = Duration::from_secs(2);

/// A walk over the events that lie in the stream when it begins; what is published meanwhile is
/// left to the next walk, so that a walk ends.
pub struct Walk<'a, B> {
    bus: &'a B,
    next: Begin,
    last: u64,
}

impl<'a, B: Bus> Walk<'a, B> {
    /// From the first message to the one that is the last now.
    ///
    /// # Errors
    /// [`BusError`]; a stream that is not there is [`BusError::Unusable`].
    pub async fn begin(bus: &'a B, stream: Stream, from: Begin) -> Result<Self, BusError> {
        let facts = bus.facts(stream).await?;
        let facts = facts.ok_or_else(|| {
            let name = stream.name();
            BusError::Unusable(format!("there is no stream {name} on the bus"))
        })?;
        let last = if facts.messages == 0 { 0 } else { facts.last };
        Ok(Walk {
            bus,
            next: from,
            last,
        })
    }

    /// The next page; empty at the end.
    ///
    /// # Errors
    /// [`BusError`]; a page that ought to be there and does not come is [`BusError::Away`].
    pub async fn page(&mut self) -> Result<Vec<Result<Published, String>>, BusError> {
        let page = self.stored(Stream::Events).await?;
        Ok(page.iter().map(message::read).collect())
    }

    /// The next page of any stream, as it lies there.
    ///
    /// # Errors
    /// As [`Walk::page`].
    pub async fn stored(&mut self, stream: Stream) -> Result<Vec<crate::ports::Stored>, BusError> {
        if matches!(self.next, Begin::At(next) if next > self.last) || self.last == 0 {
            return Ok(Vec::new());
        }
        let page = self.bus.read(stream, self.next, None, PAGE, WAIT).await?;
        let Some(newest) = page.last().map(|stored| stored.sequence) else {
            // From a moment on, there may be nothing; from a position on, the last one is there.
            return match self.next {
                Begin::Time(_) => Ok(Vec::new()),
                Begin::First | Begin::At(_) => Err(BusError::Away(
                    "a page of the stream did not come in time".to_owned(),
                )),
            };
        };
        self.next = Begin::At(newest.saturating_add(1));
        let last = self.last;
        let page = page.into_iter().filter(|stored| stored.sequence <= last);
        Ok(page.collect())
    }
}
