//! The alarms of `deploy/alerts.yaml` that are about time, on what processes export: red when they
//! should be, and not before.

use meltd::mint::embedded::Script;
use rusqlite::Connection;

use super::metrics::scrape;
use super::scene::{Serving, World, command};
use crate::cli::scene::ALICE;
use crate::metrics::{Series, sum};

const ALERTS: &str = include_str!("../../../deploy/alerts.yaml");

/// The number that an alert's expression ends with.
fn threshold(alert: &str) -> f64 {
    let rule = ALERTS.split(&format!("- alert: {alert}\n")).nth(1).unwrap();
    let expr = rule
        .lines()
        .find_map(|line| line.trim().strip_prefix("expr: "));
    expr.unwrap().rsplit("> ").next().unwrap().parse().unwrap()
}

/// A process with these roles that counts its store often.
async fn watched(world: &World, roles: &str) -> Serving {
    let serving = world.serve_as(&["--roles", roles], &[("MELTD_SURVEY_EVERY", "100ms")]);
    serving.says("the API listens").await;
    serving.says(" ready\n").await;
    serving
}

/// T6. Guards the alarm by age: a payment that waits for its mint for longer than the threshold
/// raises it. A funding that nobody pays does not, and neither does what was put on the desk.
/// Seen red with the ages of fundings counted.
#[tokio::test(flavor = "multi_thread")]
async fn t06_the_alarm_by_age_is_red_in_time() {
    let world = World::new(1000).await;
    let funding = ["mint", "--npub", ALICE, "50", "--wait", "0"];
    let funded = world.scene.json(&funding);
    assert!([0, 5].contains(&funded.exit), "{funded:?}");
    let grow_older = || {
        let file = Connection::open(world.scene.path("meltd.db")).unwrap();
        let older = "UPDATE sagas SET created_at = created_at - 4000000 WHERE status = 'active'";
        assert!(file.execute(older, []).unwrap() > 0);
    };
    let serving = watched(&world, "api,intake,recovery").await;
    let is_red = async || {
        let seen = scrape(&serving).await;
        sum(&seen, "meltd_oldest_unresolved_seconds", &[]) > threshold("MeltdStuck")
    };
    let invoice = world.scene.invoice(100, Script::Pending);
    world
        .send("shop", "m1", &command(Some("a"), &invoice).to_string())
        .await;
    let lightning = world.scene.mint.lightning();
    let hash = invoice.payment_hash();
    let tried = "it is at the node";
    world
        .until(tried, async || lightning.times_tried(hash) > 0)
        .await;
    assert!(!is_red().await);
    grow_older();
    world
        .until("the alarm is red", async || is_red().await)
        .await;
    let id = world.melts()[0]["saga"].as_str().unwrap().to_owned();
    let park = ["saga", "park", &id, "--by", "olga", "--reason", "a test"];
    world.scene.json(&park).exits(0);
    world
        .until("it is a person's now", async || !is_red().await)
        .await;
}

/// Whether `MeltdRecoveryDead` fires on what these processes export.
async fn is_dead(processes: &[&Serving]) -> bool {
    let mut last = 0.0_f64;
    for process in processes {
        let seen: Series = scrape(process).await;
        last = last.max(sum(
            &seen,
            "meltd_recovery_last_pass_timestamp_seconds",
            &[],
        ));
    }
    let now = chrono::Utc::now().timestamp() as f64;
    now - last > threshold("MeltdRecoveryDead")
}

/// T9. Guards the alarm for a dead worker: while one process recovers it is quiet, whatever the
/// others do; when that one has died it is red, although another lives and answers.
/// Seen red with passes that note no time.
#[tokio::test(flavor = "multi_thread")]
async fn t09_a_dead_worker_raises_the_alarm() {
    let world = World::new(100).await;
    let api = watched(&world, "api").await;
    assert!(is_dead(&[&api]).await, "nobody recovers");
    let worker = watched(&world, "api,recovery").await;
    let quiet = "somebody recovers";
    world
        .until(quiet, async || !is_dead(&[&api, &worker]).await)
        .await;
    drop(worker);
    assert!(is_dead(&[&api]).await, "nobody recovers any more");
    world.end().await;
}
