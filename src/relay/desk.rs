//! The walk over the outbox. Reading, publishing, taking away and looking at the stream go on at
//! the same time, as futures of one task: while 64 messages wait for the bus, the next page is read
//! and the last confirmed rows are taken away.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, error, warn};

use crate::ports::{Bus, Mark, Outbox, OutboxRow, StoreError};
use crate::saga::ids::SagaId;

use super::send::{Sent, send};
use super::{Relay, RelayError, Trouble, plan};

/// Rows taken away in one call at most wait for this many.
const BATCH: usize = 256;

/// So often a row may be alone in not being confirmed before it has to wait by itself.
const STRIKES: u32 = 3;

/// Rows that were not confirmed while others were, and how often: one message that the bus never
/// answers must not stop all others for ever.
pub(super) type Strikes = BTreeMap<String, u32>;

/// A row whose message lies in its stream.
pub(super) struct Confirmed {
    pub(super) id: String,
    pub(super) round: u64,
    /// Where in the stream of events; `None` for a reply.
    pub(super) position: Option<u64>,
}

/// A piece of work that came to its end.
enum Done {
    Read(Result<Vec<OutboxRow>, StoreError>),
    Published(OutboxRow, Sent),
    Settled(Vec<Confirmed>, Result<(), Trouble>),
    Checked(Result<bool, Trouble>),
    Noted(Result<(), StoreError>),
}

/// One run of publishing, from a verified mark to the next trouble.
pub(super) struct Desk<'a, S, B> {
    relay: &'a Relay<S, B>,
    epoch: u64,
    closed: watch::Receiver<bool>,
    work: FuturesUnordered<BoxFuture<'a, Done>>,
    /// Rows that were read and neither sent nor skipped, in id order.
    window: Vec<OutboxRow>,
    /// The last row that was read in this walk.
    cursor: Option<String>,
    /// Sagas that were found blocked in this walk, as far as it may still meet rows of theirs.
    held: BTreeSet<SagaId>,
    /// The walk has reached the end of the outbox.
    ended: bool,
    /// The row in flight of each saga.
    in_flight: BTreeMap<SagaId, String>,
    /// The highest confirmed position.
    top: Mark,
    /// The highest that is durable.
    mark: Mark,
    /// Confirmed, to be taken away; the first of them since when.
    confirmed: Vec<Confirmed>,
    confirmed_at: Option<Instant>,
    /// Rows that a page may still show although they were confirmed or put off.
    handled: BTreeSet<String>,
    /// Those among them that only a page that is being read now may show.
    passing: Vec<String>,
    reading: bool,
    settling: bool,
    checking: bool,
    noting: u32,
    walked_at: Instant,
    checked_at: Instant,
    checkpoint_at: Instant,
    /// Something was published since the last checkpoint; since the start.
    news: bool,
    published: bool,
    failed: Vec<String>,
    trouble: Option<Trouble>,
}

impl<'a, S: Outbox, B: Bus> Desk<'a, S, B> {
    pub(super) fn new(
        relay: &'a Relay<S, B>,
        epoch: u64,
        top: Mark,
        closed: watch::Receiver<bool>,
    ) -> Self {
        let now = Instant::now();
        Desk {
            relay,
            epoch,
            closed,
            work: FuturesUnordered::new(),
            window: Vec::new(),
            cursor: None,
            held: BTreeSet::new(),
            ended: false,
            in_flight: BTreeMap::new(),
            mark: top.clone(),
            top,
            confirmed: Vec::new(),
            confirmed_at: None,
            handled: BTreeSet::new(),
            passing: Vec::new(),
            reading: false,
            settling: false,
            checking: false,
            noting: 0,
            walked_at: now,
            checked_at: now,
            // The first one soon: until then a lost stream is published from its beginning.
            checkpoint_at: now.checked_sub(relay.tuning.checkpoint).unwrap_or(now),
            news: false,
            published: false,
            failed: Vec::new(),
            trouble: None,
        }
    }

    /// Publishes until there is trouble; then finishes what was begun. True if anything was
    /// published.
    pub(super) async fn run(mut self, strikes: &mut Strikes) -> (Trouble, bool) {
        loop {
            if *self.closed.borrow() && self.trouble.is_none() {
                self.trouble = Some(Trouble::Stopped);
            }
            self.start_work();
            if self.work.is_empty()
                && let Some(trouble) = self.trouble.take()
            {
                self.count(strikes).await;
                return (trouble, self.published);
            }
            self.wait().await;
        }
    }

    /// Waits until something is done or due.
    async fn wait(&mut self) {
        // A new walk begins when the old one is over and every row that was put aside is marked
        // so. Rows that only wait for one in flight must not keep newer ones waiting.
        let idle = self.ended && !self.reading && self.noting == 0 && self.trouble.is_none();
        let done = self.window.is_empty();
        let relay = self.relay;
        let due = self.next_due();
        tokio::select! {
            Some(done) = self.work.next(), if !self.work.is_empty() => {
                self.take_in(done);
                // Whatever else is ready, so that planning is done once for all of it.
                while let Some(Some(done)) = self.work.next().now_or_never() {
                    self.take_in(done);
                }
            }
            () = relay.store.outbox_woken(), if idle && done => self.walk_again(),
            () = tokio::time::sleep_until(self.walked_at + relay.tuning.poll), if idle => {
                self.walk_again();
            }
            () = tokio::time::sleep_until(due), if self.trouble.is_none() => {}
            _ = self.closed.changed(), if self.trouble.is_none() => {}
        }
    }

    /// When the next settlement or check is due.
    fn next_due(&self) -> Instant {
        let check = self.checked_at + self.relay.tuning.check;
        match self.confirmed_at.filter(|_| !self.settling) {
            Some(since) => check.min(since + self.relay.tuning.settle_after),
            None => check,
        }
    }

    fn walk_again(&mut self) {
        self.cursor = None;
        self.held.clear();
        self.window.clear();
        self.ended = false;
        self.walked_at = Instant::now();
    }

    fn start_work(&mut self) {
        self.start_settling();
        if self.trouble.is_some() {
            return;
        }
        self.start_publishing();
        self.start_reading();
        self.start_checking();
    }

    fn start_reading(&mut self) {
        let page = self.relay.tuning.page;
        let low = usize::try_from(page / 2).unwrap_or(0);
        if self.reading || self.ended || self.window.len() > low {
            return;
        }
        self.reading = true;
        let (relay, after) = (self.relay, self.cursor.clone());
        let read = async move { Done::Read(relay.store.outbox(after.as_deref(), page).await) };
        self.work.push(read.boxed());
    }

    fn start_publishing(&mut self) {
        let busy: BTreeSet<SagaId> = self.in_flight.keys().cloned().collect();
        let slots = self.relay.tuning.slots;
        let plan = plan(&self.window, &busy, &self.held, slots);
        if plan.publish.is_empty() && plan.skip.is_empty() {
            return;
        }
        let skipped: BTreeSet<usize> = plan.skip.into_iter().collect();
        let chosen: BTreeSet<usize> = plan.publish.into_iter().collect();
        for (at, row) in std::mem::take(&mut self.window).into_iter().enumerate() {
            if skipped.contains(&at) {
                if row.link.is_some() {
                    self.held.insert(row.saga);
                }
            } else if chosen.contains(&at) {
                self.publish(row);
            } else {
                self.window.push(row);
            }
        }
    }

    fn publish(&mut self, row: OutboxRow) {
        self.in_flight.insert(row.saga.clone(), row.id.clone());
        let (relay, top) = (self.relay, self.top.sequence);
        let publish = async move {
            let sent = send(&*relay.bus, &row, top).await;
            Done::Published(row, sent)
        };
        self.work.push(publish.boxed());
    }

    fn start_settling(&mut self) {
        let Some(since) = self.confirmed_at.filter(|_| !self.settling) else {
            return;
        };
        let waits = since.elapsed() < self.relay.tuning.settle_after;
        if waits && self.confirmed.len() < BATCH && self.trouble.is_none() {
            return;
        }
        self.settling = true;
        self.confirmed_at = None;
        let rows = std::mem::take(&mut self.confirmed);
        let (relay, epoch, top) = (self.relay, self.epoch, self.top.clone());
        let old = std::mem::replace(&mut self.mark, top.clone());
        let settle = async move {
            let result = relay.settle(&rows, &old, &top, epoch).await;
            Done::Settled(rows, result)
        };
        self.work.push(settle.boxed());
    }

    fn start_checking(&mut self) {
        if self.checking || self.checked_at.elapsed() < self.relay.tuning.check {
            return;
        }
        self.checking = true;
        self.checked_at = Instant::now();
        let (relay, top) = (self.relay, self.top.clone());
        let take = self.news && self.checkpoint_at.elapsed() >= relay.tuning.checkpoint;
        if take {
            self.news = false;
            self.checkpoint_at = Instant::now();
        }
        let check = async move {
            let checked = match take {
                true => relay.checkpoint(&top).await,
                false => relay.still(&top).await,
            };
            Done::Checked(checked)
        };
        self.work.push(check.boxed());
    }

    fn take_in(&mut self, done: Done) {
        match done {
            Done::Read(page) => self.take_page(page),
            Done::Published(row, sent) => self.take_answer(row, sent),
            Done::Settled(rows, result) => {
                self.settling = false;
                // A page that is being read may still show them; the next one cannot.
                let ids = rows.into_iter().map(|row| row.id);
                if self.reading {
                    self.passing.extend(ids);
                } else {
                    for id in ids {
                        self.handled.remove(&id);
                    }
                }
                if let Err(trouble) = result {
                    self.worsen(trouble);
                }
            }
            Done::Checked(Ok(true)) => self.checking = false,
            Done::Checked(Ok(false)) => {
                self.checking = false;
                self.suspect("the mark is not in the stream of events any more");
            }
            Done::Checked(Err(trouble)) => {
                self.checking = false;
                self.worsen(trouble);
            }
            Done::Noted(result) => {
                self.noting -= 1;
                self.note(result);
            }
        }
    }

    fn note(&mut self, result: Result<(), StoreError>) {
        if let Err(error) = result {
            self.worsen(error.into());
        }
    }

    fn take_page(&mut self, page: Result<Vec<OutboxRow>, StoreError>) {
        self.reading = false;
        let page = match page {
            Ok(page) => page,
            Err(error) => return self.worsen(error.into()),
        };
        let limit = usize::try_from(self.relay.tuning.page).unwrap_or(usize::MAX);
        self.ended = page.len() < limit;
        if let Some(last) = page.last() {
            self.cursor = Some(last.id.clone());
        }
        let last = page.last().map(|row| row.saga.clone());
        let sent = |row: &OutboxRow| self.in_flight.get(&row.saga) == Some(&row.id);
        let fresh = page.into_iter();
        let fresh = fresh.filter(|row| !self.handled.contains(&row.id) && !sent(row));
        let fresh: Vec<_> = fresh.collect();
        self.window.extend(fresh);
        // The rows of one saga are neighbours.
        let window = &self.window;
        let ahead = |saga: &SagaId| window.iter().any(|row| row.saga == *saga);
        self.held
            .retain(|saga| last.as_ref() == Some(saga) || ahead(saga));
        for id in std::mem::take(&mut self.passing) {
            self.handled.remove(&id);
        }
    }

    fn take_answer(&mut self, row: OutboxRow, sent: Sent) {
        self.in_flight.remove(&row.saga);
        match sent {
            Sent::Stored(sequence) => self.confirm(row, sequence),
            Sent::Swallowed => {
                warn!(row = %row.id, "dropped as a repeat of a message that is not there any more");
                self.put_off(
                    row,
                    "dropped as a repeat of a message that is not there any more",
                );
            }
            Sent::Never(why) => self.park(row, why),
            Sent::Away(why) => {
                debug!(row = %row.id, %why, "not confirmed");
                self.failed.push(row.id);
                self.worsen(Trouble::Away(why));
            }
            Sent::WentBack => self.suspect("the stream of events went back"),
            Sent::Fatal(error) => self.worsen(Trouble::Fatal(RelayError::Bus(error))),
        }
    }

    fn confirm(&mut self, row: OutboxRow, sequence: u64) {
        // Amid trouble it may be another stream already that says so.
        if matches!(self.trouble, Some(ref trouble) if *trouble != Trouble::Stopped) {
            return;
        }
        let position = row.link.is_some().then_some(sequence);
        if position.is_some() && sequence > self.top.sequence {
            self.top.sequence = sequence;
            self.top.id = row.id.clone();
        }
        (self.news, self.published) = (true, true);
        self.confirmed_at.get_or_insert_with(Instant::now);
        self.handled.insert(row.id.clone());
        self.confirmed.push(Confirmed {
            id: row.id,
            round: row.round,
            position,
        });
    }

    /// The row waits by itself, and with it the later ones of its saga.
    fn put_off(&mut self, row: OutboxRow, why: &'static str) {
        let tuning = &self.relay.tuning;
        let wait = tuning.wait_first.saturating_mul(1 << row.attempts.min(12));
        let (relay, wait) = (self.relay, wait.min(tuning.wait_max));
        self.block(&row.saga);
        let note = async move { Done::Noted(relay.store.outbox_put_off(&row.id, wait, why).await) };
        self.noting += 1;
        self.work.push(note.boxed());
    }

    fn park(&mut self, row: OutboxRow, why: String) {
        error!(row = %row.id, %why, "parked: the bus will never take this message");
        self.block(&row.saga);
        let relay = self.relay;
        let note = async move { Done::Noted(relay.store.outbox_park(&row.id, &why).await) };
        self.noting += 1;
        self.work.push(note.boxed());
    }

    /// Later rows of this saga were read before it was blocked: out of the window with them. The
    /// next walk sees the row's new state.
    fn block(&mut self, saga: &SagaId) {
        self.window.retain(|row| row.saga != *saga);
        self.held.insert(saga.clone());
    }

    fn suspect(&mut self, why: &str) {
        self.worsen(Trouble::Suspect(why.to_owned()));
    }

    /// Remembers the worst trouble: what ends the relay, then the lost lease, then the rest. What
    /// was confirmed before it may be gone, so nothing is taken away on the strength of it: it is
    /// published once more.
    fn worsen(&mut self, trouble: Trouble) {
        self.confirmed.clear();
        self.confirmed_at = None;
        let rank = |trouble: &Trouble| match trouble {
            Trouble::Stopped => 0,
            Trouble::Away(_) => 1,
            Trouble::Suspect(_) => 2,
            Trouble::Lost => 3,
            Trouble::Fatal(_) => 4,
        };
        let is_worse = |old: &Trouble| rank(&trouble) > rank(old);
        if self.trouble.as_ref().is_none_or(is_worse) {
            self.trouble = Some(trouble);
        }
    }

    /// A row that fails while others succeed gets a strike, and after some has to wait.
    async fn count(&mut self, strikes: &mut Strikes) {
        if !self.published {
            return;
        }
        strikes.retain(|id, _| self.failed.contains(id));
        for id in std::mem::take(&mut self.failed) {
            let count = strikes.entry(id.clone()).or_insert(0);
            *count += 1;
            if *count < STRIKES {
                continue;
            }
            strikes.remove(&id);
            let why = "the bus does not confirm it, while it confirms others";
            warn!(row = %id, why);
            let wait = self.relay.tuning.wait_first.saturating_mul(8);
            if let Err(why) = self.relay.store.outbox_put_off(&id, wait, why).await {
                warn!(%why, "the row could not be put off");
            }
        }
    }
}
