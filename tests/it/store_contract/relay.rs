//! What a relay remembers in the store, and who may: the mark, checkpoints, named leases.

use std::time::Duration;

use chrono::TimeDelta;
use meltd::ports::{Checkpoint, Outbox, StoreError};

use super::Fixture;
use super::build::{LONG, OTHER, OVER, OWNER, adopt, melt, open, wallet};
use super::outbox::mark;

/// Invariant: settling never moves the mark back, whoever is late; setting it may.
pub(crate) async fn the_mark_only_moves_forwards_by_settling<F: Fixture>(f: &F) {
    let store = open(f).await;
    assert_eq!(store.relay_mark().await.unwrap(), None);
    for (sequence, expected) in [(5, 5), (3, 5), (5, 5), (9, 9)] {
        store.outbox_settle(&[], &mark(sequence), 1).await.unwrap();
        assert_eq!(store.relay_mark().await.unwrap(), Some(mark(expected)));
    }
    store.relay_set_mark(&mark(2), 1).await.unwrap();
    assert_eq!(store.relay_mark().await.unwrap(), Some(mark(2)));
}

/// Invariant: positions of another stream are not compared with those of this one.
pub(crate) async fn a_new_stream_replaces_the_mark<F: Fixture>(f: &F) {
    let store = open(f).await;
    store.outbox_settle(&[], &mark(900), 1).await.unwrap();
    let mut other = mark(1);
    other.created += TimeDelta::nanoseconds(1);
    store.outbox_settle(&[], &other, 1).await.unwrap();
    assert_eq!(store.relay_mark().await.unwrap(), Some(other));
}

/// Invariant: once a later holder has written the mark, an earlier one that wakes up takes nothing
/// away and marks nothing.
///
/// Seen red on each store with a mark that is written whatever its epoch.
pub(crate) async fn an_old_holder_neither_marks_nor_takes_away<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let mut chain = adopt(&*store, &melt(&alice)).await;
    chain.write(&*store, Vec::new()).await.unwrap();
    let row = store.outbox(None, 1).await.unwrap().remove(0);
    let rows = [(row.id, row.round)];
    store.relay_set_mark(&mark(4), 2).await.unwrap();
    let late = store.outbox_settle(&rows, &mark(8), 1).await;
    assert_eq!(late, Err(StoreError::Reload));
    let late = store.relay_set_mark(&mark(8), 1).await;
    assert_eq!(late, Err(StoreError::Reload));
    assert_eq!(store.relay_mark().await.unwrap(), Some(mark(4)));
    assert_eq!(store.outbox(None, 9).await.unwrap().len(), 1);
    store.outbox_settle(&rows, &mark(8), 2).await.unwrap();
    assert!(store.outbox(None, 9).await.unwrap().is_empty());
}

/// Invariant: checkpoints come back as they were, newest first, until they are forgotten.
pub(crate) async fn checkpoints_are_kept_and_forgotten<F: Fixture>(f: &F) {
    let store = open(f).await;
    let now = store.outbox_depth().await.unwrap().now;
    let point = |n: i64| Checkpoint {
        mark: mark(u64::try_from(n).unwrap()),
        floor: now - TimeDelta::seconds(120 - n),
        taken_at: now + TimeDelta::seconds(n),
    };
    for n in [2, 1, 3] {
        store.relay_keep(&point(n)).await.unwrap();
    }
    let all = store.relay_checkpoints().await.unwrap();
    assert_eq!(all, [3, 2, 1].map(point));
    let gone = [point(3).taken_at, point(1).taken_at];
    store.relay_forget(&gone).await.unwrap();
    store.relay_forget(&gone).await.unwrap();
    assert_eq!(store.relay_checkpoints().await.unwrap(), [point(2)]);
}

/// Invariant: of many who ask, one gets it; the others leave no trace.
pub(crate) async fn a_named_lease_has_one_holder<F: Fixture>(f: &F) {
    let store = open(f).await;
    let asked = (0..8).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            let owner = format!("$owner-{n}");
            store.lease_take("relay", &owner, LONG).await.unwrap()
        })
    });
    let mut epochs = Vec::new();
    for asked in asked.collect::<Vec<_>>() {
        epochs.extend(asked.await.unwrap());
    }
    assert_eq!(epochs, [1]);
    let holder = store.lease_holder("relay").await.unwrap().unwrap();
    assert!(
        holder.live && holder.owner.starts_with("$owner-"),
        "{holder:?}"
    );
    assert_eq!(holder.epoch, 1);
    assert_eq!(
        store
            .lease_take("relay", &holder.owner, LONG)
            .await
            .unwrap(),
        None
    );
    assert_eq!(
        store.lease_take("heads", OWNER, LONG).await.unwrap(),
        Some(1)
    );
    assert_eq!(store.lease_holder("nobody").await.unwrap(), None);
}

/// Invariant: a lease ends by itself or by its holder, and an old holder has no say any more.
pub(crate) async fn a_named_lease_ends_and_is_taken_with_the_next_epoch<F: Fixture>(f: &F) {
    let store = open(f).await;
    let take = async |owner, ttl| store.lease_take("relay", owner, ttl).await.unwrap();
    assert_eq!(take(OWNER, OVER).await, Some(1));
    assert!(!store.lease_holder("relay").await.unwrap().unwrap().live);
    // Nobody took it yet: it is still ours.
    store.lease_renew("relay", 1, LONG).await.unwrap();
    assert_eq!(take(OTHER, LONG).await, None);
    store.lease_end("relay", 1).await.unwrap();
    assert_eq!(take(OTHER, LONG).await, Some(2));

    let late = store.lease_renew("relay", 1, LONG).await;
    assert_eq!(late, Err(StoreError::Reload));
    store.lease_end("relay", 1).await.unwrap();
    let holder = store.lease_holder("relay").await.unwrap().unwrap();
    assert_eq!(
        (holder.owner.as_str(), holder.epoch, holder.live),
        (OTHER, 2, true)
    );
    let none = store.lease_renew("nobody", 1, LONG).await;
    assert_eq!(none, Err(StoreError::Reload));

    store
        .lease_renew("relay", 2, Duration::from_millis(200))
        .await
        .unwrap();
    let began = std::time::Instant::now();
    while take(OWNER, LONG).await.is_none() {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "the lease never ended"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
