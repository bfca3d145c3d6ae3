//! Tokens of services, and ids that may be used once.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, Row, params};

use crate::ports::{ApiToken, StoreError};
use crate::saga::ids::Producer;

use super::fault::{damaged, is_duplicate};
use super::rows::{maybe_time, text, time};
use super::sagas::{after, now};

/// Ids that are over and are deleted with each new one: two go where one comes.
const SWEEP: u32 = 2;

pub(super) fn add(conn: &Connection, token: &ApiToken, hash: &str) -> Result<(), StoreError> {
    let json = |value: serde_json::Result<String>| value.map_err(|_| damaged("token"));
    let insert =
        "INSERT INTO api_tokens (id, hash, producer, wallets, scopes, created_at, revoked_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    conn.prepare_cached(insert)?.execute(params![
        token.id,
        hash,
        token.producer.as_str(),
        json(serde_json::to_string(&token.wallets))?,
        json(serde_json::to_string(&token.scopes))?,
        token.created_at.timestamp_millis(),
        token.revoked_at.map(|at| at.timestamp_millis()),
    ])?;
    Ok(())
}

pub(super) fn by_hash(conn: &Connection, hash: &str) -> Result<Option<ApiToken>, StoreError> {
    let mut select = conn.prepare_cached("SELECT * FROM api_tokens WHERE hash = ?1")?;
    let mut rows = select.query([hash])?;
    rows.next()?.map(token_of).transpose()
}

pub(super) fn list(conn: &Connection) -> Result<Vec<ApiToken>, StoreError> {
    let mut select = conn.prepare_cached("SELECT * FROM api_tokens ORDER BY created_at, id")?;
    let mut rows = select.query([])?;
    let mut tokens = Vec::new();
    while let Some(row) = rows.next()? {
        tokens.push(token_of(row)?);
    }
    Ok(tokens)
}

pub(super) fn revoke(conn: &Connection, id: &str, at: DateTime<Utc>) -> Result<bool, StoreError> {
    let mut update = conn.prepare_cached(
        "UPDATE api_tokens SET revoked_at = ?1 WHERE id = ?2 AND revoked_at IS NULL",
    )?;
    Ok(update.execute(params![at.timestamp_millis(), id])? == 1)
}

/// An id that is over stays used until the sweep has come to it.
pub(super) fn use_once(conn: &Connection, id: &str, ttl: Duration) -> Result<bool, StoreError> {
    let now = now(conn)?;
    let mut sweep = conn.prepare_cached(
        "DELETE FROM used_ids WHERE id IN
            (SELECT id FROM used_ids WHERE until <= ?1 ORDER BY until LIMIT ?2)",
    )?;
    sweep.execute(params![now, SWEEP])?;
    let mut insert = conn.prepare_cached("INSERT INTO used_ids (id, until) VALUES (?1, ?2)")?;
    match insert.execute(params![id, after(now, ttl)]) {
        Ok(_) => Ok(true),
        Err(error) if is_duplicate(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn token_of(row: &Row<'_>) -> Result<ApiToken, StoreError> {
    Ok(ApiToken {
        id: text(row, "id")?,
        producer: Producer::new(text(row, "producer")?),
        wallets: serde_json::from_str(&text(row, "wallets")?).map_err(|_| damaged("token"))?,
        scopes: serde_json::from_str(&text(row, "scopes")?).map_err(|_| damaged("token"))?,
        created_at: time(row.get("created_at")?)?,
        revoked_at: maybe_time(row, "revoked_at")?,
    })
}
