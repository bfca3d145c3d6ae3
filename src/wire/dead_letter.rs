//! A command that can never be done, put aside: the body is the command's own, untouched; what is
//! known about it stands in the headers, and nothing in them is private.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ports::{Delivery, Message, Stored, Stream, header};
use crate::saga::code::Code;

/// What a dead letter's headers say, in the order of a list for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetter {
    /// Its position among the dead letters: what `meltd dlq` calls it by.
    pub sequence: u64,
    /// When it was put aside, UTC.
    pub at: DateTime<Utc>,
    /// Whose command it was.
    pub producer: String,
    /// The id that the command's message had, if it had one (`Nats-Msg-Id` of the command,
    /// `Melt-Original-Id` here).
    pub original_id: Option<String>,
    /// Where its replies were to go (`Melt-Reply-To`).
    pub reply_to: Option<String>,
    /// Why (`Melt-Reason`), for programs.
    pub reason: String,
    /// The same in a sentence (`Melt-Detail`); it repeats nothing of the body.
    pub detail: String,
    /// How often it was delivered (`Melt-Deliveries`).
    pub deliveries: u64,
    /// How large the body is, in bytes.
    pub bytes: u64,
}

impl DeadLetter {
    /// The subject of a producer's dead letters.
    pub fn subject(producer: &str) -> String {
        format!("melt.dlq.{producer}")
    }

    /// The message that puts a command aside. The same delivery has the same id, so that a repeat
    /// after a crash is stored once.
    pub fn message<R>(delivery: &Delivery<R>, code: Code, detail: &str) -> Message {
        let stored = &delivery.stored;
        let mut headers = vec![
            (header::REASON.to_owned(), code.as_str().to_owned()),
            (header::DETAIL.to_owned(), detail.to_owned()),
            (
                header::DELIVERIES.to_owned(),
                delivery.deliveries.to_string(),
            ),
        ];
        if let Some(id) = original_id(&stored.message) {
            headers.push((header::ORIGINAL_ID.to_owned(), id.to_owned()));
        }
        if let Some(reply_to) = stored.message.header(header::REPLY_TO) {
            headers.push((header::REPLY_TO.to_owned(), reply_to.to_owned()));
        }
        let (sequence, at) = (stored.sequence, stored.at.timestamp_millis());
        Message {
            subject: DeadLetter::subject(&delivery.producer),
            id: format!("dlq:{}:{sequence}:{at}", delivery.producer),
            headers,
            body: stored.message.body.clone(),
        }
    }

    /// Reads one back.
    pub fn of(stored: &Stored) -> Self {
        let message = &stored.message;
        let text = |name| message.header(name).map(str::to_owned);
        let producer = message.subject.rsplit('.').next().unwrap_or_default();
        DeadLetter {
            sequence: stored.sequence,
            at: stored.at,
            producer: producer.to_owned(),
            original_id: text(header::ORIGINAL_ID),
            reply_to: text(header::REPLY_TO),
            reason: text(header::REASON).unwrap_or_default(),
            detail: text(header::DETAIL).unwrap_or_default(),
            deliveries: text(header::DELIVERIES)
                .and_then(|n| n.parse().ok())
                .unwrap_or(0),
            bytes: u64::try_from(message.body.len()).unwrap_or(u64::MAX),
        }
    }

    /// The command as it is published again. Its message id is a new one, because a server that is
    /// configured otherwise drops a repeat of the old one; that goes along, for what it named.
    pub fn replay(stored: &Stored) -> Message {
        let letter = DeadLetter::of(stored);
        let mut headers = Vec::new();
        for (name, value) in [
            (header::ORIGINAL_ID, &letter.original_id),
            (header::REPLY_TO, &letter.reply_to),
        ] {
            if let Some(value) = value {
                headers.push((name.to_owned(), value.clone()));
            }
        }
        headers.push((header::REPLAY.to_owned(), letter.sequence.to_string()));
        let at = letter.at.timestamp_millis();
        Message {
            subject: format!("melt.cmd.{}", letter.producer),
            id: format!(
                "replay:{}:{}:{at}",
                Stream::DeadLetters.name(),
                letter.sequence
            ),
            headers,
            body: stored.message.body.clone(),
        }
    }
}

/// The id that the producer gave the message, also after a replay.
pub(crate) fn original_id(message: &Message) -> Option<&str> {
    if message.header(header::REPLAY).is_some() {
        return message.header(header::ORIGINAL_ID);
    }
    Some(message.id.as_str()).filter(|id| !id.is_empty())
}
