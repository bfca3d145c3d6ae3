//! One attempt to pay an invoice, as a function of time.
//!
//! An attempt is decided when it is made: what becomes of it, and when. No task carries it out, so
//! it comes true whether or not the mint is still running, as on a Lightning node of its own.

use std::time::Duration;
use std::time::Instant;

use super::Script;

/// What the Lightning node knows of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The payee has the money.
    Paid {
        /// The routing fee in sat.
        ln_fee: u64,
    },
    /// The payment never took place, and never will.
    Failed,
    /// It is under way.
    Pending,
    /// The node cannot tell.
    Unknown,
    /// The node does not answer.
    Unreachable,
}

/// One order of the mint to pay.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// What the payee receives, in sat, rounded up.
    pub(super) amount_sat: u64,
    outcome: Outcome,
    due: Instant,
}

impl Attempt {
    /// An attempt that starts now and follows the script.
    pub(super) fn new(amount_sat: u64, script: &Script) -> Self {
        let (outcome, delay_ms) = match *script {
            Script::Paid { ln_fee } | Script::ErrAfterPaid { ln_fee } => {
                (Outcome::Paid { ln_fee }, 0)
            }
            Script::PendingThenPaid { ms, ln_fee } | Script::Slow { ms, ln_fee } => {
                (Outcome::Paid { ln_fee }, ms)
            }
            Script::Failed => (Outcome::Failed, 0),
            Script::Pending => (Outcome::Pending, 0),
            Script::Unreachable => (Outcome::Unreachable, 0),
        };
        let due = Instant::now() + Duration::from_millis(delay_ms);
        Self {
            amount_sat,
            outcome,
            due,
        }
    }

    /// What the node knows of it at this moment.
    pub(super) fn outcome(&self) -> Outcome {
        if Instant::now() < self.due {
            Outcome::Pending
        } else {
            self.outcome
        }
    }

    /// Whether it can still end in more than one way.
    pub(super) fn is_open(&self) -> bool {
        match self.outcome() {
            Outcome::Paid { .. } | Outcome::Failed => false,
            Outcome::Pending | Outcome::Unknown | Outcome::Unreachable => true,
        }
    }

    /// Gives it another outcome, effective now.
    pub(super) fn settle(&mut self, outcome: Outcome) {
        self.outcome = outcome;
        self.due = Instant::now();
    }

    /// What left the node for it, in sat: amount and fee once it is paid, nothing before.
    pub(super) fn spent_sat(&self) -> u64 {
        match self.outcome() {
            Outcome::Paid { ln_fee } => self.amount_sat.saturating_add(ln_fee),
            Outcome::Failed | Outcome::Pending | Outcome::Unknown | Outcome::Unreachable => 0,
        }
    }
}

/// The attempt that decides what the node says of a payment hash: one that is paid before one that
/// may yet be, and a failure only if every attempt failed.
pub(super) fn decisive(attempts: &[Attempt]) -> Option<&Attempt> {
    attempts
        .iter()
        .max_by_key(|attempt| match attempt.outcome() {
            Outcome::Failed => 0,
            Outcome::Unknown => 1,
            Outcome::Unreachable => 2,
            Outcome::Pending => 3,
            Outcome::Paid { .. } => 4,
        })
}
