//! Not a test: how many durable appends a second. Run it with
//! `cargo test --release --test it speed -- --ignored --nocapture`.

use std::sync::Arc;
use std::time::Instant;

use meltd::ports::Store;
use meltd::saga::proofs::ProofState::{Pending, Reserved, Spent, Unspent};

use crate::store_contract::Fixture;
use crate::store_contract::build::{adopt, fund, mint, open, shift, wallet};

/// Four appends a saga, each {event, outbox row, three guarded proof moves}.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn appends_per_second() {
    for writers in [1, 4, 16, 64] {
        let file = super::File::fresh().await;
        let store = open(&file).await;
        let alice = wallet(&*store, "npub1alice").await;
        let sagas = 1_600 / writers;
        let mut work = Vec::new();
        for _ in 0..writers {
            work.push(fund(&*store, &alice, sagas * 3).await);
        }
        let started = Instant::now();
        let tasks = work.into_iter().map(|coins| {
            let (store, alice) = (Arc::clone(&store), alice.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                for coins in coins.chunks(3) {
                    let mut chain = adopt(&*store, &mint(&alice)).await;
                    for (from, to) in [
                        (Unspent, Reserved),
                        (Reserved, Pending),
                        (Pending, Reserved),
                        (Reserved, Spent),
                    ] {
                        let begun = Instant::now();
                        chain.write(&*store, shift(coins, from, to)).await.unwrap();
                        times.push(begun.elapsed());
                    }
                }
                times
            })
        });
        let mut times: Vec<_> = futures::future::join_all(tasks)
            .await
            .into_iter()
            .flat_map(Result::unwrap)
            .collect();
        let elapsed = started.elapsed();
        times.sort_unstable();
        println!(
            "{writers:>3} writers: {:>6.0} appends/s, {:>5.0} adoptions/s; append p50 {:?}, p99 {:?}",
            times.len() as f64 / elapsed.as_secs_f64(),
            (writers * sagas) as f64 / elapsed.as_secs_f64(),
            times[times.len() / 2],
            times[times.len() * 99 / 100],
        );
        store.outbox(None, 1).await.unwrap();
    }
}
