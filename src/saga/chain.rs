//! The hash chain of a saga, over the exact bytes that are stored and published:
//! `hash_0 = SHA-256("meltd-saga/v1\n" ‖ saga_id)`,
//! `hash_n = SHA-256("meltd-event/v1\n" ‖ hash_{n-1} ‖ body_n)`.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::command::Kind;
use super::event::{Entry, Envelope, Private};
use super::ids::{SagaId, Seq};
use super::upcast;

/// A SHA-256 digest; 64 hex digits wherever it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// 64 lower-case hex digits.
    pub fn to_hex(self) -> String {
        self.0
            .iter()
            .fold(String::with_capacity(64), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            })
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads 64 hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0u8; 32];
        // Every byte is looked at, because from_str_radix takes a sign for a digit.
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Hash(bytes))
    }

    /// SHA-256 of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Hash(Sha256::digest(bytes).into())
    }
}

/// The hash before a saga's first event.
pub fn genesis(saga: &SagaId) -> Hash {
    let digest = Sha256::new()
        .chain_update(b"meltd-saga/v1\n")
        .chain_update(saga.as_str());
    Hash(digest.finalize().into())
}

/// The hash of the next event.
pub fn link(prev: Hash, body: &str) -> Hash {
    let digest = Sha256::new()
        .chain_update(b"meltd-event/v1\n")
        .chain_update(prev.0);
    Hash(digest.chain_update(body).finalize().into())
}

/// An event as it is stored: the exact body, its private half, its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The saga.
    pub saga: SagaId,
    /// Its position.
    pub seq: Seq,
    /// The event's name, copied out of the body for queries and subjects.
    pub name: String,
    /// The exact UTF-8 that is hashed, stored and published.
    pub body: String,
    /// The private half as it was hashed, salt included; `None` = none, or erased.
    pub private: Option<String>,
    /// `hash_{n-1}`, hex.
    pub prev_hash: String,
    /// `hash_n`, hex.
    pub hash: String,
}

impl Record {
    /// The outbox id, `_id` in the store, and `Nats-Msg-Id`: sorts by saga, then by position.
    pub fn id(&self) -> String {
        record_id(&self.saga, self.seq)
    }
}

/// `<saga>:<seq, 6 digits>`.
pub fn record_id(saga: &SagaId, seq: Seq) -> String {
    format!("{saga}:{seq:06}")
}

/// Why a stored event cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The hash does not follow from the body and the previous hash.
    Hash {
        /// Where.
        seq: Seq,
    },
    /// A position is missing or repeated.
    Gap {
        /// What was expected.
        expected: Seq,
        /// What was found.
        found: Seq,
    },
    /// The private half is not the one that the body commits to.
    Private {
        /// Where.
        seq: Seq,
    },
    /// The body cannot be read by this version.
    Body {
        /// Where.
        seq: Seq,
        /// Why.
        why: String,
    },
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Broken::Hash { seq } => write!(f, "the hash of event {seq} does not match its body"),
            Broken::Gap { expected, found } => {
                write!(f, "event {expected} is missing: found {found} in its place")
            }
            Broken::Private { seq } => {
                write!(f, "the private half of event {seq} was changed")
            }
            Broken::Body { seq, why } => write!(f, "event {seq} cannot be read: {why}"),
        }
    }
}

impl std::error::Error for Broken {}

/// The private half with its salt, as stored. The salt keeps guessable values (an npub, an
/// invoice) from being confirmed by whoever sees the published hash.
#[derive(Serialize, Deserialize)]
struct Salted {
    salt: String,
    #[serde(flatten)]
    private: Private,
}

/// Where in a chain the next records go.
#[derive(Clone, Debug)]
pub struct Tail {
    /// The saga.
    pub saga: SagaId,
    /// Its kind.
    pub kind: Kind,
    /// Position of the last record; 0 = none.
    pub seq: Seq,
    /// Its hash, or the genesis hash.
    pub hash: Hash,
}

/// Turns an entry into the next record of the chain. `salt` is fresh random text from the caller:
/// the core has no randomness of its own.
///
/// # Errors
/// Only if the entry cannot be written as JSON.
pub fn seal(
    tail: &mut Tail,
    entry: &Entry,
    at: DateTime<Utc>,
    salt: &str,
) -> Result<Record, serde_json::Error> {
    let private = if entry.private == Private::default() {
        None
    } else {
        let salted = Salted {
            salt: salt.to_owned(),
            private: entry.private.clone(),
        };
        Some(serde_json::to_string(&salted)?)
    };
    let seq = tail.seq.saturating_add(1);
    let body = serde_json::to_string(&Envelope {
        v: upcast::VERSION,
        saga: tail.saga.to_string(),
        kind: tail.kind,
        seq,
        at,
        compliance: entry.event.compliance(),
        private_hash: private.as_deref().map(|p| Hash::of(p.as_bytes()).to_hex()),
        event: entry.event.clone(),
    })?;
    let hash = link(tail.hash, &body);
    let record = Record {
        saga: tail.saga.clone(),
        seq,
        name: entry.event.name().to_owned(),
        body,
        private,
        prev_hash: tail.hash.to_hex(),
        hash: hash.to_hex(),
    };
    tail.seq = seq;
    tail.hash = hash;
    Ok(record)
}

/// Reads a record back and checks it against its place in the chain.
///
/// # Errors
/// [`Broken`], naming the first thing that is wrong.
pub fn open(tail: &mut Tail, record: &Record) -> Result<(Entry, Envelope), Broken> {
    let expected = tail.seq.saturating_add(1);
    let seq = record.seq;
    if seq != expected || record.saga != tail.saga {
        return Err(Broken::Gap {
            expected,
            found: seq,
        });
    }
    let hash = link(tail.hash, &record.body);
    if hash.to_hex() != record.hash || tail.hash.to_hex() != record.prev_hash {
        return Err(Broken::Hash { seq });
    }
    let envelope = upcast::read(&record.body).map_err(|why| Broken::Body { seq, why })?;
    let is_here = envelope.seq == seq && envelope.saga == record.saga.as_str();
    // The name is a copy, for queries and subjects: a changed one would hide or fake an event.
    if !is_here || envelope.kind != tail.kind || envelope.event.name() != record.name {
        return Err(Broken::Hash { seq });
    }
    let private = open_private(record, &envelope)?;
    tail.seq = seq;
    tail.hash = hash;
    Ok((
        Entry {
            event: envelope.event.clone(),
            private,
        },
        envelope,
    ))
}

fn open_private(record: &Record, envelope: &Envelope) -> Result<Private, Broken> {
    let Some(text) = &record.private else {
        return Ok(Private::default());
    };
    let broken = Broken::Private { seq: record.seq };
    if envelope.private_hash.as_deref() != Some(Hash::of(text.as_bytes()).to_hex().as_str()) {
        return Err(broken);
    }
    serde_json::from_str::<Salted>(text)
        .map(|s| s.private)
        .map_err(|_| broken)
}
