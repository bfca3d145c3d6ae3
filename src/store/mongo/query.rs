//! Reads, all of them of what a majority has.

use futures::TryStreamExt;
use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::{Collection, Cursor};

use super::Db;
use super::fault::{damaged, store_error};
use super::rows::{EventDoc, HeadDoc, ProofDoc};
use crate::ports::{Head, HeadFilter, Loaded, ProofRow, StoreError};
use crate::saga::chain::Record;
use crate::saga::ids::{SagaId, WalletId, Y};
use crate::saga::proofs::ProofState;

/// A head and the events that it counts. Events that were appended between the two reads are cut
/// off, so that what is returned was true at one moment.
pub(super) async fn load(db: Db, saga: SagaId) -> Result<Option<Loaded>, StoreError> {
    let id = doc! { "_id": saga.as_str() };
    let found = db.sagas::<HeadDoc>().find_one(id).await;
    let Some(head) = found.map_err(store_error)? else {
        return Ok(None);
    };
    let head = head.into_head()?;
    let own = doc! { "_id": own_ids(&saga) };
    let events = db.events::<EventDoc>();
    let events: Vec<_> = collect(events.find(own).sort(doc! { "_id": 1 }).await).await?;
    let records: Result<Vec<Record>, _> = events.into_iter().map(EventDoc::into_record).collect();
    let mut records = records?;
    records.retain(|record| record.seq <= head.version);
    if records.last().map_or(0, |record| record.seq) != head.version {
        return Err(damaged("log", saga.as_str()));
    }
    Ok(Some(Loaded { head, records }))
}

/// Every `<saga>:<seq>` of a saga and nothing else: `;` is the character after `:`.
pub(super) fn own_ids(saga: &SagaId) -> Document {
    doc! { "$gte": format!("{saga}:"), "$lt": format!("{saga};") }
}

/// Heads in id order.
pub(super) async fn heads(db: Db, filter: HeadFilter) -> Result<Vec<Head>, StoreError> {
    // The server takes a limit of 0 for "no limit".
    if filter.limit == 0 {
        return Ok(Vec::new());
    }
    let mut wanted = Document::new();
    if !filter.statuses.is_empty() {
        let statuses: Vec<_> = filter.statuses.iter().map(|s| s.as_str()).collect();
        wanted.insert("status", doc! { "$in": statuses });
    }
    if let Some(kind) = filter.kind {
        wanted.insert("kind", kind.as_str());
    }
    if let Some(wallet) = &filter.wallet {
        wanted.insert("wallet", wallet.as_str());
    }
    if let Some(after) = &filter.after {
        let beyond = if filter.newest_first { "$lt" } else { "$gt" };
        wanted.insert("_id", doc! { beyond: after.as_str() });
    }
    if let Some(since) = filter.changed_since {
        let since = DateTime::from_millis(since.timestamp_millis());
        wanted.insert("updated_at", doc! { "$gte": since });
    }
    let order = if filter.newest_first { -1 } else { 1 };
    let sagas = db.sagas::<HeadDoc>();
    let found = sagas.find(wanted).sort(doc! { "_id": order });
    let found: Vec<_> = collect(found.limit(i64::from(filter.limit)).await).await?;
    found.into_iter().map(HeadDoc::into_head).collect()
}

/// Proof rows of a wallet.
pub(super) async fn proofs(
    db: Db,
    wallet: WalletId,
    states: Vec<ProofState>,
) -> Result<Vec<ProofRow>, StoreError> {
    let mut wanted = doc! { "wallet": wallet.as_str() };
    if !states.is_empty() {
        let states: Vec<_> = states.iter().map(|s| s.as_str()).collect();
        wanted.insert("state", doc! { "$in": states });
    }
    proof_rows(&db, wanted).await
}

/// The rows of these Ys.
pub(super) async fn proofs_by_y(db: Db, ys: Vec<Y>) -> Result<Vec<ProofRow>, StoreError> {
    let ys: Vec<_> = ys.iter().map(Y::as_str).collect();
    proof_rows(&db, doc! { "_id": { "$in": ys } }).await
}

async fn proof_rows(db: &Db, wanted: Document) -> Result<Vec<ProofRow>, StoreError> {
    let proofs = db.proofs::<ProofDoc>();
    let found: Vec<_> = collect(proofs.find(wanted).sort(doc! { "_id": 1 }).await).await?;
    found.into_iter().map(ProofDoc::into_row).collect()
}

/// Every document of every collection, as MongoDB's extended JSON.
pub(super) async fn dump(db: Db) -> Result<Vec<String>, StoreError> {
    let mut names = db
        .database
        .list_collection_names()
        .await
        .map_err(store_error)?;
    names.sort();
    let mut lines = Vec::new();
    for name in names {
        let collection: Collection<Document> = db.database.collection(&name);
        let found: Vec<Document> = collect(collection.find(doc! {}).await).await?;
        let text = |doc| Bson::Document(doc).into_canonical_extjson().to_string();
        lines.extend(found.into_iter().map(|doc| format!("{name} {}", text(doc))));
    }
    Ok(lines)
}

/// All that a cursor has, or the first error.
pub(super) async fn collect<T>(
    cursor: mongodb::error::Result<Cursor<T>>,
) -> Result<Vec<T>, StoreError>
where
    T: serde::de::DeserializeOwned + Unpin + Send + Sync,
{
    let all = cursor.map_err(store_error)?.try_collect().await;
    all.map_err(store_error)
}
