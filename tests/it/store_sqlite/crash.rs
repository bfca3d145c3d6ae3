//! `kill -9` at random times: what was acknowledged is there, whole, and at most one append a saga
//! more. (A killed process leaves its page cache to the kernel; that `synchronous=FULL` also
//! survives a power cut is SQLite's own promise.)

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use meltd::ports::{HeadFilter, Store, StoreError};
use meltd::saga::chain::Hash;
use meltd::saga::ids::{Coin, KeysetId, SagaId, Signature, Y};
use meltd::saga::proofs::ProofState::{Pending, Spent, Unspent};
use meltd::saga::proofs::{ProofState, ProofWrite, Token, TransactionType};
use meltd::store::sqlite::SqliteStore;

use crate::store_contract::append::verified;
use crate::store_contract::build::{adopt, mint, shift, wallet};
use crate::store_contract::race::Dice;

/// Names the file for the child; without it the child's test does nothing.
const FILE: &str = "MELTD_TEST_CRASH_FILE";
/// Appends of one saga.
const APPENDS: u32 = 12;
/// Sagas that the child drives at the same time.
const SAGAS: usize = 6;

/// The coin that append `n` of a saga makes. Derived, so that parent and child agree.
fn coin_of(saga: &SagaId, n: u32) -> Coin {
    Coin {
        y: Y::new(Hash::of(format!("{saga}/{n}").as_bytes()).to_hex()),
        keyset: KeysetId::new("00aa"),
        counter: n,
        amount: 8,
    }
}

/// Append `n` makes coin n, sends coin n-1 and spends coin n-2.
fn writes_of(saga: &SagaId, n: u32) -> Vec<ProofWrite> {
    let mut writes = vec![ProofWrite::Insert {
        coin: coin_of(saga, n),
        signature: Signature {
            c: format!("c{n}"),
            e: "e".to_owned(),
            s: "s".to_owned(),
        },
        state: Unspent,
        token: Token::of(saga, "minted", TransactionType::Minted),
    }];
    if n > 1 {
        writes.extend(shift(&[coin_of(saga, n - 1)], Unspent, Pending));
    }
    if n > 2 {
        writes.extend(shift(&[coin_of(saga, n - 2)], Pending, Spent));
    }
    writes
}

/// What coin `i` must be after append `version`.
fn state_of(i: u32, version: u32) -> ProofState {
    match version - i {
        0 => Unspent,
        1 => Pending,
        _ => Spent,
    }
}

/// Not a test by itself: the process that is killed. Says what was acknowledged, line by line.
#[test]
fn crash_child() {
    let Ok(file) = std::env::var(FILE) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Arc::new(SqliteStore::open(file).unwrap());
        let drivers: Vec<_> = (0..SAGAS)
            .map(|_| tokio::spawn(drive_for_ever(Arc::clone(&store))))
            .collect();
        for driver in drivers {
            driver.await.unwrap();
        }
    });
}

async fn drive_for_ever(store: Arc<SqliteStore>) {
    loop {
        let owner = wallet(&*store, "npub1crash").await;
        let mut chain = adopt(&*store, &mint(&owner)).await;
        let saga = chain.saga().clone();
        println!("ack {saga} 0");
        for n in 1..=APPENDS {
            chain.write(&*store, writes_of(&saga, n)).await.unwrap();
            println!("ack {saga} {n}");
        }
        let keyset = KeysetId::new("00aa");
        let start = store.take_counters(&owner.id, &keyset, 3).await.unwrap();
        println!("counters {start}");
    }
}

fn spawn(file: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["store_sqlite::crash::crash_child", "--exact", "--nocapture"])
        .env(FILE, file)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// What the children said before they died.
#[derive(Default)]
struct Acked {
    versions: HashMap<SagaId, u32>,
    counters: Vec<u32>,
}

impl Acked {
    fn note(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["ack", saga, n] => {
                let version = self.versions.entry(SagaId::new(saga)).or_default();
                *version = n.parse::<u32>().unwrap().max(*version);
            }
            ["counters", start] => self.counters.push(start.parse().unwrap()),
            _ => {} // the test harness's own lines
        }
    }
}

/// Runs a child until it has said something, then for `life` more, and kills it.
fn run_and_kill(file: &Path, life: Duration) -> Vec<String> {
    let mut child = spawn(file);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut lines = Vec::new();
    let mut line = String::new();
    while !line.contains("ack ") {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0, "the child ended");
        lines.push(line.trim_end().to_owned());
    }
    let reader = std::thread::spawn(move || {
        let mut rest = String::new();
        while out.read_line(&mut rest).unwrap() > 0 {}
        rest
    });
    std::thread::sleep(life);
    child.kill().unwrap();
    child.wait().unwrap();
    lines.extend(reader.join().unwrap().lines().map(str::to_owned));
    lines
}

/// Invariant: an acknowledged write survives the death of its process at any moment, and an
/// unacknowledged one is there whole or not at all. Two processes share the file, so one dies
/// while the other writes.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_appends_survive_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("meltd.db");
    let mut dice = Dice::new();
    let mut acked = Acked::default();
    for _ in 0..8 {
        let lives = [dice.below(150), dice.below(300)];
        let runs = lives.map(|life| {
            let file = file.clone();
            std::thread::spawn(move || run_and_kill(&file, Duration::from_millis(life)))
        });
        for run in runs {
            let lines = run.join().unwrap();
            lines.iter().for_each(|line| acked.note(line));
        }
        check(&SqliteStore::open(&file).unwrap(), &acked).await;
    }
    let appends: u32 = acked.versions.values().sum();
    println!(
        "{appends} acknowledged appends in {} sagas",
        acked.versions.len()
    );
    assert!(appends > 100, "the children did too little: {appends}");
}

async fn check(store: &SqliteStore, acked: &Acked) {
    let filter = HeadFilter {
        limit: u32::MAX,
        ..HeadFilter::default()
    };
    let heads = store.heads(filter).await.unwrap();
    let outbox = store.outbox(None, u32::MAX).await.unwrap();
    let mut stored = HashMap::new();
    for head in &heads {
        let saga = &head.new.id;
        assert_eq!(verified(store, saga).await, head.version);
        check_proofs(store, saga, head.version).await.unwrap();
        stored.insert(saga, head.version);
    }
    let events: u32 = stored.values().sum();
    assert_eq!(
        outbox.len(),
        events as usize,
        "an outbox row for each event"
    );
    for (saga, acked) in &acked.versions {
        let Some(version) = stored.get(saga) else {
            panic!("{saga} was acknowledged and is gone");
        };
        let more = version.checked_sub(*acked);
        assert!(
            matches!(more, Some(0 | 1)),
            "{saga}: acknowledged {acked}, stored {version}"
        );
    }
    let mut counters = acked.counters.clone();
    counters.sort_unstable();
    assert!(
        counters.windows(2).all(|pair| pair[0] + 3 <= pair[1]),
        "a range was used twice"
    );
    for wallet in store.wallets(None).await.unwrap() {
        for (_, next) in store.counters(&wallet.id).await.unwrap() {
            assert!(counters.last().is_none_or(|last| last + 3 <= next));
        }
    }
}

async fn check_proofs(store: &SqliteStore, saga: &SagaId, version: u32) -> Result<(), StoreError> {
    let ys: Vec<Y> = (1..=APPENDS).map(|n| coin_of(saga, n).y).collect();
    let rows = store.proofs_by_y(&ys).await?;
    assert_eq!(
        rows.len(),
        version as usize,
        "{saga} has a coin for each append"
    );
    for row in rows {
        let expected = state_of(row.coin.counter, version);
        assert_eq!(row.state, expected, "{saga}, coin {}", row.coin.counter);
        assert_eq!(row.saga.is_some(), expected != Unspent);
        assert_eq!(row.spent_at.is_some(), expected == Spent);
    }
    Ok(())
}
