//! A mint, a funded wallet, a nats-server of its own, and processes that serve.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cdk::Bolt11Invoice;
use meltd::bus::nats::NatsBus;
use meltd::ports::{Begin, Bus, Message, Stored, Stream, header};
use meltd::saga::ids::SagaId;
use meltd::wire::{MeltReply, Outcome};
use serde_json::{Value, json};

use crate::cli::scene::{ALICE, BOB, Scene};
use crate::nats_server::NatsServer;
use crate::relay::check::consume;
use crate::store_contract::Fixture;
use crate::store_mongo::Mongo;

/// Everything here takes well under a second on an idle machine.
const WITHIN: Duration = Duration::from_secs(60);

/// Where a command without `Melt-Reply-To` is answered.
pub(super) const ANSWERS: &str = "melt.reply.shop.answers";

/// Who may send: the shop for Alice only, a bridge for anybody.
const PRODUCERS: &str = r#"{
    "shop": { "wallets": ["ALICE"], "max_amount": 500, "max_fee": 50 },
    "bridge": { "wallets": "*" }
}"#;

pub(super) struct World {
    pub(super) scene: Scene,
    pub(super) nats: NatsServer,
    pub(super) bus: NatsBus,
    mongo: Option<Mongo>,
    logs: std::cell::Cell<u32>,
}

impl World {
    /// On SQLite, with this much in Alice's wallet.
    pub(super) async fn new(funded: u64) -> Self {
        World::on(Scene::new().await, None, funded).await
    }

    /// The same on MongoDB.
    pub(super) async fn on_mongo(funded: u64) -> Self {
        let mongo = Mongo::fresh().await;
        let scene = Scene::new().await.with("MELTD_STORE", &mongo.uri(""));
        World::on(scene, Some(mongo), funded).await
    }

    async fn on(scene: Scene, mongo: Option<Mongo>, funded: u64) -> Self {
        let nats = NatsServer::start();
        let bus = NatsBus::connect(&nats.settings()).await.unwrap();
        bus.prepare(&Stream::ALL).await.unwrap();
        let producers = scene.path("producers.json");
        std::fs::write(&producers, PRODUCERS.replace("ALICE", ALICE)).unwrap();
        let scene = scene
            .with("MELTD_BUS", &nats.url())
            .with("MELTD_NATS_COMMANDS_MAX_BYTES", "1048576")
            .with("MELTD_PRODUCERS", &producers.display().to_string())
            .with("MELTD_LISTEN", "127.0.0.1:0")
            .with("MELTD_LOG", "meltd=info");
        if funded > 0 {
            scene.mint_to(ALICE, funded);
        }
        World {
            scene,
            nats,
            bus,
            mongo,
            logs: std::cell::Cell::new(0),
        }
    }

    /// The same with a variable for what is started from now on.
    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.scene = self.scene.with(name, value);
        self
    }

    /// Starts a process that serves, with all roles.
    pub(super) fn serve(&self) -> Serving {
        self.serve_as(&[], &[])
    }

    /// The same with more arguments and variables.
    pub(super) fn serve_as(&self, args: &[&str], variables: &[(&str, &str)]) -> Serving {
        self.logs.set(self.logs.get() + 1);
        let log = self.scene.path(&format!("serve-{}.log", self.logs.get()));
        let mut command: Command = self.scene.command(&[&["serve"], args].concat());
        let process = command
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Serving { process, log }
    }

    /// Puts a command into the queue.
    pub(super) async fn send(&self, producer: &str, message_id: &str, body: &str) {
        self.send_with(producer, message_id, body, &[]).await;
    }

    pub(super) async fn send_with(
        &self,
        producer: &str,
        message_id: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) {
        let headers = headers
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        let message = Message {
            subject: format!("melt.cmd.{producer}"),
            id: message_id.to_owned(),
            headers: headers.collect(),
            body: body.to_owned(),
        };
        self.bus.publish(message).await.unwrap();
    }

    /// Every reply on a subject so far, oldest first.
    pub(super) async fn replies(&self, subject: &str) -> Vec<MeltReply> {
        let read = |stored: Stored| serde_json::from_str(&stored.message.body).unwrap();
        let stored = self.read(Stream::Replies, Some(subject)).await;
        stored.into_iter().map(read).collect()
    }

    /// Everything in a stream.
    pub(super) async fn read(&self, stream: Stream, subject: Option<&str>) -> Vec<Stored> {
        let mut found: Vec<Stored> = Vec::new();
        loop {
            let begin = found
                .last()
                .map_or(Begin::First, |l| Begin::At(l.sequence + 1));
            let wait = Duration::from_millis(50);
            match self.bus.read(stream, begin, subject, 500, wait).await {
                Ok(page) if page.is_empty() => return found,
                Ok(page) => found.extend(page),
                Err(why) => panic!("{why}"),
            }
        }
    }

    /// Waits for the n-th reply of this kind on a subject.
    pub(super) async fn reply(&self, subject: &str, nth: usize, outcome: Outcome) -> MeltReply {
        let deadline = Instant::now() + WITHIN;
        loop {
            let replies = self.replies(subject).await;
            let mut found = replies.iter().filter(|reply| reply.outcome == outcome);
            if let Some(reply) = found.nth(nth - 1) {
                return reply.clone();
            }
            assert!(
                Instant::now() < deadline,
                "no {outcome:?} among {replies:?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the queue is empty: every command was settled.
    pub(super) async fn queue_is_empty(&self) {
        let what = "the queue is empty";
        self.until(what, async || {
            self.bus
                .facts(Stream::Commands)
                .await
                .unwrap()
                .unwrap()
                .messages
                == 0
        })
        .await;
    }

    /// Waits until the stream of events holds every event of the store, each saga whole.
    pub(super) async fn everything_is_published(&self) {
        let sagas = ["saga", "list", "--limit", "100000"];
        let sagas = self.scene.json(&sagas).exits(0);
        let sagas = sagas["sagas"].as_array().unwrap().iter().map(|saga| {
            let id = saga["saga"].as_str().unwrap();
            let events = saga["events"].as_u64().unwrap();
            (SagaId::new(id), u32::try_from(events).unwrap())
        });
        let sagas = sagas.collect();
        self.until("every event is on the stream", async || {
            consume(&self.bus).await.misses(&sagas) == 0
        })
        .await;
        consume(&self.bus).await.is_whole(&sagas);
    }

    pub(super) async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + WITHIN;
        while !is_so().await {
            if Instant::now() >= deadline {
                panic!("waited in vain: {what}\n{}", self.last_log());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the newest process said.
    fn last_log(&self) -> String {
        let log = format!("serve-{}.log", self.logs.get());
        std::fs::read_to_string(self.scene.path(&log)).unwrap_or_default()
    }

    /// How many melts the store knows.
    pub(super) fn melts(&self) -> Vec<Value> {
        let list = ["saga", "list", "--kind", "melt", "--limit", "100000"];
        let answer = self.scene.json(&list).exits(0);
        answer["sagas"].as_array().unwrap().clone()
    }

    /// The store agrees with itself, and nothing is held back.
    pub(super) async fn end(self) {
        self.scene.assert_idle();
        if let Some(mongo) = self.mongo {
            mongo.remove().await;
        }
    }
}

/// A process that serves; it is killed with the test.
pub(super) struct Serving {
    process: Child,
    log: PathBuf,
}

impl Serving {
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until its log says this.
    pub(super) async fn says(&self, text: &str) {
        let deadline = Instant::now() + WITHIN;
        while !self.log().contains(text) {
            assert!(
                Instant::now() < deadline,
                "not said: {text}\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(super) fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args([name, &id]).status().unwrap();
        assert!(sent.success());
    }

    /// How it ended; it must end by itself. `None` = by a signal.
    pub(super) async fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + WITHIN;
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code();
            }
            assert!(
                Instant::now() < deadline,
                "it does not end:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A command of the shop's, for Alice.
pub(super) fn command(id: Option<&str>, invoice: &Bolt11Invoice) -> Value {
    let mut body = json!({ "version": 1, "npub": ALICE, "invoice": invoice.to_string() });
    if let Some(id) = id {
        body["command_id"] = id.into();
    }
    body
}

/// The same with one more field.
pub(super) fn and(mut command: Value, name: &str, value: impl Into<Value>) -> String {
    command[name] = value.into();
    command.to_string()
}

/// A header that names where to answer.
pub(super) fn answers_to(subject: &str) -> [(&'static str, &str); 1] {
    [(header::REPLY_TO, subject)]
}

pub(super) const OTHER_OWNER: &str = BOB;
