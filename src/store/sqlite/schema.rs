//! The file: how it is opened, and the tables with the rules that hold even if the code is wrong.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};

use crate::ports::StoreError;

use super::migrate::{DESK, OUTBOX, VERSION, migrate};

/// How long a statement waits for another process before [`StoreError::Unavailable`]: much longer
/// than the largest group commit, shorter than a lease.
const BUSY: Duration = Duration::from_secs(5);

/// Pages in the log before they are copied into the file. A larger number than SQLite's 1,000
/// gave a third more sagas a second, for 16 MB of log.
const CHECKPOINT_PAGES: u32 = 4_000;

/// One at a time in this process: closing a file descriptor gives up every POSIX lock that the
/// process holds on that file, so nobody may open it while it is being made.
static OPENING: Mutex<()> = Mutex::new(());

const TABLES: &str = include_str!("schema.sql");
const ACCESS: &str = include_str!("access.sql");

/// Opens the file for writing, makes it and its tables where they are missing.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let _guard = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    create(path)?;
    let conn = connect(path, false)?;
    // Looked at before anything is changed: the file may be another program's.
    let found = version(&conn, path)?;
    let mode = write_ahead_log(&conn)?;
    if mode != "wal" {
        return Err(StoreError::Unusable(format!(
            "{} cannot keep a write-ahead log (journal mode {mode}): put it on a local disk",
            path.display()
        )));
    }
    if found != Some(VERSION) {
        conn.execute_batch("BEGIN IMMEDIATE")?;
        // Another process may have been faster.
        match version(&conn, path)? {
            Some(VERSION) => {}
            Some(older) => migrate(&conn, older)?,
            None => make(&conn)?,
        }
        conn.execute_batch("COMMIT")?;
    }
    conn.execute_batch(ACCESS)?;
    Ok(conn)
}

fn make(conn: &Connection) -> Result<(), StoreError> {
    conn.execute_batch(TABLES)?;
    conn.execute_batch(OUTBOX)?;
    conn.execute_batch(DESK)?;
    let insert = "INSERT INTO meta (key, value) VALUES ('schema', ?1)";
    conn.execute(insert, [VERSION.to_string()])?;
    Ok(())
}

/// A connection to a file that exists.
pub(super) fn connect(path: &Path, read_only: bool) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(|e| {
        StoreError::Unusable(format!(
            "{} cannot be opened ({e}): check that meltd may read and write it",
            path.display()
        ))
    })?;
    conn.busy_timeout(BUSY)?;
    conn.set_prepared_statement_cache_capacity(64);
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    // What is erased is overwritten wherever that costs no extra write.
    let _: i64 = conn.query_row("PRAGMA secure_delete = FAST", [], |row| row.get(0))?;
    conn.pragma_update(None, "query_only", read_only)?;
    Ok(conn)
}

/// Makes an empty file that only its owner can read; SQLite gives its log the same mode.
fn create(path: &Path) -> Result<(), StoreError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(StoreError::Unusable(format!(
            "{} cannot be made ({e}): create its directory, make it writable, or name another \
             file in MELTD_STORE",
            path.display()
        ))),
    }
}

/// Switching to WAL does not wait for another process that does the same, so it is asked again.
fn write_ahead_log(conn: &Connection) -> Result<String, StoreError> {
    let started = Instant::now();
    loop {
        let mode = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0));
        match mode {
            Err(e)
                if e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && started.elapsed() < BUSY =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => return Ok(other?),
        }
    }
}

/// The version of its tables, `None` for a new file; an error for one that is not ours, or newer
/// than this program.
fn version(conn: &Connection, path: &Path) -> Result<Option<u32>, StoreError> {
    let path = path.display();
    let tables: u32 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(None);
    }
    let foreign = || {
        StoreError::Unusable(format!(
            "{path} is not a meltd store: name another file in MELTD_STORE"
        ))
    };
    let version: Option<String> = conn
        .query_row("SELECT value FROM meta WHERE key = 'schema'", [], |row| {
            row.get(0)
        })
        .optional()
        .map_err(|e| match e.sqlite_error_code() {
            // There is no such table.
            Some(ErrorCode::Unknown) => foreign(),
            _ => e.into(),
        })?;
    match version.and_then(|text| text.parse::<u32>().ok()) {
        Some(known @ 1..=VERSION) => Ok(Some(known)),
        Some(newer) => Err(StoreError::Unusable(format!(
            "{path} was written by another version of meltd (schema {newer}, this program knows \
             {VERSION}): run that version"
        ))),
        None => Err(foreign()),
    }
}
