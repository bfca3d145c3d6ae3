//! The gate that every pass goes through: how many passes at once in this process, and whether any
//! at all. A saga that waits at its mint is between two passes and holds no place.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

/// Cheap to clone; all clones are one gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    places: Semaphore,
    queue: AtomicUsize,
    closed: CancellationToken,
}

/// A place inside; given back when it is dropped.
#[derive(Debug)]
pub struct Place<'a> {
    _permit: SemaphorePermit<'a>,
}

/// Counts whoever stands before the gate, also if they go away.
struct Queued<'a>(&'a AtomicUsize);

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    /// A gate for so many passes at once.
    pub fn new(places: usize) -> Self {
        Gate(Arc::new(Inner {
            places: Semaphore::new(places.min(Semaphore::MAX_PERMITS)),
            queue: AtomicUsize::new(0),
            closed: CancellationToken::new(),
        }))
    }

    /// Waits for a place; `None` once the gate is closed.
    pub async fn enter(&self) -> Option<Place<'_>> {
        self.0.queue.fetch_add(1, Ordering::Relaxed);
        let _queued = Queued(&self.0.queue);
        let _permit = self.0.places.acquire().await.ok()?;
        Some(Place { _permit })
    }

    /// How many places are free beyond those that somebody waits for already.
    pub fn room(&self) -> usize {
        let queue = self.0.queue.load(Ordering::Relaxed);
        self.0.places.available_permits().saturating_sub(queue)
    }

    /// No further pass begins; those inside go on.
    pub fn close(&self) {
        self.0.places.close();
        self.0.closed.cancel();
    }

    /// True after [`Gate::close`].
    pub fn is_closed(&self) -> bool {
        self.0.closed.is_cancelled()
    }

    /// Resolves when the gate is closed.
    pub async fn closed(&self) {
        self.0.closed.cancelled().await;
    }
}

/// A gate that holds nobody back: a command line follows one saga.
impl Default for Gate {
    fn default() -> Self {
        Gate::new(Semaphore::MAX_PERMITS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_are_counted_and_a_closed_gate_lets_nobody_in() {
        let gate = Gate::new(2);
        let first = gate.enter().await.unwrap();
        assert_eq!(gate.room(), 1);
        let second = gate.enter().await.unwrap();
        let third = gate.clone();
        let third = tokio::spawn(async move { third.enter().await.is_some() });
        while gate.0.queue.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(gate.room(), 0);
        drop(first);
        assert!(third.await.unwrap());
        assert_eq!(gate.room(), 1, "the third has come and gone");
        gate.close();
        gate.closed().await;
        assert!(gate.enter().await.is_none());
        drop(second);
    }
}
