//! Mints that an operator has paused.

use mongodb::bson::{self, Document, doc};
use serde::Deserialize;

use super::Db;
use super::fault::{damaged, is_duplicate, store_error};
use super::query::collect;
use crate::ports::{Pause, StoreError};

#[derive(Deserialize)]
struct PauseDoc {
    #[serde(rename = "_id")]
    mint_url: String,
    by: String,
    reason: String,
    at: bson::DateTime,
}

/// A mint that is paused already keeps who, why and since when.
pub(super) async fn pause(db: Db, [mint_url, by, reason]: [String; 3]) -> Result<(), StoreError> {
    // A pipeline, because only there the server's clock is a value; old values win over new ones.
    let kept = |field: &str, new: bson::Bson| doc! { "$ifNull": [field, new] };
    let update = doc! { "$set": {
        "by": kept("$by", doc! { "$literal": by }.into()),
        "reason": kept("$reason", doc! { "$literal": reason }.into()),
        "at": kept("$at", "$$NOW".into()),
    } };
    let mints = db.mints::<Document>();
    let made = mints.update_one(doc! { "_id": mint_url }, vec![update]);
    match made.upsert(true).await {
        // Somebody else has paused it at this very moment.
        Err(error) if is_duplicate(&error) => Ok(()),
        other => other.map(|_| ()).map_err(store_error),
    }
}

/// False if it was not paused.
pub(super) async fn resume(db: Db, mint_url: String) -> Result<bool, StoreError> {
    let gone = db
        .mints::<Document>()
        .delete_one(doc! { "_id": mint_url })
        .await;
    Ok(gone.map_err(store_error)?.deleted_count == 1)
}

/// Every pause, by URL.
pub(super) async fn list(db: Db) -> Result<Vec<Pause>, StoreError> {
    let mints = db.mints::<PauseDoc>();
    let found: Vec<_> = collect(mints.find(doc! {}).sort(doc! { "_id": 1 }).await).await?;
    let pause = |doc: PauseDoc| {
        let at = chrono::DateTime::from_timestamp_millis(doc.at.timestamp_millis());
        Ok(Pause {
            at: at.ok_or_else(|| damaged("pause", &doc.mint_url))?,
            mint_url: doc.mint_url,
            by: doc.by,
            reason: doc.reason,
        })
    };
    found.into_iter().map(pause).collect()
}
