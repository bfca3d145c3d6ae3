//! The one thread that writes, with group commit: the jobs that wait at the same time share one
//! transaction, so they share its fsync. Each runs in its own savepoint, so that one's conflict
//! undoes that one alone. Nobody is answered before the COMMIT has returned.

use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::ports::StoreError;

/// How many jobs may wait, and so how many may share a transaction. At some 40 µs each, 1,024 hold
/// the write lock for about 40 ms: far below another process's busy timeout of 5 s. Callers beyond
/// it wait in turn, so memory stays bounded.
const QUEUE: usize = 1024;

/// Tells a job's caller the result, or why the transaction did not come through.
type Reply = Box<dyn FnOnce(Result<(), &StoreError>) + Send>;

/// What a job leaves behind before the commit.
struct Ran {
    reply: Reply,
    /// The savepoint could not be closed: what the transaction holds is unknown.
    broken: Option<StoreError>,
}

type Job = Box<dyn FnOnce(&Connection) -> Ran + Send>;

/// The handle of the thread.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Gives the write connection to its thread.
    pub(super) fn start(conn: Connection) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("meltd-sqlite".to_owned())
            .spawn(move || serve(&conn, jobs))
            .map_err(|e| StoreError::Unavailable(format!("no thread for its writer: {e}")))?;
        Ok(Writer {
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    /// Runs a job in a transaction. `Ok` = it is durable; `Err` = nothing of it was written, or,
    /// for [`StoreError::Unavailable`], it is not known.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let stopped = || StoreError::Unavailable("its writer has stopped".to_owned());
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |conn| {
            let (result, broken) = in_savepoint(conn, work);
            let reply: Reply = Box::new(move |committed| {
                // A caller that has gone away needs no answer.
                let _ = answer.send(match committed {
                    Ok(()) => result,
                    Err(why) => Err(why.clone()),
                });
            });
            Ran { reply, broken }
        });
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.send(job).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

impl Drop for Writer {
    /// Waits until the jobs that were handed over are committed and the file is closed.
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // Its panic, if there was one, was already reported to every caller.
            let _ = thread.join();
        }
    }
}

/// Takes a job, and with it all that wait already: a lone one never waits for company.
fn serve(conn: &Connection, mut jobs: mpsc::Receiver<Job>) {
    while let Some(first) = jobs.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < QUEUE {
            match jobs.try_recv() {
                Ok(job) => batch.push(job),
                Err(_) => break,
            }
        }
        let mut replies = Vec::with_capacity(batch.len());
        let committed = commit(conn, batch, &mut replies);
        for reply in replies {
            reply(committed.as_ref().copied());
        }
    }
}

/// One transaction around a batch. On `Err` nothing of it counts, a member's own error included:
/// it may rest on what another member wrote.
fn commit(conn: &Connection, batch: Vec<Job>, replies: &mut Vec<Reply>) -> Result<(), StoreError> {
    let begun = conn.execute_batch("BEGIN IMMEDIATE");
    let mut whole = begun.map_err(StoreError::from);
    for job in batch {
        // After a failure the rest must not write, but every caller needs its answer.
        let ran = job(conn);
        replies.push(ran.reply);
        whole = whole.and(ran.broken.map_or(Ok(()), Err));
    }
    let ended = whole.and_then(|()| conn.execute_batch("COMMIT").map_err(unavailable));
    if ended.is_err() && !conn.is_autocommit() {
        // If even this fails the connection stays in the transaction, so the next BEGIN fails too
        // and says so; the file itself is as it was before.
        let _ = conn.execute_batch("ROLLBACK");
    }
    ended
}

/// Runs one member. The second value says that the transaction as a whole cannot be trusted.
fn in_savepoint<T>(
    conn: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> (Result<T, StoreError>, Option<StoreError>) {
    if conn.is_autocommit() {
        let why = StoreError::Unavailable("its transaction was rolled back".to_owned());
        return (Err(why.clone()), Some(why));
    }
    let result = statement(conn, "SAVEPOINT member").and_then(|()| work(conn));
    let closed = match &result {
        Ok(_) => statement(conn, "RELEASE member"),
        Err(_) => {
            statement(conn, "ROLLBACK TO member").and_then(|()| statement(conn, "RELEASE member"))
        }
    };
    (
        result,
        closed
            .err()
            .map(|_| StoreError::Unavailable("its transaction was rolled back".to_owned())),
    )
}

fn statement(conn: &Connection, sql: &str) -> Result<(), StoreError> {
    conn.prepare_cached(sql)?.execute([])?;
    Ok(())
}

/// Whatever went wrong in a COMMIT: it is not known whether it was written.
fn unavailable(error: rusqlite::Error) -> StoreError {
    let named = StoreError::from(error);
    if let StoreError::Unusable(why) = &named {
        return StoreError::Unavailable(why.clone());
    }
    named
}

#[cfg(test)]
mod tests;
