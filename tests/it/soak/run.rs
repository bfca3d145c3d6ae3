//! Doing it: workers that submit, a worker that recovers, and the end of all faults.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cdk::Bolt11Invoice;
use meltd::mint::embedded::{Outcome, Settings};
use serde_json::Value;

use super::plan::{self, Death, Melt, WALLETS};
use super::{Size, books};
use crate::proxy::chaos::Chaos;
use crate::real_life::stage::{On, Running, Stage};

/// Processes that submit at the same time.
const WORKERS: u64 = 6;

/// Requests of a thousand that the proxy disturbs.
const FAULTS_PER_MILLE: u64 = 120;

/// What each wallet is given for each melt of the soak: twice what an average melt costs, in coins
/// small enough that several melts find some.
const FUNDED_PER_MELT: u64 = 60;

/// How often recovery is run without faults before what is left is called stuck.
const LAST_ROUNDS: u32 = 12;

/// One melt that was submitted, and what its caller was told.
pub(super) struct Done {
    pub(super) n: u64,
    pub(super) melt: Melt,
    pub(super) invoice: Bolt11Invoice,
    /// The exit code; -1 = killed.
    pub(super) exit: i32,
    /// `paymentResult`, if there was a document.
    pub(super) told: Option<String>,
}

pub(super) fn npub(wallet: u64) -> String {
    let key = [u8::try_from(wallet + 1).unwrap(); 32];
    let hrp = bech32::Hrp::parse("npub").unwrap();
    bech32::encode::<bech32::Bech32>(hrp, &key).unwrap()
}

/// Runs the soak and balances the books.
pub(super) async fn soak(on: On, size: Size) {
    let Size { seed, melts, limit } = size;
    println!("soak on {on:?}: MELTD_TEST_SEED={seed} MELTD_SOAK_MELTS={melts}");
    let began = Instant::now();
    let settings = Settings {
        fee_ppk: 100,
        ..Settings::default()
    };
    let stage = Stage::with(on, settings)
        .await
        .set("MELTD_ASK_TIMEOUT_MS", "700");
    fund(&stage, melts);
    stage.proxy.chaos(Chaos::new(seed, FAULTS_PER_MILLE));
    let done = Mutex::new(Vec::new());
    let over = AtomicBool::new(false);
    let recoveries = AtomicU64::new(0);
    let deaths = AtomicU64::new(0);
    std::thread::scope(|threads| {
        let work = |worker: u64| {
            let mine = (worker..melts).step_by(usize::try_from(WORKERS).unwrap());
            for n in mine.take_while(|_| began.elapsed() < limit) {
                let one = submit(&stage, seed, n);
                done.lock().unwrap().push(one);
            }
        };
        let workers: Vec<_> = (0..WORKERS)
            .map(|w| threads.spawn(move || work(w)))
            .collect();
        threads.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                let n = recoveries.fetch_add(1, Ordering::SeqCst);
                let recover = ["recover", "--wait", "500ms", "--json"];
                let said = until_death(&stage, &recover, plan::recovery(seed, n));
                deaths.fetch_add(u64::from(said.0 == -1), Ordering::SeqCst);
            }
        });
        let worked: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        over.store(true, Ordering::SeqCst);
        worked.into_iter().for_each(|result| result.unwrap());
    });
    let busy = began.elapsed();
    stage.proxy.honest();
    let done = done.into_inner().unwrap();
    let left = finish(&stage, seed, &done);
    let killed = done.iter().filter(|one| one.exit == -1).count();
    println!(
        "melts {}, under faults for {} s",
        done.len(),
        busy.as_secs()
    );
    println!("faults on the wire: {:?}", stage.proxy.acts());
    let recoveries = recoveries.into_inner();
    let deaths = deaths.into_inner();
    println!("killed: {killed} melts; {deaths} of {recoveries} recoveries");
    books::balance(&stage, &done, &left).await;
    stage.end().await;
    println!("the whole took {} s", began.elapsed().as_secs());
}

/// Each wallet's share, in pieces of about 500 sat.
fn fund(stage: &Stage, melts: u64) {
    let each = (melts * FUNDED_PER_MELT * 2 / WALLETS).max(4000);
    for wallet in 0..WALLETS {
        for piece in 0..each.div_ceil(1000) {
            stage.scene.mint_to(&npub(wallet), 1000 - piece % 7);
        }
    }
}

fn submit(stage: &Stage, seed: u64, n: u64) -> Done {
    let melt = Melt::of(seed, n);
    let invoice = stage.scene.invoice(melt.sat, melt.script.clone());
    let timeout = format!("{}ms", melt.timeout_ms);
    let (npub, text) = (npub(melt.wallet), invoice.to_string());
    let args = [
        "melt",
        "--json",
        "--npub",
        &npub,
        &text,
        "--timeout",
        &timeout,
        "--wait",
        "2s",
        "--policy",
        "reselect",
    ];
    let (exit, answer) = until_death(stage, &args, melt.death);
    let told = answer["paymentResult"].as_str().map(str::to_owned);
    Done {
        n,
        melt,
        invoice,
        exit,
        told,
    }
}

/// Runs the binary to its end, its own or the given one: the exit code, and what it answered.
fn until_death(stage: &Stage, args: &[&str], death: Option<Death>) -> (i32, Value) {
    let mut command = stage.scene.command(args);
    if let Some(Death::At(point, nth)) = death {
        command.env("MELTD_FAILPOINT", format!("{point}:{nth}"));
    }
    let running = Running::start(&mut command);
    if let Some(Death::After(time)) = death {
        std::thread::sleep(time);
        running.signal("KILL");
    }
    let said = running.ends();
    assert_ne!(said.exit, 101, "it panicked: {said:?}");
    assert_ne!(said.exit, 2, "it was called wrongly: {said:?}");
    let answer = serde_json::from_str(&said.stdout).unwrap_or(Value::Null);
    (said.exit, answer)
}

/// No more faults: what is open at the Lightning node is decided, and recovery runs until nothing
/// is left to do. Returns the sagas that are not done.
fn finish(stage: &Stage, seed: u64, done: &[Done]) -> Vec<Value> {
    for _ in 0..LAST_ROUNDS {
        settle(stage, seed, done);
        stage.scene.json(&["recover", "--wait", "10s"]);
        // The mint holds a post as long as its payment is open and nobody asks; the wire may still
        // bring one that begins another payment.
        if unfinished(stage).is_empty() && stage.proxy.is_quiet() {
            break;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    stage.proxy.quiet();
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
    let open = [
        "saga",
        "list",
        "--status",
        "active,owing,parked",
        "--limit",
        "100000",
    ];
    let list = stage.scene.json(&open).exits(0);
    list["sagas"].as_array().unwrap().clone()
}
