//! Which checkpoints are kept. Pure.

use chrono::{DateTime, TimeDelta, Utc};

/// The newest ones, all of them: half an hour at one every thirty seconds. A server that loses
/// what it had not yet written to its disk loses minutes.
const RECENT: usize = 60;

/// Older ones, an hour apart: for a server that was restored from a backup.
const SPACING: TimeDelta = TimeDelta::hours(1);

/// With the recent ones ten days. An older backup is published from the beginning.
const MOST: usize = 300;

/// The times, newest first, whose checkpoints are to be forgotten.
pub fn surplus(taken_at: &[DateTime<Utc>]) -> Vec<DateTime<Utc>> {
    let mut kept = 0;
    let mut last: Option<DateTime<Utc>> = None;
    let mut surplus = Vec::new();
    for (at, time) in taken_at.iter().enumerate() {
        let spaced = last.is_none_or(|last| last.signed_duration_since(*time) >= SPACING);
        if at < RECENT || (spaced && kept < MOST) {
            kept += 1;
            last = Some(*time);
        } else {
            surplus.push(*time);
        }
    }
    surplus
}
