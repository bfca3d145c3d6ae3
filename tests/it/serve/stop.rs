//! How a process that serves ends: asked to, killed, or because it cannot go on.

use meltd::mint::embedded::Script;
use meltd::ports::{Bus, Stream};
use meltd::wire::Outcome;

use super::scene::{ANSWERS, World, command};
use crate::cli::scene::paid;

/// Guards that the answer of an adopted command survives the process, which died before it had
/// acknowledged anything.
#[tokio::test(flavor = "multi_thread")]
async fn killed_between_adoption_and_acknowledgement_it_still_answers() {
    let world = World::new(1000).await;
    let invoice = world.scene.invoice(100, paid());
    let mut dying = world.serve_as(&[], &[("MELTD_FAILPOINT", "adopt.after")]);
    world
        .send("shop", "m1", &command(Some("a"), &invoice).to_string())
        .await;
    assert_eq!(dying.ended().await, None, "{}", dying.log());
    assert!(
        dying.log().contains("failpoint adopt.after"),
        "{}",
        dying.log()
    );
    assert!(world.replies(ANSWERS).await.is_empty());

    let _serving = world.serve();
    let answer = world.reply(ANSWERS, 1, Outcome::Paid).await;
    assert_eq!(answer.command_id, "a");
    // Not of the redelivery, which would answer too: of the saga's own transaction.
    let replies = world.read(Stream::Replies, Some(ANSWERS)).await;
    let paid = replies
        .iter()
        .find(|reply| reply.message.body.contains("\"paid\""));
    let id = &paid.unwrap().message.id;
    assert!(id.ends_with(":reply"), "{id}");
    assert_eq!(
        (world.melts().len(), world.scene.times_paid(&invoice)),
        (1, 1)
    );
    world.end().await;
}

/// Guards that a stop waits for the payment under way and leaves nothing leased; a second signal
/// ends it at once. Seen red with a stop that waits for the roles alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_finishes_what_is_under_way() {
    let world = World::new(1000).await.with("MELTD_LEASE_TTL_MS", "60000");
    let world = world.with("MELTD_POST_TIMEOUT_MS", "20000");
    let slow = |ms| world.scene.invoice(100, Script::Slow { ms, ln_fee: 1 });
    let tried = |invoice: &cdk::Bolt11Invoice| {
        world
            .scene
            .mint
            .lightning()
            .times_tried(invoice.payment_hash())
            > 0
    };
    let first = slow(5000);
    let mut serving = world.serve();
    world
        .send("shop", "m1", &command(Some("a"), &first).to_string())
        .await;
    world
        .until("the payment is under way", async || tried(&first))
        .await;
    serving.signal("-TERM");
    assert_eq!(serving.ended().await, Some(0), "{}", serving.log());
    assert!(serving.log().contains("stopped"), "{}", serving.log());
    assert_eq!(world.scene.times_paid(&first), 1);
    assert_eq!(world.melts()[0]["state"], "settled");
    // The relay went on until the last pass had ended.
    assert_eq!(
        world.replies(ANSWERS).await.last().unwrap().outcome,
        Outcome::Paid
    );

    let second = slow(60_000);
    let mut serving = world.serve();
    world
        .send("shop", "m2", &command(Some("b"), &second).to_string())
        .await;
    world
        .until("the payment is under way", async || tried(&second))
        .await;
    let began = std::time::Instant::now();
    serving.signal("-TERM");
    serving.says("stopping").await;
    serving.signal("-INT");
    serving.ended().await;
    assert!(began.elapsed().as_secs() < 15, "{}", serving.log());
    assert!(serving.log().contains("at once"), "{}", serving.log());
}

/// Guards that a process says when it cannot do its work, and when it can again; and that nothing
/// is lost meanwhile. Seen red with a pause that only a settled command
/// ends: without commands it never came back.
#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_only_while_it_is() {
    let mut world = World::new(1000).await;
    let serving = world.serve();
    serving.says(" ready\n").await;
    world.nats.kill();
    serving.says("not ready conditions").await;
    assert!(
        serving.log().contains("the connection is down"),
        "{}",
        serving.log()
    );
    world.nats.restart();
    let readies = || serving.log().matches(" INFO ready\n").count();
    let again = "ready a second time";
    world.until(again, async || readies() >= 2).await;
    let invoice = world.scene.invoice(100, paid());
    world
        .until("the test's own client is back", async || {
            world.bus.connected()
        })
        .await;
    world
        .send("shop", "m1", &command(Some("a"), &invoice).to_string())
        .await;
    world.reply(ANSWERS, 1, Outcome::Paid).await;
    drop(serving);
    world.end().await;
}

/// Guards that what is missing is said at once, and by name.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_named() {
    let world = World::new(0).await;
    let refused = |variables: &[(&str, &str)], args: &[&str]| {
        let mut command = world.scene.command(&[&["serve", "--json"], args].concat());
        let output = command.envs(variables.iter().copied()).output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let answer: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        let message = answer["message"].as_str().unwrap().to_owned();
        (output.status.code().unwrap(), message)
    };
    let bad = world.scene.path("bad.json");
    std::fs::write(&bad, r#"{"shop":{"wallets":["npub1x"]}}"#).unwrap();
    let bad = bad.display().to_string();
    for (variables, args, exit, names) in [
        ([("MELTD_BUS", "kafka://h")], vec![], 2, "MELTD_BUS"),
        (
            [("MELTD_PRODUCERS", "/nowhere.json")],
            vec![],
            2,
            "/nowhere.json",
        ),
        ([("MELTD_PRODUCERS", bad.as_str())], vec![], 2, "shop"),
        ([("MELTD_BUS", "nats://127.0.0.1:1")], vec![], 7, "reached"),
        ([("MELTD_ROLES", "intake,cook")], vec![], 2, "cook"),
    ] {
        let (code, message) = refused(&variables, &args);
        assert_eq!(code, exit, "{variables:?}: {message}");
        assert!(message.contains(names), "{variables:?}: {message}");
    }
    for missing in ["MELTD_STORE", "MELTD_BUS", "MELTD_PRODUCERS"] {
        let mut command = world.scene.command(&["serve"]);
        let output = command.env_remove(missing).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(missing), "{stderr}");
    }
}
