//! The commands that wait: who has which, and when it comes again.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

#[derive(Default)]
pub(super) struct Queue {
    waiting: BTreeMap<u64, Waiting>,
}

struct Waiting {
    ready_at: Instant,
    deliveries: u64,
}

impl Queue {
    pub(super) fn add(&mut self, sequence: u64, now: Instant) {
        let waiting = Waiting {
            ready_at: now,
            deliveries: 0,
        };
        self.waiting.insert(sequence, waiting);
    }

    pub(super) fn remove(&mut self, sequence: u64) {
        self.waiting.remove(&sequence);
    }

    pub(super) fn put_off(&mut self, sequence: u64, until: Instant) {
        if let Some(waiting) = self.waiting.get_mut(&sequence) {
            waiting.ready_at = until;
        }
    }

    /// Up to `max` that are ready, as position and deliveries, and when the next one will be. What
    /// was taken comes again after `ack_wait`.
    pub(super) fn take(
        &mut self,
        max: usize,
        now: Instant,
        ack_wait: Duration,
    ) -> (Vec<(u64, u64)>, Option<Instant>) {
        let ready = self.waiting.iter_mut().filter(|(_, w)| w.ready_at <= now);
        let taken = ready.take(max).map(|(sequence, waiting)| {
            waiting.deliveries = waiting.deliveries.saturating_add(1);
            waiting.ready_at = now + ack_wait;
            (*sequence, waiting.deliveries)
        });
        let taken = taken.collect();
        (taken, self.waiting.values().map(|w| w.ready_at).min())
    }
}
