//! The store cannot be written to when the mint has paid: somebody is told at once, nobody is told
//! that it failed, and it ends well when the store is back. Another program that holds the write
//! lock of the file is such a store.

use std::time::Duration;

use cdk::Bolt11Invoice;
use futures::StreamExt;
use meltd::mint::embedded::Script;
use meltd::ports::{ALERTS, Bus};
use meltd::saga::code::Code;
use meltd::wire::{CriticalAlert, Outcome};
use rusqlite::Connection;
use serde_json::Value;

use super::scene::{ANSWERS, World, command};
use crate::cli::scene::ALICE;

/// The payment takes so long that the lock is held before it ends.
fn slow(world: &World) -> Bolt11Invoice {
    world.scene.invoice(
        100,
        Script::Slow {
            ms: 2000,
            ln_fee: 1,
        },
    )
}

/// Waits for the post, then holds the store.
async fn hold(world: &World, invoice: &Bolt11Invoice) -> Connection {
    let lightning = world.scene.mint.lightning();
    let hash = invoice.payment_hash();
    world
        .until("it is at the node", async || {
            lightning.times_tried(hash) > 0
        })
        .await;
    let held = Connection::open(world.scene.path("meltd.db")).unwrap();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    held
}

/// Guards the alert: once, on its subject, with nothing private; and the answer afterwards.
/// Seen red with the outlet of the driver left unconnected.
#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_raised_when_a_payment_cannot_be_recorded() {
    let world = World::new(1000)
        .await
        .with("MELTD_POST_TIMEOUT_MS", "10000");
    let listener = async_nats::connect(world.nats.url()).await.unwrap();
    let mut alerts = listener.subscribe(ALERTS).await.unwrap();
    listener.flush().await.unwrap();
    let serving = world.serve();
    let invoice = slow(&world);
    world
        .send("shop", "m1", &command(Some("a"), &invoice).to_string())
        .await;
    let held = hold(&world, &invoice).await;
    let alert = tokio::time::timeout(Duration::from_secs(40), alerts.next()).await;
    let body = String::from_utf8(alert.unwrap().unwrap().payload.to_vec()).unwrap();
    let alert: CriticalAlert = serde_json::from_str(&body).unwrap();
    assert_eq!(alert.code, Code::CriticalDbFailureAfterMintSuccess);
    assert!(!body.contains(ALICE) && !body.contains("lnbc"), "{body}");
    assert!(
        world
            .replies(ANSWERS)
            .await
            .iter()
            .all(|r| r.outcome == Outcome::Accepted)
    );

    held.execute_batch("ROLLBACK").unwrap();
    let answer = world.reply(ANSWERS, 1, Outcome::Paid).await;
    assert_eq!(answer.saga, alert.saga);
    assert_eq!(world.scene.times_paid(&invoice), 1);
    drop(serving);
    world.end().await;
}

/// Guards that a command which fails for our own reasons again and again is told of: at its
/// twentieth delivery, once, with nothing private; and that it is done when the store is back.
///
/// Seen red with an alert that is only logged.
#[tokio::test(flavor = "multi_thread")]
async fn the_twentieth_delivery_of_a_command_raises_an_alert() {
    let world = World::new(1000).await;
    let listener = async_nats::connect(world.nats.url()).await.unwrap();
    let mut alerts = listener.subscribe(ALERTS).await.unwrap();
    listener.flush().await.unwrap();
    let invoice = world.scene.invoice(100, crate::cli::scene::paid());
    world
        .send("shop", "m1", &command(Some("a"), &invoice).to_string())
        .await;
    let mut taken = Vec::new();
    for n in 1..20 {
        taken = world.bus.pull(1, Duration::from_secs(10)).await.unwrap();
        assert_eq!(taken[0].deliveries, n);
        if n < 19 {
            let again = world.bus.later(&taken[0].receipt, Duration::ZERO).await;
            again.unwrap();
        }
    }
    let serving = world.serve();
    serving.says(" INFO ready\n").await;
    let held = Connection::open(world.scene.path("meltd.db")).unwrap();
    held.busy_timeout(Duration::from_secs(10)).unwrap();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    let again = world.bus.later(&taken[0].receipt, Duration::ZERO).await;
    again.unwrap();
    let alert = tokio::time::timeout(Duration::from_secs(40), alerts.next()).await;
    let body = String::from_utf8(alert.unwrap().unwrap().payload.to_vec()).unwrap();
    let alert: CriticalAlert = serde_json::from_str(&body).unwrap();
    assert_eq!((alert.code, alert.saga), (Code::AdoptionUnknown, None));
    assert!(!body.contains(ALICE) && !body.contains("lnbc"), "{body}");
    held.execute_batch("ROLLBACK").unwrap();

    // It waits for a minute now; nobody has to, who knows its name.
    world
        .send("shop", "m2", &command(Some("a"), &invoice).to_string())
        .await;
    world.reply(ANSWERS, 1, Outcome::Paid).await;
    assert_eq!(world.scene.times_paid(&invoice), 1);
    let more = tokio::time::timeout(Duration::from_millis(200), alerts.next()).await;
    assert!(more.is_err(), "{more:?}");
    drop(serving);
    world.end().await;
}

/// Guards that a caller who waits gets the answer when the store comes back in time.
/// Seen red with the first error given back as the answer: exit 6.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_waits_outlasts_a_store_that_is_away() {
    let world = World::new(1000)
        .await
        .with("MELTD_POST_TIMEOUT_MS", "10000");
    let invoice = slow(&world);
    let melt = ["melt", "--json", "--npub", ALICE, &invoice.to_string()];
    let waiting = world.scene.spawn(&melt);
    let held = hold(&world, &invoice).await;
    // Longer than the settlement is offered again within one pass, and then some.
    tokio::time::sleep(Duration::from_secs(12)).await;
    held.execute_batch("ROLLBACK").unwrap();
    let output = waiting.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("CRITICAL_DB_FAILURE_AFTER_MINT_SUCCESS"),
        "{stderr}"
    );
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["paymentResult"], "PAID");
    assert_eq!(world.scene.times_paid(&invoice), 1);
    world.end().await;
}
