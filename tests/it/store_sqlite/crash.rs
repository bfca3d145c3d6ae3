//! `kill -9` at random times: what was acknowledged is there, whole, and at most one append a saga
//! more. (A killed process leaves its page cache to the kernel; that `synchronous=FULL` also
//! survives a power cut is SQLite's own promise.)

use std::time::Duration;

use meltd::store::sqlite::SqliteStore;

use super::File;
use crate::store_contract::Fixture;
use crate::store_contract::crash::{Acked, PLACE, drive_sagas, run_and_kill};
use crate::store_contract::race::Dice;

/// Not a test by itself: the process that is killed.
#[tokio::test(flavor = "multi_thread")]
async fn crash_child() {
    let Ok(file) = std::env::var(PLACE) else {
        return;
    };
    drive_sagas(SqliteStore::open(file).unwrap()).await;
}

/// Invariant: an acknowledged write survives the death of its process at any moment, and an
/// unacknowledged one is there whole or not at all. Two processes share the file, so one dies
/// while the other writes.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_appends_survive_kill_9() {
    let file = File::fresh().await;
    let mut dice = Dice::new();
    let mut acked = Acked::default();
    let mut rounds = 0;
    while !acked.is_enough(rounds, 8) {
        rounds += 1;
        let lives = [dice.below(200), dice.below(400)];
        let runs = lives.map(|life| {
            let place = file.dir.path().join("meltd.db").display().to_string();
            let child = "store_sqlite::crash::crash_child";
            let life = Duration::from_millis(life);
            std::thread::spawn(move || run_and_kill(child, &place, life))
        });
        for run in runs {
            let lines = run.join().unwrap();
            lines.iter().for_each(|line| acked.note(line));
        }
        acked.check(&file.open().await).await;
    }
    let appends = acked.appends();
    println!(
        "{appends} acknowledged appends in {} sagas",
        acked.versions.len()
    );
}
