//! The sagas that this process drives at once. A drive is a task of the pool's own: a caller that
//! goes away never cancels it. The limit counts passes: a saga that waits at its mint, as a HODL
//! invoice does for days, is between two passes and holds no place.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::driver::{DriveError, Driver, Gate, Pass};
use crate::ports::{Clock, Lease, Mint, Store};
use crate::saga::ids::SagaId;

/// Between two looks at a pool without room.
const LOOK: Duration = Duration::from_millis(10);

/// What became of a drive: as [`Driver::drive_until`] says it. Dropping it changes nothing.
pub type Driven = JoinHandle<Result<Option<Pass>, DriveError>>;

/// Cheap to clone; all clones are one pool.
pub struct Pool<S, M, C> {
    /// The loop, with the pool's gate: whatever is driven with it counts.
    pub driver: Driver<S, M, C>,
    tasks: TaskTracker,
}

impl<S, M, C> Clone for Pool<S, M, C> {
    fn clone(&self) -> Self {
        Pool {
            driver: self.driver.clone(),
            tasks: self.tasks.clone(),
        }
    }
}

impl<S: Store, M: Mint, C: Clock> Pool<S, M, C> {
    /// At most `places` passes at once, whoever asks for them.
    pub fn new(mut driver: Driver<S, M, C>, places: usize) -> Self {
        driver.gate = Gate::new(places);
        Pool {
            driver,
            tasks: TaskTracker::new(),
        }
    }

    /// How many more passes could begin now. Nobody holds them for who asks: one drive more than
    /// there is room for waits for a place, and its lease is renewed meanwhile.
    pub fn room(&self) -> usize {
        self.driver.gate.room()
    }

    /// Resolves when there is room, with how much.
    pub async fn has_room(&self) -> usize {
        loop {
            match self.room() {
                0 => tokio::time::sleep(LOOK).await,
                room => return room,
            }
        }
    }

    /// Drives a saga in a task of its own until there is an answer or `patience` is over. After
    /// [`Pool::close`] it gives the lease back and ends with [`DriveError::Closed`].
    pub fn drive(&self, saga: SagaId, lease: Option<Lease>, patience: Duration) -> Driven {
        let driver = self.driver.clone();
        self.tasks
            .spawn(async move { driver.drive_until(&saga, lease, patience).await })
    }

    /// Begins no further pass, and waits for the running ones until the deadline. True if all have
    /// ended and given their leases back; what is left ends with the process, and its sagas are
    /// free for others when their leases are over.
    pub async fn close(&self, deadline: Duration) -> bool {
        self.driver.gate.close();
        self.tasks.close();
        let waited = tokio::time::timeout(deadline, self.tasks.wait()).await;
        let left = self.tasks.len();
        match waited {
            Ok(()) => info!("no saga is being driven any more"),
            Err(_) => warn!(
                left,
                "still at a mint: another process takes these sagas over"
            ),
        }
        waited.is_ok()
    }
}
