//! `meltd relay`: what it shows, letting go on, and publishing again.

use meltd::bus::nats::NatsBus;
use meltd::ports::Outbox;
use meltd::store::sqlite::SqliteStore;
use std::sync::Arc;

use super::scene::{ALICE, Scene};
use crate::nats_server::NatsServer;
use crate::relay::rig::{Running, drained, quick};

/// Invariant: what is left, put aside and published is shown as it is, also when the bus is away;
/// what was put aside goes on when it is let go; everything can be published again.
#[tokio::test(flavor = "multi_thread")]
async fn the_relay_is_shown_and_led() {
    let scene = Scene::funded(ALICE, 100).await;
    let store = Arc::new(SqliteStore::open(scene.path("meltd.db")).unwrap());
    let rows = store.outbox(None, 100).await.unwrap();
    store.outbox_park(&rows[0].id, "too large").await.unwrap();

    let status = scene.json(&["relay", "status"]).exits(0);
    assert_eq!(status["holder"], serde_json::Value::Null, "{status}");
    assert_eq!(status["outbox"]["rows"], rows.len(), "{status}");
    assert_eq!(status["parked"][0]["row"], rows[0].id, "{status}");
    assert_eq!(status["parked"][0]["reason"], "too large", "{status}");
    assert_eq!(status["stream"]["state"], "unknown", "{status}");

    let server = NatsServer::start();
    let scene = scene.with("MELTD_BUS", &server.url());
    let bus = Arc::new(NatsBus::connect(&server.settings()).await.unwrap());
    let relay = Running::start(&store, &bus, quick());
    let said = scene.json(&["relay", "unpark", &rows[0].id]).exits(0);
    assert_eq!(said["row"], rows[0].id);
    drained(&*store, 0).await;
    let said = scene.json(&["relay", "unpark", &rows[0].id]).exits(3);
    assert_eq!(said["code"], "NOT_FOUND");

    let status = scene.json(&["relay", "status"]).exits(0);
    assert_eq!(status["holder"]["live"], true, "{status}");
    assert_eq!(status["outbox"]["rows"], 0, "{status}");
    assert_eq!(status["mark"]["sequence"], rows.len(), "{status}");
    assert_eq!(status["stream"]["state"], "matches", "{status}");
    relay.stop().await;

    let saga = rows[0].saga.as_str();
    for to in ["begin", "2026-01-01T00:00:00Z", saga] {
        let said = scene.json(&["relay", "rewind", "--to", to]).exits(0);
        assert_eq!(said["events"], rows.len(), "{to}: {said}");
    }
    let status = scene.json(&["relay", "status"]).exits(0);
    assert_eq!(status["outbox"]["to_publish_again"], rows.len(), "{status}");
    let said = scene.json(&["relay", "rewind", "--to", "2999-01-01T00:00:00Z"]);
    assert_eq!(said.exits(0)["events"], 0);
    let unknown = uuid::Uuid::now_v7().to_string();
    let said = scene.json(&["relay", "rewind", "--to", &unknown]).exits(3);
    assert_eq!(said["code"], "NOT_FOUND");
    assert_eq!(scene.json(&["relay", "rewind", "--to", "soon"]).exit, 2);

    drop(server);
    let status = scene.json(&["relay", "status"]).exits(0);
    assert_eq!(status["stream"]["state"], "unknown", "{status}");
    let text = scene.run(&["relay", "status"]).stdout;
    assert!(text.contains("nobody publishes"), "{text}");
}
