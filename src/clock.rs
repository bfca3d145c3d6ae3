//! The machine's clock. The only place that reads the time; everything else is handed it.

use chrono::{DateTime, SubsecRound, Utc};

use crate::ports::Clock;

/// The time of the machine, in UTC and whole milliseconds: what is stored, hashed and read back is
/// then the same value on every store.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now().trunc_subsecs(3)
    }
}
