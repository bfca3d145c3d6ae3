//! A server that is away, killed, full, or not what it should be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use meltd::bus::nats::{Login, NatsBus, Settings};
use meltd::ports::{Begin, Bus, BusError, Stream};

use super::Nats;
use crate::bus_contract::{Fixture, message};
use crate::nats_server::{JETSTREAM, NatsServer};

/// Longer than any single call may take.
const SOON: Duration = Duration::from_secs(10);

async fn connect(settings: &Settings) -> NatsBus {
    NatsBus::connect(settings).await.unwrap()
}

async fn refusal(settings: &Settings) -> BusError {
    NatsBus::connect(settings)
        .await
        .err()
        .expect("it connected")
}

/// Polls until the connection stands, or not.
async fn until_connected(bus: &NatsBus, expected: bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while bus.connected() != expected {
        assert!(Instant::now() < deadline, "connected is not {expected}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Invariant: a server that is not there is "away", soon, so that the caller may try later.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_away() {
    let server = NatsServer::stopped(JETSTREAM);
    let began = Instant::now();
    let error = refusal(&server.settings()).await;
    assert!(matches!(error, BusError::Away(_)), "{error}");
    assert!(began.elapsed() < SOON);
    let server = server.up();
    connect(&server.settings())
        .await
        .prepare(&Stream::ALL)
        .await
        .unwrap();
}

/// Invariant: a host that takes connections and never says a word is "away" in time.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_is_away() {
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = Settings {
        url: format!("nats://{}", mute.local_addr().unwrap()),
        timeout: Duration::from_millis(300),
        ..Settings::default()
    };
    let began = Instant::now();
    let error = refusal(&settings).await;
    assert!(matches!(error, BusError::Away(_)), "{error}");
    assert!(began.elapsed() < SOON);
}

/// Invariant: every message that was acknowledged survives `kill -9` of the server, at its place
/// and once; publishing and pulling go on by themselves. Seen red with an `Ok` for a call that was
/// not answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_killed_server_loses_nothing_that_it_acknowledged() {
    const EACH: usize = 300;
    const PUBLISHERS: usize = 4;
    let mut server = NatsServer::start();
    let bus = connect(&server.settings()).await;
    bus.prepare(&Stream::ALL).await.unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|who| {
            let (bus, done) = (bus.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut acknowledged = BTreeMap::new();
                for n in 0..EACH {
                    let id = format!("{who}-{n:03}");
                    loop {
                        match bus.publish(message("melt.events.A", &id)).await {
                            Ok(published) => {
                                acknowledged.insert(published.sequence, id);
                                break;
                            }
                            Err(BusError::Away(_)) => {
                                tokio::time::sleep(Duration::from_millis(5)).await;
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                }
                acknowledged
            })
        })
        .collect();
    for part in 1..=3 {
        while done.load(Ordering::SeqCst) < part * EACH * PUBLISHERS / 4 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.kill();
        until_connected(&bus, false).await;
        let began = Instant::now();
        let away = bus.facts(Stream::Events).await;
        assert!(matches!(away, Err(BusError::Away(_))), "{away:?}");
        let away = bus.pull(1, SOON * 6).await.map(|pulled| pulled.len());
        assert!(matches!(away, Err(BusError::Away(_))), "{away:?}");
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "{:?}",
            began.elapsed()
        );
        server.restart();
    }
    let mut acknowledged = BTreeMap::new();
    for publisher in publishers {
        for (sequence, id) in publisher.await.unwrap() {
            let twice = acknowledged.insert(sequence, id);
            assert_eq!(twice, None, "two messages at {sequence}");
        }
    }
    let all = bus
        .read(Stream::Events, Begin::First, None, usize::MAX, SOON)
        .await
        .unwrap();
    let stored: BTreeMap<_, _> = all
        .into_iter()
        .map(|s| (s.sequence, s.message.id))
        .collect();
    assert_eq!(stored, acknowledged);
    assert_eq!(stored.len(), EACH * PUBLISHERS);

    bus.publish(message("melt.cmd.alice", "c")).await.unwrap();
    let pulled = bus.pull(1, SOON).await.unwrap();
    bus.ack(&pulled[0].receipt).await.unwrap();
}

/// Invariant: a call that is under way when the server dies ends at once, not at its deadline.
/// Seen red with a loss that is told to nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_ends_the_calls_under_way() {
    let mut server = NatsServer::start();
    let bus = connect(&server.settings()).await;
    bus.prepare(&[Stream::Commands]).await.unwrap();
    let (pulled, began) = tokio::join!(bus.pull(1, SOON * 6), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let began = Instant::now();
        server.kill();
        began
    });
    let pulled = pulled.map(|pulled| pulled.len());
    assert!(matches!(pulled, Err(BusError::Away(_))), "{pulled:?}");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

/// Invariant: a command that a process held when the server went down comes again after it, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_server_keeps_the_queue() {
    let mut server = NatsServer::start();
    let settings = Settings {
        ack_wait: Duration::from_secs(1),
        ..server.settings()
    };
    let bus = connect(&settings).await;
    bus.prepare(&[Stream::Commands]).await.unwrap();
    for id in ["done", "held", "waiting"] {
        bus.publish(message("melt.cmd.alice", id)).await.unwrap();
    }
    let pulled = bus.pull(2, SOON).await.unwrap();
    bus.ack(&pulled[0].receipt).await.unwrap();
    server.stop();
    until_connected(&bus, false).await;
    server.restart();
    until_connected(&bus, true).await;
    let mut again = Vec::new();
    let deadline = Instant::now() + SOON;
    while again.len() < 2 && Instant::now() < deadline {
        for delivery in bus
            .pull(2, Duration::from_secs(1))
            .await
            .unwrap_or_default()
        {
            bus.ack(&delivery.receipt).await.unwrap();
            again.push(delivery.stored.message.id);
        }
    }
    again.sort();
    assert_eq!(again, ["held", "waiting"]);
    assert_eq!(
        bus.facts(Stream::Commands).await.unwrap().unwrap().messages,
        0
    );
}

/// Invariant: a stream that was removed is told from one that is empty; another one of the same
/// name is told from the first; until there is one, publishing is "away" and reading too.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_made_again_is_another_one() {
    let nats = Nats::fresh().await;
    let bus = nats.open().await;
    bus.publish(message("melt.events.A", "x")).await.unwrap();
    let before = bus.facts(Stream::Events).await.unwrap().unwrap();
    let context = nats.context().await;
    context
        .delete_stream(nats.name(Stream::Events))
        .await
        .unwrap();
    assert_eq!(bus.facts(Stream::Events).await.unwrap(), None);
    assert_eq!(bus.at(Stream::Events, 1).await.unwrap(), None);
    let refused = bus.publish(message("melt.events.A", "x")).await;
    assert!(matches!(refused, Err(BusError::Away(_))), "{refused:?}");
    let refused = bus.read(Stream::Events, Begin::First, None, 1, SOON).await;
    assert!(matches!(refused, Err(BusError::Away(_))), "{refused:?}");
    bus.prepare(&Stream::ALL).await.unwrap();
    let after = bus.facts(Stream::Events).await.unwrap().unwrap();
    assert!(after.created > before.created);
    assert_eq!((after.last, after.messages), (0, 0));
    let again = bus.publish(message("melt.events.A", "x")).await.unwrap();
    assert_eq!((again.sequence, again.duplicate), (1, false));
    nats.remove().await;
}

/// Invariant: a stream that is made again while the server still removes the old one keeps what it
/// acknowledges. Seen red without the pause: the server removed the new stream's files too.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_not_made_again_too_soon() {
    let server = NatsServer::start();
    let settings = server.settings();
    let bus = connect(&settings).await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let context = async_nats::jetstream::new(client);
    for round in 0..3 {
        bus.prepare(&[Stream::Events]).await.unwrap();
        for n in 0..300 {
            let old = message("melt.events.A", &format!("old {round} {n}"));
            bus.publish(old).await.unwrap();
        }
        let context = context.clone();
        let deleted = tokio::spawn(async move { context.delete_stream("MELT_EVENTS").await });
        while bus.facts(Stream::Events).await.unwrap().is_some() {}
        bus.prepare(&[Stream::Events]).await.unwrap();
        deleted.await.unwrap().unwrap();
        for n in 0..50 {
            let new = message("melt.events.A", &format!("new {round} {n}"));
            let sequence = bus.publish(new.clone()).await.unwrap().sequence;
            let found = bus.at(Stream::Events, sequence).await.unwrap();
            assert_eq!(found.map(|stored| stored.message), Some(new));
        }
    }
}

/// Invariant: a queue whose consumer is gone says so in time, and `prepare` makes it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_is_gone_is_made_again() {
    let nats = Nats::fresh().await;
    let settings = Settings {
        timeout: Duration::from_millis(500),
        ..nats.settings.clone()
    };
    let bus = connect(&settings).await;
    bus.publish(message("melt.cmd.alice", "c")).await.unwrap();
    let held = bus.pull(1, SOON).await.unwrap().remove(0);
    let context = nats.context().await;
    let stream = nats.name(Stream::Commands);
    context
        .delete_consumer_from_stream("meltd-intake", stream)
        .await
        .unwrap();
    let began = Instant::now();
    let refused = bus.pull(1, SOON * 6).await.map(|pulled| pulled.len());
    assert!(matches!(refused, Err(BusError::Away(_))), "{refused:?}");
    let refused = bus.ack(&held.receipt).await;
    assert!(matches!(refused, Err(BusError::Away(_))), "{refused:?}");
    assert!(began.elapsed() < SOON);
    bus.prepare(&[Stream::Commands]).await.unwrap();
    let again = bus.pull(1, SOON).await.unwrap();
    assert_eq!(again[0].stored, held.stored);
    nats.remove().await;
}

/// Invariant: a full queue refuses new commands and forgets none; what is done makes room.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_and_keeps() {
    let nats = Nats::fresh().await;
    let bus = nats.open().await;
    let mut large = message("melt.cmd.alice", "0");
    large.body = "x".repeat(100_000);
    let mut stored = 0;
    let refused = loop {
        large.id = stored.to_string();
        match bus.publish(large.clone()).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 100, "the limit is 1 MiB");
    };
    assert!(matches!(refused, BusError::Away(_)), "{refused}");
    assert_eq!(
        bus.facts(Stream::Commands).await.unwrap().unwrap().messages,
        stored
    );
    let first = bus.pull(1, SOON).await.unwrap().remove(0);
    assert_eq!(first.stored.message.id, "0");
    bus.ack(&first.receipt).await.unwrap();
    bus.publish(large).await.unwrap();
    nats.remove().await;
}

/// Invariant: a stream's own limit on one message is as final as the server's.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_too_large_for_its_stream_is_never_stored() {
    let nats = Nats::fresh().await;
    nats.change(Stream::Events, &serde_json::json!({ "max_msg_size": 1000 }))
        .await;
    let bus = nats.open().await;
    bus.prepare(&Stream::ALL).await.unwrap();
    let mut large = message("melt.events.A", "x");
    large.body = "x".repeat(2000);
    let refused = bus.publish(large).await;
    assert!(matches!(refused, Err(BusError::Never(_))), "{refused:?}");
    nats.remove().await;
}

/// Invariant: bytes that are no text are delivered, so that they can be put aside, and cannot be
/// taken for a document.
#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_text_are_no_document() {
    let nats = Nats::fresh().await;
    let bus = nats.open().await;
    let context = nats.context().await;
    let subject = format!(
        "{}.melt.cmd.alice",
        nats.settings.prefix.as_deref().unwrap()
    );
    let body: &[u8] = b"{\"a\":\"\xff\"}";
    let stored = context.publish(subject, body.into()).await.unwrap();
    stored.await.unwrap();
    let pulled = bus.pull(1, SOON).await.unwrap();
    let read = &pulled[0].stored.message;
    assert_eq!(read.body, "\u{fffd}{\"a\":\"\u{fffd}\"}");
    assert!(read.id.is_empty());
    assert!(serde_json::from_str::<serde_json::Value>(&read.body).is_err());
    nats.remove().await;
}

/// Invariant: a server without JetStream is said to be one.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_jetstream_is_unusable() {
    let server = NatsServer::with("");
    let bus = connect(&server.settings()).await;
    let error = bus.prepare(&Stream::ALL).await.unwrap_err();
    assert!(matches!(error, BusError::Unusable(_)), "{error}");
    assert!(
        error.to_string().contains("JetStream is not enabled"),
        "{error}"
    );
}

/// Invariant: an account without JetStream on a server that has it is told so too.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_without_jetstream_is_unusable() {
    let accounts = "accounts { A { users: [{ user: a, password: a }] },\n\
                    B { jetstream: enabled, users: [{ user: b, password: b }] } }";
    let server = NatsServer::with(&format!("{JETSTREAM}\n{accounts}"));
    let bus = connect(&login(&server, "a", "a")).await;
    let error = bus.prepare(&Stream::ALL).await.unwrap_err();
    assert!(matches!(error, BusError::Unusable(_)), "{error}");
    assert!(error.to_string().contains("not enabled"), "{error}");
    connect(&login(&server, "b", "b"))
        .await
        .prepare(&Stream::ALL)
        .await
        .unwrap();
}

fn login(server: &NatsServer, user: &str, password: &str) -> Settings {
    Settings {
        login: Some(Login::Password {
            user: user.to_owned(),
            password: password.to_owned(),
        }),
        ..server.settings()
    }
}

/// Invariant: who may not come in is told so and not tried for ever, whatever kind of login it is;
/// nothing of the login is in the words.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_login_is_unusable_and_not_repeated() {
    let users = "authorization { user: ada, password: \"right@1\" }";
    let server = NatsServer::with(&format!("{JETSTREAM}\n{users}"));
    let in_url = |login: &str| Settings {
        url: server.url().replace("//", &format!("//{login}@")),
        ..server.settings()
    };
    for good in [login(&server, "ada", "right@1"), in_url("ada:right%401")] {
        connect(&good)
            .await
            .prepare(&[Stream::Heads])
            .await
            .unwrap();
    }
    let token = Settings {
        login: Some(Login::Token("hidden".to_owned())),
        ..server.settings()
    };
    let no_file = Settings {
        login: Some(Login::CredentialsFile(server.folder().join("none.creds"))),
        ..server.settings()
    };
    let bad = [
        server.settings(),
        login(&server, "ada", "hidden"),
        in_url("ada:hidden"),
        token,
        no_file,
    ];
    for settings in bad {
        let error = refusal(&settings).await;
        assert!(
            matches!(error, BusError::Unusable(_)),
            "{settings:?}: {error}"
        );
        assert!(!error.to_string().contains("hidden"), "{error}");
    }
    let server = NatsServer::with(&format!(
        "{JETSTREAM}\nauthorization {{ token: \"t0ken\" }}"
    ));
    let token = Settings {
        login: Some(Login::Token("t0ken".to_owned())),
        ..server.settings()
    };
    connect(&token)
        .await
        .prepare(&[Stream::Heads])
        .await
        .unwrap();
}

/// Invariant: a login that is taken away while we are connected shows in the words of "away".
#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_taken_away_is_named() {
    let users = |password: &str| {
        format!("{JETSTREAM}\nauthorization {{ user: ada, password: {password} }}")
    };
    let mut server = NatsServer::with(&users("old"));
    let bus = connect(&login(&server, "ada", "old")).await;
    server.kill();
    until_connected(&bus, false).await;
    server.configure(&users("new"));
    server.restart();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let error = bus.facts(Stream::Heads).await.unwrap_err();
        assert!(matches!(error, BusError::Away(_)), "{error}");
        if error.to_string().contains("authorization violation") {
            break;
        }
        assert!(Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
