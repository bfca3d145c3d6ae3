//! One transaction over some appends: everything or nothing, in as few round trips as there are
//! kinds of writes. It reports what happened and decides nothing.

use std::time::Duration;

use mongodb::ClientSession;
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::Error;
use mongodb::options::{ReadConcern, TransactionOptions};
use tokio::time::Instant;

use super::commit::Job;
use super::fault::{brief, codes, is_collision, is_transient, store_error};
use super::rows::{EventDoc, ProofDoc};
use super::{Db, connect, schema, settle};
use crate::ports::StoreError;

/// How long the server may take to commit, and how long we go on asking about an unknown commit
/// before the caller is told something: half of a call's deadline each way.
const COMMIT_WAIT: Duration = Duration::from_secs(5);

/// What became of a transaction.
pub(super) enum Outcome {
    /// On a majority's journal.
    Done,
    /// It may have been committed.
    Unknown,
    /// Nothing was written: a condition was not met, a key was taken, or somebody else wrote.
    Surprise,
    /// Nothing was written: the server went away or changed its role meanwhile.
    Away(StoreError),
    /// Nothing was written, and no retry mends it.
    Failed(StoreError),
}

/// Why the writes stopped.
enum Fault {
    /// Fewer documents than statements met their condition.
    Mismatch,
    /// The server refused some statements of a list.
    Refused(Vec<i32>),
    Driver(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Driver(error)
    }
}

/// Writes and commits.
pub(super) async fn run(db: &Db, jobs: &[Job]) -> Outcome {
    let mut session = match db.client.start_session().await {
        Ok(session) => session,
        Err(error) => return Outcome::Away(store_error(error)),
    };
    let mut options = TransactionOptions::default();
    options.read_concern = Some(ReadConcern::snapshot());
    options.write_concern = Some(connect::durable());
    options.max_commit_time = Some(COMMIT_WAIT);
    let started = session.start_transaction().with_options(options).await;
    if let Err(error) = started {
        return Outcome::Away(store_error(error));
    }
    match write(db, &mut session, jobs).await {
        Ok(()) => commit(&mut session).await,
        Err(fault) => {
            // Whether it arrives or not: what is not committed is not kept.
            let _ = session.abort_transaction().await;
            not_written(fault)
        }
    }
}

fn not_written(fault: Fault) -> Outcome {
    match fault {
        Fault::Mismatch => Outcome::Surprise,
        Fault::Refused(codes) if is_collision(&codes) => Outcome::Surprise,
        Fault::Refused(codes) => {
            let text = format!("the server refused a write (codes {codes:?})");
            Outcome::Failed(StoreError::Unusable(text))
        }
        Fault::Driver(error) if is_collision(&codes(&error)) => Outcome::Surprise,
        Fault::Driver(error) if is_transient(&error) => Outcome::Away(store_error(error)),
        Fault::Driver(error) => Outcome::Failed(store_error(error)),
    }
}

/// Heads first: the condition that fails most often costs the fewest writes.
async fn write(db: &Db, session: &mut ClientSession, jobs: &[Job]) -> Result<(), Fault> {
    let plans = || jobs.iter().map(|job| &job.plan);
    let heads = plans().map(|p| Bson::from(p.head.clone())).collect();
    update(db, session, schema::SAGAS, heads).await?;
    let events = plans().flat_map(|p| &p.events);
    db.events::<EventDoc>()
        .insert_many(events)
        .session(&mut *session)
        .await?;
    let outbox = plans().flat_map(|p| &p.outbox);
    db.outbox::<Document>()
        .insert_many(outbox)
        .session(&mut *session)
        .await?;
    let moves = plans().flat_map(|p| &p.moves);
    let moves: Vec<_> = moves.map(|m| Bson::from(m.statement.clone())).collect();
    if !moves.is_empty() {
        update(db, session, schema::PROOFS, moves).await?;
    }
    let inserts: Vec<_> = plans().flat_map(|p| &p.inserts).collect();
    if !inserts.is_empty() {
        db.proofs::<ProofDoc>()
            .insert_many(inserts)
            .session(&mut *session)
            .await?;
    }
    Ok(())
}

/// Many updates in one round trip. The server only says how many documents matched in all, which
/// is enough: each statement names one `_id`, so all of them matched or the batch is not to be.
async fn update(
    db: &Db,
    session: &mut ClientSession,
    collection: &str,
    statements: Vec<Bson>,
) -> Result<(), Fault> {
    let wanted = statements.len();
    let command = doc! { "update": collection, "updates": statements, "ordered": true };
    let answer = db.database.run_command(command).session(session).await?;
    let refused = refusals(&answer);
    if !refused.is_empty() {
        return Err(Fault::Refused(refused));
    }
    let matched = answer
        .get_i32("n")
        .ok()
        .and_then(|n| usize::try_from(n).ok());
    if matched == Some(wanted) {
        Ok(())
    } else {
        Err(Fault::Mismatch)
    }
}

/// A raw command succeeds even when its statements do not.
fn refusals(answer: &Document) -> Vec<i32> {
    let errors = answer.get_array("writeErrors").into_iter().flatten();
    let documents = errors.filter_map(Bson::as_document);
    documents
        .map(|error| error.get_i32("code").unwrap_or(0))
        .collect()
}

/// Commits, and asks again while the outcome is unknown: the server remembers what it did. Only
/// the transient label says that the transaction is gone; after any other error, a refused write
/// concern among them, it may be there. If it is still open at the server, `orphans` ends it.
async fn commit(session: &mut ClientSession) -> Outcome {
    let deadline = Instant::now() + COMMIT_WAIT;
    let mut round = 0;
    loop {
        let Err(error) = session.commit_transaction().await else {
            return Outcome::Done;
        };
        if is_transient(&error) {
            return not_written(Fault::Driver(error));
        }
        if Instant::now() >= deadline {
            tracing::warn!(why = %brief(&error), "a commit stays unknown");
            return Outcome::Unknown;
        }
        settle::pause(round).await;
        round += 1;
    }
}
