//! Messages as the library has them, and as meltd has them.

use async_nats::jetstream::message::StreamMessage;
use async_nats::{HeaderMap, HeaderName, HeaderValue};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::link::ApiError;
use crate::ports::{BusError, Message, Stored, header};

/// The headers of a message, its id among them.
pub(super) fn headers(message: &Message) -> Result<HeaderMap, BusError> {
    let mut map = HeaderMap::new();
    let id = (!message.id.is_empty()).then_some((header::ID, message.id.as_str()));
    let others = message
        .headers
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()));
    for (name, value) in id.into_iter().chain(others) {
        let parsed: Option<(HeaderName, HeaderValue)> = name.parse().ok().zip(value.parse().ok());
        let Some((key, value)) = parsed else {
            let text = format!("the header {name:?} is not one");
            return Err(BusError::Never(text));
        };
        map.append(key, value);
    }
    Ok(map)
}

/// A stored message, out of its parts.
pub(super) fn stored(
    sequence: u64,
    at_ns: i128,
    subject: &str,
    map: Option<&HeaderMap>,
    payload: &[u8],
) -> Stored {
    let mut id = String::new();
    let mut headers = Vec::new();
    for (name, values) in map.into_iter().flat_map(HeaderMap::iter) {
        for value in values {
            if name.to_string() == header::ID {
                id = value.to_string();
            } else {
                headers.push((name.to_string(), value.to_string()));
            }
        }
    }
    headers.sort();
    let body = match std::str::from_utf8(payload) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("\u{fffd}{}", String::from_utf8_lossy(payload)),
    };
    let message = Message {
        subject: subject.to_owned(),
        id,
        headers,
        body,
    };
    Stored {
        sequence,
        at: time(at_ns),
        message,
    }
}

/// What a get by position gives.
pub(super) fn stored_raw(raw: &StreamMessage, subject: &str) -> Stored {
    let at_ns = raw.time.unix_timestamp_nanos();
    stored(
        raw.sequence,
        at_ns,
        subject,
        Some(&raw.headers),
        &raw.payload,
    )
}

fn time(ns: i128) -> DateTime<Utc> {
    DateTime::from_timestamp_nanos(i64::try_from(ns).unwrap_or(i64::MAX))
}

/// An answer of JetStream: what was asked for, or its error.
pub(super) fn answer<T: DeserializeOwned>(payload: &[u8]) -> Result<Result<T, ApiError>, BusError> {
    let strange = |why: serde_json::Error| {
        BusError::Unusable(format!("what answers is not JetStream as known: {why}"))
    };
    let value: Value = serde_json::from_slice(payload).map_err(strange)?;
    if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
        return ApiError::deserialize(error).map(Err).map_err(strange);
    }
    T::deserialize(value).map(Ok).map_err(strange)
}
