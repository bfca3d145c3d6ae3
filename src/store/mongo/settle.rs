//! From "it did not go as planned" to an answer for each append.
//!
//! A transaction that was aborted says that something is wrong, not what, and in a batch not with
//! whom. Nothing was written, so the truth can be read: who no longer has the version, the fence
//! or the proofs that it relied on is answered, and the rest go again; after some rounds each of
//! them alone, in order. An unknown commit is settled by a majority write on the head.

use std::collections::HashMap;
use std::time::Duration;

use mongodb::bson::{Document, doc};
use mongodb::options::ReadConcern;
use serde::Deserialize;
use tokio::time::Instant;

use super::commit::Job;
use super::fault::store_error;
use super::lease::change;
use super::plan::Plan;
use super::query::collect;
use super::rows::ProofDoc;
use super::transact::{Outcome, run};
use super::{Db, orphans};
use crate::ports::StoreError;
use crate::saga::proofs::ProofState;

/// Rounds for a whole batch: the second goes without those that could not, the third is for bad
/// luck. After that one member is not allowed to keep the others.
const BATCH_ROUNDS: u32 = 3;

/// Rounds for one append alone: with the pauses between them about two seconds, in which any other
/// transaction on the same documents has ended, or is found to have lost its process.
const LONE_ROUNDS: u32 = 20;

/// From this round on it is not bad luck any more: a lock that outlasts the others' commits.
const ORPHAN_ROUND: u32 = 6;

/// The longest pause between rounds.
const MAX_PAUSE_MS: u64 = 200;

/// Pause after the server went away; the driver itself waits for a primary when it knows of none.
const AWAY_PAUSE: Duration = Duration::from_millis(50);

/// Answers every job.
pub(super) async fn settle(db: Db, jobs: Vec<Job>) {
    let left = rounds(&db, jobs, BATCH_ROUNDS).await;
    for job in left {
        for job in rounds(&db, vec![job], LONE_ROUNDS).await {
            let text = "the append kept colliding with others".to_owned();
            answer(job, Err(StoreError::Unavailable(text)));
        }
    }
}

/// Tries until everybody is answered or the rounds are used up; returns those that are left.
async fn rounds(db: &Db, mut jobs: Vec<Job>, rounds: u32) -> Vec<Job> {
    let mut round = 0;
    while round < rounds {
        jobs = waiting(jobs);
        if jobs.is_empty() {
            break;
        }
        match run(db, &jobs).await {
            Outcome::Done => {
                jobs.into_iter().for_each(|job| answer(job, Ok(())));
                return Vec::new();
            }
            Outcome::Unknown => jobs = confirmed(db, jobs).await,
            Outcome::Surprise => {
                jobs = weeded(db, jobs).await;
                if round >= ORPHAN_ROUND {
                    orphans::end(db).await;
                }
            }
            // Not a round: the batch stays together until there is a primary, or the callers leave.
            Outcome::Away(why) => {
                tracing::warn!(%why, "the store went away during an append");
                tokio::time::sleep(AWAY_PAUSE).await;
                continue;
            }
            Outcome::Failed(error) if jobs.len() == 1 => {
                let failed = |job| answer(job, Err(error.clone()));
                jobs.into_iter().for_each(failed);
                return Vec::new();
            }
            // One of them cannot be written: each alone finds out which.
            Outcome::Failed(_) => return jobs,
        }
        pause(round).await;
        round += 1;
    }
    jobs
}

fn answer(job: Job, outcome: Result<(), StoreError>) {
    // A caller that has left will read the saga again before it does anything.
    let _ = job.reply.send(outcome);
}

/// Those whose callers still wait.
fn waiting(jobs: Vec<Job>) -> Vec<Job> {
    let now = Instant::now();
    let in_time = |job: &Job| job.deadline > now && !job.reply.is_closed();
    let (left, late): (Vec<_>, Vec<_>) = jobs.into_iter().partition(in_time);
    late.into_iter()
        .for_each(|job| answer(job, Err(super::late())));
    left
}

/// Waits a little, longer each round, at random so that two that collided do not meet again.
pub(super) async fn pause(round: u32) {
    let longest = 5u64.saturating_mul(1 << round.min(10)).min(MAX_PAUSE_MS);
    let random = u64::from(getrandom::u32().unwrap_or(0));
    tokio::time::sleep(Duration::from_millis(1 + random % longest)).await;
}

/// Answers those that are found written after an unknown commit, or of which it stays unknown;
/// returns those that are certainly not written.
async fn confirmed(db: &Db, jobs: Vec<Job>) -> Vec<Job> {
    let mut left = Vec::new();
    for job in jobs {
        let mut round = 0;
        let outcome = loop {
            match is_written(db, &job.plan).await {
                Err(_) if Instant::now() < job.deadline => pause(round).await,
                outcome => break outcome,
            }
            round += 1;
        };
        match outcome {
            Ok(true) => answer(job, Ok(())),
            Ok(false) => left.push(job),
            Err(error) => answer(job, Err(error)),
        }
    }
    left
}

/// Looks whether an append is there, by a write on its head that a majority acknowledges: a server
/// that was voted out cannot answer it, and a transaction that is still open on the head has to
/// end before it or be refused after it.
async fn is_written(db: &Db, plan: &Plan) -> Result<bool, StoreError> {
    let touch = doc! { "$inc": { "touched": 1i64 } };
    let own = doc! { "_id": &plan.saga };
    let head: Option<Id> = change(db, own, touch, doc! { "_id": 1 }).await?;
    let Some(last) = plan.events.last().filter(|_| head.is_some()) else {
        return Ok(false);
    };
    let same = doc! { "_id": &last.id, "hash": &last.hash };
    let found = db.events::<Id>().find_one(same).await;
    Ok(found.map_err(store_error)?.is_some())
}

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
struct Seen {
    heads: HashMap<String, HeadSeen>,
    events: Vec<String>,
    proofs: HashMap<String, ProofDoc>,
}

/// Answers those whose conditions no longer hold and returns the others, without the coins that
/// turned out to be stored already.
async fn weeded(db: &Db, jobs: Vec<Job>) -> Vec<Job> {
    // Not knowing who is in the way, everybody goes again.
    let Ok(seen) = look(db, &jobs).await else {
        return jobs;
    };
    let mut left = Vec::new();
    for mut job in jobs {
        match verdict(&job.plan, &seen) {
            Err(error) => answer(job, Err(error)),
            Ok(()) => {
                let stored = |coin: &ProofDoc| seen.proofs.contains_key(&coin.y);
                job.plan.inserts.retain(|coin| !stored(coin));
                left.push(job);
            }
        }
    }
    left
}

async fn look(db: &Db, jobs: &[Job]) -> Result<Seen, StoreError> {
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
        .max_time(super::connect::WRITE_CONCERN_WAIT);
    read.await.map(|_| ()).map_err(store_error)
}

/// Why an append cannot be written as it is, by where it would fail: head and events, then moves,
/// then new coins.
fn verdict(plan: &Plan, seen: &Seen) -> Result<(), StoreError> {
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
        Some(coin) => Err(StoreError::YConflict(crate::saga::ids::Y::new(&*coin.y))),
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
