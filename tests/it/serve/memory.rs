//! A bus that lives in the process: nobody else sees it, and nothing is lost with it.

use super::scene::World;
use crate::cli::scene::ALICE;

/// Guards that a process serves without any server, that what it takes off the outbox is no loss,
/// and that a real bus which comes later gets every event from the first.
///
/// Seen red with a mark that fits every stream: nothing of the first wallet came.
#[tokio::test(flavor = "multi_thread")]
async fn the_bus_in_the_process_costs_a_later_one_nothing() {
    let world = World::new(100).await;
    let doctor = || {
        let said = world.scene.json(&["doctor"]).exits(0);
        let checks = said["checks"].as_array().unwrap().clone();
        let outbox = checks.into_iter().find(|check| check["what"] == "outbox");
        outbox.unwrap()["found"].as_str().unwrap().to_owned()
    };
    assert!(doctor().ends_with("kept for a bus; none was ever used"));

    let mut serving = world.serve_as(&[], &[("MELTD_BUS", "memory")]);
    serving.says(" INFO ready\n").await;
    world
        .until("the outbox is empty", async || {
            doctor().starts_with("0 event(s) to publish")
        })
        .await;
    serving.signal("-TERM");
    assert_eq!(serving.ended().await, Some(0), "{}", serving.log());
    assert!(!serving.log().contains("not ready"), "{}", serving.log());

    world.scene.mint_to(ALICE, 100);
    let serving = world.serve_as(&["--roles", "relay"], &[]);
    world.everything_is_published().await;
    drop(serving);
    world.end().await;
}
