//! The relay: publishes what is in the outbox, in order for each saga, at least once.
//!
//! ```text
//!  outbox ──page──▶ window ──plan──▶ in flight ──ack──▶ mark ──▶ row taken away
//!    ▲                                   │
//!    └── put back ◀── the stream is not what the mark says ◀─────┘ read back
//! ```
//!
//! One process holds the lease `relay` and publishes; the others stand by. A row is taken away only
//! after the bus has said that it stored the message, and after the highest position that was
//! confirmed so far, the *mark*, is durable. So as long as the message at the mark is still in the
//! stream, nothing that was taken away is missing. It is read back at every start, after every
//! trouble and every few seconds. If it is not there, the stream was lost or went back in time:
//! then the newest *checkpoint* that still matches says which sagas can have had events since, and
//! their events are put back into the outbox, each saga from its first event.
//!
//! Two holders for a moment, when a lease was lost unnoticed, only make repeats: a row is taken
//! away by nobody before its message is stored, and rows that were put back belong to a new round.
//! A message is published only when the one before it is confirmed, so the first copies of one
//! saga's events lie in the stream in their order.
//!
//! | file | holds |
//! |---|---|
//! | `plan.rs` | which rows to publish now; pure |
//! | `desk.rs` | the walk over the outbox: reading, publishing, taking away, at the same time |
//! | `send.rs` | one message, and what the bus's answer means |
//! | `verify.rs` | the stream against the marks; putting back |
//! | `history.rs` | which checkpoints are kept; pure |

mod desk;
mod history;
mod plan;
mod send;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::ports::{Bus, BusError, Outbox, StoreError, Stream};

use desk::{Desk, Strikes};

pub use history::surplus;
pub use plan::{Plan, plan};
pub use verify::{MARGIN, matches, put_back};

/// The name of the lease.
pub const LEASE: &str = "relay";

/// The streams that it fills.
pub const STREAMS: [Stream; 2] = [Stream::Events, Stream::Replies];

/// The numbers.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Messages that wait for the bus at once. 64 keep a server busy, 256 gain 6 % (measured).
    pub slots: usize,
    /// Rows read at once: some rows of each saga in flight, and more to choose from.
    pub page: u32,
    /// Longest time between two walks when nothing wakes the relay.
    pub poll: Duration,
    /// How long a dead holder keeps the lease; a living one renews it three times in that.
    pub lease_ttl: Duration,
    /// How long confirmed rows may wait for others to be taken away with.
    pub settle_after: Duration,
    /// How often the stream is compared with the mark.
    pub check: Duration,
    /// How often a checkpoint is taken while messages are published.
    pub checkpoint: Duration,
    /// First pause when the bus or the store is away; it doubles up to `pause_max`.
    pub pause_first: Duration,
    /// Longest pause.
    pub pause_max: Duration,
    /// First wait of a single row that the bus does not take; it doubles up to `wait_max`.
    pub wait_first: Duration,
    /// Longest wait of a row.
    pub wait_max: Duration,
    /// Whether what a stream has lost is published again. False for a bus that ends with the
    /// process: whoever reads that one has the store for what lies further back.
    pub repair: bool,
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning {
            slots: 64,
            page: 512,
            poll: Duration::from_millis(200),
            lease_ttl: Duration::from_secs(10),
            settle_after: Duration::from_millis(50),
            check: Duration::from_secs(5),
            checkpoint: Duration::from_secs(30),
            pause_first: Duration::from_millis(200),
            pause_max: Duration::from_secs(5),
            wait_first: Duration::from_secs(2),
            wait_max: Duration::from_secs(300),
            repair: true,
        }
    }
}

/// What a relay is doing: for readiness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Another process publishes, or the lease cannot be asked for yet.
    Standby,
    /// It publishes.
    Leading,
    /// It would publish, and tries again: why it cannot.
    Troubled(String),
    /// It has stopped for good: why.
    Failed(String),
}

/// Why a relay has stopped for good: tell a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// The bus is not what it must be.
    #[error(transparent)]
    Bus(BusError),
    /// The store is not what it must be.
    #[error(transparent)]
    Store(StoreError),
}

/// Why publishing stopped for now.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Trouble {
    /// The bus or the store is away.
    Away(String),
    /// The stream may have gone back: look before anything else is published.
    Suspect(String),
    /// Another process holds the lease.
    Lost,
    /// Asked to stop; everything confirmed is taken away.
    Stopped,
    /// No retry mends it.
    Fatal(RelayError),
}

impl From<BusError> for Trouble {
    fn from(error: BusError) -> Self {
        match error {
            BusError::Away(_) => Trouble::Away(error.to_string()),
            BusError::Never(_) | BusError::Unusable(_) => Trouble::Fatal(RelayError::Bus(error)),
        }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Trouble::Away(error.to_string()),
            StoreError::Reload => Trouble::Lost,
            _ => Trouble::Fatal(RelayError::Store(error)),
        }
    }
}

/// The relay of one process.
pub struct Relay<S, B> {
    store: Arc<S>,
    bus: Arc<B>,
    owner: String,
    tuning: Tuning,
    phase: watch::Sender<Phase>,
}

impl<S: Outbox, B: Bus> Relay<S, B> {
    /// `owner` is this process, named at random at its start.
    pub fn new(store: Arc<S>, bus: Arc<B>, owner: &str, tuning: Tuning) -> Self {
        Relay {
            store,
            bus,
            owner: owner.to_owned(),
            tuning,
            phase: watch::channel(Phase::Standby).0,
        }
    }

    /// What it is doing, now and from now on.
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Publishes, or stands by, until `stop` resolves; then it finishes what is in flight and
    /// gives the lease back.
    ///
    /// # Errors
    /// [`RelayError`] when no retry mends it. The lease is given back, and the phase says why.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send) -> Result<(), RelayError> {
        let (closing, closed) = watch::channel(false);
        let relay = self.turns(closed);
        tokio::pin!(relay, stop);
        let result = tokio::select! {
            result = &mut relay => result,
            () = &mut stop => {
                closing.send_replace(true);
                relay.await
            }
        };
        if let Err(why) = &result {
            error!(%why, "the relay has stopped");
            self.phase.send_replace(Phase::Failed(why.to_string()));
        }
        result
    }

    /// Takes the lease again and again.
    async fn turns(&self, mut closed: watch::Receiver<bool>) -> Result<(), RelayError> {
        while !*closed.borrow() {
            let (ttl, name) = (self.tuning.lease_ttl, LEASE);
            match self.store.lease_take(name, &self.owner, ttl).await {
                Ok(Some(epoch)) => {
                    let ended = self.hold(epoch, closed.clone()).await;
                    let given_back = self.store.lease_end(name, epoch).await;
                    if let Err(why) = given_back {
                        warn!(%why, "the relay's lease ends by itself");
                    }
                    if let Trouble::Fatal(why) = ended {
                        return Err(why);
                    }
                    self.phase.send_replace(Phase::Standby);
                    continue;
                }
                Ok(None) => drop(self.phase.send_replace(Phase::Standby)),
                Err(error) => match Trouble::from(error) {
                    Trouble::Fatal(why) => return Err(why),
                    Trouble::Away(why) => drop(self.phase.send_replace(Phase::Troubled(why))),
                    Trouble::Suspect(_) | Trouble::Lost | Trouble::Stopped => {}
                },
            }
            tokio::select! {
                () = tokio::time::sleep(ttl / 3) => {}
                _ = closed.changed() => {}
            }
        }
        Ok(())
    }

    /// Publishes while the lease is ours. Losing it drops everything in flight at once.
    async fn hold(&self, epoch: u64, closed: watch::Receiver<bool>) -> Trouble {
        info!(epoch, "the relay publishes");
        let lost = tokio::select! {
            ended = self.lead(epoch, closed) => return ended,
            () = self.renewed(epoch) => Trouble::Lost,
        };
        warn!(epoch, "the relay's lease was lost");
        lost
    }

    /// Renews until the lease is another's, or so old that it may be.
    async fn renewed(&self, epoch: u64) {
        let third = self.tuning.lease_ttl / 3;
        let mut renewed_at = Instant::now();
        while renewed_at.elapsed() < third * 2 {
            tokio::time::sleep(third).await;
            let asked_at = Instant::now();
            let renewal = self.store.lease_renew(LEASE, epoch, self.tuning.lease_ttl);
            match tokio::time::timeout(third, renewal).await {
                Ok(Ok(())) => renewed_at = asked_at,
                Ok(Err(StoreError::Reload)) => return,
                Ok(Err(why)) => warn!(%why, "the relay's lease was not renewed"),
                Err(_) => warn!("the relay's lease was not renewed in time"),
            }
        }
    }

    /// Looks whether the stream is what it was, then publishes; from the beginning after each
    /// trouble.
    async fn lead(&self, epoch: u64, mut closed: watch::Receiver<bool>) -> Trouble {
        let mut pause = self.tuning.pause_first;
        let mut strikes = Strikes::default();
        loop {
            let trouble = match self.verified(epoch).await {
                Ok(mark) => {
                    self.phase.send_replace(Phase::Leading);
                    let desk = Desk::new(self, epoch, mark, closed.clone());
                    let (trouble, published) = desk.run(&mut strikes).await;
                    if published {
                        pause = self.tuning.pause_first;
                    }
                    trouble
                }
                Err(trouble) => trouble,
            };
            match trouble {
                Trouble::Away(why) => {
                    warn!(%why, "the relay pauses");
                    self.phase.send_replace(Phase::Troubled(why));
                }
                Trouble::Suspect(why) => {
                    warn!(%why, "the relay looks at the stream");
                    continue;
                }
                ended => return ended,
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = closed.changed() => return Trouble::Stopped,
            }
            pause = (pause * 2).min(self.tuning.pause_max);
        }
    }
}
