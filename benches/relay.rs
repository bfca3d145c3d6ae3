//! Events per second through the relay, beside the raw pipelined publish rate of the same server,
//! and the time from commit to consumer at 200 events a second. `MELTD_TEST_NATS_URL` and
//! `MELTD_TEST_MONGO_URL` name the servers (`scripts/services env`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a bench stops at the first surprise"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream;
use async_nats::jetstream::consumer::{DeliverPolicy, push};
use chrono::{DateTime, Utc};
use futures::StreamExt;
use meltd::bus::nats::{NatsBus, Settings};
use meltd::ports::{
    Adopted, Append, Bus, HeadAfter, Message, NewSaga, Outbox, Store, Stream, Wallet, header,
};
use meltd::relay::{Relay, STREAMS, Tuning};
use meltd::saga::chain::{self, Tail};
use meltd::saga::command::{Command, MintCommand};
use meltd::saga::event::{Entry, Event, Refusal};
use meltd::saga::ids::{Producer, SagaId};
use meltd::saga::state::Status;
use meltd::store::mongo::MongoStore;
use meltd::store::sqlite::SqliteStore;
use tokio::sync::oneshot;

/// Events of one saga, in two appends.
const EVENTS: u32 = 6;

async fn adopt<S: Store>(store: &S, wallet: &Wallet) -> (Tail, u64) {
    let id = SagaId::new(uuid::Uuid::now_v7().to_string());
    let command = Command::Mint(MintCommand {
        amount: 1,
        deadline: Utc::now(),
    });
    let kind = command.kind();
    let new = NewSaga {
        id: id.clone(),
        wallet: wallet.clone(),
        producer: Producer::new("bench"),
        command_id: id.to_string(),
        intent_key: None,
        request_hash: "00".repeat(32),
        command,
        reply_to: None,
    };
    let Adopted::New(lease) = store
        .adopt(new, "bench", Duration::from_secs(600))
        .await
        .unwrap()
    else {
        panic!("a fresh id is adopted");
    };
    let hash = chain::genesis(&id);
    let tail = Tail {
        saga: id,
        kind,
        seq: 0,
        hash,
    };
    (tail, lease.fence)
}

async fn append<S: Store>(store: &S, wallet: &Wallet, tail: &mut Tail, fence: u64, events: u32) {
    let expected_version = tail.seq;
    // As long as an event of a melt is on average.
    let entry = Entry::from(Event::MeltRefused(Refusal {
        mint_code: None,
        detail: "x".repeat(350),
    }));
    let seal = |_| chain::seal(tail, &entry, Utc::now(), "salt").unwrap();
    let records: Vec<_> = (0..events).map(seal).collect();
    let append = Append {
        saga: tail.saga.clone(),
        wallet: wallet.id.clone(),
        expected_version,
        fence,
        records,
        proofs: Vec::new(),
        reply: None,
        head: HeadAfter {
            head_hash: tail.hash.to_hex(),
            state: "requested".to_owned(),
            status: Status::Active,
            holds_claims: true,
            erase_sealed: false,
        },
    };
    store.append(append).await.unwrap();
}

async fn sagas<S: Store>(store: &S, wallet: &Wallet, count: u32) {
    let made = futures::stream::iter(0..count).map(|_| async {
        let (mut tail, fence) = adopt(store, wallet).await;
        append(store, wallet, &mut tail, fence, EVENTS / 2).await;
        append(store, wallet, &mut tail, fence, EVENTS / 2).await;
    });
    made.buffer_unordered(64).collect::<Vec<_>>().await;
}

/// Streams of this run alone, and what a consumer needs to read them.
struct Streams {
    bus: Arc<NatsBus>,
    client: async_nats::Client,
    prefix: String,
}

async fn streams() -> Streams {
    let url = std::env::var("MELTD_TEST_NATS_URL").unwrap_or_else(|_| {
        panic!("run scripts/services up, then eval \"$(scripts/services env)\"")
    });
    let prefix = format!("B{}", uuid::Uuid::now_v7().simple());
    let client = async_nats::connect(&url).await.unwrap();
    let settings = Settings {
        url,
        prefix: Some(prefix.clone()),
        ..Settings::default()
    };
    let bus = NatsBus::connect(&settings).await.unwrap();
    bus.prepare(&STREAMS).await.unwrap();
    Streams {
        bus: Arc::new(bus),
        client,
        prefix,
    }
}

impl Streams {
    fn name(&self, stream: Stream) -> String {
        format!("{}_{}", self.prefix, stream.name())
    }

    /// The next messages of the stream of events, as the server sends them.
    async fn consumer(&self) -> push::Ordered {
        let last = self.bus.facts(Stream::Events).await.unwrap().unwrap().last;
        let context = jetstream::new(self.client.clone());
        let stream = context.get_stream(self.name(Stream::Events)).await.unwrap();
        let config = push::OrderedConfig {
            deliver_subject: self.client.new_inbox(),
            deliver_policy: DeliverPolicy::ByStartSequence {
                start_sequence: last + 1,
            },
            ..push::OrderedConfig::default()
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        consumer.messages().await.unwrap()
    }

    async fn remove(self) {
        let context = jetstream::new(self.client.clone());
        for stream in STREAMS {
            context.delete_stream(self.name(stream)).await.unwrap();
        }
    }
}

/// The same messages as fast as the server takes them, 64 in flight.
async fn raw(bus: &NatsBus, name: &str, count: u32) -> f64 {
    let body = "x".repeat(700);
    let began = Instant::now();
    let publish = |n: u32| {
        let message = Message {
            subject: "melt.events.Bench".to_owned(),
            id: format!("{name}-{n}"),
            headers: Vec::new(),
            body: body.clone(),
        };
        async move { bus.publish(message).await.unwrap() }
    };
    let sent = futures::stream::iter(0..count).map(publish);
    sent.buffer_unordered(64).collect::<Vec<_>>().await;
    f64::from(count) / began.elapsed().as_secs_f64()
}

struct Running {
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

fn start<S: Store>(store: &Arc<S>, bus: &Arc<NatsBus>) -> Running {
    let owner = uuid::Uuid::new_v4().to_string();
    let relay = Relay::new(store.clone(), bus.clone(), &owner, Tuning::default());
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        let stopped = async {
            let _ = stopped.await;
        };
        relay.run(stopped).await.unwrap();
    });
    Running { stop, task }
}

async fn drained<S: Outbox>(store: &S) {
    while store.outbox_depth().await.unwrap().rows > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A full outbox, emptied.
async fn rate<S: Store>(
    name: &str,
    store: &Arc<S>,
    streams: &Streams,
    wallet: &Wallet,
    count: u32,
) {
    let bus = &streams.bus;
    let events = count * EVENTS;
    let before = raw(bus, "before", events).await;
    sagas(&**store, wallet, count).await;
    let began = Instant::now();
    let relay = start(store, bus);
    drained(&**store).await;
    let per_second = f64::from(events) / began.elapsed().as_secs_f64();
    let after = raw(bus, "after", events).await;
    println!(
        "{name:8} relay {per_second:7.0} events/s   raw publish, 64 in flight: \
         {before:7.0}/s before, {after:7.0}/s after"
    );
    let _ = relay.stop.send(());
    relay.task.await.unwrap();
}

/// 200 events a second, two an append: from the return of the append to the consumer's read. On the
/// stream that the store's relay has filled before: into a new one it would first publish the whole
/// log again, as it must.
async fn latency<S: Store>(
    name: &str,
    store: &Arc<S>,
    streams: &Streams,
    wallet: &Wallet,
    seconds: u32,
) {
    let consumer = streams.consumer().await;
    let relay = start(store, &streams.bus);
    let reader = tokio::spawn(arrivals(consumer, seconds * 200));
    // The relay's watch on the outbox is open.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut committed = Vec::new();
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    for _ in 0..seconds * 100 {
        tick.tick().await;
        let (store, wallet) = (store.clone(), wallet.clone());
        committed.push(tokio::spawn(async move {
            let (mut tail, fence) = adopt(&*store, &wallet).await;
            append(&*store, &wallet, &mut tail, fence, 2).await;
            (tail.saga.to_string(), Utc::now())
        }));
    }
    let arrived = reader.await.unwrap();
    let mut millis = Vec::new();
    for committed in committed {
        let (saga, at) = committed.await.unwrap();
        let own = arrived.iter().filter(|(id, _)| id.starts_with(&saga));
        millis.extend(own.map(|(_, time)| time.signed_duration_since(at).num_microseconds()));
    }
    let mut millis: Vec<f64> = millis
        .into_iter()
        .flatten()
        .map(|us| us as f64 / 1e3)
        .collect();
    millis.sort_by(f64::total_cmp);
    let at = |part: usize| millis[(millis.len() - 1) * part / 1000];
    println!(
        "{name:8} commit to consumer at 200 events/s: p50 {:6.1} ms  p99 {:6.1} ms  ({} events)",
        at(500),
        at(990),
        millis.len()
    );
    let _ = relay.stop.send(());
    relay.task.await.unwrap();
}

/// Takes so many events: their ids, and when each was here.
async fn arrivals(mut consumer: push::Ordered, events: u32) -> Vec<(String, DateTime<Utc>)> {
    let mut seen = Vec::new();
    while seen.len() < events as usize {
        let message = consumer.next().await.unwrap().unwrap();
        let id = message.headers.as_ref().and_then(|h| h.get(header::ID));
        seen.push((id.unwrap().to_string(), Utc::now()));
    }
    seen
}

async fn all<S: Store>(name: &str, store: S, sagas: u32, seconds: u32) {
    let store = Arc::new(store);
    let npub = format!("npub-{}", uuid::Uuid::now_v7());
    let wallet = store.wallet(&npub, "http://mint", "sat").await.unwrap();
    let streams = streams().await;
    rate(name, &store, &streams, &wallet, sagas).await;
    latency(name, &store, &streams, &wallet, seconds).await;
    streams.remove().await;
}

#[tokio::main]
async fn main() {
    let (sagas, seconds) = match std::env::var("MELTD_BENCH_SMALL") {
        Ok(_) => (1_000, 5),
        Err(_) => (5_000, 20),
    };
    let folder = tempfile::tempdir().unwrap();
    let file = SqliteStore::open(folder.path().join("bench.db")).unwrap();
    all("sqlite", file, sagas, seconds).await;
    let server = std::env::var("MELTD_TEST_MONGO_URL").unwrap();
    let uri = server.replace("/?", &format!("/meltd_bench_{}?", std::process::id()));
    let store = MongoStore::connect(&uri).await.unwrap();
    all("mongodb", store, sagas, seconds).await;
    let client = mongodb::Client::with_uri_str(&uri).await.unwrap();
    client.default_database().unwrap().drop().await.unwrap();
}
