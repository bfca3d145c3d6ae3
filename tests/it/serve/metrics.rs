//! What an operator sees of a process that does everything.

use reqwest::Client;

use super::scene::{ANSWERS, Serving, World, command};
use crate::cli::scene::paid;
use crate::metrics::{Series, names_in, read, sum};
use meltd::wire::Outcome;

/// Asks as Prometheus does.
pub(super) async fn scrape(serving: &Serving) -> Series {
    let log = serving.log();
    let line = log.lines().find(|line| line.contains("the API listens"));
    let address = line.unwrap().split_once("address=").unwrap().1;
    let url = format!("http://{}/metrics", address.trim());
    let client = Client::builder().no_proxy().build().unwrap();
    let response = client.get(url).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let kind = response.headers()["content-type"].to_str().unwrap();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    read(&response.text().await.unwrap())
}

/// After one melt through the queue everything that an alert watches is there, and every part of
/// the process has counted what it did.
/// Seen red without the zeros that counters begin with.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_melt_everything_that_alerts_watch_is_there() {
    let world = World::new(1000).await.with("MELTD_SURVEY_EVERY", "200ms");
    let serving = world.serve();
    let invoice = world.scene.invoice(100, paid());
    let body = command(Some("a"), &invoice).to_string();
    world.send("shop", "m1", &body).await;
    world.reply(ANSWERS, 1, Outcome::Paid).await;
    world.send("shop", "m2", &body).await;
    world.send("shop", "m3", "{").await;
    world.queue_is_empty().await;
    world
        .until("the counts arrive", async || {
            let seen = scrape(&serving).await;
            sum(&seen, "meltd_commands_total", &[]) == 3.0
                && sum(&seen, "meltd_outbox_rows", &[]) == 0.0
                && sum(&seen, "meltd_relay_published_total", &[]) >= 7.0
                && sum(&seen, "meltd_recovery_passes_total", &[]) >= 1.0
        })
        .await;
    let seen = scrape(&serving).await;
    let families: Vec<_> = seen.keys().map(|n| n.split('{').next().unwrap()).collect();
    for watched in names_in(include_str!("../../../deploy/alerts.yaml")) {
        assert!(families.contains(&watched.as_str()), "{watched}");
    }
    let expected = [
        ("meltd_sagas_ended_total", "state=\"settled\"", 1.0),
        ("meltd_commands_total", "\"accepted\"", 1.0),
        ("meltd_commands_total", "\"repeated\"", 1.0),
        ("meltd_commands_total", "\"dead\"", 1.0),
        ("meltd_step_seconds_count", "\"post_melt\"", 1.0),
        ("meltd_mint_call_seconds_count", "POST v1 melt bolt11", 1.0),
        ("meltd_criticals_total", "", 0.0),
        ("meltd_survey_failures_total", "", 0.0),
        ("meltd_leaked_reservations", "", 0.0),
    ];
    for (family, label, value) in expected {
        assert_eq!(sum(&seen, family, &[label]), value, "{family} {label}");
    }
    let now = chrono::Utc::now().timestamp() as f64;
    for at in [
        "survey_timestamp_seconds",
        "recovery_last_pass_timestamp_seconds",
    ] {
        let age = now - sum(&seen, &format!("meltd_{at}"), &[]);
        assert!((0.0..30.0).contains(&age), "{at}: {age} s ago");
    }
    world.end().await;
}
