//! Paid at the mint while the store is away: said at once, and in the log once the store is back.

use std::time::Duration;

use meltd::driver::DriveError;
use meltd::ports::{Adopted, Store};

use super::schedules::{CALM, DIRECT, World};
use super::world::{Life, pass_time};

fn tail(world: &World) -> Vec<String> {
    let disk = world.disk.lock().unwrap();
    let records = disk.records[world.saga.as_str()].iter();
    records.skip(4).map(|r| r.name.clone()).collect()
}

const SETTLED: [&str; 4] = [
    "MeltPaid",
    "AtomicCommitted",
    "CriticalRaised",
    "CriticalResolved",
];

/// The store is back while the settlement is still being offered.
/// Seen red without the note: the log told nothing of it.
#[tokio::test(start_paused = true)]
async fn the_log_tells_of_a_settlement_that_had_to_wait() {
    let world = World::new(CALM, DIRECT).await;
    world.disk.lock().unwrap().away_for = 3;
    world.live(None, "one").await;
    assert_eq!(tail(&world), SETTLED);
    world.check("away for a moment").await;
}

/// The pass has ended with CRITICAL; the next one of the same process settles, and notes it.
#[tokio::test(start_paused = true)]
async fn a_later_settlement_by_the_same_process_tells_of_it_too() {
    let world = World::new(CALM, DIRECT).await;
    world.disk.lock().unwrap().away_for = 1_000;
    let life = Life::until(None);
    let driver = world.driver(&life, "one");
    let ttl = driver.tuning.lease_ttl;
    let Ok(Adopted::New(lease)) = driver.store.adopt(world.melt(), "one", ttl).await else {
        panic!("not new");
    };
    let first = driver.drive(&lease).await;
    assert!(
        matches!(first, Err(DriveError::Store { paid: true, .. })),
        "{first:?}"
    );
    assert!(tail(&world).is_empty());
    world.disk.lock().unwrap().away_for = 0;
    pass_time(Duration::from_secs(20)).await;
    let wait = Duration::from_secs(600);
    driver.drive_until(&world.saga, None, wait).await.unwrap();
    assert_eq!(tail(&world), SETTLED);
    world.check("away for long").await;
}
