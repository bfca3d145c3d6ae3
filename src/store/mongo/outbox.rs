//! Outbox rows: reading, putting off, taking away.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mongodb::bson::{Bson, Document, Timestamp, doc};
use serde::Deserialize;

use super::Db;
use super::fault::{damaged, store_error};
use super::lease::after as moment;
use super::query::collect;
use super::rows::{EventDoc, date, stored};
use crate::ports::{Link, Mark, OutboxDepth, OutboxReply, OutboxRow, StoreError};
use crate::saga::ids::SagaId;

/// The server puts its own time in the place of this one when it inserts.
const NOW: Timestamp = Timestamp {
    time: 0,
    increment: 0,
};

/// An event's row, as an append writes it. It copies the event's fields: reading them from the
/// event would be a look-up a row, and the row is written in the same round trip either way.
pub(super) fn event_row(event: &EventDoc) -> Document {
    let mut row = doc! { "_id": &event.id };
    row.extend(event.outbox_fields());
    row.insert("written_at", NOW);
    row
}

/// A reply's row.
pub(super) fn reply_row(saga: &SagaId, last: &EventDoc, reply: OutboxReply) -> Document {
    doc! {
        "_id": OutboxReply::id(&last.id),
        "saga": saga.as_str(),
        "subject": reply.subject,
        "body": reply.body,
        "written_at": NOW,
    }
}

/// A row as it is read.
#[derive(Deserialize)]
struct RowDoc {
    #[serde(rename = "_id")]
    id: String,
    saga: String,
    subject: String,
    body: String,
    seq: Option<i64>,
    hash: Option<String>,
    prev_hash: Option<String>,
    round: Option<i64>,
    attempts: Option<i64>,
    due: bool,
    parked: Option<bool>,
    last_error: Option<String>,
}

impl RowDoc {
    fn into_row(self) -> Result<OutboxRow, StoreError> {
        let bad = |what| damaged(what, &self.id);
        let link = match (self.seq, self.hash, self.prev_hash) {
            (Some(seq), Some(hash), Some(prev_hash)) => Some(Link {
                seq: u32::try_from(seq).map_err(|_| bad("position"))?,
                hash,
                prev_hash,
            }),
            _ => None,
        };
        Ok(OutboxRow {
            round: u64::try_from(self.round.unwrap_or(0)).map_err(|_| bad("round"))?,
            attempts: u32::try_from(self.attempts.unwrap_or(0)).map_err(|_| bad("attempts"))?,
            id: self.id,
            saga: SagaId::new(self.saga),
            subject: self.subject,
            body: self.body,
            link,
            due: self.due,
            parked: self.parked.unwrap_or(false),
            last_error: self.last_error,
        })
    }
}

/// Rows in id order.
pub(super) async fn page(
    db: Db,
    after: Option<String>,
    limit: u32,
) -> Result<Vec<OutboxRow>, StoreError> {
    let wanted = after.map(|after| doc! { "_id": { "$gt": after } });
    rows(&db, wanted.unwrap_or_default(), limit).await
}

/// Parked rows in id order.
pub(super) async fn parked(db: Db, limit: u32) -> Result<Vec<OutboxRow>, StoreError> {
    rows(&db, doc! { "parked": true }, limit).await
}

async fn rows(db: &Db, wanted: Document, limit: u32) -> Result<Vec<OutboxRow>, StoreError> {
    // The server takes a limit of 0 for "no limit".
    if limit == 0 {
        return Ok(Vec::new());
    }
    // A missing date sorts before every date.
    let fields = doc! {
        "saga": 1, "subject": 1, "body": 1, "seq": 1, "hash": 1, "prev_hash": 1, "round": 1,
        "attempts": 1, "parked": 1, "last_error": 1,
        "due": { "$lte": ["$next_attempt_at", "$$NOW"] },
    };
    let outbox = db.outbox::<RowDoc>();
    let found = outbox.find(wanted).sort(doc! { "_id": 1 });
    let found = found.projection(fields).limit(i64::from(limit));
    let found: Vec<RowDoc> = collect(found.await).await?;
    found.into_iter().map(RowDoc::into_row).collect()
}

/// How much there is.
pub(super) async fn depth(db: Db) -> Result<OutboxDepth, StoreError> {
    #[derive(Deserialize)]
    struct Counted {
        rows: i64,
        parked: i64,
        again: i64,
        oldest: Timestamp,
    }
    let one_if = |what: Document| doc! { "$sum": { "$cond": [what, 1i64, 0i64] } };
    let group = doc! {
        "_id": Bson::Null,
        "rows": { "$sum": 1i64 },
        "parked": one_if(doc! { "$eq": ["$parked", true] }),
        "again": one_if(doc! { "$gt": ["$round", 0i64] }),
        "oldest": { "$min": "$written_at" },
    };
    let now = now(&db).await?;
    let outbox = db.outbox::<Document>();
    let counted = outbox.aggregate(vec![doc! { "$group": group }]);
    let counted = counted.with_type::<Counted>();
    let counted: Vec<Counted> = collect(counted.await).await?;
    let Some(counted) = counted.into_iter().next() else {
        return Ok(OutboxDepth {
            rows: 0,
            parked: 0,
            again: 0,
            oldest: None,
            now,
        });
    };
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    Ok(OutboxDepth {
        rows: count(counted.rows),
        parked: count(counted.parked),
        again: count(counted.again),
        oldest: DateTime::from_timestamp(i64::from(counted.oldest.time), 0),
        now,
    })
}

/// The server's time.
pub(super) async fn now(db: &Db) -> Result<DateTime<Utc>, StoreError> {
    let hello = db.database.run_command(doc! { "hello": 1 }).await;
    let hello = hello.map_err(store_error)?;
    let now = hello.get_datetime("localTime");
    date(
        *now.map_err(|_| damaged("time", "the server"))?,
        "time",
        "the server",
    )
}

/// Notes a failure; `wait` = not due for so long, `None` = parked.
pub(super) async fn fail(
    db: Db,
    id: String,
    wait: Option<Duration>,
    why: String,
) -> Result<(), StoreError> {
    let next = wait.map_or(Bson::Null, |wait| moment(wait).into());
    let failed = doc! { "$set": {
        "attempts": { "$add": [{ "$ifNull": ["$attempts", 0i64] }, 1i64] },
        "next_attempt_at": next,
        "parked": wait.is_none(),
        "last_error": { "$literal": why },
    } };
    let outbox = db.outbox::<Document>();
    let done = outbox.update_one(doc! { "_id": id }, vec![failed]).await;
    done.map(|_| ()).map_err(store_error)
}

/// Lets a parked row go on.
pub(super) async fn unpark(db: Db, id: String) -> Result<bool, StoreError> {
    let outbox = db.outbox::<Document>();
    let own = doc! { "_id": id, "parked": true };
    let done = outbox.update_one(own, doc! { "$set": { "parked": false } });
    done.await
        .map(|done| done.matched_count == 1)
        .map_err(store_error)
}

/// Advances the mark, and only then takes rows away: a row that is gone lies at the mark or
/// before it, whatever stops this between the two.
pub(super) async fn settle(
    db: Db,
    rows: Vec<(String, u64)>,
    mark: Mark,
    epoch: u64,
) -> Result<(), StoreError> {
    super::relay::write_mark(&db, &mark, epoch, false).await?;
    let mut first = Vec::new();
    let mut deletes = Vec::new();
    for (id, round) in rows {
        match stored(round, "round")? {
            0 => first.push(id),
            round => deletes.push(doc! { "_id": id, "round": round }),
        }
    }
    if !first.is_empty() {
        // Absent or 0: rows that were never put back.
        let fresh =
            doc! { "_id": { "$in": first }, "round": { "$in": [Bson::Null, Bson::Int64(0)] } };
        deletes.push(fresh);
    }
    if deletes.is_empty() {
        return Ok(());
    }
    let outbox = db.outbox::<Document>();
    let gone = outbox.delete_many(doc! { "$or": deletes }).await;
    gone.map(|_| ()).map_err(store_error)
}
