//! What the operator's desk keeps: counted contradictions, paused mints, and a due scan that leaves
//! mints out; and recognising a repeat without adopting it.

use meltd::ports::{DueFilter, Later, Store};
use meltd::saga::code::Code;
use meltd::saga::decide::Doubt;
use meltd::saga::ids::SagaId;

use super::Fixture;
use super::build::{Chain, LONG, OTHER, OVER, OWNER, adopt_for, head, melt, mint, open, wallet};

/// Invariant: a contradiction is kept with its count until the next pass or the next event.
pub(crate) async fn a_doubt_is_kept_until_the_next_pass_or_event<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let new = melt(&alice);
    let mut lease = adopt_for(&*store, &new, LONG).await;
    let doubts = [
        Some((Code::SpentButUnpaid, 1)),
        Some((Code::SpentButUnpaid, 2)),
        Some((Code::InputsMixed, 1)),
        None,
        Some((Code::InputsMixed, 1)),
    ];
    for doubt in doubts {
        let doubt = doubt.map(|(code, passes)| Doubt { code, passes });
        let later = Later {
            wait: OVER,
            why: "odd".to_owned(),
            doubt,
        };
        store.release(&lease, OWNER, Some(later)).await.unwrap();
        assert_eq!(head(&*store, &new.id).await.doubt, doubt);
        lease = store.lease(&new.id, OWNER, LONG).await.unwrap().unwrap();
        // Giving a lease back says nothing about what was seen.
        store.release(&lease, OWNER, None).await.unwrap();
        assert_eq!(head(&*store, &new.id).await.doubt, doubt);
        lease = store.lease(&new.id, OWNER, LONG).await.unwrap().unwrap();
    }
    let mut chain = Chain::new(&new, &lease);
    chain.write(&*store, Vec::new()).await.unwrap();
    assert_eq!(head(&*store, &new.id).await.doubt, None);
}

/// Invariant: the scan can begin at either end, and leaves out the mints that it is told to.
pub(crate) async fn due_leaves_mints_out_and_begins_at_either_end<F: Fixture>(f: &F) {
    let store = open(f).await;
    let (one, two) = ("https://one.example", "https://two.example");
    let mut sagas = Vec::new();
    for n in 0..6 {
        let url = if n % 2 == 0 { one } else { two };
        let alice = store.wallet("npub1alice", url, "sat").await.unwrap();
        let lease = adopt_for(&*store, &mint(&alice), LONG).await;
        store.release(&lease, OWNER, None).await.unwrap();
        sagas.push((lease.saga, url));
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    }
    let due = async |newest, except: &[&str], limit| -> Vec<SagaId> {
        let filter = DueFilter {
            newest,
            except_mints: except.iter().map(|url| (*url).to_owned()).collect(),
            limit,
        };
        let due = store.due(filter).await.unwrap();
        for row in &due {
            assert!(sagas.contains(&(row.saga.clone(), row.mint_url.as_str())));
        }
        due.into_iter().map(|row| row.saga).collect()
    };
    let ids =
        |wanted: &[usize]| -> Vec<SagaId> { wanted.iter().map(|n| sagas[*n].0.clone()).collect() };
    assert_eq!(due(false, &[], 9).await, ids(&[0, 1, 2, 3, 4, 5]));
    assert_eq!(due(true, &[], 4).await, ids(&[5, 4, 3, 2]));
    assert_eq!(due(false, &[one], 2).await, ids(&[1, 3]));
    assert_eq!(
        due(true, &[two, "https://three.example"], 9).await,
        ids(&[4, 2, 0])
    );
    assert!(due(true, &[one, two], 9).await.is_empty());
    store
        .lease(&sagas[5].0, OTHER, LONG)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        due(true, &[], 1).await,
        ids(&[4]),
        "one that is driven is not due"
    );
}

/// Invariant: every process sees a pause; the first one's words stay.
pub(crate) async fn a_pause_is_seen_by_all_until_it_is_ended<F: Fixture>(f: &F) {
    let (store, other) = (open(f).await, open(f).await);
    assert!(store.pauses().await.unwrap().is_empty());
    let (a, b) = ("https://a.example", "https://b.example");
    store.pause_mint(b, "bob", "slow").await.unwrap();
    store.pause_mint(a, "$by", "$$NOW").await.unwrap();
    store.pause_mint(b, "carol", "again").await.unwrap();
    let pauses = other.pauses().await.unwrap();
    let words: Vec<_> = pauses
        .iter()
        .map(|p| (p.mint_url.as_str(), p.by.as_str(), p.reason.as_str()))
        .collect();
    assert_eq!(words, [(a, "$by", "$$NOW"), (b, "bob", "slow")]);
    let age = chrono::Utc::now() - pauses[0].at;
    assert!(age.num_seconds().abs() < 60, "{age}");
    assert!(other.resume_mint(b).await.unwrap());
    assert!(!store.resume_mint(b).await.unwrap());
    assert_eq!(store.pauses().await.unwrap().len(), 1);
}
