//! The stream against the marks, and what is put back when they differ.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;
use tracing::{error, info};

use crate::ports::{
    Again, Bus, BusError, Checkpoint, Mark, Outbox, StoreError, Stream, StreamFacts,
};

use super::desk::Confirmed;
use super::{Relay, STREAMS, Trouble, surplus};

/// Between the time that a transaction writes and the time that others see it, and between the
/// clocks of a replica set's members: a transaction lives for a minute at most.
pub const MARGIN: TimeDelta = TimeDelta::minutes(2);

/// Sagas looked at in one step of putting back: some hundred rows.
const STEP: u32 = 100;

/// Messages of one batch that are read back. At a few hundred events a second that is all of them;
/// at thousands, where it would cost a third of the rate, some are spread over the batch.
const SAMPLES: usize = 16;

/// Pause between a missing stream that was just made and its facts.
const SETTLE: Duration = Duration::from_millis(50);

/// True if what lay at the mark still lies there, or was there until it became too old. Anything
/// that was stored before it is then there too: a server that loses messages loses the newest.
///
/// # Errors
/// The bus's.
pub async fn matches<B: Bus>(bus: &B, facts: &StreamFacts, mark: &Mark) -> Result<bool, BusError> {
    if facts.created != mark.created || facts.last < mark.sequence {
        return Ok(false);
    }
    if mark.sequence == 0 || mark.sequence < facts.first {
        return Ok(true);
    }
    let found = bus.at(Stream::Events, mark.sequence).await?;
    Ok(found.is_some_and(|stored| stored.message.id == mark.id))
}

/// Puts events back into the outbox, page by page; how many.
///
/// # Errors
/// The store's. What was put back stays so; doing it again is harmless.
pub async fn put_back<S: Outbox>(store: &S, again: &Again) -> Result<u64, StoreError> {
    let mut rows: u64 = 0;
    let mut after = None;
    loop {
        let step = store.outbox_refill(again, after.as_ref(), STEP).await?;
        rows = rows.saturating_add(step.rows);
        after = step.until;
        if after.is_none() {
            return Ok(rows);
        }
    }
}

impl<S: Outbox, B: Bus> Relay<S, B> {
    /// Makes sure that everything that is not in the outbox is in the stream; returns the mark.
    pub(super) async fn verified(&self, epoch: u64) -> Result<Mark, Trouble> {
        self.bus.prepare(&STREAMS).await?;
        let Some(facts) = self.bus.facts(Stream::Events).await? else {
            tokio::time::sleep(SETTLE).await;
            return Err(Trouble::Away("the stream of events is missing".to_owned()));
        };
        let start = Mark {
            created: facts.created,
            sequence: 0,
            id: String::new(),
        };
        let Some(mark) = self.fenced_mark(epoch).await? else {
            // Nothing was ever taken away, so everything is in the outbox.
            self.store.relay_set_mark(&start, epoch).await?;
            return Ok(start);
        };
        if matches(&*self.bus, &facts, &mark).await? {
            return Ok(mark);
        }
        if !self.tuning.repair {
            self.store.relay_set_mark(&start, epoch).await?;
            return Ok(start);
        }
        let sequence = mark.sequence;
        error!(
            sequence,
            "the stream of events has lost messages; publishing again"
        );
        let (bad, good) = self.split(&facts).await?;
        let again = match &good {
            Some(good) => Again::Since(good.floor),
            None => Again::All,
        };
        let rows = put_back(&*self.store, &again).await?;
        info!(
            rows,
            from_checkpoint = good.is_some(),
            "events were put back"
        );
        let bad: Vec<_> = bad.iter().map(|bad| bad.taken_at).collect();
        self.store.relay_forget(&bad).await?;
        // Last: whoever finds the old mark does all of this again.
        let mark = good.map_or(start, |good| good.mark);
        self.store.relay_set_mark(&mark, epoch).await?;
        Ok(mark)
    }

    /// The checkpoints that no longer match, and the newest that does.
    async fn split(
        &self,
        facts: &StreamFacts,
    ) -> Result<(Vec<Checkpoint>, Option<Checkpoint>), Trouble> {
        let mut bad = Vec::new();
        for checkpoint in self.store.relay_checkpoints().await? {
            if matches(&*self.bus, facts, &checkpoint.mark).await? {
                return Ok((bad, Some(checkpoint)));
            }
            bad.push(checkpoint);
        }
        Ok((bad, None))
    }

    /// The mark, written once more under this epoch: from then on a holder before us can neither
    /// move it nor take anything away.
    async fn fenced_mark(&self, epoch: u64) -> Result<Option<Mark>, StoreError> {
        if let Some(mark) = self.store.relay_mark().await? {
            self.store.outbox_settle(&[], &mark, epoch).await?;
        }
        self.store.relay_mark().await
    }

    /// Takes confirmed rows away, after a look whether the stream still has them: it may have gone
    /// back since the first of them was confirmed, and somebody else's message may have taken its
    /// place. `old` is the mark before, `top` the new one.
    pub(super) async fn settle(
        &self,
        rows: &[Confirmed],
        old: &Mark,
        top: &Mark,
        epoch: u64,
    ) -> Result<(), Trouble> {
        if !self.has(rows, old).await? {
            let why = "what was confirmed is not in the stream of events any more";
            return Err(Trouble::Suspect(why.to_owned()));
        }
        let rows: Vec<_> = rows.iter().map(|row| (row.id.clone(), row.round)).collect();
        Ok(self.store.outbox_settle(&rows, top, epoch).await?)
    }

    /// Reads the old mark back, and the confirmed messages: all of a few, some of many.
    async fn has(&self, rows: &[Confirmed], old: &Mark) -> Result<bool, Trouble> {
        let found: BTreeMap<u64, &str> = rows
            .iter()
            .filter_map(|row| Some((row.position?, row.id.as_str())))
            .collect();
        let events = rows.iter().filter(|row| row.position.is_some()).count();
        if events == 0 {
            return Ok(true);
        }
        // One position, two messages.
        if found.len() < events {
            return Ok(false);
        }
        let Some(facts) = self.bus.facts(Stream::Events).await? else {
            return Ok(false);
        };
        let step = events.div_ceil(SAMPLES);
        let sampled = found.into_iter().enumerate();
        let sampled = sampled.filter(|(at, _)| at % step == 0 || at + 1 == events);
        let marks = sampled.map(|(_, (sequence, id))| Mark {
            created: old.created,
            sequence,
            id: id.to_owned(),
        });
        let marks: Vec<Mark> = marks.chain([old.clone()]).collect();
        let looks = marks.iter().map(|mark| matches(&*self.bus, &facts, mark));
        let there = futures::future::try_join_all(looks).await?;
        Ok(there.into_iter().all(|there| there))
    }

    /// Reads the mark back; `false` = the stream is not what it was.
    pub(super) async fn still(&self, mark: &Mark) -> Result<bool, Trouble> {
        match self.bus.facts(Stream::Events).await? {
            Some(facts) => Ok(matches(&*self.bus, &facts, mark).await?),
            None => Ok(false),
        }
    }

    /// [`Relay::still`], and takes a checkpoint at the newest message of the stream.
    ///
    /// The outbox is read first. What is confirmed later was in it then, so its saga's head is no
    /// older than the oldest row; or was not yet visible, so its saga's head is no older than now
    /// less the margin. What was confirmed before, by whomever, lies at the newest message or
    /// before it, because the mark is still there.
    pub(super) async fn checkpoint(&self, mark: &Mark) -> Result<bool, Trouble> {
        let depth = self.store.outbox_depth().await?;
        let Some(facts) = self.bus.facts(Stream::Events).await? else {
            return Ok(false);
        };
        if !matches(&*self.bus, &facts, mark).await? {
            return Ok(false);
        }
        // Rows that were put back are of sagas of any age: no bound holds until they are out.
        if depth.again > 0 {
            return Ok(true);
        }
        let Some(newest) = self.bus.at(Stream::Events, facts.last).await? else {
            return Ok(true);
        };
        let oldest = depth.oldest.map_or(depth.now, |at| at.min(depth.now));
        let checkpoint = Checkpoint {
            mark: Mark {
                created: facts.created,
                sequence: newest.sequence,
                id: newest.message.id,
            },
            floor: oldest.checked_sub_signed(MARGIN).unwrap_or(oldest),
            taken_at: depth.now,
        };
        self.store.relay_keep(&checkpoint).await?;
        let all = self.store.relay_checkpoints().await?;
        let times: Vec<_> = all.iter().map(|checkpoint| checkpoint.taken_at).collect();
        let surplus = surplus(&times);
        if !surplus.is_empty() {
            self.store.relay_forget(&surplus).await?;
        }
        Ok(true)
    }
}
