//! `meltd events tail`: the events for somebody who watches, with their chains checked on the way.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::chains::{Chains, From, Taken};
use super::message::{self, Published};
use super::verify::AuditError;
use crate::ports::{Begin, Bus, HeadFilter, Store, Stream};
use crate::saga::chain::Record;
use crate::saga::ids::{SagaId, Seq};
use crate::saga::upcast;

/// Messages asked for at a time.
const PAGE: usize = 500;

/// Heads of the store read at a time.
const SCAN: u32 = 500;

/// How long one look at a stream waits for something new.
const LOOK: Duration = Duration::from_secs(1);

/// Which events to show. All of them are read and checked.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Only those that were stored then or later.
    pub since: Option<DateTime<Utc>>,
    /// Only this saga's.
    pub saga: Option<SagaId>,
    /// Only these names; empty = all.
    pub types: Vec<String>,
}

impl Wanted {
    fn takes(&self, event: &Published) -> bool {
        let saga = self.saga.as_ref();
        saga.is_none_or(|saga| *saga == event.record.saga)
            && (self.types.is_empty() || self.types.contains(&event.record.name))
    }

    fn chains(&self) -> Chains {
        Chains::new(match self.since {
            Some(_) => From::Middle,
            None => From::Start,
        })
    }
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Tailed {
    /// Events that passed the check.
    pub events: u64,
    /// Repeats, which are not shown.
    pub repeats: u64,
    /// Gaps, changed events and unreadable messages.
    pub faults: u64,
}

/// Something to show.
#[derive(Debug)]
pub enum Line<'a> {
    /// An event that is wanted and in order.
    Event(&'a Published),
    /// Something is wrong with the stream: whatever was asked for, this is shown.
    Fault(String),
}

/// Where lines go, and what has been counted.
pub struct Tailing<F> {
    wanted: Wanted,
    chains: Chains,
    counts: Tailed,
    show: F,
}

impl<F: FnMut(Line<'_>)> Tailing<F> {
    /// Begins.
    pub fn new(wanted: Wanted, show: F) -> Self {
        Tailing {
            chains: wanted.chains(),
            counts: Tailed::default(),
            wanted,
            show,
        }
    }

    /// What was read so far.
    pub fn counts(&self) -> &Tailed {
        &self.counts
    }

    /// Shows what lies in the bus; with `follow`, also what comes, until the task is ended.
    ///
    /// # Errors
    /// The bus cannot be read.
    pub async fn bus<B: Bus>(&mut self, bus: &B, follow: bool) -> Result<(), AuditError> {
        let end = bus
            .facts(Stream::Events)
            .await?
            .map_or(0, |facts| facts.last);
        let mut next = self.wanted.since.map_or(Begin::First, Begin::Time);
        loop {
            let page = bus.read(Stream::Events, next, None, PAGE, LOOK).await?;
            for stored in &page {
                match message::read(stored) {
                    Ok(event) => self.event(&event),
                    Err(why) => self.fault(why),
                }
                next = Begin::At(stored.sequence.saturating_add(1));
            }
            let is_over = match next {
                Begin::At(next) => next > end,
                Begin::First | Begin::Time(_) => page.is_empty(),
            };
            if is_over && !follow {
                return Ok(());
            }
        }
    }

    /// The same from the log of a store: saga by saga, in the order of their adoption.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn store<S: Store>(&mut self, store: &S, follow: bool) -> Result<(), AuditError> {
        let mut known: HashMap<SagaId, Seq> = HashMap::new();
        loop {
            let mut after = None;
            loop {
                let filter = HeadFilter {
                    after: after.take(),
                    limit: SCAN,
                    ..HeadFilter::default()
                };
                let page = store.heads(filter).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.new.id.clone());
                for head in page {
                    let have = known.entry(head.new.id.clone()).or_default();
                    if head.version <= *have {
                        continue;
                    }
                    let Some(loaded) = store.load(&head.new.id).await? else {
                        continue;
                    };
                    let fresh = loaded
                        .records
                        .into_iter()
                        .filter(|record| record.seq > *have);
                    let fresh: Vec<Record> = fresh.collect();
                    *have = fresh.last().map_or(*have, |record| record.seq);
                    fresh.into_iter().for_each(|record| self.record(record));
                }
            }
            if !follow {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn record(&mut self, record: Record) {
        match upcast::read(&record.body) {
            Ok(envelope) if self.wanted.since.is_none_or(|since| envelope.at >= since) => {
                self.event(&Published {
                    sequence: 0,
                    record,
                    envelope,
                });
            }
            Ok(_) => {}
            Err(why) => self.fault(format!("event {}: {why}", record.id())),
        }
    }

    fn event(&mut self, event: &Published) {
        match self.chains.take(&event.record, &event.envelope) {
            Ok(Taken::Next) => {
                self.counts.events += 1;
                if self.wanted.takes(event) {
                    (self.show)(Line::Event(event));
                }
            }
            Ok(Taken::Repeat) => self.counts.repeats += 1,
            Err(broken) => self.fault(format!("saga {}: {broken}", event.record.saga)),
        }
    }

    fn fault(&mut self, why: String) {
        self.counts.faults += 1;
        (self.show)(Line::Fault(why));
    }
}
