//! Two relays on one outbox, interleaved one outside call at a time by a seeded scheduler, while
//! events are appended, answers are lost, and the stream goes back or is made anew. A relay can
//! stand still between any two calls, for longer than its lease lives.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use meltd::ports::{NewSaga, Outbox};
use meltd::relay::{Relay, Tuning};
use meltd::saga::ids::SagaId;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::bus::{SimBus, Tape};
use super::store::{Disk, SimStore};
use super::workers::{Random, settle};
use super::world::{Life, SimClock, pass_time};
use crate::relay::check::{Seen, consume};
use crate::relay::rig::{expected, write};
use crate::store_contract::build::{Chain, adopt, mint, wallet};

/// A page of four and three slots: every edge of the walk is met all the time.
pub(super) fn small() -> Tuning {
    Tuning {
        slots: 3,
        page: 4,
        check: Duration::from_secs(1),
        checkpoint: Duration::from_secs(2),
        ..Tuning::default()
    }
}

pub(super) struct World {
    disk: Arc<Mutex<Disk>>,
    pub(super) tape: Arc<Mutex<Tape>>,
    clock: SimClock,
    pub(super) chains: Vec<Chain>,
    /// A store that takes no turns: the rest of the service.
    pub(super) rest: SimStore,
}

impl World {
    pub(super) async fn new() -> Self {
        let (disk, clock) = (Arc::default(), SimClock::new());
        let rest = SimStore {
            disk: Arc::clone(&disk),
            life: Life::until(None),
            clock: clock.clone(),
        };
        let tape = Arc::new(Mutex::new(Tape::new()));
        World {
            disk,
            tape,
            clock,
            chains: Vec::new(),
            rest,
        }
    }

    fn store(&self, life: &Life) -> Arc<SimStore> {
        Arc::new(SimStore {
            disk: self.disk.clone(),
            life: life.clone(),
            clock: self.clock.clone(),
        })
    }

    pub(super) fn bus(&self, life: &Life) -> Arc<SimBus> {
        Arc::new(SimBus {
            tape: self.tape.clone(),
            life: life.clone(),
        })
    }

    fn relay(&self, life: &Life, owner: &str) -> JoinHandle<()> {
        self.relay_as(life, owner, small())
    }

    pub(super) fn relay_as(&self, life: &Life, owner: &str, tuning: Tuning) -> JoinHandle<()> {
        let relay = Relay::new(self.store(life), self.bus(life), owner, tuning);
        tokio::spawn(async move { relay.run(std::future::pending()).await.unwrap() })
    }

    /// A new saga, or more events of an old one. Ids follow from the seed, and old sagas may sort
    /// after new ones.
    async fn append(&mut self, random: &mut Random) {
        let count = self.chains.len();
        let mut at = random.below(count as u64 + 1) as usize;
        if count < 3 || random.below(3) == 0 {
            let alice = wallet(&self.rest, "npub1alice").await;
            let id = format!("{:04x}-{count}", random.below(0x10000));
            let new = NewSaga {
                id: SagaId::new(id),
                ..mint(&alice)
            };
            self.chains.push(adopt(&self.rest, &new).await);
            at = count;
        }
        let events = 1 + random.below(3) as u32;
        let at = at.min(self.chains.len() - 1);
        write(&self.rest, &mut self.chains[at], events).await;
    }

    /// A person lets everything go on, or puts a row aside: it may be published minutes later.
    async fn put_aside(&self, random: &mut Random) {
        for row in self.rest.outbox_parked(99).await.unwrap() {
            self.rest.outbox_unpark(&row.id).await.unwrap();
        }
        let rows = self.rest.outbox(None, 99).await.unwrap();
        let at = random.below(rows.len() as u64 + 2) as usize;
        if let Some(row) = rows.get(at) {
            self.rest.outbox_park(&row.id, "for a while").await.unwrap();
        }
    }

    /// The newest messages are gone, or all.
    fn lose(&self, random: &mut Random) {
        let mut tape = self.tape.lock().unwrap();
        let length = tape.messages.len() as u64;
        match random.below(6) {
            0 => tape.make_anew(),
            _ => tape.go_back((length - random.below(length.min(6) + 1)) as usize),
        }
    }

    /// One relay alone, until nothing is left.
    async fn finish(&self) -> Seen {
        for row in self.rest.outbox_parked(99).await.unwrap() {
            self.rest.outbox_unpark(&row.id).await.unwrap();
        }
        {
            let mut tape = self.tape.lock().unwrap();
            (tape.deaf, tape.lost) = (0, 0);
        }
        let life = Life::until(None);
        let relay = self.relay(&life, "last");
        for _ in 0..400 {
            pass_time(Duration::from_millis(500)).await;
            settle().await;
        }
        let depth = self.rest.outbox_depth().await.unwrap();
        assert_eq!(depth.rows, 0, "{depth:?}");
        relay.abort();
        let _ = relay.await;
        consume(&*self.bus(&life)).await
    }
}

/// What may happen to the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    /// Answers get lost.
    Clear,
    /// And the newest messages are lost, or the whole stream.
    Lossy,
}

async fn interleave(seed: u64, weather: Weather) {
    println!("seed {seed}, {weather:?}");
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut world = World::new().await;
    let turns = [Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0))];
    let relays = [("first", &turns[0]), ("second", &turns[1])]
        .map(|(owner, turns)| world.relay(&Life::in_turns(turns.clone()), owner));
    for _ in 0..500 {
        match random.below(30) {
            0..=8 => turns[0].add_permits(1 + random.below(5) as usize),
            9..=17 => turns[1].add_permits(1 + random.below(5) as usize),
            18..=20 => world.append(&mut random).await,
            21 => pass_time(Duration::from_millis(50 + random.below(3000))).await,
            22 if weather == Weather::Lossy => world.lose(&mut random),
            22 | 23 => world.tape.lock().unwrap().deaf += 1,
            24 | 25 => world.tape.lock().unwrap().lost += 1,
            26 | 27 => world.put_aside(&mut random).await,
            // Longer than a lease: whoever stands still now has lost it.
            28 => pass_time(Duration::from_secs(11)).await,
            _ => pass_time(Duration::from_secs(50)).await,
        }
        settle().await;
    }
    for relay in relays {
        relay.abort();
        let _ = relay.await;
    }
    pass_time(Duration::from_secs(11)).await;
    let seen = world.finish().await;
    seen.is_whole(&expected(&world.chains));
    if weather == Weather::Clear {
        assert_eq!(seen.early, 0, "the first copies are in order");
    }
}

fn base() -> u64 {
    let given = std::env::var("MELTD_TEST_SEED").ok();
    let base = given.and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("MELTD_TEST_SEED={base}");
    base
}

/// Guards the order of each saga and that nothing is lost, whoever stands still wherever.
#[tokio::test(start_paused = true)]
async fn two_relays_interleaved_keep_order_and_lose_nothing() {
    let base = base();
    for seed in base..base + 200 {
        interleave(seed, Weather::Clear).await;
    }
}

/// Guards the mark and the checkpoints: a stream that loses its newest messages, or all, ends up
/// whole.
///
/// Seen red with: the mark trusted without a look at the stream; confirmed messages not read back;
/// a floor that is too late; a floor that does not look at the oldest row; a walk that forgets
/// blocked sagas between pages; a parked row that does not hold its saga.
#[tokio::test(start_paused = true)]
async fn two_relays_on_a_stream_that_forgets_lose_nothing() {
    let base = base();
    for seed in base..base + 200 {
        interleave(seed, Weather::Lossy).await;
    }
}

/// Guards that the server's memory of an id is not taken for the message: the row waits until the
/// server has forgotten, and holds back only its own saga.
///
/// Seen red with the server's "duplicate" taken for a confirmation.
#[tokio::test(start_paused = true)]
async fn t11_a_repeat_whose_first_copy_is_gone_is_published_later() {
    let mut random = Random(7);
    let mut world = World::new().await;
    for _ in 0..12 {
        world.append(&mut random).await;
    }
    let ghost = world.rest.outbox(None, 1).await.unwrap().remove(0);
    world.tape.lock().unwrap().ghosts.insert(ghost.id.clone());
    let relay = world.relay(&Life::until(None), "one");
    for _ in 0..100 {
        pass_time(Duration::from_millis(200)).await;
        settle().await;
    }
    let left = world.rest.outbox(None, 99).await.unwrap();
    assert_eq!(left[0].id, ghost.id);
    assert!(left[0].attempts > 0 && left.iter().all(|row| row.saga == ghost.saga));
    relay.abort();
    let _ = relay.await;
    world.tape.lock().unwrap().ghosts.clear();
    pass_time(Duration::from_secs(400)).await;
    let seen = world.finish().await;
    seen.is_whole(&expected(&world.chains));
    assert_eq!(seen.early, 0);
}
