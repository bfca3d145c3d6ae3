//! The background job of the recovery role: wallets are held against their mint without anybody
//! asking for it.

use super::scene::World;
use crate::cli::scene::{ALICE, Said, paid};

/// A world whose wallet's coins were partly spent by another store of the same seed.
async fn robbed() -> (World, u64) {
    let world = World::new(0).await;
    let seed = world.scene.path("seed").display().to_string();
    let world = world.with("MELTD_SEED_FILE", &seed);
    world.scene.mint_to(ALICE, 1000);
    let other = format!("sqlite:{}", world.scene.path("other.db").display());
    let elsewhere = |args: &[&str]| {
        let mut command = world.scene.command(&[args, &["--json"]].concat());
        Said::from(command.env("MELTD_STORE", &other).output().unwrap()).exits(0)
    };
    elsewhere(&["restore", "--npub", ALICE]);
    let invoice = world.scene.invoice(100, paid()).to_string();
    elsewhere(&["melt", "--npub", ALICE, &invoice]);
    let left = elsewhere(&["balance", "--npub", ALICE])["available"]
        .as_u64()
        .unwrap();
    (world, left)
}

fn available(world: &World) -> u64 {
    world.scene.balance(ALICE)["available"].as_u64().unwrap()
}

/// Guards the job: of two processes one does it, what is gone is corrected coin by coin and told,
/// and when that process dies the other goes on.
/// Seen red with the job left out of the role.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_spent_elsewhere_is_found_by_itself() {
    let (world, left) = robbed().await;
    let often = ["--roles", "recovery", "--reconcile-every", "1s"];
    let [one, other] = [world.serve_as(&often, &[]), world.serve_as(&often, &[])];
    let told = "the store and the mint differed";
    world
        .until("one of them has told it", async || {
            one.log().contains(told) || other.log().contains(told)
        })
        .await;
    world
        .until("it is corrected", async || available(&world) < 1000)
        .await;
    // Only the coins that are gone: what was left as change elsewhere is not here.
    let spent = 1000 - available(&world);
    assert!(spent >= 100 && available(&world) <= left, "{spent}");
    let logs = [one.log(), other.log()];
    let busy = logs.iter().filter(|log| log.contains(told)).count();
    assert_eq!(busy, 1, "the holder of the lease alone does it: {logs:?}");
    assert!(
        logs.iter().any(|log| log.contains("COUNTERS_BEHIND")),
        "{logs:?}"
    );

    let [holder, standby] = match logs[0].contains(told) {
        true => [one, other],
        false => [other, one],
    };
    assert_eq!(standby.log().matches(" reconciled ").count(), 0);
    // Asked to end, it gives the lease back.
    let mut holder = holder;
    holder.signal("-TERM");
    assert_eq!(holder.ended().await, Some(0), "{}", holder.log());
    let goes_on = || standby.log().matches(" reconciled ").count() > 0;
    world.until("the other goes on", async || goes_on()).await;
    drop((holder, standby));
    world.scene.json(&["restore", "--counters"]).exits(0);
    world.end().await;
}

/// Guards that a process which only looks tells what differs, and corrects nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_only_looks_corrects_nothing() {
    let (world, _) = robbed().await;
    let looks = [
        "--roles",
        "recovery",
        "--reconcile-every",
        "1s",
        "--observe-only",
    ];
    let serving = world.serve_as(&looks, &[]);
    let told = || {
        serving
            .log()
            .matches("the store and the mint differed")
            .count()
    };
    world.until("it is told, twice", async || told() >= 2).await;
    assert_eq!(available(&world), 1000);
    drop(serving);
}
