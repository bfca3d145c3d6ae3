//! Putting rows back, to be published again.

use mongodb::bson::{self, Document, doc};
use serde::Deserialize;

use super::fault::store_error;
use super::outbox::now;
use super::query::{collect, own_ids};
use super::rows::EventDoc;
use super::{Db, schema};
use crate::ports::{Again, Refilled, StoreError};
use crate::saga::ids::SagaId;

/// Rows in one command: far below the server's 100,000 statements and 48 MB.
const ROWS: usize = 500;

/// Puts the events of some sagas back.
pub(super) async fn refill(
    db: Db,
    again: Again,
    after: Option<SagaId>,
    limit: u32,
) -> Result<Refilled, StoreError> {
    #[derive(Deserialize)]
    struct HeadTime {
        #[serde(rename = "_id")]
        id: String,
        updated_at: bson::DateTime,
    }
    if limit == 0 {
        let (until, rows) = (after, 0);
        return Ok(Refilled { until, rows });
    }
    // All heads are looked at, page by page: an index on the time would cost every append.
    let wanted = after.map(|after| doc! { "_id": { "$gt": after.as_str() } });
    let heads = db.sagas::<HeadTime>();
    let found = heads
        .find(wanted.unwrap_or_default())
        .sort(doc! { "_id": 1 });
    let found = found.projection(doc! { "updated_at": 1 });
    let found: Vec<HeadTime> = collect(found.limit(i64::from(limit)).await).await?;
    let chosen = |head: &&HeadTime| match &again {
        Again::Since(since) => head.updated_at.timestamp_millis() >= since.timestamp_millis(),
        Again::All => true,
    };
    let sagas: Vec<_> = found
        .iter()
        .filter(chosen)
        .map(|head| SagaId::new(head.id.as_str()))
        .collect();
    let rows = put_back(&db, &sagas).await?;
    let full = found.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let last = found.into_iter().next_back().filter(|_| full);
    Ok(Refilled {
        until: last.map(|head| SagaId::new(head.id)),
        rows,
    })
}

/// Puts one saga's events back.
pub(super) async fn refill_saga(db: Db, saga: SagaId) -> Result<u64, StoreError> {
    put_back(&db, &[saga]).await
}

async fn put_back(db: &Db, sagas: &[SagaId]) -> Result<u64, StoreError> {
    if sagas.is_empty() {
        return Ok(0);
    }
    let own: Vec<_> = sagas
        .iter()
        .map(|saga| doc! { "_id": own_ids(saga) })
        .collect();
    let events = db.events::<EventDoc>();
    let found = events.find(doc! { "$or": own });
    let events: Vec<EventDoc> = collect(found.sort(doc! { "_id": 1 }).await).await?;
    let round = now(db).await?.timestamp_millis();
    for part in events.chunks(ROWS) {
        let updates: Vec<_> = part.iter().map(|event| statement(event, round)).collect();
        let command = doc! { "update": schema::OUTBOX, "updates": updates, "ordered": false };
        let answer = db
            .database
            .run_command(command)
            .await
            .map_err(store_error)?;
        if answer.contains_key("writeErrors") || answer.contains_key("writeConcernError") {
            let why = "some rows could not be put back".to_owned();
            return Err(StoreError::Unavailable(why));
        }
    }
    Ok(u64::try_from(events.len()).unwrap_or(u64::MAX))
}

/// A row that is there already keeps its state and gets a new round: the time in milliseconds,
/// which is later than that of any round before.
fn statement(event: &EventDoc, round: i64) -> Document {
    let update = doc! {
        "$set": event.outbox_fields(),
        "$max": { "round": round },
        "$currentDate": { "written_at": { "$type": "timestamp" } },
    };
    doc! { "q": { "_id": &event.id }, "u": update, "upsert": true }
}
