//! Leases and the recovery scan: who may drive a saga, and which are due.

use std::time::Duration;

use meltd::ports::{DueFilter, Lease, Store, StoreError};
use meltd::saga::ids::SagaId;
use meltd::saga::state::Status;

use super::Fixture;
use super::build::{
    Chain, LONG, OTHER, OVER, OWNER, adopt, adopt_for, head, melt, mint, open, snapshot, wallet,
};

/// Waits until the store's clock has certainly moved on. The store's own time decides here, so a
/// manual clock cannot take its place.
async fn tick() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

async fn due_by<S: Store>(store: &S, limit: u32) -> Vec<SagaId> {
    let filter = DueFilter {
        limit,
        ..DueFilter::default()
    };
    let due = store.due(filter).await.unwrap();
    due.into_iter().map(|d| d.saga).collect()
}

async fn due<S: Store>(store: &S) -> Vec<SagaId> {
    due_by(store, 100).await
}

/// Invariant: one holder at a time, and asking changes nothing; not even the holder gets a second.
pub(crate) async fn a_held_lease_is_not_given<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let new = mint(&alice);
    let lease = adopt_for(&*store, &new, LONG).await;
    let before = snapshot(&*store).await;
    assert_eq!(store.lease(&new.id, OTHER, LONG).await.unwrap(), None);
    assert_eq!(store.lease(&new.id, OWNER, LONG).await.unwrap(), None);
    assert_eq!(before, snapshot(&*store).await);
    store.renew(&lease, OWNER, LONG).await.unwrap();
    assert_eq!(store.lease(&new.id, OTHER, LONG).await.unwrap(), None);
}

/// Invariant: each lease has a higher fence than every one before it.
pub(crate) async fn a_lease_that_is_over_is_given_with_the_next_fence<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let new = mint(&alice);
    adopt_for(&*store, &new, OVER).await;
    for fence in 2..6 {
        let lease = store.lease(&new.id, OTHER, OVER).await.unwrap().unwrap();
        assert_eq!(
            lease,
            Lease {
                saga: new.id.clone(),
                fence
            }
        );
        assert_eq!(head(&*store, &new.id).await.fence, fence);
    }
}

/// Invariant: a crashed worker's saga becomes free by itself, and a renewed one does not.
pub(crate) async fn a_lease_ends_by_itself<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let (short, renewed) = (mint(&alice), mint(&alice));
    adopt_for(&*store, &short, Duration::from_millis(300)).await;
    let lease = adopt_for(&*store, &renewed, OVER).await;
    store.renew(&lease, OWNER, LONG).await.unwrap();
    let started = std::time::Instant::now();
    while store.lease(&short.id, OTHER, LONG).await.unwrap().is_none() {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "the lease never ended"
        );
        tick().await;
    }
    assert_eq!(store.lease(&renewed.id, OTHER, LONG).await.unwrap(), None);
}

/// Invariant: a worker that was replaced cannot disturb the one that replaced it.
pub(crate) async fn the_old_holder_can_neither_renew_nor_release<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let new = mint(&alice);
    let old = adopt_for(&*store, &new, OVER).await;
    // Nobody took it yet: it is still ours, and the fence says so.
    store.renew(&old, OWNER, OVER).await.unwrap();
    let taken = store.lease(&new.id, OTHER, LONG).await.unwrap().unwrap();
    let before = snapshot(&*store).await;
    assert_eq!(
        store.renew(&old, OWNER, LONG).await,
        Err(StoreError::Reload)
    );
    // The right fence under the wrong name is not ours either.
    assert_eq!(
        store.renew(&taken, OWNER, LONG).await,
        Err(StoreError::Reload)
    );
    let later = Some((LONG, "too late".to_owned()).into());
    store.release(&old, OWNER, later.clone()).await.unwrap();
    store.release(&old, OWNER, None).await.unwrap();
    store.release(&taken, OWNER, later).await.unwrap();
    assert_eq!(before, snapshot(&*store).await);
    store.renew(&taken, OTHER, LONG).await.unwrap();

    // One worker, two tasks: the name is the same, so the fence alone tells them apart.
    let twice = mint(&alice);
    let old = adopt_for(&*store, &twice, OVER).await;
    let taken = store.lease(&twice.id, OWNER, LONG).await.unwrap().unwrap();
    let before = snapshot(&*store).await;
    assert_eq!(
        store.renew(&old, OWNER, LONG).await,
        Err(StoreError::Reload)
    );
    store.release(&old, OWNER, None).await.unwrap();
    let later = Some((LONG, "too late".to_owned()).into());
    store.release(&old, OWNER, later).await.unwrap();
    assert_eq!(before, snapshot(&*store).await);
    store.renew(&taken, OWNER, LONG).await.unwrap();
}

/// Invariant: a released saga can be driven at once by anybody, under the next fence.
pub(crate) async fn a_released_lease_is_free<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let new = mint(&alice);
    let lease = adopt_for(&*store, &new, LONG).await;
    assert!(due(&*store).await.is_empty());
    store.release(&lease, OWNER, None).await.unwrap();
    assert_eq!(due(&*store).await, vec![new.id.clone()]);
    let after = head(&*store, &new.id).await;
    assert_eq!((after.attempts, after.last_error), (0, None));
    assert_eq!(
        store.renew(&lease, OWNER, LONG).await,
        Err(StoreError::Reload)
    );
    let next = store.lease(&new.id, OTHER, LONG).await.unwrap().unwrap();
    assert_eq!(next.fence, 2);
}

/// Invariant: one saga's trouble stays on its own row: counted, explained, put off, not forgotten.
pub(crate) async fn no_progress_is_remembered_and_put_off<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let new = mint(&alice);
    let mut lease = adopt_for(&*store, &new, LONG).await;
    for attempts in 1..4 {
        let why = format!("no answer, {attempts}");
        store
            .release(&lease, OWNER, Some((OVER, why.clone()).into()))
            .await
            .unwrap();
        let after = head(&*store, &new.id).await;
        assert_eq!((after.attempts, after.last_error), (attempts, Some(why)));
        assert_eq!((after.version, after.status), (0, Status::Active));
        assert_eq!(
            due(&*store).await,
            vec![new.id.clone()],
            "due after no time at all"
        );
        lease = store.lease(&new.id, OWNER, LONG).await.unwrap().unwrap();
    }
    store
        .release(&lease, OWNER, Some((LONG, "later".to_owned()).into()))
        .await
        .unwrap();
    assert!(due(&*store).await.is_empty());
    let after = head(&*store, &new.id).await;
    let wait = after.next_attempt_at.unwrap() - after.updated_at;
    assert_eq!(wait.num_milliseconds(), 3_600_000);
    // A person, or a wake-up, may still take it before that.
    assert!(store.lease(&new.id, OTHER, LONG).await.unwrap().is_some());
}

/// Invariant: the scan serves the longest waiting first, at most as many as it can drive, and
/// none that somebody drives already.
pub(crate) async fn due_is_ordered_limited_and_skips_leased_sagas<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let mut leases = Vec::new();
    for _ in 0..5 {
        leases.push(adopt_for(&*store, &mint(&alice), OVER).await);
        tick().await;
    }
    let by_adoption: Vec<SagaId> = leases.iter().map(|l| l.saga.clone()).collect();
    assert_eq!(due(&*store).await, by_adoption);
    // The first is put off to now, which is behind the others; the third is being driven.
    store
        .release(&leases[0], OWNER, Some((OVER, "again".to_owned()).into()))
        .await
        .unwrap();
    store
        .lease(&by_adoption[2], OTHER, LONG)
        .await
        .unwrap()
        .unwrap();
    tick().await;
    let expected: Vec<SagaId> = [1, 3, 4, 0].map(|i| by_adoption[i].clone()).to_vec();
    assert_eq!(due(&*store).await, expected);
    assert_eq!(due_by(&*store, 2).await, expected[..2].to_vec());
    assert!(due_by(&*store, 0).await.is_empty());
}

/// Invariant: a finished saga is never driven again by the scan, whatever is released later.
pub(crate) async fn done_is_never_due<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let new = melt(&alice);
    let lease = adopt_for(&*store, &new, LONG).await;
    let mut chain = Chain::new(&new, &lease);
    chain.end(&*store, "settled", true).await;
    store
        .release(&lease, OWNER, Some((OVER, "odd".to_owned()).into()))
        .await
        .unwrap();
    tick().await;
    assert!(due(&*store).await.is_empty());
    assert_eq!(head(&*store, &new.id).await.next_attempt_at, None);
}

/// Invariant: asking never stops for a saga whose coins or change may still be at the mint.
pub(crate) async fn parked_and_owing_are_due<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let mut expected = Vec::new();
    for status in [Status::Parked, Status::Owing] {
        let chain = adopt(&*store, &melt(&alice)).await;
        let mut append = chain.append(1, Vec::new());
        append.head.status = status;
        store.append(append).await.unwrap();
        assert_eq!(head(&*store, chain.saga()).await.status, status);
        assert!(!due(&*store).await.contains(chain.saga()), "still leased");
        let lease = Lease {
            saga: chain.saga().clone(),
            fence: chain.fence,
        };
        store.release(&lease, OWNER, None).await.unwrap();
        expected.push(chain.saga().clone());
        tick().await;
    }
    assert_eq!(due(&*store).await, expected);
}
