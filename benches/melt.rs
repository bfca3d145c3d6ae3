//! Melts per second end to end against the in-memory embedded mint, beside a bare cdk client on the
//! same mint in the same run. Client and mint share the machine's cores.
//!
//! `cargo bench --all-features --bench melt`
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs
)]
#![allow(dead_code)]

#[path = "../tests/it/embedded_mint/purse.rs"]
mod purse;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cdk::Bolt11Invoice;
use cdk::nuts::Proofs;
use futures::StreamExt;
use meltd::clock::SystemClock;
use meltd::driver::Driver;
use meltd::intake::{MeltRequest, Origin, Target};
use meltd::mint::cdk::{CdkMint, Timeouts};
use meltd::mint::embedded::{EmbeddedMint, Settings};
use meltd::mint::keychain::Keychain;
use meltd::ports::Store;
use meltd::saga::chain;
use meltd::saga::command::Policy;
use meltd::saga::ids::Producer;
use meltd::saga::state::State;
use meltd::store::mongo::MongoStore;
use meltd::store::sqlite::SqliteStore;
use purse::Purse;

const MELTS: usize = 200;
const NPUB: &str = "npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6";

fn invoices(mint: &EmbeddedMint) -> Vec<Bolt11Invoice> {
    (0..MELTS)
        .map(|_| mint.lightning().create_invoice(100_000, "bench").unwrap())
        .collect()
}

fn report(what: &str, at_once: usize, took: Duration) {
    let per_second = MELTS as f64 / took.as_secs_f64();
    println!("{what:28} {at_once:3} at once  {per_second:6.0} melts/s");
}

/// Quote, melt, unblind: what any client has to do, with nothing written down.
async fn bare(mint: &EmbeddedMint, at_once: usize) {
    let mut jobs: Vec<(Proofs, Bolt11Invoice)> = Vec::new();
    let funder = Purse::open(mint.url()).await;
    for invoice in invoices(mint) {
        jobs.push((funder.mint(128).await, invoice));
    }
    // A client of its own each: one connection does not carry two requests at a time.
    let mut purses = Vec::new();
    for _ in 0..at_once {
        purses.push(Purse::open(mint.url()).await);
    }
    let began = Instant::now();
    let shares: Vec<Vec<_>> = jobs
        .chunks(MELTS.div_ceil(at_once))
        .map(<[_]>::to_vec)
        .collect();
    let tasks = shares.into_iter().zip(purses).map(|(share, purse)| {
        tokio::spawn(async move {
            for (proofs, invoice) in share {
                let quote = purse.quote(&invoice).await.unwrap();
                let blanks = purse.blanks(&quote, &proofs);
                let request = cdk::nuts::MeltRequest::new(
                    quote.quote.clone(),
                    proofs.clone(),
                    Some(blanks.blinded_messages()),
                );
                use cdk::wallet::MintConnector;
                let answer = purse
                    .client
                    .post_melt(&purse::BOLT11, request)
                    .await
                    .unwrap();
                purse.unblind(answer.change().cloned().unwrap_or_default(), &blanks);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    report("bare cdk client", at_once, began.elapsed());
}

/// The same through meltd: adopted, recorded, settled, with a pre-flight check each.
async fn durable<S: Store>(what: &str, store: S, mint: &EmbeddedMint, at_once: usize) {
    // A seed of its own each: two stores must never share counters.
    let urls = [mint.url().to_string()];
    let seed = chain::Hash::of(what.as_bytes()).as_bytes().repeat(2);
    let keychain = Keychain::from_seed(seed.try_into().unwrap());
    let adapter = CdkMint::new(keychain, &urls, Timeouts::default()).unwrap();
    let driver = Driver::new(
        Arc::new(store),
        Arc::new(adapter),
        Arc::new(SystemClock),
        "bench",
    );
    let origin = Origin::new(Producer::new("bench"), Duration::from_secs(60));
    let target = Target {
        npub: NPUB.to_owned(),
        mint_url: None,
        unit: "sat".to_owned(),
    };
    let patience = Duration::from_secs(60);
    for _ in 0..MELTS {
        let funded = driver.submit_mint(&origin, &target, 128).await.unwrap();
        driver
            .drive_until(&funded.saga, funded.lease, patience)
            .await
            .unwrap();
    }
    let invoices = invoices(mint);
    let began = Instant::now();
    let melts = futures::stream::iter(invoices).map(|invoice| {
        let (driver, origin, target) = (driver.clone(), origin.clone(), target.clone());
        tokio::spawn(async move {
            let request = MeltRequest {
                target,
                invoice: invoice.to_string(),
                amount: None,
                fee_limit: None,
                policy: Policy::Block,
            };
            let adopted = driver.submit_melt(&origin, &request).await.unwrap();
            let pass = driver
                .drive_until(&adopted.saga, adopted.lease, patience)
                .await
                .unwrap();
            assert_eq!(pass.unwrap().saga.state, State::Settled);
        })
    });
    melts
        .buffer_unordered(at_once)
        .for_each(|done| async { done.unwrap() })
        .await;
    report(what, at_once, began.elapsed());
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let server = std::env::var("MELTD_TEST_MONGO_URL").unwrap_or_else(|_| {
        panic!("run scripts/services up, then eval \"$(scripts/services env)\"")
    });
    for at_once in [1, 16] {
        let settings = Settings {
            fee_ppk: 100,
            ..Settings::default()
        };
        let mint = EmbeddedMint::start(settings).await.unwrap();
        bare(&mint, at_once).await;
        let sqlite = SqliteStore::open(folder.path().join(format!("{at_once}.db"))).unwrap();
        durable("meltd on SQLite", sqlite, &mint, at_once).await;
        let name = format!("/meltd_bench_{}_{at_once}?", std::process::id());
        let mongo = MongoStore::connect(&server.replace("/?", &name))
            .await
            .unwrap();
        durable("meltd on MongoDB", mongo, &mint, at_once).await;
        mint.stop().await;
    }
}
