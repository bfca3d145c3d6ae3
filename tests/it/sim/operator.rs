//! An operator who gives orders at any point of a melt's life, wise or not: between two lives of a
//! process, and beside a worker that may be frozen between any two calls. Value is conserved and
//! at most one payment is made, whatever was ordered.

use std::sync::Arc;
use std::time::Duration;

use meltd::driver::{Desk, OrderError};
use meltd::saga::decide::Order;
use meltd::saga::event::Resolution;
use meltd::saga::state::Status;
use tokio::sync::Semaphore;

use super::books::{Asking, Back, Node, Script, Wire};
use super::schedules::{CALM, DIRECT, SWAPPED, World, points};
use super::workers::{Random, settle, work};
use super::world::{Crash, Life, pass_time};

const ORDERS: [Order; 5] = [
    Order::Park,
    Order::Resume,
    Order::Resolve(Resolution::Paid),
    Order::Resolve(Resolution::Released),
    Order::Resolve(Resolution::WrittenOff),
];

fn desk(order: Order, patience: Duration) -> Desk {
    Desk {
        order,
        by: "olga".to_owned(),
        reason: "it is a test".to_owned(),
        expect_version: None,
        patience,
    }
}

impl World {
    /// Gives the order; true if it was recorded.
    async fn order(&self, order: &Order) -> bool {
        let known = self
            .disk
            .lock()
            .unwrap()
            .heads
            .contains_key(self.saga.as_str());
        if !known {
            return false;
        }
        let life = Life::until(None);
        let driver = self.driver(&life, "olga");
        let patience = Duration::from_secs(60);
        let given = driver
            .order(&self.saga, &desk(order.clone(), patience))
            .await;
        match given {
            Ok(_) => true,
            Err(OrderError::Refused(_)) => false,
            Err(error) => panic!("{order:?}: {error}"),
        }
    }

    fn status(&self) -> Option<Status> {
        let disk = self.disk.lock().unwrap();
        disk.heads.get(self.saga.as_str()).map(|head| head.status)
    }

    /// Lives until it ends; what is on the desk is taken off again.
    async fn finish(&self) {
        for life in 0..8 {
            pass_time(Duration::from_secs(400)).await;
            self.live(None, &format!("life-{life}")).await;
            match self.status() {
                Some(Status::Done) => break,
                Some(Status::Parked) => {
                    self.order(&Order::Resume).await;
                }
                _ => {}
            }
        }
    }
}

fn scripts() -> Vec<Script> {
    let with = |melt, node| Script { melt, node, ..CALM };
    vec![
        CALM,
        with(Wire::AnswerLost, Node::Pays),
        with(Wire::RequestLost, Node::Pays),
        with(Wire::Late(3), Node::Pays),
        with(Wire::Late(6), Node::Fails),
        with(Wire::Refused(12002), Node::Pays),
        with(Wire::Clean, Node::Fails),
        with(Wire::Clean, Node::PendsThenPays(3)),
        with(Wire::Clean, Node::PendsThenFails(3)),
        Script {
            swap: Wire::AnswerLost,
            node: Node::Fails,
            ..CALM
        },
        Script {
            swap: Wire::Late(2),
            melt: Wire::RequestLost,
            ..CALM
        },
        Script {
            back: Back::RestoreOnly,
            melt: Wire::AnswerLost,
            ..CALM
        },
        Script {
            asking: Asking::DeafFor(9),
            melt: Wire::AnswerLost,
            ..CALM
        },
        Script {
            asking: Asking::DeafFor(9),
            melt: Wire::Late(4),
            ..CALM
        },
    ]
}

/// A life that dies at this point, the order, and then whatever it takes.
async fn run(script: Script, coins: &[u64], first: Crash, orders: &[Order]) -> (u32, usize) {
    let world = World::new(script, coins).await;
    let calls = world.live(first, "one").await;
    pass_time(Duration::from_secs(20)).await;
    let mut recorded = 0;
    for order in orders {
        recorded += usize::from(world.order(order).await);
        world
            .live(Some((9, super::world::When::After)), "two")
            .await;
        pass_time(Duration::from_secs(20)).await;
    }
    world.finish().await;
    let what = format!("{script:?} coins {coins:?} crash {first:?} orders {orders:?}");
    world.check(&what).await;
    (calls, recorded)
}

/// Every order after every point at which the first life can end; with MELTD_TEST_EXHAUSTIVE=1
/// every two orders.
///
/// Seen red, put back: with `paid` taken for true while the inputs are free, a melt is settled and
/// nobody was paid.
#[tokio::test(start_paused = true)]
async fn orders_at_any_point_conserve_and_pay_at_most_once() {
    let exhaustive = std::env::var_os("MELTD_TEST_EXHAUSTIVE").is_some();
    let (mut schedules, mut recorded) = (0, 0);
    for script in scripts() {
        for coins in [DIRECT, SWAPPED] {
            let (calls, _) = run(script, coins, None, &[]).await;
            for (at, when) in points(calls, 20) {
                let crash = Some((at, when));
                for first in &ORDERS {
                    let alone = std::slice::from_ref(first);
                    recorded += run(script, coins, crash, alone).await.1;
                    schedules += 1;
                    for second in ORDERS.iter().filter(|_| exhaustive) {
                        let both = [first.clone(), second.clone()];
                        recorded += run(script, coins, crash, &both).await.1;
                        schedules += 1;
                    }
                }
            }
        }
    }
    println!("{schedules} schedules with orders, {recorded} orders recorded");
    assert!(schedules > 2_000 && recorded > 1_000, "{schedules}");
}

/// Orders beside a worker, a call of each at a time, by a seeded scheduler: the worker may stand
/// still between its append and its post while the operator decides.
#[tokio::test(start_paused = true)]
async fn orders_beside_a_frozen_worker_conserve_and_pay_at_most_once() {
    let base: u64 = std::env::var("MELTD_TEST_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(1);
    println!("MELTD_TEST_SEED={base}");
    for seed in base..base + 15 {
        for script in scripts() {
            for coins in [DIRECT, SWAPPED] {
                interleave(seed, script, coins).await;
            }
        }
    }
}

async fn interleave(seed: u64, script: Script, coins: &[u64]) {
    let world = World::new(script, coins).await;
    let mut random = Random::of(seed);
    let turns = [Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(0))];
    let worker = tokio::spawn(work(&world, &turns[0], "worker", true));
    settle().await;
    let life = Life::in_turns(turns[1].clone());
    let driver = world.driver(&life, "olga");
    let saga = world.saga.clone();
    let orders: Vec<Order> = (0..6)
        .map(|_| ORDERS[random.below(ORDERS.len() as u64) as usize].clone())
        .collect();
    let operator = tokio::spawn(async move {
        for order in orders {
            let desk = desk(order, Duration::from_secs(30));
            let _ = driver.order(&saga, &desk).await;
        }
    });
    for _ in 0..160 {
        match random.below(10) {
            0..=3 => turns[0].add_permits(1),
            4..=7 => turns[1].add_permits(1),
            8 => pass_time(Duration::from_millis(200 + random.below(3000))).await,
            _ => pass_time(Duration::from_secs(16)).await,
        }
        settle().await;
    }
    worker.abort();
    operator.abort();
    let _ = (worker.await, operator.await);
    pass_time(Duration::from_secs(20)).await;
    world.finish().await;
    let what = format!("seed {seed} of {script:?} coins {coins:?} with orders");
    world.check(&what).await;
}
