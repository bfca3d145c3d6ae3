//! Guards of the relay that a random schedule hardly ever meets alone, because another one stands
//! behind each of them. Here that other one sleeps.

use std::time::Duration;

use meltd::ports::{Mark, Outbox, OutboxReply, Store, StoreError};
use meltd::relay::{LEASE, Tuning};

use super::relays::{World, small};
use super::workers::settle;
use super::world::{Life, pass_time};
use crate::relay::check::consume;
use crate::relay::rig::{expected, write};
use crate::store_contract::build::{Chain, adopt, mint, wallet};

/// Nothing is taken away, and nothing is looked at, unless there is a reason.
fn patient() -> Tuning {
    let hour = Duration::from_secs(3600);
    Tuning {
        settle_after: hour,
        check: hour,
        ..small()
    }
}

async fn run(seconds: u64) {
    for _ in 0..seconds * 10 {
        pass_time(Duration::from_millis(100)).await;
        settle().await;
    }
}

impl World {
    /// So many sagas of two events each.
    async fn sagas(&mut self, count: usize) {
        let alice = wallet(&self.rest, "npub1alice").await;
        for _ in 0..count {
            let mut chain: Chain = adopt(&self.rest, &mint(&alice)).await;
            write(&self.rest, &mut chain, 2).await;
            self.chains.push(chain);
        }
    }

    fn published(&self) -> usize {
        self.tape.lock().unwrap().messages.len()
    }

    async fn waiting(&self) -> u64 {
        self.rest.outbox_depth().await.unwrap().rows
    }
}

/// Guards the first message after a stream went back: its position was taken already, so what was
/// confirmed is published again at once, and not when somebody looks.
///
/// Seen red with a position that nobody compares.
#[tokio::test(start_paused = true)]
async fn t11_a_position_that_comes_twice_is_noticed() {
    let mut world = World::new().await;
    world.sagas(6).await;
    let life = Life::until(None);
    let relay = world.relay_as(&life, "one", patient());
    run(2).await;
    assert_eq!((world.published(), world.waiting().await), (12, 12));
    world.tape.lock().unwrap().go_back(5);
    write(&world.rest, &mut world.chains[0], 1).await;
    run(5).await;
    let seen = consume(&*world.bus(&life)).await;
    seen.is_whole(&expected(&world.chains));
    relay.abort();
}

/// Guards an answer that was confirmed shortly before trouble, by a stream that then lost it: it is
/// not read back as an event is, so after trouble it goes out again.
///
/// Seen red with confirmations that outlive trouble: the row is gone, and so is the answer.
#[tokio::test(start_paused = true)]
async fn t11_an_answer_confirmed_before_trouble_goes_out_again() {
    let mut world = World::new().await;
    world.sagas(1).await;
    let mut append = world.chains[0].append(1, Vec::new());
    append.reply = Some(OutboxReply {
        subject: "melt.reply.shop.a".to_owned(),
        body: "{}".to_owned(),
    });
    world.rest.append(append.clone()).await.unwrap();
    world.chains[0].advance(&append);
    let answer = OutboxReply::id(&append.records[0].id());
    world.rest.outbox_park(&answer, "later").await.unwrap();
    let life = Life::until(None);
    let relay = world.relay_as(&life, "one", small());
    run(2).await;
    assert_eq!((world.published(), world.waiting().await), (3, 1));
    relay.abort();
    run(11).await;

    world.rest.outbox_unpark(&answer).await.unwrap();
    let relay = world.relay_as(&life, "two", patient());
    run(2).await;
    assert_eq!((world.published(), world.waiting().await), (4, 1));
    {
        let mut tape = world.tape.lock().unwrap();
        tape.go_back(3);
        tape.lost = 1;
    }
    write(&world.rest, &mut world.chains[0], 1).await;
    run(5).await;
    let tape = world.tape.lock().unwrap();
    assert!(tape.messages.iter().any(|message| message.id == answer));
    drop(tape);
    relay.abort();
}

/// Guards what a person puts back while the relay has it in hand: it is published once more, and
/// not taken away on the strength of the first copy.
///
/// Seen red with rows that are taken away whatever their round.
#[tokio::test(start_paused = true)]
async fn t11_what_is_put_back_in_mid_flight_goes_out_again() {
    let mut world = World::new().await;
    world.sagas(1).await;
    let settles = Tuning {
        settle_after: Duration::from_secs(3),
        ..small()
    };
    let relay = world.relay_as(&Life::until(None), "one", settles);
    run(1).await;
    assert_eq!((world.published(), world.waiting().await), (2, 2));
    let saga = world.chains[0].saga();
    world.rest.outbox_refill_saga(saga).await.unwrap();
    run(20).await;
    assert_eq!((world.published(), world.waiting().await), (4, 0));
    relay.abort();
}

/// Guards the moment of a take-over: from then on the holder before can neither move the mark nor
/// take anything away, although the new one has published nothing yet.
///
/// Seen red with a new holder that only reads the mark, and with a store that does not compare the
/// epochs.
#[tokio::test(start_paused = true)]
async fn t11_a_take_over_fences_the_holder_before() {
    let mut world = World::new().await;
    world.sagas(1).await;
    let life = Life::until(None);
    let one = world.relay_as(&life, "one", small());
    run(2).await;
    assert_eq!(world.waiting().await, 0);
    one.abort();
    let before = world.rest.lease_holder(LEASE).await.unwrap().unwrap();
    let mark = world.rest.relay_mark().await.unwrap().unwrap();
    run(11).await;
    let two = world.relay_as(&life, "two", small());
    run(2).await;
    let after = world.rest.lease_holder(LEASE).await.unwrap().unwrap();
    assert_eq!((after.owner.as_str(), after.live), ("two", true));
    let further = Mark {
        sequence: mark.sequence + 1,
        ..mark.clone()
    };
    let late = world.rest.outbox_settle(&[], &further, before.epoch).await;
    assert_eq!(late, Err(StoreError::Reload));
    assert_eq!(world.rest.relay_mark().await.unwrap(), Some(mark));
    two.abort();
}
