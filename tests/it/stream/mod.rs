//! The event stream as an audit consumer has it: on a bus in this process, and on a real NATS.
//!
//! | file | what it holds to account |
//! |---|---|
//! | `commands.rs` | the same from the command line |
//! | `chains.rs` | order, gaps, repeats and changed events |
//! | `audit.rs` | `audit verify --stream`: cuts, missing sagas, forged and missing checkpoints |
//! | `bring.rs` | a database restored from an old backup |

mod audit;
mod bring;
mod chains;
mod commands;

use std::sync::Arc;
use std::time::Duration;

use meltd::clock::SystemClock;
use meltd::mint::cdk::{CdkMint, Timeouts};
use meltd::mint::embedded::Script;
use meltd::mint::keychain::{HeadsKey, Keychain, check_heads_signature};
use meltd::ports::{Bus, HeadFilter, Message, Store, header};
use meltd::saga::chain::Record;
use meltd::stream::bring::{Bringer, Brought};
use meltd::stream::checkpoint::Checkpoints;
use meltd::stream::verify::{Signers, StreamAudit, verify};

use crate::cli::scene::{ALICE, BOB, Scene, paid};

/// Whoever signs counts: nobody but us can publish here.
pub(crate) const ANYBODY: Signers<'static> = Signers {
    key: None,
    check: check_heads_signature,
};

/// A scene whose seed is where both the binary and the test find it.
pub(crate) async fn scene() -> Scene {
    let scene = Scene::new().await;
    let seed = scene.path("seed").display().to_string();
    scene.with("MELTD_SEED_FILE", &seed)
}

pub(crate) fn keychain(scene: &Scene) -> Keychain {
    Keychain::load_or_create(&scene.path("seed")).unwrap()
}

/// Two wallets, some of every outcome, and one payment that is still under way.
pub(crate) fn work(scene: &Scene) {
    scene.mint_to(ALICE, 2000);
    scene.mint_to(BOB, 300);
    for (sat, script, exit) in [(100, paid(), 0), (300, Script::Failed, 4), (700, paid(), 0)] {
        melt(scene, sat, script, exit);
    }
}

/// Pays one invoice of the node behind the mint; the saga's id.
pub(crate) fn melt(scene: &Scene, sat: u64, script: Script, exit: i32) -> String {
    let invoice = scene.invoice(sat, script).to_string();
    let melt = ["melt", "--npub", ALICE, &invoice, "--wait", "2s"];
    let answer = scene.json(&melt).exits(exit);
    answer["saga"].as_str().unwrap().to_owned()
}

/// Every event of a store, in the order of their ids.
pub(crate) async fn records<S: Store>(store: &S) -> Vec<Record> {
    let filter = HeadFilter {
        limit: 1000,
        ..HeadFilter::default()
    };
    let mut records = Vec::new();
    for head in store.heads(filter).await.unwrap() {
        let loaded = store.load(&head.new.id).await.unwrap().unwrap();
        records.extend(loaded.records);
    }
    records
}

/// An event as the relay publishes it.
pub(crate) fn message(record: &Record) -> Message {
    let headers = [
        (header::SAGA, record.saga.to_string()),
        (header::SEQ, record.seq.to_string()),
        (header::HASH, record.hash.clone()),
        (header::PREV_HASH, record.prev_hash.clone()),
    ];
    Message {
        subject: format!("melt.events.{}", record.name),
        id: record.id(),
        headers: headers
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec(),
        body: record.body.clone(),
    }
}

pub(crate) async fn publish<B: Bus>(bus: &B, records: impl IntoIterator<Item = Record>) {
    for record in records {
        bus.publish(message(&record)).await.unwrap();
    }
}

pub(crate) async fn checkpoint<S: Store, B: Bus + Clone>(
    store: Arc<S>,
    bus: &B,
    key: HeadsKey,
) -> u64 {
    let bus = Arc::new(bus.clone());
    let maker = Checkpoints::new(store, bus, Arc::new(SystemClock), Arc::new(key));
    maker.make().await.unwrap()
}

pub(crate) async fn audited<S: Store, B: Bus>(bus: &B, store: Option<&S>) -> StreamAudit {
    verify(bus, store, ANYBODY).await.unwrap()
}

/// Brings a store forward from the bus.
pub(crate) async fn bring<S: Store, B: Bus + Clone>(
    scene: &Scene,
    store: Arc<S>,
    bus: &B,
    npubs: &[&str],
) -> Brought {
    let timeouts = Timeouts {
        ask: Duration::from_secs(10),
        sign: Duration::from_secs(10),
        pay: Duration::from_secs(10),
    };
    let urls = [scene.mint.url().to_string()];
    let bringer = Bringer {
        store,
        bus: Arc::new(bus.clone()),
        mint: Arc::new(CdkMint::new(keychain(scene), &urls, timeouts).unwrap()),
        clock: Arc::new(SystemClock),
        owner: Arc::from("bringer"),
        lease_ttl: Duration::from_secs(60),
    };
    let npubs: Vec<String> = npubs.iter().map(|npub| (*npub).to_owned()).collect();
    bringer.bring(&npubs, ANYBODY).await.unwrap()
}
