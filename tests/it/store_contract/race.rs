//! Many workers at once: whatever the order, each race has exactly one winner and losers change
//! nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use meltd::ports::{Append, HeadFilter, Store, StoreError};
use meltd::saga::ids::{Coin, KeysetId, SagaId, Y};
use meltd::saga::proofs::ProofState::{Reserved, Unspent};

use super::Fixture;
use super::append::verified;
use super::build::{
    Chain, LONG, OVER, adopt, adopt_for, fund, head, melt, mint, open, shift, wallet,
};

/// SplitMix64: small, seeded, the same on every machine. Tests that use it print the seed.
pub(crate) struct Dice(u64);

impl Dice {
    /// From `MELTD_TEST_SEED`, or from the clock.
    pub(crate) fn new() -> Self {
        let seed = std::env::var("MELTD_TEST_SEED")
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(chrono::Utc::now().timestamp_micros() as u64);
        println!("MELTD_TEST_SEED={seed}");
        Dice(seed)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// Appends all at once, from as many tasks; the results in the given order.
async fn append_all<S: Store>(store: &Arc<S>, appends: &[Append]) -> Vec<Result<(), StoreError>> {
    let tasks: Vec<_> = appends
        .iter()
        .map(|append| {
            let (store, append) = (Arc::clone(store), append.clone());
            tokio::spawn(async move { store.append(append).await })
        })
        .collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

/// Who holds each coin now.
async fn holders<S: Store>(store: &S, coins: &[Coin]) -> HashMap<Y, Option<SagaId>> {
    let ys: Vec<Y> = coins.iter().map(|c| c.y.clone()).collect();
    let rows = store.proofs_by_y(&ys).await.unwrap();
    rows.into_iter().map(|row| (row.coin.y, row.saga)).collect()
}

/// Invariant: one version is followed by one append, even by workers that share a fence.
pub(crate) async fn two_writers_of_one_version_have_one_winner<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let mut chain = adopt(&*store, &melt(&alice)).await;
    for round in 1..=10 {
        let rivals: Vec<Append> = (0..8)
            .map(|i| chain.append(1 + i % 3, Vec::new()))
            .collect();
        let results = append_all(&store, &rivals).await;
        let winners: Vec<usize> = (0..8).filter(|i| results[*i].is_ok()).collect();
        assert_eq!(winners.len(), 1, "round {round}: {results:?}");
        assert!(
            results
                .iter()
                .all(|r| matches!(r, Ok(()) | Err(StoreError::Reload)))
        );
        chain.advance(&rivals[winners[0]]);
        assert_eq!(verified(&*store, chain.saga()).await, chain.version());
    }
}

/// Invariant: a coin is held by one saga: of many that choose the same coins one gets all of them,
/// and the others are told which are gone.
pub(crate) async fn sagas_that_want_the_same_coins_have_one_winner<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    for round in 0..10 {
        let coins = fund(&*store, &alice, 3).await;
        let mut rivals = Vec::new();
        for _ in 0..8 {
            rivals.push(adopt(&*store, &melt(&alice)).await);
        }
        let appends: Vec<Append> = rivals
            .iter()
            .map(|chain| chain.append(1, shift(&coins, Unspent, Reserved)))
            .collect();
        let results = append_all(&store, &appends).await;
        let holders = holders(&*store, &coins).await;
        let mut winners = 0;
        for (chain, result) in rivals.iter().zip(results) {
            let version = verified(&*store, chain.saga()).await;
            match result {
                Ok(()) => {
                    winners += 1;
                    assert_eq!(version, 1);
                    assert!(holders.values().all(|h| h.as_ref() == Some(chain.saga())));
                }
                Err(StoreError::ChooseAgain(ys)) => {
                    assert_eq!(version, 0);
                    assert_eq!(ys.len(), 3, "all that are gone are named");
                }
                Err(other) => panic!("round {round}: {other}"),
            }
        }
        assert_eq!(winners, 1, "round {round}");
    }
}

/// Invariant: choices that overlap never share a coin, and nobody is refused without a reason.
pub(crate) async fn overlapping_choices_never_share_a_coin<F: Fixture>(f: &F) {
    let store = open(f).await;
    let mut dice = Dice::new();
    let alice = wallet(&*store, "npub1alice").await;
    for round in 0..15 {
        let coins = fund(&*store, &alice, 8).await;
        let mut rivals = Vec::new();
        for _ in 0..8 {
            let chain = adopt(&*store, &melt(&alice)).await;
            let picked: Vec<Coin> = coins
                .iter()
                .filter(|_| dice.below(3) == 0)
                .cloned()
                .collect();
            rivals.push((chain, picked));
        }
        let appends: Vec<Append> = rivals
            .iter()
            .map(|(chain, picked)| chain.append(1, shift(picked, Unspent, Reserved)))
            .collect();
        let results = append_all(&store, &appends).await;
        let holders = holders(&*store, &coins).await;
        for ((chain, picked), result) in rivals.iter().zip(results) {
            let held = |y: &Y| holders[y].as_ref() == Some(chain.saga());
            match result {
                Ok(()) => assert!(picked.iter().all(|c| held(&c.y)), "round {round}"),
                Err(StoreError::ChooseAgain(ys)) => {
                    assert!(picked.iter().all(|c| !held(&c.y)), "round {round}");
                    assert!(!ys.is_empty());
                    let gone = |y: &Y| picked.iter().any(|c| c.y == *y) && holders[y].is_some();
                    assert!(ys.iter().all(gone), "round {round}: {ys:?}");
                }
                Err(other) => panic!("round {round}: {other}"),
            }
        }
    }
}

/// Invariant: appends that share a transaction do not share their conflicts: of 200 at once the
/// 20 that must fail do, each for its own reason, and the 180 others are durable and whole.
pub(crate) async fn conflicts_in_a_crowd_fail_alone<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let coins = fund(&*store, &alice, 200).await;
    let mut taker = adopt(&*store, &melt(&alice)).await;
    let taken: Vec<Coin> = coins.iter().skip(5).step_by(20).cloned().collect();
    taker
        .write(&*store, shift(&taken, Unspent, Reserved))
        .await
        .unwrap();
    let mut appends = Vec::new();
    for (i, coin) in coins.iter().enumerate() {
        let chain = adopt(&*store, &melt(&alice)).await;
        let mut append = chain.append(2, shift(std::slice::from_ref(coin), Unspent, Reserved));
        if i % 20 == 15 {
            append.fence += 1;
        }
        appends.push(append);
    }
    let results = append_all(&store, &appends).await;
    for (i, (append, result)) in appends.iter().zip(results).enumerate() {
        let (expected, version, holder) = match i % 20 {
            5 => {
                let gone = vec![coins[i].y.clone()];
                (
                    Err(StoreError::ChooseAgain(gone)),
                    0,
                    Some(taker.saga().clone()),
                )
            }
            15 => (Err(StoreError::Reload), 0, None),
            _ => (Ok(()), 2, Some(append.saga.clone())),
        };
        assert_eq!(result, expected, "member {i}");
        assert_eq!(verified(&*store, &append.saga).await, version, "member {i}");
        let held = holders(&*store, std::slice::from_ref(&coins[i])).await;
        assert_eq!(held[&coins[i].y], holder, "member {i}");
    }
}

/// Invariant: a counter is never used twice, whoever takes how many at the same time.
pub(crate) async fn counters_are_never_handed_out_twice<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let keyset = KeysetId::new("00ad268c4d1f5826");
    let mut dice = Dice::new();
    let counts: Vec<u32> = (0..64).map(|_| 1 + dice.below(20) as u32).collect();
    let tasks: Vec<_> = counts
        .iter()
        .map(|count| {
            let (store, wallet, keyset) = (Arc::clone(&store), alice.id.clone(), keyset.clone());
            let count = *count;
            tokio::spawn(async move {
                let start = store.take_counters(&wallet, &keyset, count).await.unwrap();
                start..start + count
            })
        })
        .collect();
    let mut taken = HashSet::new();
    for task in tasks {
        for counter in task.await.unwrap() {
            assert!(
                taken.insert(counter),
                "counter {counter} was handed out twice"
            );
        }
    }
    let next = store.counters(&alice.id).await.unwrap();
    assert_eq!(next, vec![(keyset, counts.iter().sum::<u32>())]);
}

/// Invariant: of many workers that see a free saga one gets it.
pub(crate) async fn concurrent_leases_have_one_holder<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    for _ in 0..5 {
        let new = mint(&alice);
        adopt_for(&*store, &new, OVER).await;
        let tasks: Vec<_> = (0..16)
            .map(|i| {
                let (store, saga) = (Arc::clone(&store), new.id.clone());
                let owner = format!("worker-{i}");
                tokio::spawn(async move { store.lease(&saga, &owner, LONG).await.unwrap() })
            })
            .collect();
        let mut leases = Vec::new();
        for task in tasks {
            leases.extend(task.await.unwrap());
        }
        assert_eq!(leases.len(), 1);
        assert_eq!(leases[0].fence, 2);
        assert_eq!(head(&*store, &new.id).await.fence, 2);
    }
}

/// Invariant: two processes on one store are one system: the lease and the CAS decide, not what
/// either of them remembers.
pub(crate) async fn two_handles_share_one_truth<F: Fixture>(f: &F) {
    let (one, two) = (open(f).await, open(f).await);
    let alice = wallet(&*one, "npub1alice").await;
    assert_eq!(wallet(&*two, "npub1alice").await, alice);
    let new = melt(&alice);
    let old = Chain::new(&new, &adopt_for(&*one, &new, OVER).await);
    let lease = two.lease(&new.id, "other", LONG).await.unwrap().unwrap();
    assert_eq!(
        one.append(old.append(1, Vec::new())).await,
        Err(StoreError::Reload)
    );
    let mut chain = Chain::new(&new, &lease);
    chain.write(&*two, Vec::new()).await.unwrap();
    assert_eq!(verified(&*one, &new.id).await, 1);

    // Both write all the time, to sagas of their own and for the same coins.
    let coins = fund(&*one, &alice, 20).await;
    let mut tasks = Vec::new();
    for coin in &coins {
        for store in [&one, &two] {
            let chain = adopt(&**store, &melt(&alice)).await;
            let append = chain.append(1, shift(std::slice::from_ref(coin), Unspent, Reserved));
            let store = Arc::clone(store);
            tasks.push(tokio::spawn(async move { store.append(append).await }));
        }
    }
    let mut won = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(()) => won += 1,
            Err(StoreError::ChooseAgain(ys)) => assert_eq!(ys.len(), 1),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(won, coins.len());
    let filter = HeadFilter {
        limit: 1_000,
        ..HeadFilter::default()
    };
    let heads = one.heads(filter.clone()).await.unwrap();
    assert_eq!(heads, two.heads(filter).await.unwrap());
    assert_eq!(
        heads
            .iter()
            .filter(|h| h.version == 1 && h.fence == 1)
            .count(),
        coins.len()
    );
}
