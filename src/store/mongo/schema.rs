//! Collections, validators and indexes. Safe to run at every start, beside other processes.

use futures::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};

use super::Db;
use super::fault::{codes, store_error};
use super::indexes::indexes;
use crate::ports::StoreError;
use crate::saga::command::Kind;
use crate::saga::proofs::{ProofState, TransactionType};
use crate::saga::state::{State, Status};

pub(super) const SAGAS: &str = "sagas";
pub(super) const EVENTS: &str = "saga_events";
pub(super) const OUTBOX: &str = "outbox";
pub(super) const PROOFS: &str = "proofs";
pub(super) const WALLETS: &str = "wallets";
pub(super) const META: &str = "meta";
pub(super) const LEASES: &str = "leases";
pub(super) const MARK: &str = "relay_mark";
pub(super) const CHECKPOINTS: &str = "relay_checkpoints";
/// Mints that are paused; the id is the URL.
pub(super) const MINTS: &str = "mints";
pub(super) const TOKENS: &str = "api_tokens";
pub(super) const USED_IDS: &str = "used_ids";

/// The collection exists: another process was faster.
const NAMESPACE_EXISTS: i32 = 48;

/// Creates what is missing and renews validators that an older version wrote.
pub(super) async fn prepare(db: &Db) -> Result<(), StoreError> {
    let found = db.database.list_collections().await.map_err(store_error)?;
    let found: Vec<_> = found.try_collect().await.map_err(store_error)?;
    for (name, validator) in validators() {
        let existing = found.iter().find(|c| c.name == name);
        let current = existing.and_then(|c| c.options.validator.as_ref());
        if existing.is_none() {
            create(db, name, &validator).await?;
        } else if current != Some(&validator) {
            renew(db, name, validator).await?;
        }
    }
    for (name, indexes) in indexes() {
        let collection = db.database.collection::<Document>(name);
        let made = collection.create_indexes(indexes).await;
        made.map_err(store_error)?;
    }
    Ok(())
}

async fn create(db: &Db, name: &str, validator: &Document) -> Result<(), StoreError> {
    let made = db.database.create_collection(name);
    match made.validator(validator.clone()).await {
        Err(error) if codes(&error).contains(&NAMESPACE_EXISTS) => Ok(()),
        other => other.map_err(store_error),
    }
}

/// Only where it differs, because it waits for every open transaction on the collection.
async fn renew(db: &Db, name: &str, validator: Document) -> Result<(), StoreError> {
    let command = doc! { "collMod": name, "validator": validator };
    let done = db.database.run_command(command).await;
    done.map(|_| ()).map_err(store_error)
}

pub(super) fn validators() -> [(&'static str, Document); 12] {
    [
        (SAGAS, sagas()),
        (EVENTS, events()),
        (OUTBOX, outbox()),
        (PROOFS, proofs()),
        (WALLETS, wallets()),
        (LEASES, leases()),
        (MINTS, mints()),
        (META, strict(&[("value", text())], &[])),
        (TOKENS, tokens()),
        (USED_IDS, strict(&[("until", date())], &[])),
        (MARK, mark()),
        (CHECKPOINTS, checkpoints()),
    ]
}

fn sagas() -> Document {
    let fields = [
        ("kind", words(Kind::ALL.map(Kind::as_str))),
        ("wallet", text()),
        ("npub", text()),
        ("mint_url", text()),
        ("unit", text()),
        ("producer", text()),
        ("command_id", text()),
        ("intent_key", text_or_null()),
        ("request_hash", text()),
        ("command", doc! { "bsonType": "object" }),
        ("reply_to", text_or_null()),
        ("version", whole()),
        ("head_hash", text()),
        ("state", words(State::ALL.map(State::as_str))),
        ("status", words(super::lease::STATUSES.map(Status::as_str))),
        ("fence", whole()),
        ("lease_owner", text_or_null()),
        ("lease_until", date_or_null()),
        ("attempts", whole()),
        ("next_attempt_at", date_or_null()),
        ("last_error", text_or_null()),
        ("doubt", doubt()),
        ("created_at", date()),
        ("updated_at", date()),
        ("claim_payment_hash", text()),
        ("claim_intent_key", text()),
        ("touched", whole()),
    ];
    strict(
        &fields,
        // A head that an older version has written has no doubt.
        &["claim_payment_hash", "claim_intent_key", "touched", "doubt"],
    )
}

fn events() -> Document {
    let fields = [
        ("saga", text()),
        ("seq", whole()),
        ("name", text()),
        ("body", text()),
        ("private", text_or_null()),
        ("prev_hash", text()),
        ("hash", text()),
    ];
    strict(&fields, &[])
}

/// What an append writes, and what only some rows get later.
fn outbox() -> Document {
    let fields = [
        ("saga", text()),
        ("subject", text()),
        ("body", text()),
        ("written_at", doc! { "bsonType": "timestamp" }),
        ("seq", whole()),
        ("hash", text()),
        ("prev_hash", text()),
        ("round", whole()),
        ("attempts", whole()),
        ("next_attempt_at", date_or_null()),
        ("parked", doc! { "bsonType": "bool" }),
        ("last_error", text()),
    ];
    let later = [
        "seq",
        "hash",
        "prev_hash",
        "round",
        "attempts",
        "next_attempt_at",
        "parked",
        "last_error",
    ];
    strict(&fields, &later)
}

fn proofs() -> Document {
    use ProofState::{Pending, Reserved, Spent, Unspent};
    use TransactionType::{Change, Minted, Received, Sent};
    let states = [Unspent, Reserved, Pending, Spent].map(ProofState::as_str);
    let types = [Minted, Received, Sent, Change].map(TransactionType::as_str);
    let fields = [
        ("wallet", text()),
        ("keyset", text()),
        ("counter", whole()),
        ("amount", whole()),
        ("c", text()),
        ("dleq_e", text()),
        ("dleq_s", text()),
        ("state", words(states)),
        ("saga", text_or_null()),
        ("token_id", text()),
        ("transaction_type", words(types)),
        ("transaction_id", text()),
        ("parent_transaction_id", text_or_null()),
        ("spent_at", date_or_null()),
    ];
    strict(&fields, &[])
}

fn wallets() -> Document {
    let counters = doc! { "bsonType": "object", "additionalProperties": whole() };
    let fields = [
        ("npub", text()),
        ("mint_url", text()),
        ("unit", text()),
        ("counters", counters),
    ];
    strict(&fields, &[])
}

fn mints() -> Document {
    let fields = [("by", text()), ("reason", text()), ("at", date())];
    strict(&fields, &[])
}

fn doubt() -> Document {
    doc! {
        "bsonType": ["object", "null"],
        "properties": { "code": text(), "passes": whole() },
        "required": ["code", "passes"],
        "additionalProperties": false,
    }
}

fn leases() -> Document {
    let fields = [("owner", text()), ("until", date()), ("epoch", whole())];
    strict(&fields, &[])
}

fn tokens() -> Document {
    let fields = [
        ("hash", text()),
        ("producer", text()),
        ("wallets", doc! { "bsonType": ["string", "object"] }),
        ("scopes", doc! { "bsonType": "array" }),
        ("created_at", date()),
        ("revoked_at", date_or_null()),
    ];
    strict(&fields, &[])
}

/// The `_id` is always the same: there is one mark.
fn mark() -> Document {
    let fields = [
        ("created", text()),
        ("sequence", whole()),
        ("message", text()),
        ("epoch", whole()),
    ];
    strict(&fields, &[])
}

/// The `_id` is when it was taken.
fn checkpoints() -> Document {
    let fields = [
        ("created", text()),
        ("sequence", whole()),
        ("message", text()),
        ("floor", date()),
        ("taken_at", date()),
    ];
    strict(&fields, &[])
}

/// A document with exactly these fields and a text as `_id`.
fn strict(fields: &[(&str, Document)], optional: &[&str]) -> Document {
    let mut properties = doc! { "_id": text() };
    let mut required = vec![Bson::from("_id")];
    for (name, rule) in fields {
        properties.insert(*name, rule.clone());
        if !optional.contains(name) {
            required.push(Bson::from(*name));
        }
    }
    doc! { "$jsonSchema": {
        "bsonType": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": false,
    } }
}

fn text() -> Document {
    doc! { "bsonType": "string" }
}

fn text_or_null() -> Document {
    doc! { "bsonType": ["string", "null"] }
}

fn date() -> Document {
    doc! { "bsonType": "date" }
}

fn date_or_null() -> Document {
    doc! { "bsonType": ["date", "null"] }
}

fn whole() -> Document {
    doc! { "bsonType": "long", "minimum": 0i64 }
}

fn words<const N: usize>(words: [&str; N]) -> Document {
    doc! { "enum": words.to_vec() }
}
