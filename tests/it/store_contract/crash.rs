//! `kill -9` at random times: what was acknowledged is there, whole, and at most one append a saga
//! more. A store runs it with two tests of its own: one that is the child ([`drive_sagas`]), and
//! one that starts children ([`run_and_kill`]), kills them and looks ([`Acked::check`]).

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use meltd::ports::{HeadFilter, Store};
use meltd::saga::chain::Hash;
use meltd::saga::ids::{Coin, KeysetId, SagaId, Signature, Y};
use meltd::saga::proofs::ProofState::{Pending, Spent, Unspent};
use meltd::saga::proofs::{ProofState, ProofWrite, Token, TransactionType};

use super::append::verified;
use super::build::{adopt, mint, shift, wallet};

/// Names the store for the child; without it the child's test does nothing.
pub(crate) const PLACE: &str = "MELTD_TEST_CRASH_PLACE";
/// Appends of one saga.
const APPENDS: u32 = 12;
/// Sagas that a child drives at the same time.
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
pub(crate) fn writes_of(saga: &SagaId, n: u32) -> Vec<ProofWrite> {
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

/// The child: drives sagas until it is killed, and says what was acknowledged, line by line.
pub(crate) async fn drive_sagas<S: Store>(store: S) {
    let store = Arc::new(store);
    let drivers: Vec<_> = (0..SAGAS)
        .map(|_| tokio::spawn(drive_for_ever(Arc::clone(&store))))
        .collect();
    for driver in drivers {
        driver.await.unwrap();
    }
}

async fn drive_for_ever<S: Store>(store: Arc<S>) {
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

/// What the children said before they died.
#[derive(Default)]
pub(crate) struct Acked {
    pub(crate) versions: HashMap<SagaId, u32>,
    counters: Vec<u32>,
}

impl Acked {
    /// How many appends were acknowledged.
    pub(crate) fn appends(&self) -> u32 {
        self.versions.values().sum()
    }

    /// True when there were enough lives, and enough came of them; a busy machine needs more.
    pub(crate) fn is_enough(&self, lives: u32, at_least: u32) -> bool {
        let appends = self.appends();
        assert!(lives < 40, "the children do too little: {appends} appends");
        lives >= at_least && appends > 100
    }

    /// Takes in what a child said.
    pub(crate) fn note(&mut self, line: &str) {
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

    /// Compares it with what is stored.
    pub(crate) async fn check<S: Store>(&self, store: &S) {
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
            check_proofs(store, saga, head.version).await;
            stored.insert(saga, head.version);
        }
        let events: u32 = stored.values().sum();
        assert_eq!(
            outbox.len(),
            events as usize,
            "an outbox row for each event"
        );
        for (saga, acked) in &self.versions {
            let Some(version) = stored.get(saga) else {
                panic!("{saga} was acknowledged and is gone");
            };
            let more = version.checked_sub(*acked);
            let fits = matches!(more, Some(0 | 1));
            assert!(fits, "{saga}: acknowledged {acked}, stored {version}");
        }
        self.check_counters(store).await;
    }

    async fn check_counters<S: Store>(&self, store: &S) {
        let mut counters = self.counters.clone();
        counters.sort_unstable();
        let apart = counters.windows(2).all(|pair| pair[0] + 3 <= pair[1]);
        assert!(apart, "a range was used twice");
        for wallet in store.wallets(None).await.unwrap() {
            for (_, next) in store.counters(&wallet.id).await.unwrap() {
                assert!(counters.last().is_none_or(|last| last + 3 <= next));
            }
        }
    }
}

async fn check_proofs<S: Store>(store: &S, saga: &SagaId, version: u32) {
    let ys: Vec<Y> = (1..=APPENDS).map(|n| coin_of(saga, n).y).collect();
    let rows = store.proofs_by_y(&ys).await.unwrap();
    assert_eq!(rows.len(), version as usize, "{saga}: one coin an append");
    for row in rows {
        let expected = state_of(row.coin.counter, version);
        assert_eq!(row.state, expected, "{saga}, coin {}", row.coin.counter);
        assert_eq!(row.saga.is_some(), expected != Unspent);
        assert_eq!(row.spent_at.is_some(), expected == Spent);
    }
}

/// Runs the test `child` on the store at `place` until it has said something, then for `life`
/// more, and kills it.
pub(crate) fn run_and_kill(child: &str, place: &str, life: Duration) -> Vec<String> {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args([child, "--exact", "--nocapture"])
        .env(PLACE, place)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(process.stdout.take().unwrap());
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
    process.kill().unwrap();
    process.wait().unwrap();
    lines.extend(reader.join().unwrap().lines().map(str::to_owned));
    lines
}
