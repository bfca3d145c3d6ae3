//! A database that was restored from an old backup: it is refused, brought forward from the stream,
//! and then goes on as if nothing had happened.

use std::path::Path;
use std::sync::Arc;

use meltd::audit;
use meltd::bus::memory::MemoryBus;
use meltd::mint::embedded::{Outcome, Script};
use meltd::ports::{Bus, Store};
use meltd::saga::code::Code;
use meltd::store::mongo::MongoStore;
use meltd::store::sqlite::SqliteStore;
use meltd::stream::compare::compare_heads;

use super::{audited, bring, checkpoint, keychain, melt, publish, records, scene, work};
use crate::bus_contract::Fixture as _;
use crate::bus_nats::Nats;
use crate::cli::scene::{ALICE, BOB, Scene, paid};
use crate::store_contract::Fixture as _;
use crate::store_mongo::Mongo;

const FILES: [&str; 3] = ["meltd.db", "meltd.db-wal", "meltd.db-shm"];

fn copy(from: &Path, to: &Path) {
    drop(std::fs::remove_file(to));
    if from.exists() {
        std::fs::copy(from, to).unwrap();
    }
}

/// Copies the file while nobody has it open.
fn back_up(scene: &Scene) {
    for name in FILES {
        copy(&scene.path(name), &scene.path(&format!("{name}.backup")));
    }
}

fn put_back(scene: &Scene) {
    for name in FILES {
        copy(&scene.path(&format!("{name}.backup")), &scene.path(name));
    }
}

fn open(scene: &Scene) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(scene.path("meltd.db")).unwrap())
}

/// Everything but the replies and the private halves is as it was; each is compared by its hash.
async fn assert_same_log<S: Store>(before: &[meltd::saga::chain::Record], store: &S) {
    let after = records(store).await;
    let hashes = |log: &[meltd::saga::chain::Record]| {
        let hashes = log.iter().map(|r| (r.id(), r.hash.clone()));
        hashes.collect::<std::collections::BTreeMap<_, _>>()
    };
    let (before, after) = (hashes(before), hashes(&after));
    for (id, hash) in &before {
        assert_eq!(after.get(id), Some(hash), "{id}");
    }
}

/// The whole story on SQLite: back up, pay more, restore the old copy, be refused, bring forward.
/// Seen red without `raise`: no counter had moved, and the next payment there did not end.
async fn story<B: Bus + Clone>(bus: B) {
    let scene = scene().await;
    work(&scene);
    let open_invoice = scene.invoice(40, Script::Pending);
    back_up(&scene);

    // What the backup will not have: two payments, funding, a new wallet's first coins, and a
    // payment that is under way.
    let invoices = [(150, paid()), (60, paid())].map(|(sat, script)| scene.invoice(sat, script));
    for invoice in &invoices {
        scene
            .json(&["melt", "--npub", ALICE, &invoice.to_string()])
            .exits(0);
    }
    scene.mint_to(BOB, 64);
    let pending = [
        "melt",
        "--npub",
        ALICE,
        &open_invoice.to_string(),
        "--wait",
        "1s",
    ];
    scene.json(&pending).exits(5);
    let (before, counters, balances) = {
        let store = open(&scene);
        let log = records(&*store).await;
        publish(&bus, log.clone()).await;
        let key = keychain(&scene).heads_key().unwrap();
        checkpoint(store.clone(), &bus, key).await;
        let balances = [ALICE, BOB].map(|npub| scene.balance(npub));
        (log, counters(&*store).await, balances)
    };

    put_back(&scene);
    let store = open(&scene);
    let standing = compare_heads(&*store, &bus).await.unwrap();
    assert_eq!(standing.ahead.len(), 4, "{standing:?}");
    let (code, why) = standing.refusal().unwrap();
    assert_eq!(code, Code::StreamAhead);
    assert!(why.contains("recover --from-stream"), "{why}");

    let brought = bring(&scene, store.clone(), &bus, &[]).await;
    assert_eq!(brought.left, [], "{brought:?}");
    assert_eq!(brought.problems, Vec::<String>::new());
    assert_eq!((brought.new.len(), brought.parked.len()), (4, 0));
    assert!(!brought.counters.is_empty());
    assert_same_log(&before, &*store).await;
    assert!(
        compare_heads(&*store, &bus)
            .await
            .unwrap()
            .refusal()
            .is_none()
    );
    let found = audit::verify(&*store).await.unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
    let found = audited(&bus, Some(&*store)).await;
    assert_eq!(found.problems, Vec::<String>::new());
    for (key, next) in counters {
        let now = self::counters(&*store).await;
        assert!(now[&key] >= next, "{key:?}: {} < {next}", now[&key]);
    }
    // Again: nothing is brought twice.
    let again = bring(&scene, store.clone(), &bus, &[]).await;
    assert_eq!((again.events, again.left.len()), (0, 0));
    drop(store);

    // The restored wallets are as they were, and pay. The invoices stay paid once.
    assert_eq!([ALICE, BOB].map(|npub| scene.balance(npub)), balances);
    for invoice in &invoices {
        let said = scene.json(&["melt", "--npub", ALICE, &invoice.to_string()]);
        assert_eq!(said.exits(3)["code"], "INVOICE_IN_USE");
        assert_eq!(scene.times_paid(invoice), 1);
    }
    melt(&scene, 500, paid(), 0);
    let settled = Outcome::Paid { ln_fee: 1 };
    scene
        .mint
        .lightning()
        .settle(open_invoice.payment_hash(), settled)
        .unwrap();
    // The quote's id is lost, and this mint settles a payment only when its quote is asked for. It
    // stays unfinished until the mint looks by itself, as at its next start.
    scene.json(&["recover", "--wait", "0"]).exits(5);
    look_at_quotes(&scene, &before).await;
    scene.json(&["recover"]).exits(0);
    assert_eq!(scene.times_paid(&open_invoice), 1);
    scene.assert_idle();
}

/// The mint's operator looks: every quote that was ever made is asked for.
async fn look_at_quotes(scene: &Scene, log: &[meltd::saga::chain::Record]) {
    for private in log.iter().filter_map(|record| record.private.as_deref()) {
        let private: serde_json::Value = serde_json::from_str(private).unwrap();
        if let Some(id) = private["quote_id"].as_str() {
            let url = scene.mint.url().to_string();
            let url = format!("{}/v1/melt/quote/bolt11/{id}", url.trim_end_matches('/'));
            drop(reqwest::get(url).await.unwrap());
        }
    }
}

async fn counters<S: Store>(store: &S) -> std::collections::BTreeMap<(String, String), u32> {
    let mut all = std::collections::BTreeMap::new();
    for wallet in store.wallets(None).await.unwrap() {
        for (keyset, next) in store.counters(&wallet.id).await.unwrap() {
            all.insert((wallet.id.to_string(), keyset.to_string()), next);
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_sqlite_file_is_brought_forward() {
    story(MemoryBus::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_sqlite_file_is_brought_forward_from_nats() {
    let nats = Nats::fresh().await;
    story(nats.open().await).await;
    nats.remove().await;
}

/// The database is gone altogether: an empty one gets everything back, once the owners are named.
async fn from_nothing<S: Store>(store: Arc<S>) {
    let scene = scene().await;
    work(&scene);
    let log = records(&*open(&scene)).await;
    let balances = audit::verify(&*open(&scene)).await.unwrap().wallets;
    let bus = MemoryBus::new();
    publish(&bus, log.clone()).await;

    assert!(
        compare_heads(&*store, &bus)
            .await
            .unwrap()
            .refusal()
            .is_some()
    );
    let brought = bring(&scene, store.clone(), &bus, &[]).await;
    assert_eq!((brought.events, brought.left.len()), (0, 5));
    assert!(brought.left[0].1.contains("--npub"), "{:?}", brought.left);
    let brought = bring(&scene, store.clone(), &bus, &[BOB, ALICE]).await;
    assert_eq!(brought.left, []);
    assert_eq!((brought.events, brought.new.len()), (log.len() as u64, 5));
    assert_same_log(&log, &*store).await;
    let found = audit::verify(&*store).await.unwrap();
    assert_eq!((found.problems, found.wallets), (Vec::new(), balances));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_sqlite_file_gets_everything_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("empty.db")).unwrap();
    from_nothing(Arc::new(store)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_mongodb_gets_everything_back() {
    let mongo = Mongo::fresh().await;
    let store = MongoStore::connect(&mongo.uri("")).await.unwrap();
    from_nothing(Arc::new(store)).await;
    mongo.remove().await;
}
