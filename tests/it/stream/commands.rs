//! The same from the command line: the real binary on a real server of the test's own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use meltd::bus::nats::NatsBus;
use meltd::ports::{Bus, Stream};
use meltd::store::sqlite::SqliteStore;
use serde_json::Value;

use super::{checkpoint, keychain, message, publish, records, scene, work};
use crate::cli::scene::{ALICE, BOB, Scene, paid};
use crate::nats_server::NatsServer;

/// A scene with a server whose stream holds everything that has happened.
async fn published() -> (Scene, NatsServer, NatsBus) {
    let server = NatsServer::start();
    let settings = server.settings();
    let scene = scene().await.with("MELTD_BUS", &settings.url);
    work(&scene);
    let bus = NatsBus::connect(&settings).await.unwrap();
    bus.prepare(&Stream::ALL).await.unwrap();
    let store = Arc::new(SqliteStore::open(scene.path("meltd.db")).unwrap());
    publish(&bus, records(&*store).await).await;
    checkpoint(store, &bus, keychain(&scene).heads_key().unwrap()).await;
    (scene, server, bus)
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_is_shown_and_verified() {
    let (scene, _server, bus) = published().await;
    let all = lines(&scene.json(&["events", "tail"]).stdout);
    let from_store = {
        let store = scene
            .command(&["events", "tail", "--json"])
            .env_remove("MELTD_BUS")
            .output();
        lines(&String::from_utf8(store.unwrap().stdout).unwrap())
    };
    let ids = |lines: &[Value]| {
        lines
            .iter()
            .map(|l| l["hash"].to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&all), ids(&from_store));
    assert!(all.iter().all(|line| line["event"]["v"] == 1));

    let paid = lines(&scene.json(&["events", "tail", "--type", "MeltPaid"]).stdout);
    assert_eq!(paid.len(), 2);
    let saga = paid[0]["event"]["saga"].as_str().unwrap();
    let one = lines(&scene.json(&["events", "tail", "--saga", saga]).stdout);
    assert!(one.len() > 4 && one.iter().all(|line| line["event"]["saga"] == saga));
    let later = scene.run(&["events", "tail", "--since", "2999-01-01T00:00:00Z"]);
    assert_eq!((later.exit, later.stdout.as_str()), (0, ""));
    let said = scene.run(&["events", "tail"]);
    assert_eq!(said.stdout.lines().count(), all.len(), "{said:?}");

    let key = scene.run(&["audit", "key"]).stdout;
    let store = format!("sqlite:{}", scene.path("meltd.db").display());
    let audit = [
        "audit",
        "verify",
        "--stream",
        "--key",
        key.trim(),
        "--store",
        &store,
    ];
    let found = scene.json(&audit).exits(0);
    assert_eq!(found["clean"], true, "{found}");
    assert_eq!(found["heads"]["checkpoints"], 1);
    assert_eq!(found["database"]["equal"], all.len());
    let other = "00".repeat(32);
    let found = scene
        .json(&["audit", "verify", "--stream", "--key", &other])
        .exits(6);
    assert_eq!(found["code"], "STREAM_BROKEN");

    // Another event at a place that was seen is told loudly, whatever was asked for.
    let store = SqliteStore::open(scene.path("meltd.db")).unwrap();
    let mut forged = message(&records(&store).await[3]);
    forged.id += "forged";
    for (name, value) in &mut forged.headers {
        if name == meltd::ports::header::HASH {
            *value = "00".repeat(32);
        }
    }
    bus.publish(forged).await.unwrap();
    let said = scene.run(&["events", "tail", "--type", "MeltPaid"]);
    assert_eq!((said.exit, said.stdout.lines().count()), (6, 2), "{said:?}");
    assert!(said.stderr.contains("FAULT: saga"), "{said:?}");
}

/// The store is lost and a new one made: nothing is served on it until it was brought forward.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_store_is_refused_and_brought_forward() {
    let (scene, _server, _bus) = published().await;
    let balances = [ALICE, BOB].map(|npub| scene.balance(npub));
    let scene = {
        let store = format!("sqlite:{}", scene.path("new.db").display());
        scene.with("MELTD_STORE", &store)
    };
    let serve = ["serve", "--roles", "relay,recovery"];
    let refused = scene.json(&serve).exits(6);
    assert_eq!(refused["code"], "STREAM_AHEAD");

    let left = scene.json(&["recover", "--from-stream"]).exits(6);
    assert_eq!(
        (&left["code"], left["left"].as_array().unwrap().len()),
        (&"STREAM_AHEAD".into(), 5)
    );
    let owners = format!("{ALICE},{BOB}");
    let brought = scene
        .json(&["recover", "--from-stream", "--npub", &owners])
        .exits(0);
    assert_eq!(brought["new"].as_array().unwrap().len(), 5);
    assert_eq!([ALICE, BOB].map(|npub| scene.balance(npub)), balances);
    scene.assert_idle();
    super::melt(&scene, 200, paid(), 0);
    scene.assert_idle();
}

/// `serve` publishes and signs by itself, and what it published is clean, in whatever order the
/// relay published the sagas.
#[tokio::test(flavor = "multi_thread")]
async fn the_relay_signs_the_heads() {
    let server = NatsServer::start();
    let scene = scene().await.with("MELTD_BUS", &server.settings().url);
    let scene = scene.with("MELTD_HEADS_EVERY", "500ms");
    work(&scene);
    let mut serving = scene.spawn(&["serve", "--roles", "relay"]);
    let store = format!("sqlite:{}", scene.path("meltd.db").display());
    let deadline = Instant::now() + Duration::from_secs(30);
    let found = loop {
        let said = scene.json(&["audit", "verify", "--stream", "--store", &store]);
        let found = if said.exit == 0 {
            said.json()
        } else {
            Value::Null
        };
        if found["heads"]["checkpoints"].as_u64() >= Some(2) {
            break found;
        }
        assert!(Instant::now() < deadline, "no checkpoints: {said:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    serving.kill().unwrap();
    serving.wait().unwrap();
    assert_eq!(
        (&found["clean"], &found["heads"]["sagas"]),
        (&true.into(), &5.into())
    );
    assert_eq!(
        found["database"]["database_ahead"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
}
