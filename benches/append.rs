//! Sagas per second through `append`, on MongoDB and on SQLite: a head insert, then the two
//! transactions of a melt's happy path, with three coins in and one back. No mint.
//!
//! `scripts/services up && eval "$(scripts/services env)" && cargo bench --all-features --bench append`
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use meltd::ports::{Adopted, Append, HeadAfter, Lease, NewSaga, Store, Wallet};
use meltd::saga::chain::{self, Tail};
use meltd::saga::command::{Command, MeltCommand, MintCommand, Policy};
use meltd::saga::event::*;
use meltd::saga::evolve::evolve;
use meltd::saga::ids::*;
use meltd::saga::proofs::project_proofs;
use meltd::saga::state::{Adoption, Saga};
use meltd::store::mongo::MongoStore;
use meltd::store::sqlite::SqliteStore;

const COINS: u32 = 3;

/// Each wallet's coins have names of their own.
static OWNERS: AtomicU64 = AtomicU64::new(1);

fn coin(owner: u64, counter: u32) -> Coin {
    let y = Y::new(format!("02{owner:032x}{counter:032x}"));
    Coin {
        y,
        keyset: KeysetId::new("00aabbccddeeff00"),
        counter,
        amount: 64,
    }
}

fn signatures(count: usize) -> Vec<Signature> {
    let text = |c: char| c.to_string().repeat(64);
    let one = Signature {
        c: format!("02{}", text('c')),
        e: text('e'),
        s: text('5'),
    };
    vec![one; count]
}

/// A saga as the bench drives it: the chain's tail and the fold, as the driver has them.
struct Bench {
    saga: Saga,
    tail: Tail,
    lease: Lease,
}

async fn adopt<S: Store>(store: &S, wallet: &Wallet, command: Command) -> Bench {
    let id = SagaId::new(uuid::Uuid::now_v7().to_string());
    let new = NewSaga {
        id: id.clone(),
        wallet: wallet.clone(),
        producer: Producer::new("bench"),
        command_id: id.to_string(),
        intent_key: None,
        request_hash: "00".repeat(32),
        command: command.clone(),
        reply_to: None,
    };
    let Adopted::New(lease) = store
        .adopt(new, "bench", Duration::from_secs(60))
        .await
        .unwrap()
    else {
        panic!("not new")
    };
    let adoption = Adoption {
        id: id.clone(),
        wallet: wallet.id.clone(),
        npub: wallet.npub.clone(),
        mint_url: wallet.mint_url.clone(),
        unit: wallet.unit.clone(),
        request_hash: "00".repeat(32),
        command: command.clone(),
    };
    let hash = chain::genesis(&id);
    let tail = Tail {
        saga: id,
        kind: command.kind(),
        seq: 0,
        hash,
    };
    Bench {
        saga: Saga::adopted(adoption),
        tail,
        lease,
    }
}

async fn append<S: Store>(store: &S, bench: &mut Bench, entries: Vec<Entry>) {
    let expected_version = bench.tail.seq;
    let mut records = Vec::new();
    for entry in &entries {
        bench.saga = evolve(bench.saga.clone(), entry).unwrap();
        records.push(chain::seal(&mut bench.tail, entry, Utc::now(), "salt").unwrap());
    }
    let id = bench.lease.saga.clone();
    let append = Append {
        wallet: bench.saga.adoption.wallet.clone(),
        expected_version,
        reply: None,
        fence: bench.lease.fence,
        records,
        proofs: project_proofs(&id, &entries),
        head: HeadAfter {
            head_hash: bench.tail.hash.to_hex(),
            state: bench.saga.state.as_str().to_owned(),
            status: bench.saga.status(),
            holds_claims: true,
            erase_sealed: false,
        },
        saga: id,
    };
    store.append(append).await.unwrap();
}

/// Coins for so many melts, by one mint saga.
async fn fund<S: Store>(store: &S, wallet: &Wallet, owner: u64, sagas: u32) {
    let amount = u64::from(sagas * COINS) * 64;
    let command = Command::Mint(MintCommand {
        amount,
        deadline: Utc::now(),
    });
    let mut bench = adopt(store, wallet, command).await;
    let quote = Event::MintQuoteCreated(MintQuoteCreated {
        wallet: wallet.id.clone(),
        mint_url: wallet.mint_url.clone(),
        unit: "sat".to_owned(),
        amount,
        expires_at: None,
        locked: false,
    });
    let coins: Vec<Coin> = (0..sagas * COINS)
        .map(|counter| coin(owner, counter))
        .collect();
    let amounts = vec![64; coins.len()];
    let outputs = Outputs {
        keyset: KeysetId::new("00aabbccddeeff00"),
        start: 0,
        amounts,
    };
    let private = Private {
        signatures: signatures(coins.len()),
        ..Private::default()
    };
    let minted = Entry {
        event: Event::Minted(Minted { coins }),
        private,
    };
    let sent = Event::MintSent(MintSent {
        outputs,
        attempt: 1,
    });
    append(store, &mut bench, vec![quote.into(), sent.into(), minted]).await;
}

/// One melt: a head insert and two transactions.
async fn melt<S: Store>(store: &S, wallet: &Wallet, owner: u64, at: u32) {
    let now = Utc::now();
    let later = now + TimeDelta::hours(1);
    let payment_hash = chain::Hash::of(uuid::Uuid::now_v7().as_bytes()).to_hex();
    let command = Command::Melt(MeltCommand {
        invoice: "lnbc1".to_owned(),
        payment_hash: payment_hash.clone(),
        amount_msat: 150_000,
        amountless: false,
        invoice_expires_at: later,
        fee_limit: None,
        policy: Policy::Block,
        deadline: later,
    });
    let mut bench = adopt(store, wallet, command).await;
    let inputs: Vec<Coin> = (at * COINS..(at + 1) * COINS)
        .map(|c| coin(owner, c))
        .collect();
    let ys: Vec<Y> = inputs.iter().map(|c| c.y.clone()).collect();
    let keyset = KeysetId::new("00aabbccddeeff00");
    let requested = Event::MeltRequested(MeltRequested {
        wallet: wallet.id.clone(),
        mint_url: wallet.mint_url.clone(),
        unit: "sat".to_owned(),
        request_hash: "00".repeat(32),
        payment_hash,
        amount_msat: 150_000,
        amountless: false,
        invoice_expires_at: later,
        fee_limit: None,
        policy: Policy::Block,
        deadline: later,
    });
    let private = Private {
        npub: Some(wallet.npub.clone()),
        invoice: Some("lnbc1".to_owned()),
        ..Private::default()
    };
    let quoted = QuoteCreated {
        amount: 150,
        fee_reserve: 3,
        expires_at: later,
    };
    let quote_id = Private {
        quote_id: Some("quote".to_owned()),
        ..Private::default()
    };
    let plan = Plan {
        inputs,
        way: Way::Direct,
        input_fee: 1,
        change_keyset: keyset.clone(),
        blanks: 6,
        max_change: 41,
        guaranteed_change: 38,
    };
    let passed = PreflightPassed {
        plan,
        findings: Vec::new(),
        corrections: Vec::new(),
    };
    let sent = ProofsSent {
        inputs: ys.clone(),
        input_amount: 192,
        input_fee: 1,
        blanks: Some(Range {
            keyset,
            start: 1_000_000 + at * 6,
            count: 6,
        }),
        max_change: 41,
        guaranteed_change: 38,
        attempt: 1,
    };
    let first = vec![
        Entry {
            event: requested,
            private,
        },
        Entry {
            event: Event::QuoteCreated(quoted),
            private: quote_id,
        },
        Event::PreflightPassed(passed).into(),
        Event::ProofsSent(sent).into(),
    ];
    append(store, &mut bench, first).await;
    let mut change = coin(owner, 1_000_000 + at * 6);
    change.amount = 40;
    let committed = Event::AtomicCommitted(AtomicCommitted {
        inputs: ys,
        change: vec![change],
        amount: 150,
        input_fee: 1,
        fee_paid: 1,
        change_owed: 0,
        change_open: false,
        violations: Vec::new(),
        atomic_result: AtomicResult::default(),
    });
    let private = Private {
        signatures: signatures(1),
        ..Private::default()
    };
    let second = vec![
        Event::MeltPaid(MeltPaid { proven: true }).into(),
        Entry {
            event: committed,
            private,
        },
    ];
    append(store, &mut bench, second).await;
}

/// So many workers, each with a wallet of its own or all on one; prints sagas per second.
async fn measure<S: Store>(name: &str, store: Arc<S>, workers: u32, each: u32, shared: bool) {
    let mut wallets = Vec::new();
    for worker in 0..workers {
        let owner = OWNERS.fetch_add(1, Ordering::Relaxed);
        let number = if shared { 0 } else { worker };
        let npub = format!(
            "npub-{name}-{workers}-{shared}-{number}-{}",
            std::process::id()
        );
        let wallet = store.wallet(&npub, "http://mint", "sat").await.unwrap();
        fund(&*store, &wallet, owner, each).await;
        wallets.push((wallet, owner));
    }
    let began = Instant::now();
    let mut tasks = Vec::new();
    for (wallet, owner) in wallets {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let mut slowest = Vec::new();
            for at in 0..each {
                let one = Instant::now();
                melt(&*store, &wallet, owner, at).await;
                slowest.push(one.elapsed());
            }
            slowest
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    let took = began.elapsed();
    times.sort();
    let per_second = f64::from(workers * each) / took.as_secs_f64();
    let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    let wallets = if shared { "one wallet" } else { "own wallets" };
    println!(
        "{name:8} {workers:3} at once, {wallets:11}  {per_second:7.0} sagas/s  \
         p50 {p50:>9.2?}  p99 {p99:>9.2?}"
    );
}

async fn all<S: Store>(name: &str, store: S) {
    let store = Arc::new(store);
    for workers in [1, 16, 64] {
        let each = if workers == 1 { 300 } else { 3200 / workers };
        measure(name, store.clone(), workers, each, false).await;
    }
    measure(name, store, 50, 40, true).await;
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    all(
        "sqlite",
        SqliteStore::open(folder.path().join("bench.db")).unwrap(),
    )
    .await;
    let server = std::env::var("MELTD_TEST_MONGO_URL").unwrap_or_else(|_| {
        panic!("run scripts/services up, then eval \"$(scripts/services env)\"")
    });
    let uri = server.replace("/?", &format!("/meltd_bench_{}?", std::process::id()));
    all("mongodb", MongoStore::connect(&uri).await.unwrap()).await;
}
