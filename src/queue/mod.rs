//! Commands from the queue: pull, validate, adopt, acknowledge, drive. A command is acknowledged
//! when its saga's head is durable, which takes milliseconds, and not when the payment ends.
//!
//! All processes share one consumer. A command that comes again, to whomever, finds its head and
//! gets the saga's answer; it is never paid a second time.
//!
//! | file | holds |
//! |---|---|
//! | `mod.rs` | the loop: as many commands as the pool has room for |
//! | `handle.rs` | one command: what becomes of it |
//! | `settle.rs` | the bus's side of that: replies, dead letters, acknowledgements |
//! | `producers.rs` | who may send commands, and what each may move |

mod handle;
mod producers;
mod settle;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::pool::Pool;
use crate::ports::{Bus, BusError, Clock, Delivery, Mint, Store};
use crate::readiness::{Part, Readiness};

pub use producers::Producers;

/// Commands taken at once: enough to hide the way to the server, few enough to share fairly.
const BATCH: usize = 32;

/// Longest wait for the first command of a pull; a stop waits for it, because a pull that is broken
/// off leaves its commands unanswered until they come again.
const WAIT: Duration = Duration::from_secs(2);

/// Between two looks for room.
const LOOK: Duration = Duration::from_millis(10);

/// First and longest pause after trouble.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// What taking commands needs.
pub struct Intake<S, M, C, B> {
    /// Where sagas are driven.
    pub pool: Pool<S, M, C>,
    /// The queue.
    pub bus: Arc<B>,
    /// Who may send what.
    pub producers: Arc<Producers>,
    /// The unit of the wallets.
    pub unit: Arc<str>,
    /// Who is told how it goes.
    pub readiness: Readiness,
}

impl<S, M, C, B> Clone for Intake<S, M, C, B> {
    fn clone(&self) -> Self {
        Intake {
            pool: self.pool.clone(),
            bus: self.bus.clone(),
            producers: self.producers.clone(),
            unit: self.unit.clone(),
            readiness: self.readiness.clone(),
        }
    }
}

/// What became of a command, as far as the loop cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handled {
    /// Settled: it does not come again.
    Settled,
    /// Put off, because the store or the bus is in trouble: it comes again.
    PutOff,
}

impl<S: Store, M: Mint, C: Clock, B: Bus> Intake<S, M, C, B> {
    /// Takes commands until it is stopped; then finishes those in hand.
    ///
    /// # Errors
    /// A bus that is not what it must be. One that is away is waited for.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), BusError> {
        let mut hand = Hand::default();
        while !stop.is_cancelled() {
            let room = self.room(&mut hand, &stop).await;
            if room == 0 {
                break;
            }
            match self.bus.pull(room.min(BATCH), WAIT).await {
                Ok(deliveries) => {
                    // An empty queue has nothing to fail with; otherwise a command has to succeed.
                    if deliveries.is_empty() {
                        hand.pause = None;
                    }
                    if hand.pause.is_none() {
                        self.readiness.well(Part::Intake);
                    }
                    for delivery in deliveries {
                        self.take(&mut hand, delivery, &stop).await;
                    }
                }
                Err(BusError::Away(why)) => {
                    self.readiness.trouble(Part::Intake, why);
                    hand.trouble();
                }
                Err(error @ (BusError::Never(_) | BusError::Unusable(_))) => return Err(error),
            }
            hand.rest(&stop).await;
        }
        info!(in_hand = hand.tasks.len(), "takes no more commands");
        while let Some(done) = hand.tasks.join_next().await {
            hand.note(done);
        }
        Ok(())
    }

    /// One command in a task of its own; handed back untouched once a stop was asked for.
    async fn take(
        &self,
        hand: &mut Hand,
        delivery: Delivery<B::Receipt>,
        stop: &CancellationToken,
    ) {
        if stop.is_cancelled() {
            if let Err(why) = self.bus.later(&delivery.receipt, Duration::ZERO).await {
                warn!(%why, "a command could not be handed back; it comes again by itself");
            }
            return;
        }
        let intake = self.clone();
        hand.tasks
            .spawn(async move { intake.handle(delivery).await });
    }

    /// Waits until the pool has room for more than what is in hand; 0 = stopped.
    async fn room(&self, hand: &mut Hand, stop: &CancellationToken) -> usize {
        loop {
            hand.reap();
            if stop.is_cancelled() {
                return 0;
            }
            let room = self.pool.room().saturating_sub(hand.tasks.len());
            if room > 0 {
                return room;
            }
            // Full is well: what is inside goes on, and the queue keeps the rest.
            self.readiness.well(Part::Intake);
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// The commands in hand, and how long to keep the hands still after trouble.
#[derive(Default)]
struct Hand {
    tasks: JoinSet<Handled>,
    pause: Option<Duration>,
}

impl Hand {
    fn reap(&mut self) {
        while let Some(done) = self.tasks.try_join_next() {
            self.note(done);
        }
    }

    fn note(&mut self, done: Result<Handled, tokio::task::JoinError>) {
        match done {
            Ok(Handled::Settled) => self.pause = None,
            Ok(Handled::PutOff) => self.trouble(),
            // It was not acknowledged, so it comes again.
            Err(why) => error!(%why, "a command's task broke"),
        }
    }

    fn trouble(&mut self) {
        let (first, longest) = PAUSE;
        let next = self.pause.map_or(first, |pause| pause * 2);
        self.pause = Some(next.min(longest));
    }

    /// After trouble no further command is taken for a while: the queue keeps them better.
    async fn rest(&mut self, stop: &CancellationToken) {
        self.reap();
        let Some(pause) = self.pause else { return };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => {}
        }
    }
}
