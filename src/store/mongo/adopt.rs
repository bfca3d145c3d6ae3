//! Adoption: one insert, leased in the same write, and what a taken unique key means.

use std::time::Duration;

use mongodb::bson::{self, Bson, Document, doc};
use mongodb::options::ReadConcern;

use super::Db;
use super::fault::{is_duplicate, store_error};
use super::lease::after;
use super::rows::HeadDoc;
use super::settle::pause;
use crate::ports::{Adopted, Head, Lease, NewSaga, StoreError};
use crate::saga::chain;
use crate::saga::code::Code;
use crate::saga::state::{State, Status};

/// A claim can be let go between the refusal and the look at who has it; five times in a row is
/// something else.
const ROUNDS: u32 = 5;

/// How long the server may take to prove to a majority that it is still the primary.
const PROOF_WAIT: Duration = Duration::from_secs(5);

/// Inserts the head, or finds what it repeats or collides with.
pub(super) async fn adopt(
    db: Db,
    new: NewSaga,
    owner: String,
    ttl: Duration,
) -> Result<Adopted, StoreError> {
    let head = head_of(&new, &owner)?;
    for round in 0..ROUNDS {
        match insert(&db, &new, head.clone(), ttl).await {
            Ok(()) => {
                let saga = new.id;
                return Ok(Adopted::New(Lease { saga, fence: 1 }));
            }
            Err(error) if is_duplicate(&error) => {}
            Err(error) => return Err(store_error(error)),
        }
        if let Some(head) = taken_by(&db, &new).await? {
            return Ok(Adopted::Existing(Box::new(head)));
        }
        pause(round).await;
    }
    let text = "an adoption kept colliding with others".to_owned();
    Err(StoreError::Unavailable(text))
}

/// What a command repeats, if it repeats one.
pub(super) async fn known(db: Db, new: NewSaga) -> Result<Option<Head>, StoreError> {
    taken_by(&db, &new).await
}

/// An upsert whose condition no document can meet, because a plain insert cannot ask for the
/// server's clock.
async fn insert(
    db: &Db,
    new: &NewSaga,
    head: Document,
    ttl: Duration,
) -> mongodb::error::Result<()> {
    let nobody = doc! { "_id": new.id.as_str(), "version": -1i64 };
    let times = doc! {
        "created_at": "$$NOW",
        "updated_at": "$$NOW",
        "next_attempt_at": "$$NOW",
        "lease_until": after(ttl),
    };
    let born = doc! { "$replaceWith": { "$mergeObjects": [{ "$literal": head }, times] } };
    let sagas = db.sagas::<Document>();
    sagas.update_one(nobody, vec![born]).upsert(true).await?;
    Ok(())
}

fn head_of(new: &NewSaga, owner: &str) -> Result<Document, StoreError> {
    let command = bson::to_document(&new.command)
        .map_err(|_| StoreError::Unusable("the command cannot be stored".to_owned()))?;
    let mut head = doc! {
        "_id": new.id.as_str(),
        "kind": new.command.kind().as_str(),
        "wallet": new.wallet.id.as_str(),
        "npub": &new.wallet.npub,
        "mint_url": &new.wallet.mint_url,
        "unit": &new.wallet.unit,
        "producer": new.producer.as_str(),
        "command_id": &new.command_id,
        "intent_key": new.intent_key.clone(),
        "request_hash": &new.request_hash,
        "command": command,
        "reply_to": new.reply_to.clone(),
        "version": 0i64,
        "head_hash": chain::genesis(&new.id).to_hex(),
        "state": State::Adopted.as_str(),
        "status": Status::Active.as_str(),
        "fence": 1i64,
        "lease_owner": owner,
        "attempts": 0i64,
        "last_error": Bson::Null,
    };
    if let Some(hash) = new.payment_hash() {
        head.insert("claim_payment_hash", hash);
    }
    if let Some(key) = &new.intent_key {
        head.insert("claim_intent_key", key);
    }
    Ok(head)
}

/// Who has the key that was taken, in the order in which a repeat is recognised; `None` when
/// nobody has any of them any more.
async fn taken_by(db: &Db, new: &NewSaga) -> Result<Option<Head>, StoreError> {
    let producer = new.producer.as_str();
    let existing = |head: HeadDoc| head.into_head().map(Some);

    let same_command = doc! { "producer": producer, "command_id": &new.command_id };
    if let Some(head) = certain(db, same_command).await? {
        if head.request_hash == new.request_hash {
            return existing(head);
        }
        return Err(StoreError::Refuse(Code::CommandIdReused));
    }
    if let Some(hash) = new.payment_hash()
        && let Some(head) = certain(db, doc! { "claim_payment_hash": hash }).await?
    {
        if head.producer == producer && head.request_hash == new.request_hash {
            return existing(head);
        }
        return Err(StoreError::Refuse(Code::InvoiceInUse));
    }
    if let Some(key) = &new.intent_key {
        let same_intent = doc! { "producer": producer, "claim_intent_key": key };
        if certain(db, same_intent).await?.is_some() {
            return Err(StoreError::Refuse(Code::IntentInUse));
        }
    }
    match certain(db, doc! { "_id": new.id.as_str() }).await? {
        Some(_) => Err(StoreError::Unusable("a new saga's id is taken".to_owned())),
        None => Ok(None),
    }
}

/// A linearizable read: it sees the very document that the insert collided with, which a majority
/// read may not yet, and only answers once that document is on a majority.
async fn certain(db: &Db, unique: Document) -> Result<Option<HeadDoc>, StoreError> {
    let sagas = db.sagas::<HeadDoc>();
    let found = sagas
        .find_one(unique)
        .read_concern(ReadConcern::linearizable())
        .max_time(PROOF_WAIT);
    found.await.map_err(store_error)
}
