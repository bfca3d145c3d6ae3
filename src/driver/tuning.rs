//! The numbers of the loop, each with the reason for its value.

use std::time::Duration;

use crate::intake::Caps;
use crate::saga::decide::Limits;
use crate::saga::plan::Bounds;

/// The numbers of the loop. Every wait has a deadline and every repetition a bound.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Bounds of the decisions.
    pub limits: Limits,
    /// Bounds of one melt.
    pub bounds: Bounds,
    /// What anybody may move.
    pub caps: Caps,
    /// How long a lease lives; it is renewed three times as often, also while a mint call runs.
    /// Recovery of a dead worker's sagas begins when it is over.
    pub lease_ttl: Duration,
    /// First wait after a pass without progress; doubled each time.
    pub backoff_first: Duration,
    /// Longest wait between passes.
    pub backoff_max: Duration,
    /// True: look, record what is seen, and move no money.
    pub observe_only: bool,
    /// How long the store may take for a settlement before that is said to be CRITICAL. It is
    /// offered on all the same.
    pub critical_after: Duration,
    /// Counters that are looked at ahead of the store's own, once for each wallet in a process's
    /// life, before the first of them is used; 0 = never.
    pub probe_ahead: u32,
    /// How long a settlement that the store does not take is offered again before the pass ends.
    pub critical_retry: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning {
            limits: Limits::default(),
            // 500 sat locked for the length of a payment cost nobody anything; more is swapped.
            // 200 inputs and 100 blanks stay well under the 1,000 that mints accept (NUT-08).
            bounds: Bounds {
                overpay_max: 500,
                inputs_max: 200,
                blanks_max: 100,
                exposure_max: 10_000_000,
            },
            // None here: whoever wires the loop knows whose money it is.
            caps: Caps::default(),
            lease_ttl: Duration::from_secs(15),
            backoff_first: Duration::from_millis(250),
            backoff_max: Duration::from_secs(300),
            observe_only: false,
            // A hundred times what an append takes; a person who pays does not wait much longer.
            critical_after: Duration::from_secs(1),
            // Twice what a restore leaves out behind the last counter that it finds, so that a
            // store from before that restore is recognised too; one request.
            probe_ahead: 128,
            critical_retry: Duration::from_secs(5),
        }
    }
}
