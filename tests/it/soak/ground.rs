//! What the soak stands on: a mint behind a proxy, a store, a nats-server of its own, and, for
//! MongoDB, servers of its own that die.

use std::time::Duration;

use meltd::bus::nats::NatsBus;
use meltd::ports::{Begin, Bus, Message, Stream};
use meltd::wire::{MeltReply, Outcome};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::mongod::ReplicaSet;
use crate::nats_server::NatsServer;
use crate::real_life::stage::{On, Stage};

/// Who sends commands, and whose wallets it may use.
const PRODUCERS: &str = r#"{ "soak": { "wallets": "*" } }"#;

/// Where it is answered.
const ANSWERS: &str = "melt.reply.soak.answers";

/// So many commands may wait in the queue: whoever brings the next waits with them, so that the
/// processes that serve work while the faults last.
const QUEUED_MAX: u64 = 6;

/// How long a full queue is waited for: nobody may be alive to empty it.
const QUEUE_WAIT: Duration = Duration::from_secs(10);

pub(super) struct Ground {
    pub(super) stage: Stage,
    bus: NatsBus,
    _nats: NatsServer,
    servers: Option<Servers>,
    handle: Handle,
}

/// Servers of the store, in a task that lets them die when it is told to.
struct Servers {
    deaths: UnboundedSender<Duration>,
    task: JoinHandle<(ReplicaSet, u64)>,
}

impl Servers {
    fn over(set: ReplicaSet) -> Self {
        let (deaths, told) = unbounded_channel();
        let task = tokio::spawn(die(set, told));
        Servers { deaths, task }
    }
}

/// The primary dies each time that it is told to, and is away for that long.
async fn die(mut set: ReplicaSet, mut deaths: UnboundedReceiver<Duration>) -> (ReplicaSet, u64) {
    let mut count = 0;
    while let Some(away) = deaths.recv().await {
        let primary = set.primary().await;
        set.nodes[primary].dies();
        tokio::time::sleep(away).await;
        set.nodes[primary].again();
        set.whole().await;
        count += 1;
    }
    (set, count)
}

impl Ground {
    /// With so many servers of the store, if it is MongoDB.
    pub(super) async fn new(on: On, nodes: usize) -> Self {
        let nats = NatsServer::start();
        let bus = NatsBus::connect(&nats.settings()).await.unwrap();
        bus.prepare(&Stream::ALL).await.unwrap();
        let (stage, servers) = match on {
            On::Sqlite => (Stage::new(On::Sqlite).await, None),
            On::Mongo => {
                let set = ReplicaSet::start(nodes).await;
                set.whole().await;
                let stage = Stage::on_store(&set.uri("meltd")).await;
                (stage, Some(Servers::over(set)))
            }
        };
        let producers = stage.scene.path("producers.json");
        std::fs::write(&producers, PRODUCERS).unwrap();
        let stage = stage
            .set("MELTD_ASK_TIMEOUT_MS", "700")
            .set("MELTD_BUS", &nats.url())
            .set("MELTD_NATS_COMMANDS_MAX_BYTES", "1048576")
            .set("MELTD_PRODUCERS", &producers.display().to_string());
        Ground {
            stage,
            bus,
            _nats: nats,
            servers,
            handle: Handle::current(),
        }
    }

    /// The store dies now, if it is one that can, and is away for this long.
    pub(super) fn kill_store(&self, away: Duration) {
        if let Some(servers) = &self.servers {
            servers.deaths.send(away).unwrap();
        }
    }

    /// No more deaths; how many there were.
    pub(super) async fn store_stays(&mut self) -> (Option<ReplicaSet>, u64) {
        match self.servers.take() {
            None => (None, 0),
            Some(Servers { deaths, task }) => {
                drop(deaths);
                let (set, count) = task.await.unwrap();
                (Some(set), count)
            }
        }
    }

    /// Puts a command into the queue, once there is room in it.
    pub(super) fn send(&self, id: &str, body: String) {
        self.handle.block_on(async {
            let room = async {
                while self.queued().await > QUEUED_MAX {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            // Full for long is no failure: nobody may be alive to empty it.
            drop(tokio::time::timeout(QUEUE_WAIT, room).await);
            let message = Message {
                subject: "melt.cmd.soak".to_owned(),
                id: id.to_owned(),
                headers: Vec::new(),
                body,
            };
            self.bus.publish(message).await.unwrap();
        });
    }

    /// Does one asynchronous thing from a thread.
    pub(super) fn wait_for<T>(&self, work: impl Future<Output = T>) -> T {
        self.handle.block_on(work)
    }

    /// Commands that nobody has taken for good.
    pub(super) async fn queued(&self) -> u64 {
        let facts = self.bus.facts(Stream::Commands).await.unwrap();
        facts.unwrap().messages
    }

    /// Every answer that a command of the queue has got, oldest first.
    pub(super) async fn replies(&self) -> Vec<MeltReply> {
        let mut replies = Vec::new();
        let mut begin = Begin::First;
        loop {
            let (subject, wait) = (Some(ANSWERS), Duration::from_millis(50));
            let page = self.bus.read(Stream::Replies, begin, subject, 500, wait);
            let page = page.await.unwrap();
            let Some(last) = page.last() else {
                return replies;
            };
            begin = Begin::At(last.sequence + 1);
            let read = |body: &str| serde_json::from_str(body).unwrap();
            replies.extend(page.iter().map(|stored| read(&stored.message.body)));
        }
    }
}

/// What a reply claims about the payment: made, not made, or nothing yet.
pub(super) fn claim(outcome: Outcome) -> Option<bool> {
    match outcome {
        Outcome::Paid => Some(true),
        Outcome::Failed | Outcome::Refused => Some(false),
        Outcome::Accepted | Outcome::Parked | Outcome::Critical => None,
    }
}
