//! Recovery: find what is due, lease it, and drive it with the same loop as a first run. It keeps
//! nothing between passes but the count of those under way, and one saga's error stays on its own
//! row. Any number of processes may do it at once.
//!
//! | file | holds |
//! |---|---|
//! | `mod.rs` | the loop of a process that serves |
//! | `plan.rs` | PURE: which due sagas are driven next |
//! | `once.rs` | one time for a person: everything that is not done |
//! | `words.rs` | what would be done next, and why, in words |

mod once;
pub mod plan;
mod words;

use std::collections::VecDeque;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::driver::{DriveError, Driver};
use crate::ports::{Clock, Due, DueFilter, Mint, Store, StoreError};
use plan::{Load, Rules, order, pick};

pub use once::{Fate, Report};
pub use words::{Intention, describe, foresee, mode_of};

/// Between two scans for due sagas: a person who waits for a payment sees no difference, and an
/// idle scan is two indexed reads.
const SCAN_EVERY: Duration = Duration::from_secs(2);

/// Rows read at a time from either end, by place: enough that places do not wait for a scan, few
/// enough that 10,000 stuck sagas take no more memory than a hundred.
const ROWS_PER_PLACE: usize = 4;

/// What a scan has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Due sagas that were read; there may be more.
    pub found: usize,
    /// Passes of recovery under way.
    pub running: usize,
}

/// Drives what is due, again and again, until `stop`; then waits for the passes under way. Each
/// scan is told: with what it found, or why it could not be made.
///
/// # Errors
/// Only [`StoreError::Unusable`]: a store that is away is asked again.
pub async fn run<S: Store, M: Mint, C: Clock>(
    driver: &Driver<S, M, C>,
    rules: Rules,
    stop: CancellationToken,
    told: impl Fn(&Result<Scan, StoreError>),
) -> Result<(), StoreError> {
    let mut worker = Worker {
        driver,
        rules,
        load: Load::default(),
        passes: JoinSet::new(),
        queue: VecDeque::new(),
        is_more: false,
    };
    let mut ticks = interval_at(Instant::now(), SCAN_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_tick = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(done) = worker.passes.join_next() => {
                worker.ended(done.ok());
                false
            }
            _ = ticks.tick() => true,
        };
        if is_tick || (worker.is_more && worker.start() == 0) {
            let scan = worker.scan().await;
            told(&scan);
            match scan {
                Err(error @ StoreError::Unusable(_)) => return Err(error),
                Err(why) => warn!(%why, "no scan for due sagas"),
                Ok(_) => {}
            }
        }
        worker.start();
    }
    while worker.passes.join_next().await.is_some() {}
    Ok(())
}

/// A pass that has ended.
type Ended = (Due, Result<(), DriveError>);

struct Worker<'a, S, M, C> {
    driver: &'a Driver<S, M, C>,
    rules: Rules,
    load: Load,
    passes: JoinSet<Ended>,
    queue: VecDeque<Due>,
    /// The last scan has read all that it may read: there may be more.
    is_more: bool,
}

impl<S: Store, M: Mint, C: Clock> Worker<'_, S, M, C> {
    /// Reads what is due, without the mints that have no place left.
    async fn scan(&mut self) -> Result<Scan, StoreError> {
        self.is_more = false;
        self.load.failing = self.driver.breaker.failing();
        let limit = self.rules.places.saturating_mul(ROWS_PER_PLACE);
        let filter = DueFilter {
            newest: false,
            except_mints: self.load.full(&self.rules),
            limit: u32::try_from(limit).unwrap_or(u32::MAX),
        };
        let newest = DueFilter {
            newest: true,
            ..filter.clone()
        };
        let oldest = self.driver.store.due(filter).await?;
        let newest = match oldest.len() < limit {
            // All of them: nothing younger is hidden behind the old ones.
            true => Vec::new(),
            false => self.driver.store.due(newest).await?,
        };
        self.is_more = !newest.is_empty();
        let found = oldest.len();
        self.queue = order(oldest, newest, &self.load).into();
        let running = self.passes.len();
        Ok(Scan { found, running })
    }

    /// Begins passes while there are places; how many.
    fn start(&mut self) -> usize {
        let mut begun = 0;
        while let Some(at) = pick(self.queue.make_contiguous(), &self.load, &self.rules) {
            let Some(due) = self.queue.remove(at) else {
                break;
            };
            self.load.begin(&due);
            let driver = self.driver.clone();
            self.passes.spawn(async move {
                let pass = driver.drive_until(&due.saga, None, Duration::ZERO).await;
                (due, pass.map(|_| ()))
            });
            begun += 1;
        }
        begun
    }

    fn ended(&mut self, ended: Option<Ended>) {
        let Some((due, result)) = ended else {
            return;
        };
        self.load.end(&due);
        match result {
            Ok(()) | Err(DriveError::Lost | DriveError::Closed) => {}
            Err(error) => warn!(saga_id = %due.saga, %error, "recovery could not drive this saga"),
        }
    }
}
