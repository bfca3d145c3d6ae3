//! The clock, the gate that every outside call passes, and the death of a process at it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use meltd::ports::Clock;
use tokio::sync::{Notify, Semaphore};

/// Where in a call a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The request never leaves.
    Before,
    /// It was done; the answer is lost with the process.
    After,
}

/// The number of the call to die at, counted from the life's first, and where in it.
pub type Crash = Option<(u32, When)>;

#[derive(Default)]
struct Inner {
    calls: u32,
    crash: Crash,
}

/// One process life: all its calls go through here.
#[derive(Clone)]
pub struct Life {
    inner: Arc<Mutex<Inner>>,
    died: Arc<Notify>,
    turns: Option<Arc<Semaphore>>,
}

impl Life {
    /// A life that ends at `crash`.
    pub fn until(crash: Crash) -> Self {
        let inner = Arc::new(Mutex::new(Inner { calls: 0, crash }));
        Life {
            inner,
            died: Arc::default(),
            turns: None,
        }
    }

    /// A life that takes a step only when it is given a turn.
    pub fn in_turns(turns: Arc<Semaphore>) -> Self {
        Life {
            turns: Some(turns),
            ..Life::until(None)
        }
    }

    /// How many calls it has made.
    pub fn calls(&self) -> u32 {
        self.inner.lock().unwrap().calls
    }

    /// Resolves when the process is dead.
    pub async fn died(&self) {
        self.died.notified().await;
    }

    /// One call: `act` happens unless the process dies before it.
    pub async fn call<T>(&self, act: impl FnOnce() -> T) -> T {
        if let Some(turns) = &self.turns {
            turns.acquire().await.unwrap().forget();
        }
        let crash = {
            let mut inner = self.inner.lock().unwrap();
            inner.calls += 1;
            inner
                .crash
                .filter(|(at, _)| *at == inner.calls)
                .map(|(_, when)| when)
        };
        if crash == Some(When::Before) {
            self.die().await;
        }
        let result = act();
        if crash == Some(When::After) {
            self.die().await;
        }
        result
    }

    async fn die(&self) {
        self.died.notify_one();
        std::future::pending::<()>().await;
    }
}

/// Tokio's paused time as a wall clock.
#[derive(Clone)]
pub struct SimClock {
    began: tokio::time::Instant,
}

impl SimClock {
    pub fn new() -> Self {
        SimClock {
            began: tokio::time::Instant::now(),
        }
    }
}

impl Clock for SimClock {
    fn now(&self) -> DateTime<Utc> {
        let start = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        start + TimeDelta::from_std(self.began.elapsed()).unwrap()
    }
}

/// The paused clock moves on.
pub async fn pass_time(by: Duration) {
    tokio::time::advance(by).await;
}
