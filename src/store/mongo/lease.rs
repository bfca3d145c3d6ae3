//! Leases and the due scan, both by the server's clock: no client's clock is asked, so two
//! machines with different ideas of the time still agree on who may drive a saga.

use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{Hint, ReturnDocument, UpdateModifications};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::fault::{codes, damaged, store_error};
use super::query::collect;
use super::{Db, orphans};
use crate::ports::{Due, DueFilter, Later, Lease, StoreError};
use crate::saga::ids::SagaId;
use crate::saga::state::Status;

/// How long a head may be locked by somebody else's transaction, which takes milliseconds.
const LOCK_WAIT: Duration = Duration::from_secs(2);
/// With the waits still below a call's deadline.
const LOCK_ROUNDS: u32 = 2;
/// The server's code for a call that took longer than it was given.
const TIME_IS_UP: i32 = 50;

/// Every status; the first three are what recovery looks for.
pub(super) const STATUSES: [Status; 4] =
    [Status::Active, Status::Owing, Status::Parked, Status::Done];

/// The server's clock and a while.
pub(super) fn after(wait: Duration) -> Document {
    // Longer than the server's dates reach means the same as 2^40 ms, 34 years.
    let ms = i64::try_from(wait.as_millis()).map_or(1 << 40, |ms| ms.min(1 << 40));
    doc! { "$add": ["$$NOW", ms] }
}

/// A lease that nobody holds: none, or over. A missing date sorts before every date.
fn free() -> Document {
    doc! { "$lte": ["$lease_until", "$$NOW"] }
}

fn held(lease: &Lease, owner: &str) -> Result<Document, StoreError> {
    let fence = super::rows::stored(lease.fence, "fence")?;
    Ok(doc! { "_id": lease.saga.as_str(), "fence": fence, "lease_owner": owner })
}

/// Changes a head by itself; `None` if none meets the condition. A head that stays locked is a
/// dead process's: without a limit the server would try for as long as that takes, and take a
/// lease for a caller that has long gone.
pub(super) async fn change<T>(
    db: &Db,
    wanted: Document,
    update: impl Into<UpdateModifications>,
    fields: Document,
) -> Result<Option<T>, StoreError>
where
    T: DeserializeOwned + Send + Sync,
{
    let heads = db.sagas::<T>();
    let update = update.into();
    let mut round = 0;
    loop {
        let changed = heads
            .find_one_and_update(wanted.clone(), update.clone())
            .projection(fields.clone())
            .return_document(ReturnDocument::After)
            .max_time(LOCK_WAIT);
        match changed.await {
            Err(error) if codes(&error).contains(&TIME_IS_UP) && round < LOCK_ROUNDS => {
                orphans::end(db).await;
            }
            other => return other.map_err(store_error),
        }
        round += 1;
    }
}

/// Takes the lease if it is free or over.
pub(super) async fn take(
    db: Db,
    saga: SagaId,
    owner: String,
    ttl: Duration,
) -> Result<Option<Lease>, StoreError> {
    #[derive(Deserialize)]
    struct Fence {
        fence: i64,
    }
    let taken = doc! { "$set": {
        "fence": { "$add": ["$fence", 1i64] },
        "lease_owner": { "$literal": owner },
        "lease_until": after(ttl),
    } };
    let wanted = doc! { "_id": saga.as_str(), "$expr": free() };
    let found = change(&db, wanted, vec![taken], doc! { "fence": 1 }).await?;
    let Some(Fence { fence }) = found else {
        return Ok(None);
    };
    let fence = u64::try_from(fence).map_err(|_| damaged("fence", saga.as_str()))?;
    Ok(Some(Lease { saga, fence }))
}

/// Prolongs a lease that nobody else has taken meanwhile.
pub(super) async fn renew(
    db: Db,
    lease: Lease,
    owner: String,
    ttl: Duration,
) -> Result<(), StoreError> {
    let longer = doc! { "$set": { "lease_until": after(ttl) } };
    let held = held(&lease, &owner)?;
    let found: Option<Document> = change(&db, held, vec![longer], doc! { "_id": 1 }).await?;
    found.map(|_| ()).ok_or(StoreError::Reload)
}

/// Ends a lease; `later` puts the saga off.
pub(super) async fn release(
    db: Db,
    lease: Lease,
    owner: String,
    later: Option<Later>,
) -> Result<(), StoreError> {
    let mut fields = doc! { "lease_owner": Bson::Null, "lease_until": Bson::Null };
    if let Some(Later { wait, why, doubt }) = later {
        let doubt = doubt.map(|d| doc! { "code": d.code.as_str(), "passes": i64::from(d.passes) });
        let done = doc! { "$eq": ["$status", Status::Done.as_str()] };
        fields.extend(doc! {
            "attempts": { "$add": ["$attempts", 1i64] },
            "next_attempt_at": { "$cond": [done, Bson::Null, after(wait)] },
            "last_error": { "$literal": why },
            "doubt": { "$literal": doubt },
            "updated_at": "$$NOW",
        });
    }
    let (held, ended) = (held(&lease, &owner)?, vec![doc! { "$set": fields }]);
    change::<Document>(&db, held, ended, doc! { "_id": 1 }).await?;
    Ok(())
}

/// Sagas to be driven.
pub(super) async fn due(db: Db, filter: DueFilter) -> Result<Vec<Due>, StoreError> {
    #[derive(Deserialize)]
    struct Row {
        #[serde(rename = "_id")]
        id: String,
        mint_url: String,
    }
    // The server takes a limit of 0 for "no limit".
    if filter.limit == 0 {
        return Ok(Vec::new());
    }
    let open = STATUSES.into_iter().filter(|s| *s != Status::Done);
    let open: Vec<_> = open.map(Status::as_str).collect();
    let now = doc! { "$lte": ["$next_attempt_at", "$$NOW"] };
    let wanted = doc! {
        "status": { "$in": open },
        "mint_url": { "$nin": filter.except_mints },
        "$expr": { "$and": [now, free()] },
    };
    let order = if filter.newest {
        doc! { "_id": -1 }
    } else {
        doc! { "next_attempt_at": 1, "_id": 1 }
    };
    let sagas = db.sagas::<Row>();
    let found = sagas
        .find(wanted)
        .sort(order)
        // Not by `_id`, which would walk through every saga that was ever done.
        .hint(Hint::Name("sagas_due".to_owned()))
        .projection(doc! { "_id": 1, "mint_url": 1 })
        .limit(i64::from(filter.limit));
    let found: Vec<Row> = collect(found.await).await?;
    let due = |row: Row| Due {
        saga: SagaId::new(row.id),
        mint_url: row.mint_url,
    };
    Ok(found.into_iter().map(due).collect())
}
