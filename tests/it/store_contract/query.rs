//! Reading: counters, lists and the dump.

use meltd::ports::{Head, HeadFilter, Store, StoreError};
use meltd::saga::command::Kind;
use meltd::saga::ids::KeysetId;
use meltd::saga::proofs::ProofState::{Pending, Reserved, Spent, Unspent};
use meltd::saga::state::Status;

use super::Fixture;
use super::build::{
    LONG, OWNER, adopt, coin, fund, melt, mint, open, receive, saga_id, shift, snapshot, wallet, ys,
};

fn all() -> HeadFilter {
    HeadFilter {
        limit: 1_000,
        ..HeadFilter::default()
    }
}

/// Invariant: every wallet and keyset counts for itself, from 0, without a step back.
pub(crate) async fn counters_are_ranges_without_gaps_of_their_own<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await.id;
    let bob = wallet(&*store, "npub1bob").await.id;
    let (one, two) = (KeysetId::new("00aa"), KeysetId::new("00bb"));
    assert!(store.counters(&alice).await.unwrap().is_empty());
    assert_eq!(store.take_counters(&alice, &one, 5).await.unwrap(), 0);
    assert_eq!(store.take_counters(&alice, &one, 1).await.unwrap(), 5);
    assert_eq!(store.take_counters(&alice, &two, 7).await.unwrap(), 0);
    assert_eq!(store.take_counters(&bob, &one, 3).await.unwrap(), 0);
    assert_eq!(store.take_counters(&alice, &one, 2).await.unwrap(), 6);
    let mut counters = store.counters(&alice).await.unwrap();
    counters.sort();
    assert_eq!(counters, vec![(one.clone(), 8), (two, 7)]);
    assert_eq!(store.counters(&bob).await.unwrap(), vec![(one, 3)]);
}

/// Invariant: a counter never wraps round to one that was used, and none is given out that no
/// secret can be derived from: version 1 keysets end at 2^31.
pub(crate) async fn counters_do_not_overflow<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await.id;
    let v2 = "01".repeat(33);
    for (id, end) in [("00ad268c4d1f5826", 1u32 << 31), (v2.as_str(), u32::MAX)] {
        let keyset = KeysetId::new(id);
        let take = async |count| store.take_counters(&alice, &keyset, count).await;
        assert_eq!(take(end - 1).await, Ok(0));
        let too_many = take(2).await;
        assert!(
            matches!(too_many, Err(StoreError::Unusable(_))),
            "{id}: {too_many:?}"
        );
        assert_eq!(take(1).await, Ok(end - 1));
        let none_left = take(1).await;
        assert!(
            matches!(none_left, Err(StoreError::Unusable(_))),
            "{id}: {none_left:?}"
        );
        let counters = store.counters(&alice).await.unwrap();
        assert!(counters.contains(&(keyset.clone(), end)), "{counters:?}");
        let too_many_at_once = KeysetId::new(format!("{}aa", &id[..id.len() - 2]));
        let refused = store.take_counters(&alice, &too_many_at_once, end).await;
        assert_eq!(refused, Ok(0));
    }
    let v1 = KeysetId::new("00bb268c4d1f5826");
    let refused = store.take_counters(&alice, &v1, (1 << 31) + 1).await;
    assert!(
        matches!(refused, Err(StoreError::Unusable(_))),
        "{refused:?}"
    );
}

/// Invariant: a raised counter is never lowered, and the next range begins there.
pub(crate) async fn counters_are_raised_and_never_lowered<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await.id;
    let (one, two) = (KeysetId::new("00aa"), KeysetId::new("00bb"));
    store.raise_counters(&alice, &one, 500).await.unwrap();
    assert_eq!(store.take_counters(&alice, &one, 3).await, Ok(500));
    store.raise_counters(&alice, &one, 7).await.unwrap();
    assert_eq!(store.take_counters(&alice, &one, 1).await, Ok(503));
    assert_eq!(store.take_counters(&alice, &two, 2).await, Ok(0));
    store.raise_counters(&alice, &two, 2).await.unwrap();
    let mut counters = f.open().await.counters(&alice).await.unwrap();
    counters.sort();
    assert_eq!(counters, vec![(one, 504), (two, 2)]);
}

/// Invariant: a fact is written once; whoever comes later learns what stands.
pub(crate) async fn a_stamp_is_written_once<F: Fixture>(f: &F) {
    let store = open(f).await;
    let stamps = (0..8).map(|n| {
        let store = store.clone();
        tokio::spawn(async move { store.stamp("seed", &format!("value {n}")).await.unwrap() })
    });
    let stamps: Vec<_> = stamps.collect();
    let mut said = Vec::new();
    for stamp in stamps {
        said.push(stamp.await.unwrap());
    }
    assert!(said.iter().all(|value| *value == said[0]), "{said:?}");
    let later = f.open().await;
    assert_eq!(later.stamp("seed", "another").await, Ok(said[0].clone()));
    assert_eq!(later.stamp("other", "x").await, Ok("x".to_owned()));
}

/// Invariant: a store that was just made has nothing to complain of, and a clock that runs.
pub(crate) async fn a_new_store_is_healthy<F: Fixture>(f: &F) {
    let health = open(f).await.health().await.unwrap();
    assert_eq!(health.problems, Vec::<String>::new());
    assert!(!health.about.is_empty());
    let skew = (chrono::Utc::now() - health.now).abs();
    assert!(skew < chrono::TimeDelta::seconds(5), "{skew}");
}

/// Invariant: a list shows what was asked for, all of it, in pages that neither skip nor repeat.
pub(crate) async fn heads_are_filtered_and_paged<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let bob = wallet(&*store, "npub1bob").await;
    for _ in 0..3 {
        adopt(&*store, &melt(&alice)).await;
        adopt(&*store, &mint(&alice)).await;
        adopt(&*store, &receive(&bob, "sealed")).await;
        let mut done = adopt(&*store, &melt(&bob)).await;
        done.end(&*store, "settled", true).await;
        let parked = adopt(&*store, &melt(&bob)).await;
        let mut append = parked.append(1, Vec::new());
        append.head.status = Status::Parked;
        store.append(append).await.unwrap();
    }
    let every = store.heads(all()).await.unwrap();
    assert_eq!(every.len(), 15);
    assert!(every.windows(2).all(|pair| pair[0].new.id < pair[1].new.id));

    let matching = async |filter: HeadFilter, keep: &dyn Fn(&Head) -> bool, count: usize| {
        let expected: Vec<&Head> = every.iter().filter(|h| keep(h)).collect();
        let found = store.heads(filter).await.unwrap();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected);
        assert_eq!(found.len(), count);
    };
    let statuses = vec![Status::Parked, Status::Done];
    let filter = HeadFilter { statuses, ..all() };
    let keep = |h: &Head| matches!(h.status, Status::Parked | Status::Done);
    matching(filter, &keep, 6).await;
    let filter = HeadFilter {
        kind: Some(Kind::Melt),
        ..all()
    };
    matching(filter, &|h| h.new.command.kind() == Kind::Melt, 9).await;
    let filter = HeadFilter {
        wallet: Some(bob.id.clone()),
        ..all()
    };
    matching(filter, &|h| h.new.wallet == bob, 9).await;
    let filter = HeadFilter {
        statuses: vec![Status::Active],
        kind: Some(Kind::Melt),
        wallet: Some(alice.id.clone()),
        ..all()
    };
    let keep = |h: &Head| h.new.wallet == alice && h.new.command.kind() == Kind::Melt;
    matching(filter, &keep, 3).await;

    let mut pages = Vec::new();
    loop {
        let after = pages.last().map(|h: &Head| h.new.id.clone());
        let page = store
            .heads(HeadFilter {
                after,
                limit: 4,
                ..all()
            })
            .await
            .unwrap();
        assert!(page.len() <= 4);
        if page.is_empty() {
            break;
        }
        pages.extend(page);
    }
    assert_eq!(pages, every);
}

/// Invariant: a balance is the sum of rows in a state, of this wallet alone.
pub(crate) async fn proofs_are_filtered_by_state<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let bob = wallet(&*store, "npub1bob").await;
    let coins = fund(&*store, &alice, 8).await;
    let his = fund(&*store, &bob, 1).await;
    let mut chain = adopt(&*store, &melt(&alice)).await;
    chain
        .write(&*store, shift(&coins[..6], Unspent, Reserved))
        .await
        .unwrap();
    chain
        .write(&*store, shift(&coins[..4], Reserved, Pending))
        .await
        .unwrap();
    chain
        .write(&*store, shift(&coins[..2], Pending, Spent))
        .await
        .unwrap();
    for (states, expected) in [
        (vec![], &coins[..]),
        (vec![Spent], &coins[..2]),
        (vec![Pending], &coins[2..4]),
        (vec![Reserved], &coins[4..6]),
        (vec![Unspent], &coins[6..]),
        (vec![Pending, Unspent, Reserved], &coins[2..]),
    ] {
        let rows = store.proofs(&alice.id, &states).await.unwrap();
        let found: Vec<_> = rows.iter().map(|row| row.coin.y.clone()).collect();
        assert_eq!(found, ys(expected), "{states:?}, by Y");
        assert!(rows.iter().all(|row| row.wallet == alice.id));
    }
    let mut asked = ys(&coins[..2]);
    asked.push(his[0].y.clone());
    asked.push(coin(1).y);
    let rows = store.proofs_by_y(&asked).await.unwrap();
    let mut found: Vec<_> = rows.into_iter().map(|row| row.coin.y).collect();
    found.sort();
    assert_eq!(found, ys(&[&coins[..2], &his[..]].concat()));
    assert!(store.proofs_by_y(&[]).await.unwrap().is_empty());
}

/// Invariant: what does not exist is not invented.
pub(crate) async fn unknown_sagas_are_none<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let before = snapshot(&*store).await;
    let ghost = saga_id();
    assert_eq!(store.load(&ghost).await.unwrap(), None);
    assert_eq!(store.lease(&ghost, OWNER, LONG).await.unwrap(), None);
    let lease = meltd::ports::Lease {
        saga: ghost,
        fence: 1,
    };
    assert_eq!(
        store.renew(&lease, OWNER, LONG).await,
        Err(StoreError::Reload)
    );
    store.release(&lease, OWNER, None).await.unwrap();
    let chain = super::build::Chain::new(&mint(&alice), &lease);
    assert_eq!(
        store.append(chain.append(1, Vec::new())).await,
        Err(StoreError::Reload)
    );
    assert_eq!(before, snapshot(&*store).await);
}

/// Invariant: the test that looks for secrets sees every value that is stored.
pub(crate) async fn the_dump_holds_everything<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let mut new = receive(&alice, "what-is-sealed");
    new.intent_key = Some("what-is-intended".to_owned());
    new.reply_to = Some("where-to-reply".to_owned());
    let mut chain = adopt(&*store, &new).await;
    let one = coin(8);
    let born = super::build::insert(chain.saga(), &one, Unspent);
    chain.write(&*store, vec![born]).await.unwrap();
    store
        .take_counters(&alice.id, &KeysetId::new("00cc"), 77)
        .await
        .unwrap();
    let record = store
        .load(&new.id)
        .await
        .unwrap()
        .unwrap()
        .records
        .remove(0);
    let all = store.dump().await.unwrap().join("\n");
    let private = record.private.clone().unwrap();
    let salted: serde_json::Value = serde_json::from_str(&private).unwrap();
    let npub = salted["npub"].as_str().unwrap();
    for text in [
        "npub1alice",
        "https://mint.example",
        alice.id.as_str(),
        new.id.as_str(),
        &new.command_id,
        &new.request_hash,
        "what-is-sealed",
        "what-is-intended",
        "where-to-reply",
        OWNER,
        &record.hash,
        &record.id(),
        "MeltRefused",
        npub,
        one.y.as_str(),
        "00cc",
        "77",
    ] {
        assert!(all.contains(text), "the dump lacks {text}");
    }
}

/// Invariant: the newest come first on demand, in pages, and a change shows in the list of changes.
pub(crate) async fn heads_are_listed_from_the_newest_and_by_their_change<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let mut leases = Vec::new();
    for _ in 0..5 {
        leases.push(adopt(&*store, &melt(&alice)).await);
    }
    let ids = |heads: Vec<Head>| heads.into_iter().map(|h| h.new.id).collect::<Vec<_>>();
    let oldest = ids(store.heads(all()).await.unwrap());
    let newest = HeadFilter {
        newest_first: true,
        limit: 3,
        ..HeadFilter::default()
    };
    let mut pages = ids(store.heads(newest.clone()).await.unwrap());
    assert_eq!(pages.len(), 3);
    let after = pages.last().cloned();
    pages.extend(ids(store
        .heads(HeadFilter { after, ..newest })
        .await
        .unwrap()));
    pages.reverse();
    assert_eq!(pages, oldest);
    let last = store.heads(all()).await.unwrap().pop().unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let since = HeadFilter {
        changed_since: Some(last.updated_at + chrono::TimeDelta::milliseconds(1)),
        ..all()
    };
    assert!(store.heads(since.clone()).await.unwrap().is_empty());
    let first = &mut leases[0];
    first.write(&*store, Vec::new()).await.unwrap();
    assert_eq!(
        ids(store.heads(since).await.unwrap()),
        vec![oldest[0].clone()]
    );
}
