//! The committers: whoever waits at the same time shares a transaction.
//!
//! An append goes to the committer of its wallet. A committer takes what waits, up to a bound, and
//! never waits for more: a lone append is sent at once, and while it is under way the next ones
//! gather by themselves. One wallet has one committer, so its appends are put in order here and do
//! not collide in the database.

use std::collections::{HashSet, hash_map::DefaultHasher};
use std::hash::{Hash, Hasher};
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::plan::Plan;
use super::settle::settle;
use super::{CALL_DEADLINE, Db, late};
use crate::ports::{Append, StoreError};

/// Committers, each with its own wallets. Two keep the server busy while one of them is in its slow
/// path. With four, batches are half as large and 64 writers get a third less done (measured on two
/// cores); with one, every wallet waits for every other.
const COMMITTERS: usize = 2;

/// Appends in one transaction. Larger ones gain little (most of the round trips are shared at 16
/// already) and lose much when one member does not fit.
const MAX_MEMBERS: usize = 64;

/// Documents in one transaction: MongoDB's advice is to stay below 1,000.
const MAX_DOCUMENTS: usize = 1_000;

/// Appends that wait for one committer. More than this is more than ten seconds of work for a slow
/// disk, and a caller that would have to wait longer than its deadline should hear so.
const QUEUE: usize = 1_024;

/// When a committer leaves a batch to itself. Callers have gone by then; this only keeps a server
/// that does not answer at all from stopping the wallets that come after.
const BATCH_DEADLINE: Duration = Duration::from_secs(12);

/// An append on its way.
pub(super) struct Job {
    pub(super) plan: Plan,
    pub(super) reply: oneshot::Sender<Result<(), StoreError>>,
    /// When its caller stops waiting.
    pub(super) deadline: Instant,
}

/// The running committers.
pub(super) struct Committers {
    queues: Vec<mpsc::Sender<Job>>,
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Committers {
    /// Starts them on the current runtime.
    pub(super) fn start(db: &Db) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut queues = Vec::new();
        let mut tasks = Vec::new();
        for _ in 0..COMMITTERS {
            let (queue, jobs) = mpsc::channel(QUEUE);
            queues.push(queue);
            tasks.push(tokio::spawn(run(db.clone(), jobs, stopped.clone())));
        }
        Committers {
            queues,
            stop,
            tasks: Mutex::new(tasks),
        }
    }

    /// Hands an append to its committer and waits for the outcome.
    pub(super) async fn append(&self, append: Append) -> Result<(), StoreError> {
        let plan = Plan::of(append)?;
        let deadline = Instant::now() + CALL_DEADLINE;
        let mut hasher = DefaultHasher::new();
        plan.wallet.hash(&mut hasher);
        let shard = usize::try_from(hasher.finish() % COMMITTERS as u64).unwrap_or(0);
        let (reply, outcome) = oneshot::channel();
        let job = Job {
            plan,
            reply,
            deadline,
        };
        let sent = async {
            let queue = self.queues.get(shard).ok_or_else(closed)?;
            queue.send(job).await.map_err(|_| closed())?;
            outcome.await.map_err(|_| closed())?
        };
        match tokio::time::timeout_at(deadline, sent).await {
            Ok(outcome) => outcome,
            Err(_) => Err(late()),
        }
    }

    /// Lets the committers finish what waits and end.
    pub(super) async fn stop(&self) {
        self.stop.send_replace(true);
        let tasks = match self.tasks.lock() {
            Ok(mut tasks) => std::mem::take(&mut *tasks),
            Err(_) => return,
        };
        for task in tasks {
            let _ = task.await;
        }
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is being closed".to_owned())
}

async fn run(db: Db, mut queue: mpsc::Receiver<Job>, mut stop: watch::Receiver<bool>) {
    let mut carried = None;
    loop {
        let first = match carried.take() {
            Some(job) => job,
            None => match next(&mut queue, &mut stop).await {
                Some(job) => job,
                None => return,
            },
        };
        let batch = fill(first, &mut queue, &mut carried);
        let work = tokio::spawn(settle(db.clone(), batch));
        if timeout(BATCH_DEADLINE, work).await.is_err() {
            tracing::warn!("the store does not answer: a batch of appends is left to itself");
        }
    }
}

/// The next append; `None` once the store is closed and nothing waits any more.
async fn next(queue: &mut mpsc::Receiver<Job>, stop: &mut watch::Receiver<bool>) -> Option<Job> {
    let stopped = async {
        let _ = stop.wait_for(|stopped| *stopped).await;
    };
    tokio::select! {
        biased;
        job = queue.recv() => return job,
        () = stopped => {}
    }
    queue.close();
    queue.recv().await
}

/// A batch: what waits now, of different sagas and different proofs. The first that overlaps is
/// carried to the next batch, so that its condition is checked against what this one wrote.
fn fill(first: Job, queue: &mut mpsc::Receiver<Job>, carried: &mut Option<Job>) -> Vec<Job> {
    let mut names: HashSet<String> = HashSet::new();
    let mut claim = |plan: &Plan| {
        let own = || plan.ys().chain([plan.saga.as_str()]);
        let free = own().all(|name| !names.contains(name));
        if free {
            names.extend(own().map(str::to_owned));
        }
        free
    };
    let mut weight = first.plan.weight();
    claim(&first.plan);
    let mut batch = vec![first];
    while batch.len() < MAX_MEMBERS {
        let Ok(job) = queue.try_recv() else {
            break;
        };
        weight += job.plan.weight();
        if weight > MAX_DOCUMENTS || !claim(&job.plan) {
            *carried = Some(job);
            break;
        }
        batch.push(job);
    }
    batch
}
