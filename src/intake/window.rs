//! The name of a command that came without one: SHA-256 of its parameters, with the five minutes
//! that it was given in (the seeds' window). Two windows are looked at, so that the edge between
//! them divides nothing; the unique key decides between callers that look at the same time.

use chrono::{DateTime, TimeDelta, Utc};

const WINDOW_S: i64 = 300;

/// The name in the window of `at`, and in the one before it.
pub(super) fn names(request_hash: &str, at: DateTime<Utc>) -> (String, Option<String>) {
    let window = at.timestamp().div_euclid(WINDOW_S);
    let name = |window: i64| format!("auto:{request_hash}:{window}");
    (name(window), Some(name(window - 1)))
}

/// True if a command given at `at` repeats an equal one that was adopted then.
pub(super) fn covers(adopted: DateTime<Utc>, at: DateTime<Utc>) -> bool {
    at - adopted < TimeDelta::seconds(WINDOW_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards the edge: seconds apart in two windows is a repeat, five minutes apart is none.
    #[test]
    fn the_edge_between_two_windows_divides_nothing() {
        let at = |s: i64| DateTime::from_timestamp(1_800_000_000 + s, 0).unwrap();
        let (first, _) = names("h", at(299));
        let (second, before) = names("h", at(301));
        assert_ne!(first, second);
        assert_eq!(before, Some(first));
        assert_eq!(names("h", at(1)).0, names("h", at(299)).0);
        assert!(covers(at(299), at(301)) && !covers(at(1), at(301)));
    }
}
