//! Tokens of services, and ids that may be used once.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mongodb::bson::{self, doc};
use serde::{Deserialize, Serialize};

use super::Db;
use super::fault::{damaged, is_duplicate, store_error};
use super::lease::after;
use super::query::collect;
use crate::ports::{ApiToken, Scope, StoreError, Wallets};
use crate::saga::ids::Producer;

/// A token, under the SHA-256 of its secret, which is nowhere stored.
#[derive(Deserialize, Serialize)]
pub(super) struct TokenDoc {
    #[serde(rename = "_id")]
    id: String,
    hash: String,
    producer: String,
    wallets: Wallets,
    scopes: Vec<Scope>,
    created_at: bson::DateTime,
    revoked_at: Option<bson::DateTime>,
}

impl TokenDoc {
    fn into_token(self) -> Result<ApiToken, StoreError> {
        let time = |at: bson::DateTime| {
            let time = DateTime::from_timestamp_millis(at.timestamp_millis());
            time.ok_or_else(|| damaged("times", &self.id))
        };
        Ok(ApiToken {
            created_at: time(self.created_at)?,
            revoked_at: self.revoked_at.map(time).transpose()?,
            producer: Producer::new(self.producer),
            wallets: self.wallets,
            scopes: self.scopes,
            id: self.id,
        })
    }
}

fn stored(at: DateTime<Utc>) -> bson::DateTime {
    bson::DateTime::from_millis(at.timestamp_millis())
}

pub(super) async fn add(db: Db, token: ApiToken, hash: String) -> Result<(), StoreError> {
    let doc = TokenDoc {
        created_at: stored(token.created_at),
        revoked_at: token.revoked_at.map(stored),
        id: token.id,
        hash,
        producer: token.producer.to_string(),
        wallets: token.wallets,
        scopes: token.scopes,
    };
    let added = db.tokens().insert_one(doc).await;
    added.map(|_| ()).map_err(store_error)
}

pub(super) async fn by_hash(db: Db, hash: String) -> Result<Option<ApiToken>, StoreError> {
    let found = db
        .tokens::<TokenDoc>()
        .find_one(doc! { "hash": hash })
        .await;
    let found = found.map_err(store_error)?;
    found.map(TokenDoc::into_token).transpose()
}

pub(super) async fn list(db: Db) -> Result<Vec<ApiToken>, StoreError> {
    let tokens = db.tokens::<TokenDoc>();
    let found = tokens
        .find(doc! {})
        .sort(doc! { "created_at": 1, "_id": 1 });
    let found: Vec<_> = collect(found.await).await?;
    found.into_iter().map(TokenDoc::into_token).collect()
}

pub(super) async fn revoke(db: Db, id: String, at: DateTime<Utc>) -> Result<bool, StoreError> {
    let live = doc! { "_id": id, "revoked_at": bson::Bson::Null };
    let revoked = doc! { "$set": { "revoked_at": stored(at) } };
    let done = db.tokens::<TokenDoc>().update_one(live, revoked).await;
    Ok(done.map_err(store_error)?.matched_count == 1)
}

/// An upsert whose condition no document can meet, because a plain insert cannot ask for the
/// server's clock. The server deletes ids that are over.
pub(super) async fn use_once(db: Db, id: String, ttl: Duration) -> Result<bool, StoreError> {
    let nobody = doc! { "_id": id, "until": doc! { "$lt": bson::DateTime::MIN } };
    let born = vec![doc! { "$set": { "until": after(ttl) } }];
    let used = db.used_ids::<bson::Document>();
    match used.update_one(nobody, born).upsert(true).await {
        Ok(_) => Ok(true),
        Err(error) if is_duplicate(&error) => Ok(false),
        Err(error) => Err(store_error(error)),
    }
}
