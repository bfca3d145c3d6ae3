//! What stands in the way of an append: the rows that it relies on, read after the fact, and the
//! caller's answer by where it would fail.

use std::collections::HashMap;

use mongodb::bson::{Document, doc};
use mongodb::options::ReadConcern;
use serde::Deserialize;

use super::Db;
use super::commit::Job;
use super::connect::WRITE_CONCERN_WAIT;
use super::fault::store_error;
use super::plan::Plan;
use super::query::collect;
use super::rows::ProofDoc;
use crate::ports::StoreError;
use crate::saga::ids::Y;
use crate::saga::proofs::ProofState;

#[derive(Deserialize)]
struct Id {
    #[serde(rename = "_id")]
    id: String,
}

#[derive(Deserialize)]
struct HeadSeen {
    #[serde(rename = "_id")]
    id: String,
    version: i64,
    fence: i64,
}

/// What the database has of the rows that some appends rely on.
pub(super) struct Seen {
    heads: HashMap<String, HeadSeen>,
    events: Vec<String>,
    proofs: HashMap<String, ProofDoc>,
}

impl Seen {
    /// True if the coin is stored already, by whomever.
    pub(super) fn has(&self, coin: &ProofDoc) -> bool {
        self.proofs.contains_key(&coin.y)
    }
}

/// Reads them, as a majority has them.
pub(super) async fn look(db: &Db, jobs: &[Job]) -> Result<Seen, StoreError> {
    let plans = || jobs.iter().map(|job| &job.plan);
    let among = |ids: Vec<&str>| doc! { "_id": { "$in": ids } };
    if let Some(plan) = plans().next() {
        barrier(db, &plan.saga).await?;
    }
    let sagas = among(plans().map(|p| p.saga.as_str()).collect());
    let events = among(
        plans()
            .flat_map(|p| &p.events)
            .map(|e| e.id.as_str())
            .collect(),
    );
    let ys = among(plans().flat_map(Plan::ys).collect());
    let heads: Vec<HeadSeen> = collect(db.sagas().find(sagas).await).await?;
    let events: Vec<Id> = collect(db.events().find(events).await).await?;
    let proofs: Vec<ProofDoc> = collect(db.proofs().find(ys).await).await?;
    Ok(Seen {
        heads: heads.into_iter().map(|h| (h.id.clone(), h)).collect(),
        events: events.into_iter().map(|e| e.id).collect(),
        proofs: proofs.into_iter().map(|p| (p.y.clone(), p)).collect(),
    })
}

/// A linearizable read waits until all that this server has is on a majority. What we collided
/// with may be younger than what majority reads see: ours, and those of the caller who is told to
/// load again.
async fn barrier(db: &Db, saga: &str) -> Result<(), StoreError> {
    let sagas = db.sagas::<Document>();
    let read = sagas
        .find_one(doc! { "_id": saga })
        .read_concern(ReadConcern::linearizable())
        .max_time(WRITE_CONCERN_WAIT);
    read.await.map(|_| ()).map_err(store_error)
}

/// Why an append cannot be written as it is, by where it would fail: head and events, then moves,
/// then new coins.
pub(super) fn verdict(plan: &Plan, seen: &Seen) -> Result<(), StoreError> {
    let head = seen.heads.get(&plan.saga);
    let ours = head.is_some_and(|h| h.version == plan.expected && h.fence == plan.fence);
    if !ours || plan.events.iter().any(|e| seen.events.contains(&e.id)) {
        return Err(StoreError::Reload);
    }
    let moved = plan.moves.iter().filter(|m| {
        let row = seen.proofs.get(m.y.as_str());
        !row.is_some_and(|row| holds(plan, m.from, row))
    });
    let moved: Vec<_> = moved.map(|m| m.y.clone()).collect();
    if !moved.is_empty() {
        return Err(StoreError::ChooseAgain(moved));
    }
    let other = |coin: &&ProofDoc| {
        let row = seen.proofs.get(&coin.y);
        row.is_some_and(|row| row.wallet != plan.wallet || row.c != coin.c)
    };
    match plan.inserts.iter().find(other) {
        Some(coin) => Err(StoreError::YConflict(Y::new(&*coin.y))),
        None => Ok(()),
    }
}

/// The condition of a move, as its statement has it.
fn holds(plan: &Plan, from: ProofState, row: &ProofDoc) -> bool {
    let holder = row.saga.as_deref();
    let held = match from {
        ProofState::Unspent => holder.is_none(),
        ProofState::Reserved | ProofState::Pending => holder == Some(&plan.saga),
        ProofState::Spent => false,
    };
    held && row.state == from && row.wallet == plan.wallet
}
