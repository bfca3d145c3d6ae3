//! Named leases, the relay's mark and its checkpoints.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use mongodb::Collection;
use mongodb::bson::{self, Bson, Document, doc};
use mongodb::options::ReturnDocument;
use serde::{Deserialize, Serialize};

use super::fault::{damaged, is_duplicate, store_error};
use super::lease::after;
use super::outbox::now;
use super::query::collect;
use super::rows::{date, stored};
use super::{Db, schema};
use crate::ports::{Checkpoint, Holder, Mark, StoreError};

/// The `_id` of the one mark.
const THE_MARK: &str = "relay";

#[derive(Deserialize)]
struct MarkDoc {
    created: String,
    sequence: i64,
    message: String,
}

impl MarkDoc {
    fn into_mark(self) -> Result<Mark, StoreError> {
        let bad = |what| damaged(what, "the relay's mark");
        let created = DateTime::parse_from_rfc3339(&self.created);
        Ok(Mark {
            created: created.map_err(|_| bad("time"))?.to_utc(),
            sequence: u64::try_from(self.sequence).map_err(|_| bad("position"))?,
            id: self.message,
        })
    }
}

#[derive(Deserialize, Serialize)]
struct CheckpointDoc {
    #[serde(rename = "_id")]
    id: String,
    created: String,
    sequence: i64,
    message: String,
    floor: bson::DateTime,
    taken_at: bson::DateTime,
}

fn nanos(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Nanos, true)
}

fn millis(time: DateTime<Utc>) -> bson::DateTime {
    bson::DateTime::from_millis(time.timestamp_millis())
}

fn marks<T: Send + Sync>(db: &Db) -> Collection<T> {
    db.database.collection(schema::MARK)
}

fn points(db: &Db) -> Collection<CheckpointDoc> {
    db.database.collection(schema::CHECKPOINTS)
}

/// The mark.
pub(super) async fn mark(db: Db) -> Result<Option<Mark>, StoreError> {
    let found = marks::<MarkDoc>(&db)
        .find_one(doc! { "_id": THE_MARK })
        .await;
    found
        .map_err(store_error)?
        .map(MarkDoc::into_mark)
        .transpose()
}

/// Writes the mark unless a later holder has; `back`: a lower position of the same stream counts.
pub(super) async fn write_mark(
    db: &Db,
    mark: &Mark,
    epoch: u64,
    back: bool,
) -> Result<(), StoreError> {
    let (created, sequence) = (nanos(mark.created), stored(mark.sequence, "position")?);
    let epoch = stored(epoch, "epoch")?;
    let same = doc! { "$eq": ["$created", { "$literal": &created }] };
    let ahead = doc! { "$gte": ["$sequence", sequence] };
    let keeps = doc! { "$and": [!back, same, ahead] };
    let value = |field: &str, new: Bson| {
        doc! { "$cond": [&keeps, format!("${field}"), { "$literal": new }] }
    };
    let update = doc! { "$set": {
        "created": value("created", created.as_str().into()),
        "sequence": value("sequence", sequence.into()),
        "message": value("message", mark.id.as_str().into()),
        "epoch": epoch,
    } };
    // With a later holder's mark in its way this inserts, and the `_id` is taken.
    let ours = doc! { "_id": THE_MARK, "epoch": { "$lte": epoch } };
    let marks = marks::<Document>(db);
    let written = marks.update_one(ours, vec![update]).upsert(true).await;
    match written {
        Ok(_) => Ok(()),
        Err(error) if is_duplicate(&error) => Err(StoreError::Reload),
        Err(error) => Err(store_error(error)),
    }
}

/// All checkpoints, newest first.
pub(super) async fn checkpoints(db: Db) -> Result<Vec<Checkpoint>, StoreError> {
    let points = points(&db);
    let found: Vec<_> = collect(points.find(doc! {}).sort(doc! { "_id": -1 }).await).await?;
    let read = |doc: CheckpointDoc| {
        let (id, floor, taken_at) = (doc.id, doc.floor, doc.taken_at);
        let mark = MarkDoc {
            created: doc.created,
            sequence: doc.sequence,
            message: doc.message,
        };
        Ok(Checkpoint {
            mark: mark.into_mark()?,
            floor: date(floor, "floor", &id)?,
            taken_at: date(taken_at, "time", &id)?,
        })
    };
    found.into_iter().map(read).collect()
}

/// Keeps a checkpoint.
pub(super) async fn keep(db: Db, point: Checkpoint) -> Result<(), StoreError> {
    let doc = CheckpointDoc {
        id: nanos(point.taken_at),
        created: nanos(point.mark.created),
        sequence: stored(point.mark.sequence, "position")?,
        message: point.mark.id,
        floor: millis(point.floor),
        taken_at: millis(point.taken_at),
    };
    let same = doc! { "_id": &doc.id };
    let kept = points(&db).replace_one(same, doc).upsert(true).await;
    kept.map(|_| ()).map_err(store_error)
}

/// Forgets checkpoints.
pub(super) async fn forget(db: Db, taken_at: Vec<DateTime<Utc>>) -> Result<(), StoreError> {
    let ids: Vec<_> = taken_at.into_iter().map(nanos).collect();
    let gone = points(&db)
        .delete_many(doc! { "_id": { "$in": ids } })
        .await;
    gone.map(|_| ()).map_err(store_error)
}

#[derive(Deserialize)]
struct LeaseDoc {
    owner: String,
    until: bson::DateTime,
    epoch: i64,
}

impl LeaseDoc {
    fn epoch(&self, name: &str) -> Result<u64, StoreError> {
        u64::try_from(self.epoch).map_err(|_| damaged("epoch", name))
    }
}

/// Takes a named lease if it is free or over.
pub(super) async fn take(
    db: Db,
    name: String,
    owner: String,
    ttl: Duration,
) -> Result<Option<u64>, StoreError> {
    if let Some(epoch) = take_free(&db, &name, &owner, ttl).await? {
        return Ok(Some(epoch));
    }
    // Held, or never taken: the server's clock cannot be asked in an update that also inserts.
    let never = doc! { "$setOnInsert": {
        "owner": "", "until": bson::DateTime::from_millis(0), "epoch": 0i64,
    } };
    let leases = db.leases::<Document>();
    let made = leases.update_one(doc! { "_id": &name }, never).upsert(true);
    match made.await {
        Ok(made) if made.upserted_id.is_none() => return Ok(None),
        Err(error) if !is_duplicate(&error) => return Err(store_error(error)),
        Ok(_) | Err(_) => {}
    }
    take_free(&db, &name, &owner, ttl).await
}

async fn take_free(
    db: &Db,
    name: &str,
    owner: &str,
    ttl: Duration,
) -> Result<Option<u64>, StoreError> {
    let free = doc! { "_id": name, "$expr": { "$lte": ["$until", "$$NOW"] } };
    let taken = doc! { "$set": {
        "owner": { "$literal": owner },
        "until": after(ttl),
        "epoch": { "$add": ["$epoch", 1i64] },
    } };
    let leases = db.leases::<LeaseDoc>();
    let held = leases
        .find_one_and_update(free, vec![taken])
        .return_document(ReturnDocument::After)
        .await;
    let held = held.map_err(store_error)?;
    held.map(|lease| lease.epoch(name)).transpose()
}

/// Prolongs a lease, even one that is over: the epoch says whose it is.
pub(super) async fn renew(
    db: Db,
    name: String,
    epoch: u64,
    ttl: Duration,
) -> Result<(), StoreError> {
    if set_until(&db, &name, epoch, ttl).await? {
        Ok(())
    } else {
        Err(StoreError::Reload)
    }
}

/// Ends a lease.
pub(super) async fn end(db: Db, name: String, epoch: u64) -> Result<(), StoreError> {
    set_until(&db, &name, epoch, Duration::ZERO)
        .await
        .map(|_| ())
}

async fn set_until(db: &Db, name: &str, epoch: u64, ttl: Duration) -> Result<bool, StoreError> {
    let own = doc! { "_id": name, "epoch": stored(epoch, "epoch")? };
    let until = doc! { "$set": { "until": after(ttl) } };
    let done = db.leases::<Document>().update_one(own, vec![until]).await;
    done.map(|done| done.matched_count == 1)
        .map_err(store_error)
}

/// Who holds a lease, or held it last.
pub(super) async fn holder(db: Db, name: String) -> Result<Option<Holder>, StoreError> {
    let found = db
        .leases::<LeaseDoc>()
        .find_one(doc! { "_id": &name })
        .await;
    let Some(lease) = found.map_err(store_error)? else {
        return Ok(None);
    };
    let until = date(lease.until, "end", &name)?;
    Ok(Some(Holder {
        epoch: lease.epoch(&name)?,
        owner: lease.owner,
        until,
        live: until > now(&db).await?,
    }))
}
