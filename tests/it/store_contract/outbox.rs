//! The outbox: what an append leaves in it, and how rows wait, are put aside, taken away and put
//! back.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use meltd::ports::{Again, Link, Mark, Outbox, OutboxReply, OutboxRow, Store, StoreError};
use meltd::saga::ids::SagaId;
use meltd::saga::proofs::ProofState::{Reserved, Unspent};

use super::Fixture;
use super::build::{LONG, adopt, coin, melt, open, saga_id, shift, wallet};

/// A mark of a stream that was made some time ago.
pub(crate) fn mark(sequence: u64) -> Mark {
    Mark {
        created: DateTime::from_timestamp(1_790_000_000, 123_456_789).unwrap(),
        sequence,
        id: format!("message-{sequence}"),
    }
}

async fn rows<S: Outbox>(store: &S) -> Vec<OutboxRow> {
    store.outbox(None, 100).await.unwrap()
}

fn ids(rows: &[OutboxRow]) -> Vec<String> {
    rows.iter().map(|row| row.id.clone()).collect()
}

/// (id, round) of rows, as a relay that has read them settles them.
fn settled(rows: &[OutboxRow]) -> Vec<(String, u64)> {
    rows.iter().map(|row| (row.id.clone(), row.round)).collect()
}

/// Invariant: the relay sees every event once, in order within its saga, with all that its message
/// needs, until it is taken away; that leaves the log alone.
pub(crate) async fn the_outbox_is_ordered_and_emptied<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let mut first = adopt(&*store, &melt(&alice)).await;
    let mut second = adopt(&*store, &melt(&alice)).await;
    second.write(&*store, Vec::new()).await.unwrap();
    let many = first.append(11, Vec::new());
    store.append(many.clone()).await.unwrap();
    first.advance(&many);
    second.write(&*store, Vec::new()).await.unwrap();

    let id = |saga: &SagaId, seq: u32| format!("{saga}:{seq:06}");
    let mut expected: Vec<String> = (1..=11).map(|seq| id(first.saga(), seq)).collect();
    expected.extend((1..=2).map(|seq| id(second.saga(), seq)));
    let all = rows(&*store).await;
    assert_eq!(ids(&all), expected);
    for (row, record) in all.iter().zip(&many.records) {
        let record = record.clone();
        let expected = OutboxRow {
            id: record.id(),
            saga: record.saga,
            subject: format!("melt.events.{}", record.name),
            body: record.body,
            link: Some(Link {
                seq: record.seq,
                hash: record.hash,
                prev_hash: record.prev_hash,
            }),
            round: 0,
            attempts: 0,
            due: true,
            parked: false,
            last_error: None,
        };
        assert_eq!(*row, expected);
    }
    assert_eq!(store.outbox(None, 3).await.unwrap(), all[..3]);
    let middle = store.outbox(Some(&expected[2]), 4).await.unwrap();
    assert_eq!(middle, all[3..7]);
    let end = store.outbox(Some(&expected[12]), 4).await.unwrap();
    assert!(end.is_empty());
    assert!(store.outbox(None, 0).await.unwrap().is_empty());

    store.outbox_settle(&[], &mark(1), 1).await.unwrap();
    let mut gone = settled(&[all[0].clone(), all[12].clone()]);
    gone.push(("unknown:000001".to_owned(), 0));
    store.outbox_settle(&gone, &mark(2), 1).await.unwrap();
    assert_eq!(rows(&*store).await, all[1..12]);
    store.outbox_settle(&gone, &mark(2), 1).await.unwrap();
    let every = settled(&all);
    store.outbox_settle(&every, &mark(3), 1).await.unwrap();
    assert!(rows(&*store).await.is_empty());
    assert_eq!(super::append::verified(&*store, first.saga()).await, 11);
}

/// Invariant: a reply is written with the events that it tells of, and read behind them.
pub(crate) async fn a_reply_is_a_row_behind_its_record<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let mut chain = adopt(&*store, &melt(&alice)).await;
    let mut append = chain.append(2, Vec::new());
    append.reply = Some(OutboxReply {
        subject: "melt.reply.shop.till-1".to_owned(),
        body: "{\"ok\":true}".to_owned(),
    });
    store.append(append.clone()).await.unwrap();
    chain.advance(&append);
    chain.write(&*store, Vec::new()).await.unwrap();

    let saga = chain.saga();
    let expected = ["000001", "000002", "000002:reply", "000003"].map(|s| format!("{saga}:{s}"));
    let all = rows(&*store).await;
    assert_eq!(ids(&all), expected);
    let reply = &all[2];
    assert_eq!(reply.subject, "melt.reply.shop.till-1");
    assert_eq!(reply.body, "{\"ok\":true}");
    assert_eq!((&reply.saga, &reply.link), (saga, &None));
    assert_eq!(super::append::verified(&*store, saga).await, 3);

    store
        .outbox_settle(&settled(&all), &mark(9), 1)
        .await
        .unwrap();
    store.outbox_refill_saga(saga).await.unwrap();
    assert_eq!(rows(&*store).await.len(), 3, "replies are not put back");
}

/// Invariant: what is not appended is not published, its reply neither.
pub(crate) async fn a_failed_append_leaves_no_row<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let chain = adopt(&*store, &melt(&alice)).await;
    let mut append = chain.append(2, shift(&[coin(8)], Unspent, Reserved));
    append.reply = Some(OutboxReply {
        subject: "melt.reply.shop.a".to_owned(),
        body: "{}".to_owned(),
    });
    let refused = store.append(append).await;
    assert!(
        matches!(refused, Err(StoreError::ChooseAgain(_))),
        "{refused:?}"
    );
    assert!(rows(&*store).await.is_empty());
}

/// Invariant: a row that the bus did not take waits by the store's clock, and says why.
pub(crate) async fn a_row_that_failed_waits_and_is_due_again<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let mut chain = adopt(&*store, &melt(&alice)).await;
    chain.write(&*store, Vec::new()).await.unwrap();
    let id = rows(&*store).await[0].id.clone();
    store.outbox_put_off(&id, LONG, "$why not").await.unwrap();
    let row = rows(&*store).await.remove(0);
    assert_eq!((row.attempts, row.due, row.parked), (1, false, false));
    assert_eq!(row.last_error.as_deref(), Some("$why not"));

    let short = Duration::from_millis(100);
    store.outbox_put_off(&id, short, "again").await.unwrap();
    let began = Instant::now();
    while !rows(&*store).await[0].due {
        assert!(began.elapsed() < Duration::from_secs(20), "never due");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(rows(&*store).await[0].attempts, 2);
    store.outbox_put_off("no:000001", LONG, "x").await.unwrap();
}

/// Invariant: a parked row is shown with its reason, and goes on when a person says so.
pub(crate) async fn a_parked_row_stays_until_it_is_let_go<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let chain = adopt(&*store, &melt(&alice)).await;
    store.append(chain.append(3, Vec::new())).await.unwrap();
    let all = ids(&rows(&*store).await);
    for id in &all[1..] {
        store.outbox_park(id, "too large").await.unwrap();
    }
    let parked = store.outbox_parked(10).await.unwrap();
    assert_eq!(ids(&parked), all[1..]);
    assert!(parked.iter().all(|row| row.parked && row.attempts == 1));
    assert_eq!(parked[0].last_error.as_deref(), Some("too large"));
    assert_eq!(ids(&store.outbox_parked(1).await.unwrap()), all[1..2]);

    assert!(store.outbox_unpark(&all[1]).await.unwrap());
    assert!(!store.outbox_unpark(&all[1]).await.unwrap());
    assert!(!store.outbox_unpark("no:000001").await.unwrap());
    let row = rows(&*store).await.remove(1);
    assert_eq!((row.parked, row.due, row.attempts), (false, true, 1));
    assert_eq!(ids(&store.outbox_parked(10).await.unwrap()), all[2..]);
}

/// Invariant: depth and age are those of the rows that are there, by the store's clock.
pub(crate) async fn the_depth_counts_what_is_there<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let depth = store.outbox_depth().await.unwrap();
    assert_eq!((depth.rows, depth.parked, depth.again), (0, 0, 0));
    assert_eq!(depth.oldest, None);
    let before = depth.now - TimeDelta::seconds(2);

    let chain = adopt(&*store, &melt(&alice)).await;
    store.append(chain.append(3, Vec::new())).await.unwrap();
    let all = rows(&*store).await;
    store.outbox_park(&all[2].id, "x").await.unwrap();
    let depth = store.outbox_depth().await.unwrap();
    assert_eq!((depth.rows, depth.parked, depth.again), (3, 1, 0));
    let oldest = depth.oldest.unwrap();
    assert!(
        before <= oldest && oldest <= depth.now + TimeDelta::seconds(1),
        "{depth:?}"
    );

    store
        .outbox_settle(&settled(&all[..1]), &mark(1), 1)
        .await
        .unwrap();
    store.outbox_refill_saga(chain.saga()).await.unwrap();
    let depth = store.outbox_depth().await.unwrap();
    assert_eq!((depth.rows, depth.parked, depth.again), (3, 1, 3));
}

/// Invariant: a row that was put back is not taken away by whoever published it before.
///
/// Seen red on each store with rows that are taken away whatever their round.
pub(crate) async fn rows_come_back_in_a_new_round<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let chain = adopt(&*store, &melt(&alice)).await;
    store.append(chain.append(3, Vec::new())).await.unwrap();
    let old = rows(&*store).await;
    store
        .outbox_settle(&settled(&old[..1]), &mark(1), 1)
        .await
        .unwrap();
    store.outbox_park(&old[2].id, "x").await.unwrap();

    assert_eq!(store.outbox_refill_saga(chain.saga()).await.unwrap(), 3);
    let new = rows(&*store).await;
    assert_eq!(ids(&new), ids(&old));
    assert!(new.iter().all(|row| row.round > 0));
    assert!(new[2].parked, "what is parked stays so");
    for (new, old) in new.iter().zip(&old) {
        assert_eq!(
            (&new.subject, &new.body, &new.link),
            (&old.subject, &old.body, &old.link)
        );
        assert_eq!(new.saga, old.saga);
    }
    store
        .outbox_settle(&settled(&old), &mark(3), 1)
        .await
        .unwrap();
    assert_eq!(rows(&*store).await, new);
    store
        .outbox_settle(&settled(&new), &mark(6), 1)
        .await
        .unwrap();
    assert!(rows(&*store).await.is_empty());
    assert_eq!(store.outbox_refill_saga(&saga_id()).await.unwrap(), 0);
}

async fn put_back<S: Outbox>(store: &S, again: &Again) -> u64 {
    let (mut after, mut rows) = (None, 0);
    loop {
        let step = store.outbox_refill(again, after.as_ref(), 3).await.unwrap();
        rows += step.rows;
        after = step.until;
        if after.is_none() {
            return rows;
        }
    }
}

/// Invariant: publishing again from a time finds every saga that was written since, however old it
/// is; publishing from the beginning finds all; both page through.
pub(crate) async fn only_sagas_that_changed_since_come_back<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let mut chains = Vec::new();
    for _ in 0..7 {
        let mut chain = adopt(&*store, &melt(&alice)).await;
        chain.write(&*store, Vec::new()).await.unwrap();
        chains.push(chain);
    }
    let all = rows(&*store).await;
    store
        .outbox_settle(&settled(&all), &mark(7), 1)
        .await
        .unwrap();
    let since = loop {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let depth = store.outbox_depth().await.unwrap();
        if depth.now
            > super::build::head(&*store, chains[6].saga())
                .await
                .updated_at
        {
            break depth.now;
        }
    };
    chains[1].write(&*store, Vec::new()).await.unwrap();
    let added = rows(&*store).await;
    store
        .outbox_settle(&settled(&added), &mark(8), 1)
        .await
        .unwrap();

    assert_eq!(put_back(&*store, &Again::Since(since)).await, 2);
    let saga = chains[1].saga();
    assert_eq!(
        ids(&rows(&*store).await),
        [1, 2].map(|seq| format!("{saga}:{seq:06}"))
    );
    assert_eq!(put_back(&*store, &Again::All).await, 8);
    assert_eq!(rows(&*store).await.len(), 8);
    let never = Again::Since(Utc::now() + TimeDelta::days(1));
    assert_eq!(put_back(&*store, &never).await, 0);
}

/// Invariant: an append wakes the relay of this process long before any poll. On a server also an
/// append of another process does; there the first wait only opens the stream.
pub(crate) async fn whoever_waits_is_woken_by_an_append<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let mut chain = adopt(&*store, &melt(&alice)).await;
    let soon = Duration::from_millis(500);
    // Whatever was said before: a hint may come too often.
    while tokio::time::timeout(soon, store.outbox_woken())
        .await
        .is_ok()
    {}
    let (woken, written) = tokio::join!(
        tokio::time::timeout(Duration::from_secs(20), store.outbox_woken()),
        chain.write(&*store, Vec::new()),
    );
    written.unwrap();
    woken.expect("nobody was woken");
}
