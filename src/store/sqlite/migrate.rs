//! Files of older versions, brought to the present one. Each step runs in the transaction that
//! also writes the new version, so a crash leaves the old file or the new one.

use rusqlite::Connection;

use crate::ports::StoreError;

/// The outbox and what belongs to it: the same text for a new file and for step 1.
pub(super) const OUTBOX: &str = include_str!("outbox.sql");

/// What the operator's desk keeps: the same text for a new file and for step 2.
pub(super) const DESK: &str = include_str!("desk.sql");

/// The version of a file without any step.
const FIRST: u32 = 1;

/// Step `i` leads from version `i + 1` to the next.
const STEPS: [fn(&Connection) -> rusqlite::Result<()>; 3] =
    [outbox_grows, reconciling, desk_is_set_up];

/// The version of the tables that this program knows.
pub(super) const VERSION: u32 = FIRST + STEPS.len() as u32;

/// Takes the steps that a file of this version lacks. Runs inside of a transaction.
pub(super) fn migrate(conn: &Connection, from: u32) -> Result<(), StoreError> {
    for (step, version) in STEPS.iter().zip(FIRST..) {
        if version >= from {
            step(conn)?;
        }
    }
    let update = "UPDATE meta SET value = ?1 WHERE key = 'schema'";
    conn.execute(update, [VERSION.to_string()])?;
    Ok(())
}

/// 3 → 4: contradictions are counted, and mints can be paused.
fn desk_is_set_up(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(DESK)
}

/// 1 → 2: an outbox row was an id and nothing else. When it was written is not known any more.
fn outbox_grows(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch("ALTER TABLE outbox RENAME TO outbox_1")?;
    conn.execute_batch(OUTBOX)?;
    conn.execute_batch(
        "INSERT INTO outbox (id, event, written_at)
            SELECT o.id, o.id, s.created_at FROM outbox_1 o
            JOIN saga_events e ON e.id = o.id JOIN sagas s ON s.id = e.saga;
         DROP TABLE outbox_1",
    )
}

/// 2 → 3: a saga may be a reconciliation. A rule of a table that others refer to is changed in its
/// text, as SQLite's documentation of ALTER TABLE describes it; no row is touched.
fn reconciling(conn: &Connection) -> rusqlite::Result<()> {
    let version: i64 = conn.query_row("PRAGMA schema_version", [], |row| row.get(0))?;
    conn.execute_batch(&format!(
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema
            SET sql = replace(sql, '(''melt'', ''mint'', ''receive'')',
                                   '(''melt'', ''mint'', ''receive'', ''reconcile'')')
            WHERE type = 'table' AND name = 'sagas';
         PRAGMA schema_version = {};
         PRAGMA writable_schema = OFF",
        version + 1
    ))
}
