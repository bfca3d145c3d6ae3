//! `audit verify --stream`: what a stream alone tells, and what signed heads add to it.

use std::sync::Arc;

use meltd::audit;
use meltd::bus::memory::MemoryBus;
use meltd::mint::keychain::Keychain;
use meltd::ports::{Begin, Bus, Message, Stream};
use meltd::saga::chain::Record;
use meltd::store::sqlite::SqliteStore;
use meltd::stream::heads::HeadsMessage;

use super::{ANYBODY, audited, checkpoint, keychain, melt, message, publish, records, scene, work};
use crate::bus_contract::Fixture;
use crate::bus_nats::Nats;
use crate::cli::scene::{Scene, paid};

type Store = SqliteStore;

/// A store in which something has happened.
async fn done() -> (Scene, Arc<Store>) {
    let scene = scene().await;
    work(&scene);
    let store = SqliteStore::open(scene.path("meltd.db")).unwrap();
    (scene, Arc::new(store))
}

async fn clean_on<B: Bus + Clone>(bus: B) {
    let (scene, store) = done().await;
    let log = records(&*store).await;
    publish(&bus, log.clone()).await;
    // At least once: some of it comes again, out of place.
    let mut again = message(&log[0]);
    again.id += "again";
    bus.publish(again).await.unwrap();
    let key = keychain(&scene).heads_key().unwrap();
    assert_eq!(checkpoint(store.clone(), &bus, key).await, 1);

    let found = audited(&bus, Some(&*store)).await;
    assert_eq!(found.problems, Vec::<String>::new());
    let events = log.len() as u64;
    assert_eq!((found.events, found.repeats), (events, 1));
    assert_eq!((found.sagas, found.heads.sagas), (5, 5));
    assert_eq!(found.heads.checkpoints, 1);
    let beside = found.database.unwrap();
    assert_eq!((beside.equal, beside.database_ahead.len()), (events, 0));
    // The public halves alone tell where every sat went.
    let whole = audit::verify(&*store).await.unwrap();
    assert_eq!(found.wallets, whole.wallets);
    assert!(whole.wallets.values().any(|account| account.paid == 800));

    // What happens later is in the next checkpoint, which lists only what changed.
    melt(&scene, 50, paid(), 0);
    let fresh = records(&*store).await.split_off(log.len());
    publish(&bus, fresh).await;
    let key = keychain(&scene).heads_key().unwrap();
    assert_eq!(checkpoint(store.clone(), &bus, key).await, 2);
    let found = audited(&bus, Some(&*store)).await;
    assert_eq!(found.problems, Vec::<String>::new());
    assert_eq!((found.heads.checkpoints, found.heads.sagas), (2, 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_stream_is_clean_in_memory() {
    clean_on(MemoryBus::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_stream_is_clean_on_nats() {
    let nats = Nats::fresh().await;
    clean_on(nats.open().await).await;
    nats.remove().await;
}

/// Order is kept within a saga only. Seen red when a coin that was let go after it had been spent,
/// by another saga, was taken for one that nobody had made.
#[tokio::test(flavor = "multi_thread")]
async fn sagas_may_come_in_any_order() {
    let (scene, store) = done().await;
    let bus = MemoryBus::new();
    let mut log = records(&*store).await;
    // The coins come to be first; then the newest melt first, each saga in its own order.
    let is_melt = |r: &Record| r.body.contains("\"kind\":\"melt\"");
    log.sort_by(|a, b| {
        let newest_first = b.saga.cmp(&a.saga).then(a.seq.cmp(&b.seq));
        is_melt(a).cmp(&is_melt(b)).then(newest_first)
    });
    publish(&bus, log).await;
    checkpoint(store.clone(), &bus, keychain(&scene).heads_key().unwrap()).await;
    let found = audited(&bus, Some(&*store)).await;
    assert_eq!(found.problems, Vec::<String>::new());
    assert_eq!(found.wallets, audit::verify(&*store).await.unwrap().wallets);
}

/// Publishes the events that `keep` keeps, signs for all, and returns what the audit says.
async fn published(keep: impl Fn(&[Record], &Record) -> bool) -> Vec<String> {
    let (scene, store) = done().await;
    let bus = MemoryBus::new();
    let log = records(&*store).await;
    publish(&bus, log.iter().filter(|r| keep(&log, r)).cloned()).await;
    let key = keychain(&scene).heads_key().unwrap();
    checkpoint(store.clone(), &bus, key).await;
    let alone = audited::<Store, _>(&bus, None).await;
    alone.problems
}

fn last_of_first_melt(log: &[Record]) -> &Record {
    let melt = log.iter().find(|r| r.name == "AtomicCommitted").unwrap();
    log.iter().rfind(|r| r.saga == melt.saga).unwrap()
}

fn assert_tells(problems: &[String], what: &str) {
    assert!(
        problems.iter().any(|p| p.contains(what)),
        "{what}: {problems:?}"
    );
}

/// Seen red with an audit that does not look at the checkpoints: a chain cannot know its own end.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_tail_is_seen_by_the_signed_heads() {
    let problems = published(|log, r| r.id() != last_of_first_melt(log).id()).await;
    assert_tells(&problems, "its tail is cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_saga_is_seen_by_the_signed_heads() {
    let problems = published(|log, r| r.saga != last_of_first_melt(log).saga).await;
    assert_tells(&problems, "the stream does not have it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_seen_by_the_chain() {
    let problems = published(|_, r| r.name != "QuoteCreated").await;
    assert_tells(&problems, "is missing: found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_event_is_seen_by_the_chain_and_beside_the_database() {
    let (_scene, store) = done().await;
    let bus = MemoryBus::new();
    let mut log = records(&*store).await;
    let paid = log.iter_mut().find(|r| r.name == "MeltPaid").unwrap();
    paid.body = paid.body.replace("true", "false");
    publish(&bus, log).await;
    assert_tells(
        &audited(&bus, Some(&*store)).await.problems,
        "does not match its body",
    );
}

/// A stream that repeats itself with other contents: both have good hashes, as after two copies of
/// one database were running.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_went_another_way_is_seen() {
    let (_scene, store) = done().await;
    let bus = MemoryBus::new();
    let mut log = records(&*store).await;
    let at = log
        .iter()
        .rposition(|r| r.name == "AtomicCommitted")
        .unwrap();
    let other = &mut log[at];
    other.body = other.body.replace("\"fee_paid\":", "\"fee_paid\":1");
    let prev = meltd::saga::chain::Hash::from_hex(&other.prev_hash).unwrap();
    other.hash = meltd::saga::chain::link(prev, &other.body).to_hex();
    publish(&bus, log).await;
    let problems = audited(&bus, Some(&*store)).await.problems;
    assert_tells(
        &problems,
        "is not the same in the database and in the stream",
    );
}

/// The messages of the heads, changed and published elsewhere.
async fn heads_changed(change: impl Fn(Vec<Message>) -> Vec<Message>) -> Vec<String> {
    let (scene, store) = done().await;
    let (bus, other) = (MemoryBus::new(), MemoryBus::new());
    for bus in [&bus, &other] {
        publish(bus, records(&*store).await).await;
    }
    checkpoint(store.clone(), &bus, keychain(&scene).heads_key().unwrap()).await;
    melt(&scene, 50, paid(), 0);
    for bus in [&bus, &other] {
        publish(bus, records(&*store).await).await;
    }
    checkpoint(store.clone(), &bus, keychain(&scene).heads_key().unwrap()).await;
    checkpoint(store.clone(), &bus, keychain(&scene).heads_key().unwrap()).await;
    let wait = std::time::Duration::ZERO;
    let all = bus
        .read(Stream::Heads, Begin::First, None, 100, wait)
        .await
        .unwrap();
    let all: Vec<Message> = all.into_iter().map(|stored| stored.message).collect();
    assert!(all.len() >= 5, "{} messages", all.len());
    for message in change(all) {
        other.publish(message).await.unwrap();
    }
    let found = meltd::stream::verify::verify(&other, None::<&Store>, ANYBODY)
        .await
        .unwrap();
    found.problems
}

fn is_page(message: &Message) -> bool {
    let read = serde_json::from_str(&message.body).unwrap();
    matches!(read, HeadsMessage::Page(_))
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_that_were_tampered_with_count_for_nothing() {
    assert_eq!(heads_changed(|all| all).await, Vec::<String>::new());

    let without_page = |all: Vec<Message>| all.into_iter().filter(|m| !is_page(m)).collect();
    assert_tells(&heads_changed(without_page).await, "are missing");

    let without_second = |mut all: Vec<Message>| {
        let nth = all
            .iter()
            .enumerate()
            .filter(|(_, m)| !is_page(m))
            .nth(1)
            .unwrap()
            .0;
        all.remove(nth);
        all
    };
    assert_tells(
        &heads_changed(without_second).await,
        "does not follow the one before it",
    );

    let changed = |mut all: Vec<Message>| {
        let last = all.last_mut().unwrap();
        last.body = last.body.replace("\\\"sagas\\\":", "\\\"sagas\\\":1");
        all
    };
    assert_tells(&heads_changed(changed).await, "is not signed by");
}

/// Without a key given, the first checkpoint's signer is believed; with one, only that one.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_expected_key_counts() {
    let (scene, store) = done().await;
    let bus = MemoryBus::new();
    publish(&bus, records(&*store).await).await;
    let stranger = Keychain::from_seed([9; 64]).heads_key().unwrap();
    checkpoint(store.clone(), &bus, stranger).await;
    assert!(audited::<Store, _>(&bus, None).await.problems.is_empty());
    let ours = meltd::ports::Notary::key(&keychain(&scene).heads_key().unwrap());
    let signers = meltd::stream::verify::Signers {
        key: Some(&ours),
        ..ANYBODY
    };
    let found = meltd::stream::verify::verify(&bus, None::<&Store>, signers)
        .await
        .unwrap();
    assert_tells(&found.problems, "is not signed by");
}
