//! What is on the server and is not as meltd needs it.

use meltd::bus::nats::{NatsBus, Settings};
use meltd::ports::{Bus, BusError, Stream};
use serde_json::{Value, json};

use super::Nats;
use crate::bus_contract::Fixture;

const HOUR: u64 = 3_600_000_000_000;

impl Nats {
    /// One call of the JetStream API.
    async fn api(&self, operation: &str, payload: &Value) -> Value {
        let client = async_nats::connect(&self.settings.url).await.unwrap();
        let payload = match payload {
            Value::Null => String::new(),
            payload => payload.to_string(),
        };
        let subject = format!("$JS.API.{operation}");
        let answer = client.request(subject, payload.into()).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        assert_eq!(answer["error"], Value::Null, "{operation}");
        answer
    }

    /// A stream's configuration now.
    async fn config(&self, stream: Stream) -> Value {
        let info = format!("STREAM.INFO.{}", self.name(stream));
        self.api(&info, &Value::Null).await["config"].clone()
    }

    /// Makes a stream again, without a consumer.
    async fn make(&self, stream: Stream, config: &Value) {
        let name = self.name(stream);
        self.api(&format!("STREAM.DELETE.{name}"), &Value::Null)
            .await;
        self.api(&format!("STREAM.CREATE.{name}"), config).await;
    }

    /// Makes a stream again with some fields changed.
    pub(super) async fn change(&self, stream: Stream, fields: &Value) {
        let mut config = self.config(stream).await;
        merge(&mut config, fields);
        self.make(stream, &config).await;
    }

    /// Makes the consumer again with some fields changed.
    async fn change_consumer(&self, fields: &Value) {
        let stream = self.name(Stream::Commands);
        let path = format!("{stream}.meltd-intake");
        let info = self
            .api(&format!("CONSUMER.INFO.{path}"), &Value::Null)
            .await;
        let mut config = info["config"].clone();
        merge(&mut config, fields);
        self.api(&format!("CONSUMER.DELETE.{path}"), &Value::Null)
            .await;
        let request = json!({ "stream_name": stream, "config": config });
        self.api(&format!("CONSUMER.DURABLE.CREATE.{path}"), &request)
            .await;
    }
}

fn merge(config: &mut Value, fields: &Value) {
    for (name, value) in fields.as_object().unwrap() {
        config[name] = value.clone();
    }
}

/// What `prepare` says about it.
async fn judged(nats: &Nats, stream: Stream) -> Result<(), BusError> {
    let bus = nats.open().await;
    bus.prepare(&[stream]).await
}

fn assert_names(outcome: Result<(), BusError>, words: &[&str]) {
    let error = outcome.expect_err(&format!("{words:?} was taken"));
    assert!(matches!(error, BusError::Unusable(_)), "{error}");
    for word in words {
        assert!(
            error.to_string().contains(word),
            "{word} is not in: {error}"
        );
    }
}

/// Guards every field of a stream on which safety rests: the refusal names stream, field, what it
/// is and what it must be. Seen red with a comparison that finds nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_could_lose_something_is_refused() {
    let nats = Nats::fresh().await;
    let table = [
        (
            Stream::Commands,
            json!({ "retention": "limits" }),
            "must be \"workqueue\"",
        ),
        (
            Stream::Commands,
            json!({ "discard": "old" }),
            "must be \"new\"",
        ),
        (
            Stream::Commands,
            json!({ "storage": "memory" }),
            "must be \"file\"",
        ),
        (Stream::Commands, json!({ "max_age": HOUR }), "must be 0"),
        (
            Stream::Commands,
            json!({ "max_msgs_per_subject": 5 }),
            "must be -1",
        ),
        (
            Stream::Commands,
            json!({ "no_ack": true }),
            "must not be set",
        ),
        (
            Stream::Events,
            json!({ "retention": "interest" }),
            "must be \"limits\"",
        ),
        (
            Stream::Events,
            json!({ "deny_delete": false }),
            "must be true",
        ),
        (
            Stream::Events,
            json!({ "deny_purge": false }),
            "must be true",
        ),
        (
            Stream::Events,
            json!({ "duplicate_window": 1_000_000_000 }),
            "must be 120000000000",
        ),
        (
            Stream::Commands,
            json!({ "duplicate_window": 120_000_000_000_u64 }),
            "must be 100000000",
        ),
        (
            Stream::Replies,
            json!({ "allow_direct": false }),
            "must be true",
        ),
        (
            Stream::DeadLetters,
            json!({ "storage": "memory" }),
            "must be \"file\"",
        ),
        (
            Stream::Heads,
            json!({ "allow_rollup_hdrs": true }),
            "must not be set",
        ),
    ];
    for (stream, fields, sentence) in table {
        let before = nats.config(stream).await;
        nats.change(stream, &fields).await;
        let field = fields.as_object().unwrap().keys().next().unwrap();
        let found = format!("{field} is {}", fields[field]);
        let words = [nats.name(stream), found, sentence.to_owned()];
        assert_names(
            judged(&nats, stream).await,
            &words.each_ref().map(String::as_str),
        );
        nats.make(stream, &before).await;
        judged(&nats, stream).await.unwrap();
    }
    nats.remove().await;
}

/// Guards that a stream takes our subjects and no others.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_on_other_subjects_is_refused() {
    let nats = Nats::fresh().await;
    let prefix = nats.settings.prefix.clone().unwrap();
    let subjects = json!([format!("{prefix}.melt.heads"), format!("{prefix}.other")]);
    nats.change(Stream::Heads, &json!({ "subjects": subjects }))
        .await;
    assert_names(
        judged(&nats, Stream::Heads).await,
        &["subjects is", ".other"],
    );
    nats.remove().await;
}

/// Guards the fields of the consumer: each of these hides commands, or gives up on them. Seen
/// red with a comparison that finds nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_could_lose_something_is_refused() {
    let nats = Nats::fresh().await;
    let prefix = nats.settings.prefix.clone().unwrap();
    let table = [
        (json!({ "max_deliver": 5 }), "max_deliver is 5"),
        (json!({ "ack_wait": 500_000_000 }), "ack_wait is 500000000"),
        (
            json!({ "filter_subject": format!("{prefix}.melt.cmd.a") }),
            "filter_subject is",
        ),
        (
            json!({ "deliver_subject": format!("{prefix}.push"), "max_waiting": 0 }),
            "deliver_subject is",
        ),
        (
            json!({ "backoff": [500_000_000], "max_deliver": 5 }),
            "backoff is",
        ),
        (json!({ "headers_only": true }), "headers_only is true"),
        (json!({ "max_batch": 1 }), "max_batch is 1"),
        (
            json!({ "inactive_threshold": HOUR }),
            "inactive_threshold is",
        ),
    ];
    for (fields, sentence) in table {
        // Anew: what was changed before is not there any more.
        nats.change(Stream::Commands, &json!({})).await;
        judged(&nats, Stream::Commands).await.unwrap();
        nats.change_consumer(&fields).await;
        let name = format!("{}.meltd-intake", nats.name(Stream::Commands));
        assert_names(judged(&nats, Stream::Commands).await, &[&name, sentence]);
    }
    nats.remove().await;
}

/// Invariant: what an operator decides by the size of the machine is the operator's.
#[tokio::test(flavor = "multi_thread")]
async fn limits_are_the_operators() {
    let nats = Nats::fresh().await;
    let table = [
        (
            Stream::Commands,
            json!({ "max_bytes": 2_000_000, "max_msgs": 7, "max_msg_size": 9999 }),
        ),
        (Stream::Replies, json!({ "duplicate_window": HOUR })),
        (
            Stream::Events,
            json!({ "max_age": HOUR, "max_bytes": 1_000_000, "max_msgs": 100 }),
        ),
        (Stream::Replies, json!({ "max_age": HOUR })),
        (
            Stream::Heads,
            json!({ "max_msgs": -1, "description": "ours" }),
        ),
    ];
    for (stream, fields) in table {
        nats.change(stream, &fields).await;
        judged(&nats, stream).await.unwrap();
    }
    nats.change_consumer(&json!({ "max_ack_pending": 5, "ack_wait": HOUR }))
        .await;
    judged(&nats, Stream::Commands).await.unwrap();
    nats.remove().await;
}

/// Invariant: processes that start at the same time make one set of streams.
#[tokio::test(flavor = "multi_thread")]
async fn starts_at_the_same_time_agree() {
    let nats = Nats::fresh().await;
    let prefix = format!("T{}", uuid::Uuid::now_v7().simple());
    let settings = Settings {
        prefix: Some(prefix),
        ..nats.settings.clone()
    };
    let starts: Vec<_> = (0..6)
        .map(|_| {
            let settings = settings.clone();
            tokio::spawn(async move {
                let bus = NatsBus::connect(&settings).await.unwrap();
                bus.prepare(&Stream::ALL).await.unwrap();
            })
        })
        .collect();
    for start in starts {
        start.await.unwrap();
    }
    let others = Nats { settings };
    others.remove().await;
    nats.remove().await;
}

/// Invariant: a prefix from outside cannot widen a subject.
#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_is_one_token() {
    for bad in ["a.b", "*", ">", "a b", ""] {
        let settings = Settings {
            prefix: Some(bad.to_owned()),
            ..Settings::default()
        };
        let error = NatsBus::connect(&settings).await.err().unwrap();
        assert_names(Err(error), &["prefix"]);
    }
}
