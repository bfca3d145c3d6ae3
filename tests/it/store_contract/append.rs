//! The one write path: all of an append or nothing of it, under the version and the fence.

use meltd::ports::{Outbox, ProofRow, Store, StoreError};
use meltd::saga::chain::{self, Hash, Tail};
use meltd::saga::command::Command;
use meltd::saga::ids::{SagaId, Y};
use meltd::saga::proofs::{ProofState, ProofWrite};
use meltd::saga::state::Status;

use super::Fixture;
use super::build::{
    Chain, LONG, OTHER, OVER, OWNER, adopt, adopt_for, coin, fund, head, insert, melt, mint, open,
    receive, shift, snapshot, wallet,
};

async fn row<S: Store>(store: &S, y: &Y) -> ProofRow {
    let rows = store.proofs_by_y(std::slice::from_ref(y)).await.unwrap();
    rows.into_iter().next().unwrap()
}

/// Checks a saga's log against its chain and its head.
pub(crate) async fn verified<S: Store>(store: &S, saga: &SagaId) -> u32 {
    let loaded = store.load(saga).await.unwrap().unwrap();
    let mut tail = Tail {
        saga: saga.clone(),
        kind: loaded.head.new.command.kind(),
        seq: 0,
        hash: chain::genesis(saga),
    };
    for record in &loaded.records {
        chain::open(&mut tail, record).unwrap();
    }
    assert_eq!(tail.seq, loaded.head.version);
    assert_eq!(tail.hash.to_hex(), loaded.head.head_hash);
    tail.seq
}

/// Invariant: head, events, outbox and proofs are written together, byte for byte as given.
pub(crate) async fn append_writes_head_events_outbox_and_proofs<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let coins = fund(&*store, &alice, 2).await;
    let funded = store.outbox(None, 100).await.unwrap().len();
    let new = melt(&alice);
    let chain = adopt(&*store, &new).await;
    let fresh = coin(4);
    let mut writes = shift(&coins, ProofState::Unspent, ProofState::Pending);
    writes.push(insert(chain.saga(), &fresh, ProofState::Reserved));
    let mut append = chain.append(1, writes.clone());
    append.head.state = "sent".to_owned();
    store.append(append.clone()).await.unwrap();

    let loaded = store.load(&new.id).await.unwrap().unwrap();
    assert_eq!(loaded.records, append.records);
    assert_eq!(loaded.head.new, new);
    assert_eq!((loaded.head.version, loaded.head.fence), (1, 1));
    assert_eq!(loaded.head.head_hash, append.records[0].hash);
    assert_eq!(
        (loaded.head.state.as_str(), loaded.head.status),
        ("sent", Status::Active)
    );
    assert_eq!(
        loaded.head.next_attempt_at,
        Some(loaded.head.updated_at),
        "due at once"
    );
    assert!(loaded.head.updated_at >= loaded.head.created_at);
    assert_eq!(verified(&*store, &new.id).await, 1);

    let outbox = store.outbox(None, 100).await.unwrap();
    assert_eq!(outbox.len(), funded + 1);
    let published = outbox
        .iter()
        .find(|r| r.id == format!("{}:000001", new.id))
        .unwrap();
    assert_eq!(published.subject, "melt.events.MeltRefused");
    assert_eq!(published.body, append.records[0].body);

    for y in coins.iter().map(|c| &c.y) {
        let row = row(&*store, y).await;
        assert_eq!(
            (row.state, row.saga),
            (ProofState::Pending, Some(new.id.clone()))
        );
        assert_eq!((row.wallet, row.spent_at), (alice.id.clone(), None));
    }
    let row = row(&*store, &fresh.y).await;
    assert_eq!(
        (row.state, row.saga),
        (ProofState::Reserved, Some(new.id.clone()))
    );
    let Some(ProofWrite::Insert {
        signature, token, ..
    }) = writes.last()
    else {
        panic!("the last write is the insert");
    };
    assert_eq!(
        (&row.coin, &row.signature, &row.token),
        (&fresh, signature, token)
    );
}

/// Invariant: the events of several harmless steps are one append, in order.
pub(crate) async fn several_records_are_one_append<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let new = melt(&alice);
    let mut chain = adopt(&*store, &new).await;
    let first = chain.append(4, Vec::new());
    store.append(first.clone()).await.unwrap();
    chain.advance(&first);
    let second = chain.append(8, Vec::new());
    store.append(second.clone()).await.unwrap();
    assert_eq!(verified(&*store, &new.id).await, 12);
    let records = store.load(&new.id).await.unwrap().unwrap().records;
    assert_eq!(records, [first.records, second.records].concat());
}

/// Invariant: who has not read the last event writes nothing (CAS on the version). Without the
/// version in the head's condition this test fails: tried on purpose.
pub(crate) async fn wrong_version_is_reload_and_writes_nothing<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let coins = fund(&*store, &alice, 1).await;
    let new = melt(&alice);
    let behind = adopt(&*store, &new).await;
    let mut chain = behind.clone();
    chain.write(&*store, Vec::new()).await.unwrap();
    chain.write(&*store, Vec::new()).await.unwrap();

    let mut ahead = chain.clone();
    ahead.advance(&chain.append(1, Vec::new()));
    for wrong in [behind, ahead] {
        let before = snapshot(&*store).await;
        let append = wrong.append(1, shift(&coins, ProofState::Unspent, ProofState::Reserved));
        assert_eq!(store.append(append).await, Err(StoreError::Reload));
        assert_eq!(before, snapshot(&*store).await);
    }
}

/// Invariant: a worker that lost its lease writes nothing, however late its write arrives.
/// Without the fence in the head's condition this test fails: tried on purpose.
pub(crate) async fn stale_fence_is_reload_and_writes_nothing<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let coins = fund(&*store, &alice, 1).await;
    let new = melt(&alice);
    let old = Chain::new(&new, &adopt_for(&*store, &new, OVER).await);
    let taken = store.lease(&new.id, OTHER, LONG).await.unwrap().unwrap();
    let before = snapshot(&*store).await;
    let frozen = old.append(1, shift(&coins, ProofState::Unspent, ProofState::Reserved));
    assert_eq!(store.append(frozen).await, Err(StoreError::Reload));
    let mut forged = old.clone();
    forged.fence = taken.fence + 1;
    assert_eq!(
        forged.write(&*store, Vec::new()).await,
        Err(StoreError::Reload)
    );
    assert_eq!(before, snapshot(&*store).await);
    let mut holder = old;
    holder.fence = taken.fence;
    holder.write(&*store, Vec::new()).await.unwrap();
}

/// Invariant: an append that was written, and whose answer was lost, is not written again.
pub(crate) async fn an_append_that_was_written_is_reload<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let coins = fund(&*store, &alice, 1).await;
    let new = melt(&alice);
    let chain = adopt(&*store, &new).await;
    let append = chain.append(2, shift(&coins, ProofState::Unspent, ProofState::Reserved));
    store.append(append.clone()).await.unwrap();
    let before = snapshot(&*store).await;
    assert_eq!(store.append(append).await, Err(StoreError::Reload));
    assert_eq!(before, snapshot(&*store).await);
}

/// Invariant: safety is the fence, not the clock: a late holder whom nobody replaced goes on.
pub(crate) async fn a_lease_that_is_over_but_not_taken_still_writes<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let new = melt(&alice);
    let lease = adopt_for(&*store, &new, OVER).await;
    let mut chain = Chain::new(&new, &lease);
    chain.write(&*store, Vec::new()).await.unwrap();
    assert_eq!(head(&*store, &new.id).await.version, 1);
}

/// Invariant: progress ends the back-off: attempts 0, no error, due at once; done is never due.
pub(crate) async fn an_append_resets_the_attempts<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let new = melt(&alice);
    let lease = adopt_for(&*store, &new, LONG).await;
    let mut chain = Chain::new(&new, &lease);
    let later = Some((LONG, "the mint did not answer".to_owned()).into());
    store.release(&lease, OWNER, later).await.unwrap();
    assert_eq!(head(&*store, &new.id).await.attempts, 1);
    chain.write(&*store, Vec::new()).await.unwrap();
    let after = head(&*store, &new.id).await;
    assert_eq!((after.attempts, after.last_error), (0, None));
    assert_eq!(after.next_attempt_at, Some(after.updated_at));
    chain.end(&*store, "settled", true).await;
    let done = head(&*store, &new.id).await;
    assert_eq!((done.status, done.next_attempt_at), (Status::Done, None));
}

/// Invariant: a log has no gap and no foreign record; an append that would make one is a bug of
/// the caller's and is refused whole.
pub(crate) async fn a_malformed_append_is_unusable_and_writes_nothing<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let new = melt(&alice);
    let chain = adopt(&*store, &new).await;
    let before = snapshot(&*store).await;
    let empty = chain.append(0, Vec::new());
    let mut gap = chain.append(2, Vec::new());
    gap.records.remove(0);
    let mut hole = chain.append(3, Vec::new());
    hole.records.remove(1);
    let mut foreign = chain.append(1, Vec::new());
    foreign.records[0].saga = super::build::saga_id();
    for append in [empty, gap, hole, foreign] {
        let result = store.append(append).await;
        assert!(matches!(result, Err(StoreError::Unusable(_))), "{result:?}");
        assert_eq!(before, snapshot(&*store).await);
    }
}

/// Invariant: what could spend a foreign token leaves the store with the saga's end, and nothing
/// else of the command does.
pub(crate) async fn sealed_proofs_are_erased<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let new = receive(&alice, "sealed-foreign-proofs");
    let mut chain = adopt(&*store, &new).await;
    chain.write(&*store, Vec::new()).await.unwrap();
    assert_eq!(
        head(&*store, &new.id).await.new,
        new,
        "kept until it is swapped"
    );
    let mut append = chain.append(1, Vec::new());
    append.head.status = Status::Done;
    append.head.erase_sealed = true;
    store.append(append).await.unwrap();
    let mut erased = new.clone();
    if let Command::Receive(receive) = &mut erased.command {
        receive.sealed = None;
    }
    assert_eq!(head(&*store, &new.id).await.new, erased);
    assert!(
        snapshot(&*store)
            .await
            .iter()
            .all(|row| !row.contains("sealed-foreign-proofs"))
    );

    // A melt has nothing sealed: erasing is harmless.
    let other = melt(&alice);
    let chain = adopt(&*store, &other).await;
    let mut append = chain.append(1, Vec::new());
    append.head.erase_sealed = true;
    store.append(append).await.unwrap();
    assert_eq!(head(&*store, &other.id).await.new, other);
}

/// Invariant: what was acknowledged is there after the next start, to the last row.
pub(crate) async fn acknowledged_writes_survive_a_reopen<F: Fixture>(f: &F) {
    let (before, saga) = {
        let store = open(f).await;
        let alice = wallet(&*store, "npub1alice").await;
        let coins = fund(&*store, &alice, 3).await;
        let new = mint(&alice);
        let mut chain = adopt(&*store, &new).await;
        let reserve = shift(&coins, ProofState::Unspent, ProofState::Reserved);
        chain.write(&*store, reserve).await.unwrap();
        store
            .take_counters(&alice.id, &coins[0].keyset, 5)
            .await
            .unwrap();
        (snapshot(&*store).await, new.id)
    };
    let store = open(f).await;
    assert_eq!(before, snapshot(&*store).await);
    assert_eq!(verified(&*store, &saga).await, 1);
    assert_eq!(
        Hash::from_hex(&head(&*store, &saga).await.head_hash).map(Hash::to_hex),
        Some(head(&*store, &saga).await.head_hash)
    );
}
