//! Waiting, with somebody watching: what is waited for, how long already, and what Ctrl-C means.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::output::Out;

/// Between two signs of life: often enough to see that it lives, rarely enough to be read.
const TICK: Duration = Duration::from_secs(3);

/// What is waited for just now, told by whoever waits.
pub(super) struct Waiting {
    out: Out,
    began: Instant,
    why: Mutex<String>,
}

impl Waiting {
    /// Nothing is waited for yet.
    pub(super) fn new(out: Out) -> Self {
        Waiting {
            out,
            began: Instant::now(),
            why: Mutex::new(String::new()),
        }
    }

    /// From now on this is waited for.
    pub(super) fn says(&self, why: &str) {
        let mut last = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_str() != why {
            why.clone_into(&mut last);
            self.out.progress(&format!("waiting: {why}"));
        }
    }

    fn tick(&self) {
        let why = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = self.began.elapsed().as_secs();
        let why = if why.is_empty() {
            "the mint"
        } else {
            why.as_str()
        };
        self.out.progress(&format!("{seconds:>4} s: {why}"));
    }

    /// The work's result, with a sign of life now and then; `None` if a person or the system asked
    /// this process to end first.
    pub(super) async fn on<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut ticks = interval_at(Instant::now() + TICK, TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(work);
        let stop = stopped();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                biased;
                result = &mut work => return Some(result),
                () = &mut stop => return None,
                _ = ticks.tick() => self.tick(),
            }
        }
    }
}

/// Ends when Ctrl-C is pressed or the process is asked to terminate. If signals cannot be listened
/// to, they do what they always do.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let interrupt = signal(SignalKind::interrupt());
    let terminate = signal(SignalKind::terminate());
    match (interrupt, terminate) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        _ => std::future::pending().await,
    }
}
