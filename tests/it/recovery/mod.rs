//! Recovery of many stuck sagas on a real store: at the speed of the mint, with flat memory, and
//! with new melts going on beside it.

mod stub;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use meltd::clock::SystemClock;
use meltd::driver::Driver;
use meltd::intake::{MeltRequest, Origin, Target};
use meltd::pool::Pool;
use meltd::ports::{DueFilter, Store};
use meltd::recovery::plan::Rules;
use meltd::recovery::run;
use meltd::saga::command::Policy;
use meltd::saga::ids::{Producer, SagaId};
use meltd::saga::proofs::ProofState;
use meltd::saga::state::{State, Status};
use meltd::store::sqlite::SqliteStore;
use tokio_util::sync::CancellationToken;

use crate::cli::scene::ALICE;
use crate::store_contract::Fixture;
use crate::store_contract::build::{adopt, coin, insert, mint, open};
use crate::store_mongo::Mongo;
use crate::store_sqlite::File;
use stub::{COIN, DEAD, KEYSET, Stub, WELL};

/// Coins of one wallet: choosing reads them all, and this is about recovery.
const PER_WALLET: usize = 50;

const PLACES: usize = 32;

type Worker<S> = Driver<S, Stub, SystemClock>;

/// Owners that differ in their last characters only; the checksum is bech32's.
fn owner(n: usize) -> String {
    let hex = format!("{n:064x}");
    let bytes: Vec<u8> = (0..32)
        .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
        .collect();
    let hrp = bech32::Hrp::parse("npub").unwrap();
    bech32::encode::<bech32::Bech32>(hrp, &bytes).unwrap()
}

/// Free coins, put there by a funding of fillers.
async fn fund<S: Store>(store: &S, npub: &str, url: &str, count: usize) {
    let wallet = store.wallet(npub, url, "sat").await.unwrap();
    let mut chain = adopt(store, &mint(&wallet)).await;
    let coins = (0..count).map(|_| {
        let mut coin = coin(COIN);
        coin.keyset = meltd::saga::ids::KeysetId::new(KEYSET);
        insert(chain.saga(), &coin, ProofState::Unspent)
    });
    let coins = coins.collect();
    chain.write(store, coins).await.unwrap();
    chain.end(store, "settled", true).await;
}

async fn submit<S: Store>(
    driver: &Worker<S>,
    npub: &str,
    url: &str,
    invoice: &str,
) -> (SagaId, Duration) {
    let origin = Origin::new(Producer::new("test"), Duration::from_secs(3600));
    let request = MeltRequest {
        target: Target {
            npub: npub.to_owned(),
            mint_url: Some(url.to_owned()),
            unit: "sat".to_owned(),
        },
        invoice: invoice.to_owned(),
        amount: None,
        fee_limit: None,
        policy: Policy::Block,
    };
    let began = Instant::now();
    let submitted = driver.submit_melt(&origin, &request).await.unwrap();
    let driven = driver.drive_until(&submitted.saga, submitted.lease, Duration::ZERO);
    let pass = driven.await.unwrap().unwrap();
    let want = match driver.mint.holds.load(Ordering::SeqCst) {
        true => State::Sent,
        false => State::Settled,
    };
    assert_eq!(pass.saga.state, want, "{:?}", pass.later);
    (submitted.saga, began.elapsed())
}

/// A driver over an empty store, and this many melts that got stuck at each of the two mints.
async fn stuck<S: Store>(store: Arc<S>, well: usize, dead: usize) -> Worker<S> {
    let stub = Stub {
        latency: Duration::from_millis(5),
        ..Stub::default()
    };
    let mut driver = Driver::new(store, Arc::new(stub), Arc::new(SystemClock), "worker");
    driver.tuning.probe_ahead = 0;
    driver.tuning.backoff_first = Duration::ZERO;
    driver.mint.holds.store(true, Ordering::SeqCst);
    let mut work = Vec::new();
    for (url, count) in [(WELL, well), (DEAD, dead)] {
        for first in (0..count).step_by(PER_WALLET) {
            let (npub, size) = (owner(first + 7), PER_WALLET.min(count - first));
            fund(&*driver.store, &npub, url, size).await;
            work.extend((0..size).map(|n| (npub.clone(), url, format!("{url}-{first}-{n}"))));
        }
    }
    let mut tasks = tokio::task::JoinSet::new();
    for (npub, url, invoice) in work {
        while tasks.len() >= 64 {
            tasks.join_next().await.unwrap().unwrap();
        }
        let mut driver = driver.clone();
        // A process each: that no post was answered shall stop none of them.
        driver.breaker = Arc::default();
        tasks.spawn(async move {
            submit(&driver, &npub, url, &invoice).await;
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    driver.mint.holds.store(false, Ordering::SeqCst);
    driver.mint.died.store(true, Ordering::SeqCst);
    // Another process: what this one knew of its mints is gone.
    driver.breaker = Arc::default();
    driver.tuning.backoff_first = Duration::from_millis(250);
    driver
}

/// What is due now, of one mint, up to this many: counting all of them would be most of the work.
async fn due<S: Store>(driver: &Worker<S>, url: &str, limit: usize) -> usize {
    let other = if url == WELL { DEAD } else { WELL };
    let filter = DueFilter {
        newest: false,
        except_mints: vec![other.to_owned()],
        limit: u32::try_from(limit).unwrap(),
    };
    driver.store.due(filter).await.unwrap().len()
}

/// Memory of this process that is really there, in MB.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096 / 1_000_000
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// Guards a start with a backlog: what can be settled is settled at the speed of the mint, a dead
/// mint gets a few questions at a time and holds nobody else's place, and a new melt is paid at
/// once. MELTD_TEST_STUCK sets how many got stuck; it prints its figures.
///
/// Seen red with pages that leave no mint out: the dead mint's sagas filled every page.
async fn worked_off<S: Store>(store: Arc<S>, well: usize) {
    let dead = well / 3;
    let mut driver = stuck(store, well, dead).await;
    assert_eq!(
        (
            due(&driver, WELL, well + 1).await,
            due(&driver, DEAD, dead + 1).await
        ),
        (well, dead)
    );
    fund(&*driver.store, ALICE, WELL, PER_WALLET).await;
    driver.mint.through.store(true, Ordering::SeqCst);
    driver = Pool::new(driver, PLACES).driver;

    let (before, began) = (resident(), Instant::now());
    let stop = CancellationToken::new();
    let (worker, ends) = (driver.clone(), stop.clone());
    let recovering = tokio::spawn(async move {
        run(&worker, Rules::within(PLACES), ends, |scan| {
            assert!(scan.is_ok(), "{scan:?}");
        })
        .await
    });
    let mut waits = Vec::new();
    let mut most = before;
    let limit = Duration::from_secs(60 + well as u64 / 20);
    loop {
        most = most.max(resident());
        if waits.len() < PER_WALLET {
            let invoice = format!("new-{}", waits.len());
            waits.push(submit(&driver, ALICE, WELL, &invoice).await.1);
        }
        if waits.len() == PER_WALLET && due(&driver, WELL, 1).await == 0 {
            break;
        }
        assert!(
            began.elapsed() < limit,
            "{} are left",
            due(&driver, WELL, well).await
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = began.elapsed();
    stop.cancel();
    recovering.await.unwrap().unwrap();
    waits.sort();
    let (p50, worst) = (waits[waits.len() / 2], waits[waits.len() - 1]);
    let rate = well as f64 / took.as_secs_f64();
    let asked = driver.mint.dead_most.load(Ordering::SeqCst);
    println!(
        "{}: {well} stuck sagas settled in {took:?} ({rate:.0}/s) beside {dead} at a dead mint; \
         new melts p50 {p50:?}, worst {worst:?}; memory {before} -> {most} MB; {asked} at once at \
         the dead mint",
        driver.store.health().await.unwrap().about,
    );
    let open = meltd::ports::HeadFilter {
        statuses: vec![Status::Active, Status::Owing, Status::Parked],
        limit: u32::MAX,
        ..meltd::ports::HeadFilter::default()
    };
    let open = driver.store.heads(open).await.unwrap();
    assert_eq!(open.len(), dead, "those at the dead mint wait on");
    assert!(open.iter().all(|head| head.new.wallet.mint_url == DEAD));
    assert!(asked <= Rules::within(PLACES).per_mint, "{asked} at once");
    assert!(p50 < Duration::from_secs(2), "{p50:?}");
    assert!(most - before < 64, "{before} -> {most} MB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_backlog_is_worked_off_while_new_melts_go_on_on_sqlite() {
    let file = File::fresh().await;
    let store = open(&file).await;
    worked_off(store, setting("MELTD_TEST_STUCK", 600)).await;
    file.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_backlog_is_worked_off_while_new_melts_go_on_on_mongodb() {
    let mongo = Mongo::fresh().await;
    let store = open(&mongo).await;
    worked_off(store.clone(), setting("MELTD_TEST_STUCK", 150)).await;
    store.shutdown().await;
    mongo.remove().await;
}

/// Two processes at once: each saga has one worker at a time, and both of them work.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_processes_share_a_backlog() {
    let file = File::fresh().await;
    let first = stuck(open(&file).await, 200, 0).await;
    first.mint.through.store(true, Ordering::SeqCst);
    let mut second = first.clone();
    second.owner = Arc::from("another");
    let stop = CancellationToken::new();
    let began = Instant::now();
    let work = |driver: Worker<SqliteStore>| {
        let stop = stop.clone();
        tokio::spawn(async move { run(&driver, Rules::within(8), stop, |_| {}).await })
    };
    let works = [work(first.clone()), work(second)];
    while due(&first, WELL, 1).await > 0 {
        assert!(began.elapsed() < Duration::from_secs(120));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.cancel();
    for work in works {
        work.await.unwrap().unwrap();
    }
    let heads = meltd::ports::HeadFilter {
        limit: u32::MAX,
        ..meltd::ports::HeadFilter::default()
    };
    let heads = first.store.heads(heads).await.unwrap();
    let melts = heads.iter().filter(|h| h.state == "settled" && h.fence > 1);
    assert_eq!(melts.count(), 200);
}
