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
    let begun = conn.execute_batch("BEGIN IMMEDIATE").map_err(unavailable);
    let mut whole = begun;
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

/// Whatever went wrong around a COMMIT: it is not known whether it was written.
fn unavailable(error: rusqlite::Error) -> StoreError {
    match StoreError::from(error) {
        StoreError::Unusable(why) => StoreError::Unavailable(why),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: &str = "
        PRAGMA foreign_keys = ON;
        PRAGMA journal_mode = WAL;
        CREATE TABLE parent (id INTEGER PRIMARY KEY);
        CREATE TABLE row (
            id INTEGER PRIMARY KEY,
            parent INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED
        );";

    fn file() -> (tempfile::TempDir, Connection, Connection) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.db");
        let conn = Connection::open(&path).unwrap();
        conn.execute_batch(TABLES).unwrap();
        let reader = Connection::open(&path).unwrap();
        (dir, conn, reader)
    }

    fn put(conn: &Connection, id: u32, parent: Option<u32>) -> Result<u32, StoreError> {
        conn.execute("INSERT INTO row VALUES (?1, ?2)", (id, parent))?;
        Ok(id)
    }

    fn rows(conn: &Connection) -> Vec<u32> {
        let mut select = conn.prepare("SELECT id FROM row ORDER BY id").unwrap();
        let rows = select.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// Puts rows 1..=10 while the thread is held by an empty job, so that they wait together.
    async fn together(
        writer: &Writer,
        member: impl Fn(&Connection, u32) -> Result<u32, StoreError> + Clone + Send + 'static,
    ) -> Vec<Result<u32, StoreError>> {
        let (free, held) = std::sync::mpsc::channel::<()>();
        let (entered, inside) = oneshot::channel();
        let first = writer.run(move |_| {
            let _ = entered.send(());
            let _ = held.recv();
            Ok(0)
        });
        let rest = async {
            inside.await.unwrap();
            let members = (1..=10).map(|id| {
                let member = member.clone();
                writer.run(move |conn| member(conn, id))
            });
            // Polled in this order: all ten are in the queue before the thread is let go.
            let (results, ()) = tokio::join!(futures::future::join_all(members), async {
                free.send(()).unwrap();
            });
            results
        };
        let (_, results) = tokio::join!(first, rest);
        results
    }

    /// Invariant: jobs that wait together share one transaction, and one's conflict is its own.
    #[tokio::test]
    async fn waiting_jobs_share_a_transaction_and_fail_alone() {
        let (_dir, conn, reader) = file();
        let writer = Writer::start(conn).unwrap();
        let reader = std::sync::Arc::new(std::sync::Mutex::new(reader));
        let results = together(&writer, move |conn, id| {
            let committed = rows(&reader.lock().unwrap());
            assert_eq!(
                committed,
                Vec::<u32>::new(),
                "none is committed before all ran"
            );
            put(conn, id, None)?;
            if id == 4 {
                Err(StoreError::Reload)
            } else {
                Ok(id)
            }
        })
        .await;
        for (id, result) in (1..).zip(results) {
            assert_eq!(
                result,
                if id == 4 {
                    Err(StoreError::Reload)
                } else {
                    Ok(id)
                }
            );
        }
        let left = writer.run(|conn| Ok(rows(conn))).await.unwrap();
        assert_eq!(left, vec![1, 2, 3, 5, 6, 7, 8, 9, 10]);
    }

    /// Invariant: nobody is told "written" when the COMMIT failed, nobody's refusal rests on rows
    /// that were never committed, and the next transaction works.
    #[tokio::test]
    async fn a_failed_commit_fails_every_member() {
        let (_dir, conn, reader) = file();
        let writer = Writer::start(conn).unwrap();
        let results = together(&writer, |conn, id| match id {
            // Found out by the COMMIT, because the foreign key is deferred.
            7 => put(conn, id, Some(99)),
            8 => Err(StoreError::Reload),
            _ => put(conn, id, None),
        })
        .await;
        for result in results {
            assert!(
                matches!(result, Err(StoreError::Unavailable(_))),
                "{result:?}"
            );
        }
        assert_eq!(rows(&reader), Vec::<u32>::new());
        assert_eq!(writer.run(|conn| put(conn, 1, None)).await, Ok(1));
        assert_eq!(rows(&reader), vec![1]);
    }

    /// Invariant: a member that loses the transaction for all (as a full disk does) is not
    /// followed by members that commit on their own.
    #[tokio::test]
    async fn a_lost_transaction_fails_every_member() {
        let (_dir, conn, reader) = file();
        let writer = Writer::start(conn).unwrap();
        let results = together(&writer, |conn, id| {
            put(conn, id, None)?;
            if id == 5 {
                // SQLite does this by itself before it reports some errors.
                conn.execute_batch("ROLLBACK")?;
                return Err(StoreError::Unavailable("the disk is full".to_owned()));
            }
            Ok(id)
        })
        .await;
        for result in results {
            assert!(
                matches!(result, Err(StoreError::Unavailable(_))),
                "{result:?}"
            );
        }
        assert_eq!(writer.run(|conn| put(conn, 11, None)).await, Ok(11));
        assert_eq!(rows(&reader), vec![11]);
    }

    /// Invariant: what was handed over before the store was dropped is written.
    #[tokio::test]
    async fn dropping_it_finishes_the_queue() {
        let (_dir, conn, reader) = file();
        let writer = Writer::start(conn).unwrap();
        for id in 1..=50 {
            let job = Box::new(move |conn: &Connection| {
                let (_, broken) = in_savepoint(conn, |conn| put(conn, id, None));
                Ran {
                    reply: Box::new(|_| {}),
                    broken,
                }
            });
            writer
                .queue
                .as_ref()
                .unwrap()
                .send(job)
                .await
                .unwrap_or_else(|_| panic!("closed"));
        }
        drop(writer);
        assert_eq!(rows(&reader).len(), 50);
    }
}
