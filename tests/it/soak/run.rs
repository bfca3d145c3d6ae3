//! Doing it: threads that bring commands, processes that serve, one that recovers, a store that
//! dies; and the end of all faults.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use meltd::mint::embedded::Outcome;
use serde_json::Value;

use super::ground::Ground;
use super::plan::{self, WALLETS};
use super::serving::Slot;
use super::ways::{Done, bring, npub, until_death};
use super::{Size, books};
use crate::proxy::chaos::Chaos;
use crate::real_life::stage::{On, Stage};

/// Threads that bring commands at the same time.
const BRINGERS: u64 = 6;

/// Processes that serve at the same time.
const SLOTS: u64 = 2;

/// Requests of a thousand that the proxy disturbs.
const FAULTS_PER_MILLE: u64 = 120;

/// What each wallet is given for each melt of the soak: twice what an average melt costs, in coins
/// small enough that several melts find some.
const FUNDED_PER_MELT: u64 = 60;

/// How long recovery is run without faults before what is left is called stuck: a command that a
/// dead process held comes again after half a minute.
const LAST: Duration = Duration::from_secs(90);

/// What died, and how often.
#[derive(Debug, Default)]
struct Deaths {
    recoveries: AtomicU64,
    killed_recoveries: AtomicU64,
    serving: AtomicU64,
}

/// Runs the soak and balances the books.
pub(super) async fn soak(on: On, size: Size) {
    let Size { seed, melts, .. } = size;
    println!("soak on {on:?}: MELTD_TEST_SEED={seed} MELTD_SOAK_MELTS={melts}");
    let began = Instant::now();
    let mut ground = Ground::new(on, size.nodes).await;
    fund(&ground.stage, melts);
    ground.stage.proxy.chaos(Chaos::new(seed, FAULTS_PER_MILLE));
    let slots: Vec<Slot> = (0..SLOTS).map(Slot::new).collect();
    let deaths = Deaths::default();
    let faults = Instant::now();
    let done = tokio::task::block_in_place(|| under_faults(&ground, &slots, size, &deaths));
    let busy = faults.elapsed();
    let (_servers, store_deaths) = ground.store_stays().await;
    ground.stage.proxy.honest();
    let last = slots[0].last(&ground.stage);
    let left = finish(&ground, seed, &done).await;
    println!(
        "melts {}, under faults for {} s",
        done.len(),
        busy.as_secs()
    );
    println!("faults on the wire: {:?}", ground.stage.proxy.acts());
    println!("killed: {deaths:?}, the store {store_deaths} times");
    books::balance(&ground, &done, &left).await;
    drop(last);
    ground.stage.end().await;
    println!("the whole took {} s", began.elapsed().as_secs());
}

/// Everything at once, until every command was brought or the time is over.
fn under_faults(ground: &Ground, slots: &[Slot], size: Size, deaths: &Deaths) -> Vec<Done> {
    let (seed, began) = (size.seed, Instant::now());
    let done = Mutex::new(Vec::new());
    let over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let (done, over) = (&done, &over);
        let work = move |bringer: u64| {
            let mine = (bringer..size.melts).step_by(usize::try_from(BRINGERS).unwrap());
            for n in mine.take_while(|_| began.elapsed() < size.limit) {
                if let Some(away) = plan::store_dies(seed, n) {
                    ground.kill_store(away);
                }
                let one = bring(ground, slots, seed, n);
                done.lock().unwrap().push(one);
            }
        };
        let bringers: Vec<_> = (0..BRINGERS)
            .map(|b| threads.spawn(move || work(b)))
            .collect();
        for slot in slots {
            threads.spawn(move || {
                let killed = slot.lives(&ground.stage, seed, over);
                deaths.serving.fetch_add(killed, Ordering::SeqCst);
            });
        }
        threads.spawn(move || {
            while !over.load(Ordering::SeqCst) {
                let n = deaths.recoveries.fetch_add(1, Ordering::SeqCst);
                let recover = ["recover", "--wait", "500ms", "--json"];
                let (exit, _) = until_death(&ground.stage, &recover, plan::recovery(seed, n));
                let killed = u64::from(exit == -1);
                deaths.killed_recoveries.fetch_add(killed, Ordering::SeqCst);
            }
        });
        let brought: Vec<_> = bringers.into_iter().map(|bringer| bringer.join()).collect();
        over.store(true, Ordering::SeqCst);
        brought.into_iter().for_each(|result| result.unwrap());
    });
    done.into_inner().unwrap()
}

/// Each wallet's share, in pieces of about 500 sat.
fn fund(stage: &Stage, melts: u64) {
    let each = (melts * FUNDED_PER_MELT * 2 / WALLETS).max(3000);
    for wallet in 0..WALLETS {
        for piece in 0..each.div_ceil(1000) {
            stage.scene.mint_to(&npub(wallet), 1000 - piece % 7);
        }
    }
}

/// No more faults: what is open at the Lightning node is decided, the queue and the outbox empty
/// themselves, and recovery runs until nothing is left to do. Returns the sagas that are not done.
async fn finish(ground: &Ground, seed: u64, done: &[Done]) -> Vec<Value> {
    let stage = &ground.stage;
    let began = Instant::now();
    while began.elapsed() < LAST {
        settle(stage, seed, done);
        stage.scene.json(&["recover", "--wait", "2s"]);
        // The mint holds a post as long as its payment is open and nobody asks; the wire may still
        // bring one that begins another payment.
        let is_quiet = stage.proxy.is_quiet() && ground.queued().await == 0;
        if is_quiet && unfinished(stage).is_empty() && is_published(stage) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    println!(
        "all was quiet {} s after the last fault",
        began.elapsed().as_secs()
    );
    stage.proxy.quiet();
    assert_eq!(ground.queued().await, 0, "commands that nobody takes");
    assert!(is_published(stage), "events that nobody publishes");
    unfinished(stage)
}

fn settle(stage: &Stage, seed: u64, done: &[Done]) {
    let lightning = stage.scene.mint.lightning();
    for one in done {
        let outcome = match plan::ends_paid(seed, one.n) {
            true => Outcome::Paid { ln_fee: 1 },
            false => Outcome::Failed,
        };
        // Most have nothing open.
        let _ = lightning.settle(one.invoice.payment_hash(), outcome);
    }
}

fn unfinished(stage: &Stage) -> Vec<Value> {
    let open = ["saga", "list", "--status", "active,owing,parked"];
    let list = stage
        .scene
        .json(&[&open[..], &["--limit", "100000"]].concat());
    list.exits(0)["sagas"].as_array().unwrap().clone()
}

fn is_published(stage: &Stage) -> bool {
    let status = stage.scene.json(&["relay", "status"]).exits(0);
    status["outbox"]["rows"] == 0
}
