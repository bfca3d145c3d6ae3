//! Mints that an operator has paused.

use rusqlite::{Connection, params};

use crate::ports::StoreError;

/// A mint that is paused already keeps who, why and since when.
pub(super) fn pause(
    conn: &Connection,
    mint_url: &str,
    by: &str,
    reason: &str,
) -> Result<(), StoreError> {
    let now = super::sagas::now(conn)?;
    let mut insert = conn.prepare_cached(
        "INSERT INTO mints (mint_url, paused_by, reason, paused_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (mint_url) DO NOTHING",
    )?;
    insert.execute(params![mint_url, by, reason, now])?;
    Ok(())
}

/// False if it was not paused.
pub(super) fn resume(conn: &Connection, mint_url: &str) -> Result<bool, StoreError> {
    let mut delete = conn.prepare_cached("DELETE FROM mints WHERE mint_url = ?1")?;
    Ok(delete.execute([mint_url])? == 1)
}
