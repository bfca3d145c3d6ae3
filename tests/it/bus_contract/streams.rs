//! Streams: what is stored, once, in order, and how it is read.

use std::time::{Duration, Instant};

use meltd::ports::{Begin, Bus, BusError, Message, Stored, Stream, header};

use super::{Fixture, message};

const SOON: Duration = Duration::from_secs(10);

/// One event on each of these types, with the ids "1", "2", …
async fn put<B: Bus>(bus: &B, types: &[&str]) {
    for (at, event) in types.iter().enumerate() {
        let message = message(&format!("melt.events.{event}"), &format!("{}", at + 1));
        let published = bus.publish(message).await.unwrap();
        assert_eq!(published.sequence, at as u64 + 1);
        assert!(!published.duplicate);
    }
}

fn ids(stored: &[Stored]) -> Vec<&str> {
    stored.iter().map(|s| s.message.id.as_str()).collect()
}

async fn read<B: Bus>(bus: &B, begin: Begin, limit: usize) -> Vec<Stored> {
    let read = bus.read(Stream::Events, begin, None, limit, Duration::ZERO);
    read.await.unwrap()
}

/// Invariant: a reader sees what was published in the order in which it was stored.
pub(crate) async fn positions_follow_the_order_of_publishing(fixture: &impl Fixture) {
    let (bus, other) = (fixture.open().await, fixture.open().await);
    let types = ["MeltRequested"; 100];
    put(&bus, &types).await;
    let all = read(&other, Begin::First, 1000).await;
    let positions: Vec<_> = all.iter().map(|s| s.sequence).collect();
    assert_eq!(positions, (1..=100).collect::<Vec<_>>());
    let expected: Vec<_> = (1..=100).map(|n| n.to_string()).collect();
    assert_eq!(ids(&all), expected);
    assert!(all.is_sorted_by_key(|s| s.at));
}

/// Invariant: subject, id, headers and every byte of the body are what was published.
pub(crate) async fn a_message_comes_back_as_it_was(fixture: &impl Fixture) {
    let bus = fixture.open().await;
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let sent = Message {
        subject: "melt.events.MeltPaid".to_owned(),
        id: "0190b1de-0000-7000-8000-000000000001:000004".to_owned(),
        headers: vec![
            header(header::SEQ, "4"),
            header(header::HASH, "00ff"),
            header(header::SAGA, "0190b1de-0000-7000-8000-000000000001"),
        ],
        body: "{ \"z\": 1,\n\t\"a\": \"€ \\u0000 \u{1f95c}\"}\n".to_owned(),
    };
    let before = chrono::Utc::now();
    bus.publish(sent.clone()).await.unwrap();
    let mut expected = sent;
    expected.headers.sort();
    let found = bus.at(Stream::Events, 1).await.unwrap().unwrap();
    assert_eq!(found.message, expected);
    let age = found.at - before;
    assert!(age.num_seconds().abs() < 60, "{age}");
    assert_eq!(read(&bus, Begin::First, 10).await, [found]);
}

/// Invariant: the same message twice is one message, and the second time is told so.
pub(crate) async fn a_repeat_is_stored_once(fixture: &impl Fixture) {
    let (bus, other) = (fixture.open().await, fixture.open().await);
    let first = bus.publish(message("melt.events.A", "x")).await.unwrap();
    bus.publish(message("melt.events.A", "y")).await.unwrap();
    let repeat = other.publish(message("melt.events.A", "x")).await.unwrap();
    assert_eq!(repeat.sequence, first.sequence);
    assert!(repeat.duplicate && !first.duplicate);
    assert_eq!(ids(&read(&bus, Begin::First, 10).await), ["x", "y"]);
    // Without an id nothing is a repeat.
    for _ in 0..2 {
        let published = bus.publish(message("melt.events.A", "")).await.unwrap();
        assert!(!published.duplicate);
    }
    assert_eq!(ids(&read(&bus, Begin::First, 10).await), ["x", "y", "", ""]);
}

/// Invariant: an id in one stream says nothing about another.
pub(crate) async fn ids_are_of_one_stream(fixture: &impl Fixture) {
    let bus = fixture.open().await;
    for subject in [
        "melt.events.A",
        "melt.heads",
        "melt.dlq.a",
        "melt.reply.a.1",
    ] {
        let published = bus.publish(message(subject, "same")).await.unwrap();
        assert!(!published.duplicate, "{subject}");
        assert_eq!(published.sequence, 1, "{subject}");
    }
}

/// Invariant: a message that can never be stored is not tried for ever.
pub(crate) async fn what_can_never_be_stored_is_said_so(fixture: &impl Fixture) {
    let bus = fixture.open().await;
    let subjects = [
        "",
        "melt.events",
        "melt.events.",
        "melt.events.*",
        "melt.events.A.B",
        "melt.events.a b",
        "melt.cmd.a\r\nPUB x",
        "melt.alerts.critical",
        "other.thing",
    ];
    for subject in subjects {
        let refused = bus.publish(message(subject, "x")).await;
        assert!(
            matches!(refused, Err(BusError::Never(_))),
            "{subject:?}: {refused:?}"
        );
    }
    let mut large = message("melt.events.A", "large");
    large.body = "x".repeat(1_200_000);
    let refused = bus.publish(large).await;
    assert!(matches!(refused, Err(BusError::Never(_))), "{refused:?}");
    assert_eq!(
        bus.facts(Stream::Events).await.unwrap().unwrap().messages,
        0
    );
    put(&bus, &["A"]).await;
}

/// Invariant: a reader goes on where it was, or starts at a time.
pub(crate) async fn a_reader_begins_where_it_wants(fixture: &impl Fixture) {
    let bus = fixture.open().await;
    put(&bus, &["A"; 5]).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let middle = chrono::Utc::now();
    tokio::time::sleep(Duration::from_millis(20)).await;
    for id in ["6", "7", "8"] {
        bus.publish(message("melt.events.A", id)).await.unwrap();
    }
    assert_eq!(ids(&read(&bus, Begin::First, 3).await), ["1", "2", "3"]);
    assert_eq!(ids(&read(&bus, Begin::At(0), 2).await), ["1", "2"]);
    assert_eq!(ids(&read(&bus, Begin::At(4), 2).await), ["4", "5"]);
    assert_eq!(ids(&read(&bus, Begin::At(7), 10).await), ["7", "8"]);
    assert_eq!(
        ids(&read(&bus, Begin::Time(middle), 10).await),
        ["6", "7", "8"]
    );
    let day = chrono::Duration::days(1);
    assert_eq!(read(&bus, Begin::Time(middle - day), 10).await.len(), 8);
    assert_eq!(read(&bus, Begin::Time(middle + day), 10).await, []);
    let exactly = bus.at(Stream::Events, 3).await.unwrap().unwrap().at;
    let from_there = read(&bus, Begin::Time(exactly), 1).await;
    assert_eq!(from_there.first().map(|s| s.at), Some(exactly));
}

/// Invariant: a pattern hides nothing that it takes, and shows nothing else.
pub(crate) async fn a_reader_narrows_by_subject(fixture: &impl Fixture) {
    let bus = fixture.open().await;
    put(&bus, &["A", "B", "A", "C", "B", "A"]).await;
    let wait = Duration::ZERO;
    let table = [
        (Begin::First, "melt.events.A", 10, vec!["1", "3", "6"]),
        (Begin::First, "melt.events.A", 2, vec!["1", "3"]),
        (Begin::At(2), "melt.events.A", 10, vec!["3", "6"]),
        (Begin::At(4), "melt.events.B", 10, vec!["5"]),
        (
            Begin::First,
            "melt.events.*",
            10,
            vec!["1", "2", "3", "4", "5", "6"],
        ),
        (Begin::First, "melt.events.D", 10, vec![]),
        (Begin::At(6), "melt.events.C", 10, vec![]),
    ];
    for (begin, pattern, limit, expected) in table {
        let read = bus.read(Stream::Events, begin, Some(pattern), limit, wait);
        assert_eq!(ids(&read.await.unwrap()), expected, "{begin:?} {pattern}");
    }
}

/// Invariant: what comes is seen soon by whoever waits for it.
pub(crate) async fn a_reader_waits_for_the_first(fixture: &impl Fixture) {
    let (bus, other) = (fixture.open().await, fixture.open().await);
    put(&bus, &["A"]).await;
    let began = Instant::now();
    let wait = Duration::from_secs(60);
    let (read, published) = tokio::join!(
        bus.read(
            Stream::Events,
            Begin::At(2),
            Some("melt.events.B"),
            10,
            wait
        ),
        async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            other.publish(message("melt.events.A", "a")).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
            other.publish(message("melt.events.B", "b")).await
        },
    );
    published.unwrap();
    assert_eq!(ids(&read.unwrap()), ["b"]);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

/// Invariant: nothing to read is soon known, on a stream that never had anything.
pub(crate) async fn an_empty_read_ends_in_time(fixture: &impl Fixture) {
    let bus = fixture.open().await;
    let day_ago = chrono::Utc::now() - chrono::Duration::days(1);
    for begin in [
        Begin::First,
        Begin::At(1),
        Begin::At(7),
        Begin::Time(day_ago),
    ] {
        for pattern in [None, Some("melt.heads")] {
            let (began, wait) = (Instant::now(), Duration::from_millis(100));
            let read = bus.read(Stream::Heads, begin, pattern, 10, wait).await;
            assert_eq!(read.unwrap(), [], "{begin:?}");
            assert!(
                began.elapsed() >= wait && began.elapsed() < SOON,
                "{begin:?}"
            );
        }
    }
}

/// Invariant: a reader that has everything waits, and does not get the last message again.
pub(crate) async fn a_read_past_the_end_is_empty(fixture: &impl Fixture) {
    let bus = fixture.open().await;
    put(&bus, &["A", "B"]).await;
    for position in [3, 4, 1000, u64::MAX] {
        assert_eq!(read(&bus, Begin::At(position), 10).await, [], "{position}");
    }
}

/// Invariant: a position names one message, or none.
pub(crate) async fn one_message_by_its_position(fixture: &impl Fixture) {
    let bus = fixture.open().await;
    put(&bus, &["A", "B", "C"]).await;
    let found = bus.at(Stream::Events, 2).await.unwrap().unwrap();
    assert_eq!((found.sequence, found.message.id.as_str()), (2, "2"));
    for absent in [0, 4, u64::MAX] {
        assert_eq!(
            bus.at(Stream::Events, absent).await.unwrap(),
            None,
            "{absent}"
        );
    }
    bus.publish(message("melt.cmd.alice", "c")).await.unwrap();
    let command = bus.at(Stream::Commands, 1).await.unwrap().unwrap();
    assert_eq!(command.message.id, "c");
}

/// Invariant: a removed message is gone for every reader, and its neighbours are not.
pub(crate) async fn a_removed_message_is_gone(fixture: &impl Fixture) {
    let bus = fixture.open().await;
    for id in ["1", "2", "3"] {
        bus.publish(message("melt.dlq.alice", id)).await.unwrap();
    }
    assert!(bus.remove(Stream::DeadLetters, 2).await.unwrap());
    assert!(!bus.remove(Stream::DeadLetters, 2).await.unwrap());
    assert!(!bus.remove(Stream::DeadLetters, 9).await.unwrap());
    assert_eq!(bus.at(Stream::DeadLetters, 2).await.unwrap(), None);
    for pattern in [None, Some("melt.dlq.*")] {
        let wait = Duration::ZERO;
        let read = bus.read(Stream::DeadLetters, Begin::First, pattern, 10, wait);
        assert_eq!(ids(&read.await.unwrap()), ["1", "3"]);
    }
    let facts = bus.facts(Stream::DeadLetters).await.unwrap().unwrap();
    assert_eq!((facts.first, facts.last, facts.messages), (1, 3, 2));
    bus.publish(message("melt.cmd.alice", "c")).await.unwrap();
    assert!(bus.remove(Stream::Commands, 1).await.unwrap());
    assert!(
        bus.pull(1, Duration::from_millis(50))
            .await
            .unwrap()
            .is_empty()
    );
}

/// Invariant: an event that is published stays.
pub(crate) async fn nobody_edits_the_record(fixture: &impl Fixture) {
    let bus = fixture.open().await;
    put(&bus, &["A"]).await;
    for position in [1, 2] {
        let refused = bus.remove(Stream::Events, position).await;
        assert!(matches!(refused, Err(BusError::Unusable(_))), "{refused:?}");
    }
    assert_eq!(read(&bus, Begin::First, 10).await.len(), 1);
}

/// Invariant: reading the queue takes nobody's command away.
pub(crate) async fn the_queue_cannot_be_read(fixture: &impl Fixture) {
    let bus = fixture.open().await;
    bus.publish(message("melt.cmd.alice", "c")).await.unwrap();
    let wait = Duration::ZERO;
    let refused = bus.read(Stream::Commands, Begin::First, None, 10, wait);
    let refused = refused.await;
    assert!(matches!(refused, Err(BusError::Unusable(_))), "{refused:?}");
    assert_eq!(bus.pull(10, wait).await.unwrap().len(), 1);
}

/// Invariant: the facts count what is there and remember what was.
pub(crate) async fn facts_say_what_is_there(fixture: &impl Fixture) {
    let bus = fixture.open().await;
    for stream in Stream::ALL {
        let facts = bus.facts(stream).await.unwrap().unwrap();
        assert_eq!(
            (facts.first, facts.last, facts.messages, facts.bytes),
            (1, 0, 0, 0)
        );
        let age = chrono::Utc::now() - facts.created;
        assert!(age.num_seconds().abs() < 300, "{age}");
    }
    put(&bus, &["A", "B", "C"]).await;
    let before = bus.facts(Stream::Events).await.unwrap().unwrap();
    assert_eq!((before.first, before.last, before.messages), (1, 3, 3));
    assert!(before.bytes > 0);
    let heads = bus.facts(Stream::Heads).await.unwrap().unwrap();
    assert_eq!(heads.messages, 0);
    bus.prepare(&Stream::ALL).await.unwrap();
    let after = bus.facts(Stream::Events).await.unwrap().unwrap();
    assert_eq!(after, before);
}

/// Invariant: an alert needs nobody who listens, and no stream.
pub(crate) async fn an_alert_is_told_and_stored_nowhere(fixture: &impl Fixture) {
    let bus = fixture.open().await;
    bus.alert("{\"code\":\"X\"}".to_owned()).await.unwrap();
    for stream in Stream::ALL {
        let facts = bus.facts(stream).await.unwrap().unwrap();
        assert_eq!(facts.messages, 0, "{stream:?}");
    }
    assert!(bus.connected());
}
