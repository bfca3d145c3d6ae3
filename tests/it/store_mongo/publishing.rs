//! The server fails between the publishing of messages and the taking away of their rows.

use std::sync::Arc;

use meltd::bus::nats::NatsBus;
use mongodb::bson::doc;

use super::faults::Faulty;
use crate::nats_server::NatsServer;
use crate::relay::check::consume;
use crate::relay::rig::{Running, drained, expected, quick, sagas};

/// Invariant: what was published and could not be taken away is published again, and nothing else
/// happens: the mark may be there or not, the rows go or stay.
#[tokio::test(flavor = "multi_thread")]
async fn t11_a_store_that_dies_between_publish_and_taking_away_costs_repeats() {
    let mut faulty = Faulty::new().await;
    let server = NatsServer::start();
    let bus = Arc::new(NatsBus::connect(&server.settings()).await.unwrap());
    let mut all = Vec::new();
    // The server hangs up; and it says that the write is not durable.
    let hangs_up = doc! { "closeConnection": true };
    let not_durable = doc! { "writeConcernError": { "code": 64, "errmsg": "waiting" } };
    for (commands, how) in [
        (["delete"], hangs_up.clone()),
        (["update"], hangs_up),
        (["delete"], not_durable),
    ] {
        all.extend(sagas(&*faulty.store, 40, 4).await);
        faulty.fail(6, &commands, how).await;
        let relay = Running::start(&faulty.store, &bus, quick());
        drained(&*faulty.store, 0).await;
        assert!(faulty.met().await > 0, "{commands:?} never failed");
        relay.stop().await;
        let seen = consume(&*bus).await;
        seen.is_whole(&expected(&all));
        assert_eq!(seen.early, 0);
    }
    faulty.done().await;
}
