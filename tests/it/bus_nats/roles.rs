//! The permission files of `deploy/nats`, on a real server: each role can do its work and nothing
//! else.

use std::path::Path;
use std::time::{Duration, Instant};

use async_nats::{Client, ConnectOptions, Event, HeaderMap, ServerError};
use futures::StreamExt;
use meltd::bus::nats::{Login, NatsBus, Settings};
use meltd::ports::{Begin, Bus, BusError, Stream};
use tokio::sync::mpsc;

use crate::bus_contract::message;
use crate::nats_server::{NatsServer, small};

const SOON: Duration = Duration::from_secs(10);

/// Every user of `nats-server.conf`.
const ROLES: [&str; 7] = [
    "serve", "intake", "relay", "recovery", "operator", "audit", "alice",
];

fn password(role: &str) -> String {
    format!("pass-of-{role}")
}

/// A server with the files as they are shipped.
fn server() -> NatsServer {
    let mut server = NatsServer::stopped("include \"deploy/nats-server.conf\"");
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/nats");
    let to = server.folder().join("deploy");
    std::fs::create_dir_all(to.join("roles")).unwrap();
    for folder in ["", "roles"] {
        for file in std::fs::read_dir(from.join(folder)).unwrap() {
            let file = file.unwrap();
            if file.file_type().unwrap().is_file() {
                std::fs::copy(file.path(), to.join(folder).join(file.file_name())).unwrap();
            }
        }
    }
    let store = server.folder().join("store").display().to_string();
    server.variable("MELTD_NATS_LISTEN", &format!("127.0.0.1:{}", server.port()));
    server.variable("MELTD_NATS_STORE", &format!("\"{store}\""));
    for role in ROLES {
        let name = format!("MELTD_NATS_{}_PASSWORD", role.to_uppercase());
        server.variable(&name, &password(role));
    }
    server.up()
}

fn settings(server: &NatsServer, role: &str) -> Settings {
    Settings {
        login: Some(Login::Password {
            user: role.to_owned(),
            password: password(role),
        }),
        inbox_prefix: Some(format!("_INBOX_{role}")),
        ..small(&server.url())
    }
}

async fn bus(server: &NatsServer, role: &str) -> NatsBus {
    NatsBus::connect(&settings(server, role)).await.unwrap()
}

/// A client without meltd, as a producer has one; and what the server denies it.
async fn client(server: &NatsServer, role: &str) -> (Client, mpsc::UnboundedReceiver<String>) {
    let (sender, denials) = mpsc::unbounded_channel();
    let options = ConnectOptions::with_user_and_password(role.to_owned(), password(role))
        .custom_inbox_prefix(format!("_INBOX_{role}"))
        .event_callback(move |event| {
            let sender = sender.clone();
            async move {
                if let Event::ServerError(ServerError::Other(text)) = event {
                    sender.send(text).ok();
                }
            }
        });
    (options.connect(server.url()).await.unwrap(), denials)
}

fn assert_denied<T: std::fmt::Debug>(outcome: Result<T, BusError>, words: &str) {
    let Err(BusError::Unusable(text)) = outcome else {
        panic!("not denied: {outcome:?}");
    };
    assert!(text.contains(words), "{words} is not in: {text}");
}

/// Invariant: what is missing and may not be created is named, at once; a role that may not
/// create uses what another one has created.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_create_says_what_is_missing() {
    let server = server();
    let recovery = bus(&server, "recovery").await;
    let began = Instant::now();
    let refused = recovery.prepare(&[Stream::Events]).await;
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    assert_denied(
        refused,
        "MELT_EVENTS does not exist, and this user may not create it",
    );
    bus(&server, "relay")
        .await
        .prepare(&[Stream::Events])
        .await
        .unwrap();
    recovery.prepare(&[Stream::Events]).await.unwrap();
}

/// Invariant: a client that may not hear its answers is told so, at once and every time.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_its_inbox_is_told_so() {
    let server = server();
    let settings = Settings {
        inbox_prefix: None,
        ..settings(&server, "serve")
    };
    let bus = NatsBus::connect(&settings).await.unwrap();
    let began = Instant::now();
    for _ in 0..3 {
        assert_denied(bus.facts(Stream::Events).await, "Subscription to \"_INBOX.");
    }
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
}

/// Invariant: each role can do its work.
#[tokio::test(flavor = "multi_thread")]
async fn each_role_can_do_its_work() {
    let server = server();
    let serve = bus(&server, "serve").await;
    serve.prepare(&Stream::ALL).await.unwrap();
    intake_works(&server).await;
    relay_works(&bus(&server, "relay").await).await;
    relay_works(&serve).await;

    for role in ["recovery", "audit"] {
        let reader = bus(&server, role).await;
        reader
            .prepare(&[Stream::Events, Stream::Heads])
            .await
            .unwrap();
        let wait = Duration::ZERO;
        let read = reader.read(Stream::Events, Begin::First, None, 10, wait);
        assert_eq!(read.await.unwrap().len(), 1, "{role}");
        let typed = Some("melt.events.MeltPaid");
        let read = reader.read(Stream::Events, Begin::First, typed, 10, wait);
        assert_eq!(read.await.unwrap().len(), 1, "{role}");
        assert!(reader.facts(Stream::Heads).await.unwrap().is_some());
    }
    let (audit, _) = client(&server, "audit").await;
    let mut alerts = audit.subscribe("melt.alerts.critical").await.unwrap();
    audit.flush().await.unwrap();
    // The subscription is in force once the server has answered something later.
    bus(&server, "audit")
        .await
        .facts(Stream::Heads)
        .await
        .unwrap();
    let asked = audit
        .request("$JS.API.STREAM.INFO.MELT_HEADS", "".into())
        .await;
    asked.unwrap();
    bus(&server, "recovery")
        .await
        .alert("{}".to_owned())
        .await
        .unwrap();
    let alert = tokio::time::timeout(SOON, alerts.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&alert.payload[..], b"{}");

    let operator = bus(&server, "operator").await;
    operator.prepare(&Stream::ALL).await.unwrap();
    let read = operator.read(Stream::DeadLetters, Begin::First, None, 10, Duration::ZERO);
    let dead = read.await.unwrap().remove(0);
    operator
        .publish(message("melt.cmd.alice", "again"))
        .await
        .unwrap();
    operator
        .publish(message("melt.reply.alice.3", "dropped"))
        .await
        .unwrap();
    assert!(
        operator
            .remove(Stream::DeadLetters, dead.sequence)
            .await
            .unwrap()
    );
}

async fn intake_works(server: &NatsServer) {
    let (alice, _denials) = client(server, "alice").await;
    let mut live = alice.subscribe("melt.reply.alice.>").await.unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", "c1");
    for _ in 0..3 {
        let ack = alice.request_with_headers("melt.cmd.alice", headers.clone(), "{}".into());
        assert!(
            ack.await
                .unwrap()
                .payload
                .starts_with(b"{\"stream\":\"MELT_CMD\"")
        );
        headers = HeaderMap::new();
    }
    let intake = bus(server, "intake").await;
    let all = [Stream::Commands, Stream::DeadLetters, Stream::Replies];
    intake.prepare(&all).await.unwrap();
    let pulled = intake.pull(3, SOON).await.unwrap();
    assert_eq!(pulled.len(), 3);
    assert_eq!(pulled[0].producer, "alice");
    intake.ack(&pulled[0].receipt).await.unwrap();
    intake
        .publish(message("melt.dlq.alice", "poison"))
        .await
        .unwrap();
    intake.term(&pulled[1].receipt).await.unwrap();
    intake
        .later(&pulled[2].receipt, Duration::ZERO)
        .await
        .unwrap();
    intake
        .publish(message("melt.reply.alice.1", "r1"))
        .await
        .unwrap();
    intake.alert("{}".to_owned()).await.unwrap();

    let reply = tokio::time::timeout(SOON, live.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(reply.subject.as_str(), "melt.reply.alice.1");
    let late = alice.request(
        "$JS.API.DIRECT.GET.MELT_REPLIES.melt.reply.alice.1",
        "".into(),
    );
    assert_eq!(&late.await.unwrap().payload[..], b"{\"id\":\"r1\"}");
}

async fn relay_works(relay: &NatsBus) {
    let all = [Stream::Events, Stream::Replies, Stream::Heads];
    relay.prepare(&all).await.unwrap();
    for subject in ["melt.events.MeltPaid", "melt.reply.alice.2", "melt.heads"] {
        relay.publish(message(subject, subject)).await.unwrap();
    }
    for stream in all {
        let last = relay.facts(stream).await.unwrap().unwrap().last;
        assert!(relay.at(stream, last).await.unwrap().is_some());
    }
}

/// Who may publish where. Nobody may remove a stream, a consumer or an event, or make a consumer
/// other than the queue's.
const PUBLISH: &[(&str, &[&str])] = &[
    ("melt.cmd.alice", &["alice", "operator"]),
    ("melt.cmd.bob", &["operator"]),
    ("melt.cmd.alice.x", &[]),
    ("melt.events.MeltPaid", &["relay", "serve"]),
    (
        "melt.reply.alice.1",
        &["intake", "operator", "relay", "serve"],
    ),
    (
        "melt.reply.bob.1",
        &["intake", "operator", "relay", "serve"],
    ),
    ("melt.dlq.alice", &["intake", "serve"]),
    ("melt.heads", &["relay", "serve"]),
    (
        "melt.alerts.critical",
        &["intake", "relay", "recovery", "serve"],
    ),
    ("_INBOX_alice.x", &[]),
    ("_INBOX_intake.x", &[]),
    (
        "$JS.ACK.MELT_CMD.meltd-intake.1.1.1.1.0",
        &["intake", "serve"],
    ),
    (
        "$JS.API.CONSUMER.MSG.NEXT.MELT_CMD.meltd-intake",
        &["intake", "serve"],
    ),
    ("$JS.API.CONSUMER.MSG.NEXT.MELT_REPLIES.x", &[]),
    ("$JS.API.CONSUMER.CREATE.MELT_CMD", &[]),
    ("$JS.API.CONSUMER.CREATE.MELT_CMD.x", &[]),
    ("$JS.API.CONSUMER.CREATE.MELT_EVENTS", &[]),
    ("$JS.API.CONSUMER.CREATE.MELT_EVENTS.x.melt.events.A", &[]),
    (
        "$JS.API.CONSUMER.CREATE.MELT_REPLIES.alice.melt.reply.alice.>",
        &[],
    ),
    ("$JS.API.CONSUMER.DURABLE.CREATE.MELT_EVENTS.x", &[]),
    (
        "$JS.API.CONSUMER.DURABLE.CREATE.MELT_CMD.meltd-intake",
        &["intake", "operator", "serve"],
    ),
    ("$JS.API.CONSUMER.DELETE.MELT_CMD.meltd-intake", &[]),
    (
        "$JS.API.STREAM.INFO.MELT_CMD",
        &["intake", "operator", "serve"],
    ),
    (
        "$JS.API.STREAM.INFO.MELT_EVENTS",
        &["audit", "operator", "recovery", "relay", "serve"],
    ),
    (
        "$JS.API.STREAM.INFO.MELT_REPLIES",
        &["intake", "operator", "relay", "serve"],
    ),
    (
        "$JS.API.STREAM.CREATE.MELT_EVENTS",
        &["operator", "relay", "serve"],
    ),
    (
        "$JS.API.STREAM.CREATE.MELT_CMD",
        &["intake", "operator", "serve"],
    ),
    ("$JS.API.STREAM.CREATE.OTHER", &[]),
    ("$JS.API.STREAM.UPDATE.MELT_EVENTS", &[]),
    ("$JS.API.STREAM.DELETE.MELT_EVENTS", &[]),
    ("$JS.API.STREAM.PURGE.MELT_CMD", &[]),
    ("$JS.API.STREAM.MSG.DELETE.MELT_EVENTS", &[]),
    ("$JS.API.STREAM.MSG.DELETE.MELT_CMD", &["operator"]),
    ("$JS.API.STREAM.MSG.DELETE.MELT_DLQ", &["operator"]),
    ("$JS.API.STREAM.MSG.GET.MELT_CMD", &["operator"]),
    (
        "$JS.API.STREAM.MSG.GET.MELT_EVENTS",
        &["audit", "operator", "recovery", "relay", "serve"],
    ),
    ("$JS.API.STREAM.MSG.GET.MELT_REPLIES", &["relay", "serve"]),
    ("$JS.API.DIRECT.GET.MELT_REPLIES", &[]),
    (
        "$JS.API.DIRECT.GET.MELT_REPLIES.melt.reply.alice.1",
        &["alice"],
    ),
    ("$JS.API.DIRECT.GET.MELT_REPLIES.melt.reply.bob.1", &[]),
];

/// Who may listen to what.
const SUBSCRIBE: &[(&str, &[&str])] = &[
    (">", &[]),
    ("melt.>", &[]),
    ("melt.cmd.*", &[]),
    ("melt.cmd.alice", &[]),
    ("melt.dlq.*", &[]),
    ("melt.reply.>", &[]),
    ("melt.reply.alice.>", &["alice"]),
    ("melt.reply.bob.>", &[]),
    ("melt.events.*", &["audit"]),
    // The server takes `>` for one more token that `*` matches; no event has more of them.
    ("melt.events.>", &["audit"]),
    ("melt.heads", &["audit"]),
    ("melt.alerts.critical", &["audit", "operator"]),
    ("_INBOX.>", &[]),
    ("_INBOX_alice.>", &["alice"]),
    ("_INBOX_intake.>", &["intake"]),
    ("_INBOX_serve.x", &["serve"]),
    ("$JS.API.>", &[]),
    ("$JS.ACK.>", &[]),
    ("$JS.EVENT.ADVISORY.>", &["operator"]),
];

/// Invariant: each role can do nothing but its work. Seen red with `melt.cmd.*` in the producer's
/// file, and with `_INBOX.>` in the audit's.
#[tokio::test(flavor = "multi_thread")]
async fn each_role_can_do_nothing_else() {
    let server = server();
    bus(&server, "serve")
        .await
        .prepare(&Stream::ALL)
        .await
        .unwrap();
    let mut wrong = Vec::new();
    for role in ROLES {
        let (client, mut denials) = client(&server, role).await;
        let mut subscribers = Vec::new();
        for (at, (subject, _)) in PUBLISH.iter().enumerate() {
            client.publish(*subject, "{}".into()).await.unwrap();
            // The server denies in order: whatever it says about the subject comes before this.
            client
                .publish(format!("canary.{at}"), "".into())
                .await
                .unwrap();
        }
        for (at, (subject, _)) in SUBSCRIBE.iter().enumerate() {
            subscribers.push(client.subscribe(*subject).await.unwrap());
            client
                .publish(format!("canary.s{at}"), "".into())
                .await
                .unwrap();
        }
        client.flush().await.unwrap();
        let mut denied = async |canary: String| {
            let mut denied = false;
            loop {
                let text = tokio::time::timeout(SOON, denials.recv()).await;
                let text = text.expect("the canary is denied to all").unwrap();
                if text.contains(&canary) {
                    return denied;
                }
                denied = true;
            }
        };
        for (kind, table) in [("", PUBLISH), ("s", SUBSCRIBE)] {
            for (at, (subject, may)) in table.iter().enumerate() {
                let allowed = !denied(format!("\"canary.{kind}{at}\"")).await;
                if allowed != may.contains(&role) {
                    wrong.push(format!("{role} {kind}{subject}: allowed is {allowed}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
