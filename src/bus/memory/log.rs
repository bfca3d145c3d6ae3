//! One stream in memory: messages by position, and the ids of the newest.

use std::collections::{BTreeMap, HashMap, VecDeque};

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::ports::{Begin, BusError, Message, Published, Stored, Stream, StreamFacts, subject};

/// The most messages of one stream. An event has about 1 kB, so a stream stays near 10 MB; whoever
/// needs more history reads it from the store.
const MAX_MESSAGES: usize = 10_000;

pub(super) struct Log {
    stream: Stream,
    created: DateTime<Utc>,
    messages: BTreeMap<u64, Stored>,
    last: u64,
    bytes: u64,
    ids: HashMap<String, u64>,
    ages: VecDeque<(Instant, String)>,
}

impl Log {
    pub(super) fn new(stream: Stream, created: DateTime<Utc>) -> Self {
        Log {
            stream,
            created,
            messages: BTreeMap::new(),
            last: 0,
            bytes: 0,
            ids: HashMap::new(),
            ages: VecDeque::new(),
        }
    }

    pub(super) fn add(
        &mut self,
        mut message: Message,
        at: DateTime<Utc>,
        now: Instant,
    ) -> Result<Published, BusError> {
        self.forget_ids(now);
        if let Some(sequence) = self.ids.get(&message.id) {
            return Ok(Published {
                sequence: *sequence,
                duplicate: true,
            });
        }
        if self.messages.len() >= MAX_MESSAGES {
            if self.stream == Stream::Commands {
                return Err(BusError::Away(format!("{} is full", self.stream.name())));
            }
            let oldest = self.messages.keys().next().copied();
            oldest.map(|oldest| self.remove(oldest));
        }
        self.last = self.last.saturating_add(1);
        let sequence = self.last;
        if !message.id.is_empty() {
            self.ids.insert(message.id.clone(), sequence);
            self.ages.push_back((now, message.id.clone()));
        }
        message.headers.sort();
        let stored = Stored {
            sequence,
            at,
            message,
        };
        self.bytes = self.bytes.saturating_add(size(&stored));
        self.messages.insert(sequence, stored);
        Ok(Published {
            sequence,
            duplicate: false,
        })
    }

    fn forget_ids(&mut self, now: Instant) {
        while let Some((at, id)) = self.ages.front() {
            if now.duration_since(*at) < self.stream.window() {
                return;
            }
            self.ids.remove(id);
            self.ages.pop_front();
        }
    }

    pub(super) fn remove(&mut self, sequence: u64) -> bool {
        let removed = self.messages.remove(&sequence);
        let bytes = removed.as_ref().map_or(0, size);
        self.bytes = self.bytes.saturating_sub(bytes);
        removed.is_some()
    }

    pub(super) fn at(&self, sequence: u64) -> Option<Stored> {
        self.messages.get(&sequence).cloned()
    }

    pub(super) fn read(&self, begin: Begin, filter: Option<&str>, limit: usize) -> Vec<Stored> {
        let from = match begin {
            Begin::First | Begin::Time(_) => 0,
            Begin::At(sequence) => sequence,
        };
        let young = |stored: &&Stored| match begin {
            Begin::Time(time) => stored.at >= time,
            Begin::First | Begin::At(_) => true,
        };
        let wanted = |stored: &&Stored| {
            filter.is_none_or(|pattern| subject::matches(pattern, &stored.message.subject))
        };
        let stored = self.messages.range(from..).map(|(_, stored)| stored);
        let found = stored.skip_while(|s| !young(s)).filter(wanted);
        found.take(limit).cloned().collect()
    }

    pub(super) fn facts(&self) -> StreamFacts {
        let first = self.messages.keys().next().copied();
        StreamFacts {
            created: self.created,
            first: first.unwrap_or_else(|| self.last.saturating_add(1)),
            last: self.last,
            messages: u64::try_from(self.messages.len()).unwrap_or(u64::MAX),
            bytes: self.bytes,
        }
    }
}

fn size(stored: &Stored) -> u64 {
    let message = &stored.message;
    u64::try_from(message.subject.len() + message.body.len()).unwrap_or(u64::MAX)
}
