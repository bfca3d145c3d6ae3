//! How the file is, and the facts about it that are written once.

use chrono::DateTime;
use rusqlite::{Connection, params};

use super::fault::damaged;
use crate::ports::{Health, StoreError};

/// Writes a fact unless it stands already; returns what stands.
pub(super) fn stamp(conn: &Connection, name: &str, value: &str) -> Result<String, StoreError> {
    let mut insert = conn.prepare_cached(
        "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO NOTHING",
    )?;
    insert.execute(params![name, value])?;
    let mut select = conn.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    Ok(select.query_row([name], |row| row.get(0))?)
}

/// The tables were checked when the file was opened; here are the file and how it is written.
pub(super) fn of(conn: &Connection) -> Result<Health, StoreError> {
    let millis: i64 = conn.query_row("SELECT unixepoch('subsec') * 1000", [], |row| {
        row.get::<_, f64>(0).map(|ms| ms as i64)
    })?;
    let mut problems = Vec::new();
    let journal: String = conn.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    if journal != "wal" {
        problems.push(format!(
            "the file keeps no write-ahead log (journal mode {journal}): put it on a local disk"
        ));
    }
    let check: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if check != "ok" {
        problems.push(format!("the file is damaged ({check}): restore a backup"));
    }
    Ok(Health {
        about: format!("SQLite {}, {journal}", rusqlite::version()),
        now: DateTime::from_timestamp_millis(millis).ok_or_else(|| damaged("clock"))?,
        problems,
    })
}
