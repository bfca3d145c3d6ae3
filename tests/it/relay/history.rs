//! Which checkpoints are kept.

use chrono::{DateTime, TimeDelta, Utc};
use meltd::relay::surplus;

/// Invariant: however long it runs, the newest half hour is dense, the ten days before it have one
/// an hour, and the number is bounded.
///
/// Seen red with a spacing that was counted from the recent ones, which move: none became old.
#[test]
fn checkpoints_thin_out_with_age() {
    let start: DateTime<Utc> = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    let mut kept: Vec<DateTime<Utc>> = Vec::new();
    for n in 0..60_000 {
        kept.insert(0, start + TimeDelta::seconds(30 * n));
        let gone = surplus(&kept);
        kept.retain(|time| !gone.contains(time));
        assert!(kept.len() <= 300, "{}", kept.len());
    }
    assert_eq!(kept.len(), 300);
    let gap = |pair: &[DateTime<Utc>]| pair[0] - pair[1];
    assert!(
        kept[..60]
            .windows(2)
            .all(|pair| gap(pair) == TimeDelta::seconds(30))
    );
    let old = &kept[61..];
    assert!(old.windows(2).all(|pair| gap(pair) == TimeDelta::hours(1)));
    assert!(kept[0] - kept[299] > TimeDelta::days(9));
}
