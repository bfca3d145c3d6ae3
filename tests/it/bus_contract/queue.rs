//! The queue of commands: who gets what, when it comes again, and when it is gone.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use meltd::ports::{Bus, Delivery, Stream};

use super::{ACK_WAIT, Fixture, message};

/// Enough for anything that ought to come soon.
const SOON: Duration = Duration::from_secs(10);

/// A deadline may pass a little late on a loaded machine, never early.
const EARLY: Duration = Duration::from_millis(900);

async fn put<B: Bus>(bus: &B, ids: &[&str]) {
    for id in ids {
        bus.publish(message("melt.cmd.alice", id)).await.unwrap();
    }
}

async fn one<B: Bus>(bus: &B) -> Delivery<B::Receipt> {
    let mut pulled = bus.pull(1, SOON).await.unwrap();
    assert_eq!(pulled.len(), 1);
    pulled.remove(0)
}

async fn left<B: Bus>(bus: &B) -> u64 {
    bus.facts(Stream::Commands).await.unwrap().unwrap().messages
}

/// Invariant: a command goes to one process, with its sender's name, and is gone once it is done.
pub(crate) async fn a_command_comes_to_one_puller_and_is_done(fixture: &impl Fixture) {
    let (bus, other) = (fixture.open().await, fixture.open().await);
    put(&bus, &["a"]).await;
    let delivery = one(&bus).await;
    assert_eq!(delivery.producer, "alice");
    assert_eq!(delivery.deliveries, 1);
    assert_eq!(delivery.stored.sequence, 1);
    assert_eq!(delivery.stored.message, message("melt.cmd.alice", "a"));
    assert!(other.pull(10, Duration::ZERO).await.unwrap().is_empty());
    bus.ack(&delivery.receipt).await.unwrap();
    assert_eq!(left(&bus).await, 0);
    assert!(other.pull(10, ACK_WAIT * 2).await.unwrap().is_empty());
}

/// Invariant: an id that one producer has used keeps no other's command out of the queue, but for a
/// moment. Seen red with the window of the other streams, two minutes.
pub(crate) async fn an_id_is_soon_free_for_other_producers(fixture: &impl Fixture) {
    let bus = fixture.open().await;
    put(&bus, &["order-1"]).await;
    // Five times as long as the server keeps an id in mind.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let other = message("melt.cmd.bob", "order-1");
    let published = bus.publish(other).await.unwrap();
    assert!(!published.duplicate);
    let (first, second) = (one(&bus).await, one(&bus).await);
    assert_eq!((&*first.producer, &*second.producer), ("alice", "bob"));
}

/// Invariant: a process that died with a command does not take it along. Also on the same
/// connection: a process may lose its database and keep its bus.
pub(crate) async fn a_command_that_nobody_settles_comes_again(fixture: &impl Fixture) {
    let (bus, other) = (fixture.open().await, fixture.open().await);
    put(&bus, &["a"]).await;
    let began = Instant::now();
    let first = one(&bus).await;
    let again = one(&other).await;
    assert!(began.elapsed() >= EARLY, "{:?}", began.elapsed());
    assert_eq!(again.stored, first.stored);
    assert_eq!(again.deliveries, 2);
    let third = one(&other).await;
    assert_eq!(third.deliveries, 3);
    other.ack(&third.receipt).await.unwrap();
    assert_eq!(left(&bus).await, 0);
}

/// Invariant: what has to wait comes again when it was asked for, to anybody.
pub(crate) async fn later_is_after_the_delay(fixture: &impl Fixture) {
    let (bus, other) = (fixture.open().await, fixture.open().await);
    put(&bus, &["a"]).await;
    let delivery = one(&bus).await;
    let began = Instant::now();
    let delay = Duration::from_millis(300);
    bus.later(&delivery.receipt, delay).await.unwrap();
    let again = one(&other).await;
    assert!(began.elapsed() >= delay, "{:?}", began.elapsed());
    assert_eq!(again.deliveries, 2);
    let began = Instant::now();
    other.later(&again.receipt, Duration::ZERO).await.unwrap();
    let third = one(&bus).await;
    assert!(began.elapsed() < ACK_WAIT, "{:?}", began.elapsed());
    bus.ack(&third.receipt).await.unwrap();
    assert_eq!(left(&bus).await, 0);
}

/// Invariant: a command that was put aside as a dead letter never comes again.
pub(crate) async fn never_is_never(fixture: &impl Fixture) {
    let bus = fixture.open().await;
    put(&bus, &["poison", "good"]).await;
    let poison = one(&bus).await;
    bus.term(&poison.receipt).await.unwrap();
    let good = one(&bus).await;
    assert_eq!(good.stored.message.id, "good");
    bus.ack(&good.receipt).await.unwrap();
    assert!(bus.pull(10, ACK_WAIT * 2).await.unwrap().is_empty());
    assert_eq!(left(&bus).await, 0);
}

/// Invariant: whoever is not sure that its acknowledgement arrived may send it again.
pub(crate) async fn settling_twice_is_no_error(fixture: &impl Fixture) {
    let bus = fixture.open().await;
    put(&bus, &["a", "b", "c"]).await;
    let deliveries = bus.pull(3, SOON).await.unwrap();
    let receipts: Vec<_> = deliveries.iter().map(|d| d.receipt.clone()).collect();
    for _ in 0..2 {
        bus.ack(&receipts[0]).await.unwrap();
        bus.term(&receipts[1]).await.unwrap();
    }
    bus.ack(&receipts[2]).await.unwrap();
    bus.later(&receipts[2], Duration::ZERO).await.unwrap();
    assert_eq!(left(&bus).await, 0);
}

/// Invariant: processes share the work, and nobody gets what another one holds.
pub(crate) async fn two_pullers_share_the_queue(fixture: &impl Fixture) {
    let buses = [fixture.open().await, fixture.open().await];
    let ids: Vec<_> = (0..40).map(|n| format!("{n}")).collect();
    let refs: Vec<_> = ids.iter().map(String::as_str).collect();
    put(&buses[0], &refs).await;
    let mut seen = BTreeSet::new();
    let mut each = [0, 0];
    while seen.len() < ids.len() {
        for (bus, count) in buses.iter().zip(&mut each) {
            let pulled = bus.pull(7, SOON).await.unwrap();
            assert!(pulled.len() <= 7);
            for delivery in pulled {
                *count += 1;
                let id = delivery.stored.message.id.clone();
                assert!(seen.insert(id), "{} came twice", delivery.stored.message.id);
                bus.ack(&delivery.receipt).await.unwrap();
            }
            if seen.len() == ids.len() {
                break;
            }
        }
    }
    assert!(each.iter().all(|count| *count > 0), "{each:?}");
    assert_eq!(left(&buses[0]).await, 0);
}

/// Invariant: a pull for many does not wait until there are many. Seen red with one request for
/// `max` messages that stays open until its end.
pub(crate) async fn a_pull_gives_what_is_there_without_waiting(fixture: &impl Fixture) {
    let bus = fixture.open().await;
    put(&bus, &["a", "b", "c"]).await;
    let began = Instant::now();
    let pulled = bus.pull(100, Duration::from_secs(60)).await.unwrap();
    assert_eq!(pulled.len(), 3);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

/// Invariant: a command does not wait for the next round of whoever waits for it, and a pull that
/// ended takes nothing that nobody reads.
pub(crate) async fn a_pull_waits_for_the_first(fixture: &impl Fixture) {
    let (bus, other) = (fixture.open().await, fixture.open().await);
    let began = Instant::now();
    let wait = Duration::from_secs(60);
    let (pulled, ()) = tokio::join!(bus.pull(10, wait), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        put(&other, &["a"]).await;
    });
    let pulled = pulled.unwrap();
    assert_eq!(pulled.len(), 1);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    bus.ack(&pulled[0].receipt).await.unwrap();
    assert!(
        bus.pull(10, Duration::from_millis(50))
            .await
            .unwrap()
            .is_empty()
    );
    put(&other, &["b"]).await;
    let began = Instant::now();
    let b = one(&other).await;
    assert_eq!(b.deliveries, 1, "an old pull has taken it");
    assert!(began.elapsed() < ACK_WAIT, "{:?}", began.elapsed());
}

/// Invariant: nothing to do is soon known.
pub(crate) async fn an_empty_pull_ends_in_time(fixture: &impl Fixture) {
    let bus = fixture.open().await;
    let began = Instant::now();
    assert!(bus.pull(10, Duration::ZERO).await.unwrap().is_empty());
    assert!(bus.pull(0, Duration::ZERO).await.unwrap().is_empty());
    let wait = Duration::from_millis(300);
    assert!(bus.pull(10, wait).await.unwrap().is_empty());
    assert!(began.elapsed() >= wait, "{:?}", began.elapsed());
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}
