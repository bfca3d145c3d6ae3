//! The group commit by itself, on a table of its own.

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
