//! Which checkpoints are kept. Pure.

use chrono::{DateTime, Utc};

/// The newest ones, all of them: half an hour at one every thirty seconds. A server that loses
/// what it had not yet written to its disk loses minutes.
const RECENT: usize = 60;

/// Of the older ones the first of each hour: for a server that was restored from a backup.
const HOUR_S: i64 = 3600;

/// With the recent ones ten days. An older backup is published from the beginning.
const MOST: usize = 300;

/// The times, newest first, whose checkpoints are to be forgotten.
pub fn surplus(taken_at: &[DateTime<Utc>]) -> Vec<DateTime<Utc>> {
    let hour = |time: &DateTime<Utc>| time.timestamp().div_euclid(HOUR_S);
    let mut kept = 0;
    let mut surplus = Vec::new();
    let older = taken_at.iter().skip(1).map(Some).chain([None]);
    for ((at, time), older) in taken_at.iter().enumerate().zip(older) {
        let first_of_hour = older.is_none_or(|older| hour(older) < hour(time));
        if kept < MOST && (at < RECENT || first_of_hour) {
            kept += 1;
        } else {
            surplus.push(*time);
        }
    }
    surplus
}
