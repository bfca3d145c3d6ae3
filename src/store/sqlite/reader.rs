//! Reads: a few connections of their own, because in WAL mode readers and the writer do not stop
//! each other. Each read is one snapshot.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::ports::StoreError;

use super::schema;

/// How many reads run at once: more than the cores of a small machine only queue inside SQLite.
const READERS: usize = 4;

/// The read connections, opened when they are first needed.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    slots: Arc<Semaphore>,
}

impl Readers {
    /// Of a file that was opened for writing before.
    pub(super) fn new(path: &Path) -> Self {
        Readers {
            path: path.to_owned(),
            idle: Arc::default(),
            slots: Arc::new(Semaphore::new(READERS)),
        }
    }

    /// Runs a read on a blocking thread, in one read transaction.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let stopped = |why: String| StoreError::Unavailable(why);
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let slot = slot.map_err(|e| stopped(e.to_string()))?;
        let (idle, path) = (Arc::clone(&self.idle), self.path.clone());
        let read = tokio::task::spawn_blocking(move || {
            let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let conn = match kept {
                Some(conn) => conn,
                None => schema::connect(&path, true)?,
            };
            let result = snapshot(&conn, work);
            idle.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(conn);
            drop(slot);
            result
        });
        read.await.map_err(|e| stopped(e.to_string()))?
    }
}

fn snapshot<T>(
    conn: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    // Rolled back when it is dropped: a read has nothing to commit.
    let transaction = conn.unchecked_transaction()?;
    work(&transaction)
}
