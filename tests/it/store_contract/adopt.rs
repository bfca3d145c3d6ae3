//! Wallets and adoption: who gets a saga, who gets somebody's answer, who is refused.

use std::collections::HashSet;
use std::sync::Arc;

use meltd::ports::{Adopted, HeadFilter, NewSaga, Store, StoreError};
use meltd::saga::chain;
use meltd::saga::code::Code;
use meltd::saga::ids::{Producer, SagaId};
use meltd::saga::state::Status;

use super::Fixture;
use super::build::{
    LONG, OWNER, adopt, adopt_for, head, melt, mint, open, receive, reconcile, same_invoice,
    snapshot, unique, wallet,
};

async fn existing<S: Store>(store: &S, new: NewSaga) -> SagaId {
    match store.adopt(new, OWNER, LONG).await.unwrap() {
        Adopted::Existing(head) => head.new.id,
        Adopted::New(lease) => panic!("{} was adopted a second time", lease.saga),
    }
}

async fn refused<S: Store>(store: &S, new: NewSaga) -> Code {
    let before = snapshot(store).await;
    let code = match store.adopt(new, OWNER, LONG).await {
        Err(StoreError::Refuse(code)) => code,
        other => panic!("expected a refusal, got {other:?}"),
    };
    assert_eq!(before, snapshot(store).await, "a refusal writes nothing");
    code
}

/// Invariant: one wallet per (npub, mint, unit), whoever asks first and however many at once.
pub(crate) async fn wallet_is_created_once<F: Fixture>(f: &F) {
    let store = open(f).await;
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { wallet(&*store, "npub1alice").await.id })
        })
        .collect();
    let mut ids = HashSet::new();
    for task in tasks {
        ids.insert(task.await.unwrap());
    }
    assert_eq!(ids.len(), 1);
    let again = wallet(&*store, "npub1alice").await;
    assert!(ids.contains(&again.id));
    assert_eq!(again.npub, "npub1alice");
    assert_eq!(again.mint_url, "https://mint.example");
    assert_eq!(again.unit, "sat");
    assert!(
        !again.id.as_str().contains("alice"),
        "the id says nothing of its owner"
    );
}

/// Invariant: a wallet is one mint and one unit, and an owner sees all of theirs and no others.
pub(crate) async fn wallets_are_listed_by_owner<F: Fixture>(f: &F) {
    let store = open(f).await;
    let a = wallet(&*store, "npub1alice").await;
    let other_mint = store
        .wallet("npub1alice", "https://other.example", "sat")
        .await
        .unwrap();
    let other_unit = store
        .wallet("npub1alice", "https://mint.example", "usd")
        .await
        .unwrap();
    let b = wallet(&*store, "npub1bob").await;
    let alice: HashSet<_> = store
        .wallets(Some("npub1alice"))
        .await
        .unwrap()
        .into_iter()
        .collect();
    assert_eq!(alice, HashSet::from([a, other_mint, other_unit]));
    assert_eq!(store.wallets(Some("npub1bob")).await.unwrap(), vec![b]);
    assert_eq!(store.wallets(None).await.unwrap().len(), 4);
    assert!(store.wallets(Some("npub1eve")).await.unwrap().is_empty());
}

/// Invariant: the head is the inbox: what was adopted is stored whole, leased and due, before
/// anybody is told so.
pub(crate) async fn adopt_makes_a_leased_head<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    for mut new in [melt(&alice), mint(&alice), receive(&alice, "sealed")] {
        new.intent_key = Some(unique());
        new.reply_to = Some("melt.reply.shop.1".to_owned());
        let lease = adopt_for(&*store, &new, LONG).await;
        assert_eq!((&lease.saga, lease.fence), (&new.id, 1));
        let loaded = store.load(&new.id).await.unwrap().unwrap();
        assert!(loaded.records.is_empty());
        let head = loaded.head;
        assert_eq!(head.new, new);
        assert_eq!(head.version, 0);
        assert_eq!(head.head_hash, chain::genesis(&new.id).to_hex());
        assert_eq!(head.state, "adopted");
        assert_eq!(
            (head.status, head.fence, head.attempts),
            (Status::Active, 1, 0)
        );
        assert_eq!(head.last_error, None);
        assert_eq!(head.next_attempt_at, Some(head.created_at));
        assert_eq!(head.updated_at, head.created_at);
        let age = chrono::Utc::now() - head.created_at;
        assert!(age.num_seconds().abs() < 60, "the store's clock: {age}");
        assert_eq!(store.lease(&new.id, "x", LONG).await.unwrap(), None);
    }
}

/// Invariant: a repeat of a command, at any time and in any state, is the first saga.
pub(crate) async fn same_command_gets_the_same_head<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let new = melt(&alice);
    let mut chain = adopt(&*store, &new).await;
    let repeat = NewSaga {
        id: super::build::saga_id(),
        ..new.clone()
    };
    assert_eq!(existing(&*store, repeat.clone()).await, new.id);
    assert_eq!(
        head(&*store, &new.id).await.fence,
        1,
        "a repeat takes no lease"
    );
    chain.end(&*store, "rejected", false).await;
    assert_eq!(existing(&*store, repeat.clone()).await, new.id);
    assert_eq!(store.load(&repeat.id).await.unwrap(), None);
}

/// Invariant: one id never stands for two commands, even of another kind.
pub(crate) async fn command_id_with_other_parameters_is_refused<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let new = melt(&alice);
    adopt(&*store, &new).await;
    for mut other in [melt(&alice), mint(&alice), same_invoice(&new, &alice)] {
        other.command_id.clone_from(&new.command_id);
        assert_eq!(refused(&*store, other).await, Code::CommandIdReused);
    }
}

/// Invariant: producers cannot take each other's command ids.
pub(crate) async fn command_ids_are_scoped_by_producer<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let new = mint(&alice);
    adopt(&*store, &new).await;
    let mut other = mint(&alice);
    other.command_id.clone_from(&new.command_id);
    other.producer = Producer::new("till");
    adopt(&*store, &other).await;
}

/// Invariant: an invoice is paid at most once over all wallets and producers; the same request of
/// the same producer under another id gets the first saga.
pub(crate) async fn an_invoice_is_claimed_over_all_wallets_and_producers<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let bob = wallet(&*store, "npub1bob").await;
    let first = melt(&alice);
    adopt(&*store, &first).await;

    let mut same = same_invoice(&first, &alice);
    same.request_hash.clone_from(&first.request_hash);
    assert_eq!(existing(&*store, same.clone()).await, first.id);

    let other_wallet = same_invoice(&first, &bob);
    assert_eq!(refused(&*store, other_wallet).await, Code::InvoiceInUse);
    same.producer = Producer::new("till");
    assert_eq!(refused(&*store, same).await, Code::InvoiceInUse);
}

/// Invariant: one debt behind many invoices is paid once; other producers have their own debts.
pub(crate) async fn an_intent_is_claimed_within_its_producer<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let mut first = melt(&alice);
    first.intent_key = Some("order 17".to_owned());
    adopt(&*store, &first).await;
    let mut second = melt(&alice);
    second.intent_key.clone_from(&first.intent_key);
    assert_eq!(refused(&*store, second.clone()).await, Code::IntentInUse);
    second.producer = Producer::new("till");
    adopt(&*store, &second).await;
    let mut third = melt(&alice);
    third.intent_key = Some("order 18".to_owned());
    adopt(&*store, &third).await;
    // Two commands without an intent key do not share one.
    adopt(&*store, &melt(&alice)).await;
    adopt(&*store, &melt(&alice)).await;
}

/// Invariant: the answer to a repeat does not depend on which unique key the engine looks at
/// first: command id, then payment hash, then intent key.
pub(crate) async fn keys_are_looked_at_in_order<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let mut first = melt(&alice);
    first.intent_key = Some("order 17".to_owned());
    adopt(&*store, &first).await;

    let mut same_id = melt(&alice);
    same_id.command_id.clone_from(&first.command_id);
    same_id.intent_key.clone_from(&first.intent_key);
    assert_eq!(refused(&*store, same_id).await, Code::CommandIdReused);

    let mut same_hash = same_invoice(&first, &alice);
    same_hash.intent_key.clone_from(&first.intent_key);
    assert_eq!(
        refused(&*store, same_hash.clone()).await,
        Code::InvoiceInUse
    );
    same_hash.request_hash.clone_from(&first.request_hash);
    assert_eq!(existing(&*store, same_hash).await, first.id);
}

/// Invariant: a saga that ended before any payment could happen lets go of its invoice and its
/// intent, and its record keeps the payment hash.
pub(crate) async fn released_claims_are_free<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let mut first = melt(&alice);
    first.intent_key = Some("order 17".to_owned());
    let mut chain = adopt(&*store, &first).await;
    chain.end(&*store, "rejected", false).await;
    assert_eq!(
        head(&*store, &first.id).await.new,
        first,
        "the record stays whole"
    );

    let mut second = same_invoice(&first, &alice);
    second.intent_key.clone_from(&first.intent_key);
    second.request_hash.clone_from(&first.request_hash);
    adopt(&*store, &second).await;
    let third = same_invoice(&first, &alice);
    assert_eq!(refused(&*store, third).await, Code::InvoiceInUse);
}

/// Invariant: a paid invoice can never be paid again.
pub(crate) async fn kept_claims_are_permanent<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let mut first = melt(&alice);
    first.intent_key = Some("order 17".to_owned());
    let mut chain = adopt(&*store, &first).await;
    chain.write(&*store, Vec::new()).await.unwrap();
    chain.end(&*store, "settled", true).await;
    let same = same_invoice(&first, &alice);
    assert_eq!(refused(&*store, same).await, Code::InvoiceInUse);
    let mut intent = melt(&alice);
    intent.intent_key.clone_from(&first.intent_key);
    assert_eq!(refused(&*store, intent).await, Code::IntentInUse);
}

/// Invariant: a command that is delivered many times at once is one saga.
pub(crate) async fn concurrent_adopts_of_one_command_make_one_head<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    for _ in 0..3 {
        let new = melt(&alice);
        let repeats = (0..32).map(|_| NewSaga {
            id: super::build::saga_id(),
            ..new.clone()
        });
        let (fresh, found, refusals) = adopt_all(&store, repeats).await;
        assert_eq!((fresh.len(), found.len(), refusals.len()), (1, 31, 0));
        assert!(found.iter().all(|id| *id == fresh[0]));
    }
    let heads = store
        .heads(HeadFilter {
            limit: 100,
            ..HeadFilter::default()
        })
        .await
        .unwrap();
    assert_eq!(heads.len(), 3);
}

/// Invariant: many producers with the same invoice at the same moment start one payment.
pub(crate) async fn concurrent_adopts_of_one_invoice_make_one_head<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    for _ in 0..3 {
        let first = melt(&alice);
        let rivals = (0..16).map(|i| NewSaga {
            producer: Producer::new(format!("producer-{i}")),
            ..same_invoice(&first, &alice)
        });
        let (fresh, found, refusals) = adopt_all(&store, rivals).await;
        assert_eq!((fresh.len(), found.len(), refusals.len()), (1, 0, 15));
        assert!(refusals.iter().all(|code| *code == Code::InvoiceInUse));
    }
}

async fn adopt_all<S: Store>(
    store: &Arc<S>,
    sagas: impl Iterator<Item = NewSaga>,
) -> (Vec<SagaId>, Vec<SagaId>, Vec<Code>) {
    let tasks: Vec<_> = sagas
        .map(|new| {
            let store = Arc::clone(store);
            tokio::spawn(async move { store.adopt(new, OWNER, LONG).await })
        })
        .collect();
    let (mut fresh, mut found, mut refusals) = (Vec::new(), Vec::new(), Vec::new());
    for task in tasks {
        match task.await.unwrap() {
            Ok(Adopted::New(lease)) => fresh.push(lease.saga),
            Ok(Adopted::Existing(head)) => found.push(head.new.id),
            Err(StoreError::Refuse(code)) => refusals.push(code),
            Err(other) => panic!("{other}"),
        }
    }
    (fresh, found, refusals)
}

/// Invariant: a look at the unique keys says what adoption would say, and inserts nothing.
pub(crate) async fn known_is_what_adoption_would_answer<F: Fixture>(f: &F) {
    let store = open(f).await;
    let wallet = wallet(&*store, "npub1alice").await;
    let first = NewSaga {
        intent_key: Some("debt".to_owned()),
        ..melt(&wallet)
    };
    assert_eq!(store.known(&first).await.unwrap(), None);
    adopt_for(&*store, &first, LONG).await;
    let before = snapshot(&*store).await;

    let same = store.known(&first).await.unwrap().unwrap();
    assert_eq!(same.new.id, first.id);
    let other_id = NewSaga {
        command_id: unique(),
        ..first.clone()
    };
    let same = store.known(&other_id).await.unwrap().unwrap();
    assert_eq!(
        same.new.id, first.id,
        "the same invoice by the same producer"
    );
    let refusals = [
        (
            NewSaga {
                request_hash: unique(),
                ..first.clone()
            },
            Code::CommandIdReused,
        ),
        (same_invoice(&first, &wallet), Code::InvoiceInUse),
        (
            NewSaga {
                intent_key: Some("debt".to_owned()),
                ..melt(&wallet)
            },
            Code::IntentInUse,
        ),
    ];
    for (new, code) in refusals {
        assert_eq!(store.known(&new).await, Err(StoreError::Refuse(code)));
    }
    assert_eq!(before, snapshot(&*store).await);
}

/// Invariant: a reconciliation is a saga like the others, and its command comes back as it was.
/// One of a wallet lives at a time, because it claims the wallet until it ends.
pub(crate) async fn a_reconciliation_claims_its_wallet<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let claim = || NewSaga {
        intent_key: Some("reconcile:alice".to_owned()),
        ..reconcile(&alice)
    };
    let first = claim();
    let mut chain = adopt(&*store, &first).await;
    assert_eq!(head(&*store, &first.id).await.new, first);
    let second = store.adopt(claim(), OWNER, LONG).await;
    assert_eq!(second, Err(StoreError::Refuse(Code::IntentInUse)));
    chain.end(&*store, "settled", false).await;
    adopt(&*store, &claim()).await;
}
