//! T11: mongod is killed between the relay's publish and its taking the row away. Every event is on
//! the stream afterwards, in order for each saga; what comes twice is the consumer's to drop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use meltd::bus::nats::NatsBus;
use meltd::ports::{Bus, Outbox, Stream};
use meltd::store::mongo::MongoStore;
use mongodb::bson::doc;

use super::check::consume;
use super::rig::{Running, drained, expected, quick, sagas};
use crate::mongod::ReplicaSet;
use crate::nats_server::NatsServer;
use crate::store_contract::build::Chain;

/// A store on a server of its own, a bus on another, and the relay between them.
struct Scene {
    set: ReplicaSet,
    store: Arc<MongoStore>,
    nats: NatsServer,
    bus: Arc<NatsBus>,
    all: Vec<Chain>,
    relay: Running,
}

impl Scene {
    async fn new() -> Self {
        let set = ReplicaSet::start(1).await;
        let store = Arc::new(MongoStore::connect(&set.uri("meltd")).await.unwrap());
        let nats = NatsServer::start();
        let bus = Arc::new(NatsBus::connect(&nats.settings()).await.unwrap());
        let all = sagas(&*store, 20, 3).await;
        let relay = Running::start(&store, &bus, quick());
        drained(&*store, 0).await;
        Scene {
            set,
            store,
            nats,
            bus,
            all,
            relay,
        }
    }

    /// From now on the server does not come back from this command on this collection.
    async fn hangs_in(&self, command: &str, collection: &str) {
        let data = doc! {
            "failCommands": [command],
            "namespace": format!("meltd.{collection}"),
            "blockConnection": true,
            "blockTimeMS": 60_000,
        };
        let mongod = &self.set.nodes[0];
        mongod.failpoint("failCommand", "alwaysOn", data).await;
    }

    /// How many events the sagas have.
    fn events(&self) -> u64 {
        expected(&self.all).values().map(|n| u64::from(*n)).sum()
    }

    /// Waits until so many messages were published.
    async fn published(&self, least: u64) {
        let began = Instant::now();
        loop {
            let facts = self.bus.facts(Stream::Events).await.unwrap().unwrap();
            if facts.last >= least {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "{facts:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The server forgets the ids that it has seen, as it does after two minutes: what is published
    /// again now is stored again.
    async fn window_passes(&self) {
        let client = async_nats::connect(self.nats.url()).await.unwrap();
        let context = async_nats::jetstream::new(client);
        let mut stream = context.get_stream(Stream::Events.name()).await.unwrap();
        let config = stream.info().await.unwrap().config.clone();
        let short = async_nats::jetstream::stream::Config {
            duplicate_window: Duration::from_millis(100),
            ..config.clone()
        };
        context.update_stream(short).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        context.update_stream(config).await.unwrap();
    }

    /// `kill -9`, and the same data again.
    async fn mongod_dies(&mut self) {
        self.set.nodes[0].dies();
        tokio::time::sleep(Duration::from_millis(300)).await;
        self.set.nodes[0].again();
        self.set.primary().await;
    }

    /// Nothing is left, everything is there; how many came again.
    async fn is_whole(&self) -> usize {
        drained(&*self.store, 0).await;
        let seen = consume(&*self.bus).await;
        seen.is_whole(&expected(&self.all));
        assert_eq!(seen.early, 0, "first copies are in order");
        seen.repeats
    }

    async fn end(self) {
        self.relay.stop().await;
        self.store.shutdown().await;
    }
}

/// Invariant: rows whose messages are stored and which are still there when the server dies, with
/// the mark behind them and with the mark before them, are published again; that is all.
///
/// Seen red with rows that are taken away before they are published, and with a plan that does not
/// look at what is in flight.
#[tokio::test(flavor = "multi_thread")]
async fn t11_mongod_killed_between_publish_and_deletion_loses_nothing() {
    let mut scene = Scene::new().await;
    let mut repeats = 0;
    for (command, collection) in [("delete", "outbox"), ("update", "relay_mark")] {
        scene.hangs_in(command, collection).await;
        let before = scene.events() + repeats;
        let new = sagas(&*scene.store, 60, 4).await;
        scene.all.extend(new);
        scene.published(before + 240).await;
        let left = scene.store.outbox_depth().await.unwrap().rows;
        assert_eq!(left, 240, "published, and none taken away");
        scene.window_passes().await;
        scene.mongod_dies().await;
        let all = scene.is_whole().await as u64;
        assert!(all > repeats, "none came again");
        repeats = all;
    }
    scene.end().await;
}

/// Invariant: the same wherever in its work the relay is when the server dies.
///
/// Seen red with rows that are taken away before they are published: 4 of 220 sagas had a gap.
#[tokio::test(flavor = "multi_thread")]
async fn t11_mongod_killed_in_mid_flight_loses_nothing() {
    let mut scene = Scene::new().await;
    for more in [1, 90, 200] {
        let before = scene.bus.facts(Stream::Events).await.unwrap().unwrap().last;
        let new = sagas(&*scene.store, 100, 4).await;
        scene.all.extend(new);
        scene.published(before + more).await;
        scene.mongod_dies().await;
        scene.is_whole().await;
    }
    scene.end().await;
}
