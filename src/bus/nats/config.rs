//! What the streams and the queue's consumer must be like. Only fields that NATS 2.9 knows are
//! sent: it ignores newer ones without a word, and 2.12 refuses those that it does not know.
//!
//! A stream that is there is read back and compared. Safety is not an option: what keeps commands
//! and events from being lost must be equal. What an operator decides by the size of the machine
//! (limits, replicas, placement, how long old events are kept) may differ.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::settings::Settings;
use crate::ports::Stream;

/// The one consumer of the command stream: all processes pull from it.
pub(super) const CONSUMER: &str = "meltd-intake";

/// A producer that was away for a week finds its answers.
const REPLIES_MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Signed checkpoints are small and only the newest of them count.
const HEADS_MAX_MESSAGES: u64 = 10_000;

/// Commands that may be with the intakes at a time: many more than they take at once.
const MAX_ACK_PENDING: u64 = 1000;

/// Fields that an operator may set as they like.
const FREE: &[&str] = &["max_bytes", "max_msgs", "max_msg_size", "num_replicas"];

/// Fields that may be larger than asked; but see [`stream_differences`].
const AT_LEAST: &[&str] = &["duplicate_window", "ack_wait"];

/// Fields that must be unset, or off, on every stream: each of them loses or changes messages.
const STREAM_OFF: &[&str] = &[
    "sealed",
    "no_ack",
    "mirror",
    "sources",
    "allow_rollup_hdrs",
    "discard_new_per_subject",
    "subject_transform",
    "allow_msg_ttl",
    "allow_msg_counter",
    "allow_msg_schedules",
    "persist_mode",
];

/// Fields that must be unset on the consumer: each of them hides commands or refuses a pull.
const CONSUMER_OFF: &[&str] = &[
    "deliver_subject",
    "filter_subject",
    "filter_subjects",
    "backoff",
    "headers_only",
    "mem_storage",
    "inactive_threshold",
    "max_batch",
    "max_expires",
    "max_bytes",
    "priority_groups",
    "pause_until",
    "opt_start_seq",
    "opt_start_time",
];

/// A stream as it is created.
pub(super) fn stream(stream: Stream, name: &str, subjects: &str, settings: &Settings) -> Value {
    let mut config = json!({
        "name": name,
        "subjects": [subjects],
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "max_consumers": -1,
        "max_msgs": -1,
        "max_bytes": -1,
        "max_age": 0,
        "max_msgs_per_subject": -1,
        "max_msg_size": -1,
        "num_replicas": settings.replicas,
        "duplicate_window": nanos(stream.window()),
    });
    let own = match stream {
        Stream::Commands => json!({
            "retention": "workqueue",
            "discard": "new",
            "max_bytes": settings.commands_max_bytes,
        }),
        Stream::Events => json!({ "deny_delete": true, "deny_purge": true }),
        // A producer gets one answer by its subject, and can be kept from all the others.
        Stream::Replies => json!({ "max_age": nanos(REPLIES_MAX_AGE), "allow_direct": true }),
        Stream::DeadLetters => json!({ "max_bytes": settings.dead_letters_max_bytes }),
        Stream::Heads => json!({ "max_msgs": HEADS_MAX_MESSAGES }),
    };
    if let (Some(config), Value::Object(own)) = (config.as_object_mut(), own) {
        config.extend(own);
    }
    config
}

/// The consumer as it is created.
pub(super) fn consumer(settings: &Settings) -> Value {
    json!({
        "durable_name": CONSUMER,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": nanos(settings.ack_wait),
        "max_deliver": -1,
        "max_ack_pending": MAX_ACK_PENDING,
        "replay_policy": "instant",
    })
}

/// How a stream differs from what it must be, a sentence each.
pub(super) fn stream_differences(stream: Stream, found: &Value, wanted: &Value) -> Vec<String> {
    let mut free = FREE.to_vec();
    free.push("max_consumers");
    // Commands that age would be lost, and so would one whose id another producer has used not long
    // before. The others are in the store as well.
    let at_least = match stream {
        Stream::Commands => &[],
        _ => {
            free.push("max_age");
            AT_LEAST
        }
    };
    differences(found, wanted, &free, at_least, STREAM_OFF)
}

/// The same for the consumer.
pub(super) fn consumer_differences(found: &Value, wanted: &Value) -> Vec<String> {
    differences(found, wanted, &["max_ack_pending"], AT_LEAST, CONSUMER_OFF)
}

fn differences(
    found: &Value,
    wanted: &Value,
    free: &[&str],
    at_least: &[&str],
    off: &[&str],
) -> Vec<String> {
    let none = Map::new();
    let found = found.as_object().unwrap_or(&none);
    let fields = wanted.as_object().unwrap_or(&none).iter();
    let set = fields.filter_map(|(field, wanted)| {
        let is = found.get(field).unwrap_or(&Value::Null);
        let fits = free.contains(&field.as_str())
            || is == wanted
            || (at_least.contains(&field.as_str()) && is.as_u64() >= wanted.as_u64())
            || (unlimited(is) && unlimited(wanted));
        (!fits).then(|| format!("{field} is {is} and must be {wanted}"))
    });
    let unset = off.iter().filter_map(|field| {
        let is = found.get(*field).unwrap_or(&Value::Null);
        (!is_off(is)).then(|| format!("{field} is {is} and must not be set"))
    });
    set.chain(unset).collect()
}

/// Servers write "no limit" as -1, 0, or not at all.
fn unlimited(value: &Value) -> bool {
    value.is_null() || value.as_i64().is_some_and(|limit| limit <= 0)
}

fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty() || text == "default",
        Value::Array(list) => list.is_empty(),
        Value::Bool(true) | Value::Object(_) => false,
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
