//! Looking at a stream, by position: its facts, one message, many messages.

use std::time::Duration;

use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::RawMessage;
use chrono::{DateTime, Utc};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::link::Link;
use super::wire;
use crate::ports::{Begin, BusError, Stored, Stream, StreamFacts};

/// How long a reader that found nothing waits before it looks again: short beside what a person
/// notices, and 40 small requests a second are nothing to the server.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// Requests at a time: enough to hide the way to the server and back.
const IN_FLIGHT: usize = 64;

/// The pattern of all subjects.
const ALL: &str = ">";

const NO_STREAM: u32 = 10059;
const NO_MESSAGE: u32 = 10037;
const NOT_REMOVED: u32 = 10057;

#[derive(Deserialize)]
struct Got {
    message: RawMessage,
}

#[derive(Deserialize)]
struct Info {
    created: chrono::DateTime<chrono::Utc>,
    state: StreamState,
}

#[derive(Deserialize)]
struct StreamState {
    messages: u64,
    bytes: u64,
    first_seq: u64,
    last_seq: u64,
}

impl Link {
    pub(super) async fn facts(&self, stream: Stream) -> Result<Option<StreamFacts>, BusError> {
        let operation = format!("STREAM.INFO.{}", self.name(stream));
        match self.call::<Info>(&operation, &Value::Null).await? {
            Ok(Info { created, state }) => {
                self.saw(stream);
                let empty = state.messages == 0;
                let first = match empty {
                    true => state.last_seq.saturating_add(1),
                    false => state.first_seq,
                };
                Ok(Some(StreamFacts {
                    created,
                    first,
                    last: state.last_seq,
                    messages: state.messages,
                    bytes: state.bytes,
                }))
            }
            Err(error) if error.err_code == NO_STREAM => Ok(None),
            Err(error) => Err(error.refusal()),
        }
    }

    pub(super) async fn at(
        &self,
        stream: Stream,
        sequence: u64,
    ) -> Result<Option<Stored>, BusError> {
        if sequence == 0 {
            return Ok(None);
        }
        self.get(stream, &json!({ "seq": sequence })).await
    }

    pub(super) async fn remove(&self, stream: Stream, sequence: u64) -> Result<bool, BusError> {
        // The server's error for a message that is not there is one for many things.
        if stream != Stream::Events && self.at(stream, sequence).await?.is_none() {
            return Ok(false);
        }
        let operation = format!("STREAM.MSG.DELETE.{}", self.name(stream));
        match self
            .call::<Value>(&operation, &json!({ "seq": sequence }))
            .await?
        {
            Ok(_) => Ok(true),
            Err(error) if error.err_code == NOT_REMOVED => {
                Err(BusError::Unusable(error.description))
            }
            Err(error) => Err(error.refusal()),
        }
    }

    /// Waits by looking again: a reader that keeps nothing on the server needs no right to make
    /// consumers there, and a consumer can be told to deliver into other people's subjects.
    pub(super) async fn read(
        &self,
        stream: Stream,
        begin: Begin,
        subject: Option<&str>,
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<Stored>, BusError> {
        let deadline = Instant::now() + wait;
        loop {
            let found = self.there(stream, begin, subject, limit).await?;
            if !found.is_empty() || Instant::now() >= deadline {
                return Ok(found);
            }
            let again = Instant::now() + LOOK_AGAIN;
            tokio::time::sleep_until(again.min(deadline)).await;
        }
    }

    /// What is there now.
    async fn there(
        &self,
        stream: Stream,
        begin: Begin,
        subject: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Stored>, BusError> {
        let Some(facts) = self.facts(stream).await? else {
            let name = self.name(stream);
            return Err(BusError::Away(format!("there is no stream {name}")));
        };
        let from = match begin {
            Begin::First => facts.first,
            Begin::At(sequence) => sequence.max(facts.first),
            Begin::Time(time) => self.first_since(stream, time, &facts).await?,
        };
        match subject {
            None => self.all(stream, from, facts.last, limit).await,
            Some(pattern) => self.some(stream, from, facts.last, pattern, limit).await,
        }
    }

    /// The first position whose message is not older: messages lie in the order of their times.
    async fn first_since(
        &self,
        stream: Stream,
        time: DateTime<Utc>,
        facts: &StreamFacts,
    ) -> Result<u64, BusError> {
        let (mut low, mut high) = (facts.first, facts.last.saturating_add(1));
        while low < high {
            let middle = low.midpoint(high);
            match self.next(stream, middle, ALL).await? {
                Some(stored) if stored.at < time => low = stored.sequence.saturating_add(1),
                Some(_) | None => high = middle,
            }
        }
        Ok(low)
    }

    /// Every position is asked for by its number, many at a time.
    async fn all(
        &self,
        stream: Stream,
        from: u64,
        last: u64,
        limit: usize,
    ) -> Result<Vec<Stored>, BusError> {
        let mut found = Vec::new();
        let positions = futures::stream::iter(from..=last);
        let answers = positions.map(|sequence| self.at(stream, sequence));
        let mut answers = answers.buffered(IN_FLIGHT.min(limit.max(1)));
        while found.len() < limit
            && let Some(answer) = answers.next().await
        {
            found.extend(answer?);
        }
        Ok(found)
    }

    /// One after the other: where the next one lies is known only then.
    async fn some(
        &self,
        stream: Stream,
        from: u64,
        last: u64,
        pattern: &str,
        limit: usize,
    ) -> Result<Vec<Stored>, BusError> {
        let mut found: Vec<Stored> = Vec::new();
        let mut from = from;
        while found.len() < limit && from <= last {
            let Some(stored) = self.next(stream, from, pattern).await? else {
                break;
            };
            from = stored.sequence.saturating_add(1);
            found.push(stored);
        }
        Ok(found)
    }

    /// The first message from this position on that the pattern takes.
    async fn next(
        &self,
        stream: Stream,
        from: u64,
        pattern: &str,
    ) -> Result<Option<Stored>, BusError> {
        let pattern = match pattern {
            ALL => ALL.to_owned(),
            pattern => self.outward(pattern),
        };
        let request = json!({ "seq": from, "next_by_subj": pattern });
        self.get(stream, &request).await
    }

    async fn get(&self, stream: Stream, request: &Value) -> Result<Option<Stored>, BusError> {
        let operation = format!("STREAM.MSG.GET.{}", self.name(stream));
        match self.call::<Got>(&operation, request).await? {
            Ok(Got { message }) => {
                let raw = StreamMessage::try_from(message);
                let raw = raw.map_err(|why| BusError::Unusable(why.to_string()))?;
                Ok(Some(wire::stored_raw(&raw, self.inward(&raw.subject))))
            }
            Err(error) if [NO_STREAM, NO_MESSAGE].contains(&error.err_code) => Ok(None),
            Err(error) => Err(error.refusal()),
        }
    }
}
