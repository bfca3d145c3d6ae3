//! Named leases, the relay's mark and its checkpoints.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use rusqlite::{Connection, Row, params};

use crate::ports::{Checkpoint, Holder, Mark, StoreError};

use super::fault::damaged;
use super::outbox::maybe;
use super::query::collect;
use super::rows::{text, time};
use super::sagas::{after, now};

/// The first mark, or one that a later holder has not written. `?5`: it may also go back.
const MARK: &str = "
INSERT INTO relay_mark (one, created, sequence, message, epoch) VALUES (1, ?1, ?2, ?3, ?4)
    ON CONFLICT (one) DO UPDATE SET epoch = excluded.epoch,
        sequence = iif(?5 OR created <> excluded.created, excluded.sequence,
            max(sequence, excluded.sequence)),
        message = iif(?5 OR created <> excluded.created OR excluded.sequence > sequence,
            excluded.message, message),
        created = excluded.created
    WHERE epoch <= excluded.epoch";

pub(super) fn mark(conn: &Connection) -> Result<Option<Mark>, StoreError> {
    let mut select = conn.prepare_cached("SELECT created, sequence, message FROM relay_mark")?;
    let mut rows = select.query([])?;
    rows.next()?.map(mark_of).transpose()
}

fn mark_of(row: &Row<'_>) -> Result<Mark, StoreError> {
    let created = DateTime::parse_from_rfc3339(&text(row, "created")?);
    Ok(Mark {
        created: created.map_err(|_| damaged("time"))?.to_utc(),
        sequence: row.get("sequence")?,
        id: text(row, "message")?,
    })
}

fn nanos(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Nanos, true)
}

/// Moves the mark forwards.
pub(super) fn advance(conn: &Connection, mark: &Mark, epoch: u64) -> Result<(), StoreError> {
    write_mark(conn, mark, epoch, false)
}

/// Sets the mark.
pub(super) fn set_mark(conn: &Connection, mark: &Mark, epoch: u64) -> Result<(), StoreError> {
    write_mark(conn, mark, epoch, true)
}

fn write_mark(conn: &Connection, mark: &Mark, epoch: u64, back: bool) -> Result<(), StoreError> {
    let created = nanos(mark.created);
    let values = params![created, mark.sequence, mark.id, epoch, back];
    match conn.prepare_cached(MARK)?.execute(values)? {
        1 => Ok(()),
        _ => Err(StoreError::Reload),
    }
}

pub(super) fn checkpoints(conn: &Connection) -> Result<Vec<Checkpoint>, StoreError> {
    let mut select = conn.prepare_cached(
        "SELECT taken_at, created, sequence, message, floor FROM relay_checkpoints
         ORDER BY taken_at DESC",
    )?;
    collect(select.query([])?, |row| {
        Ok(Checkpoint {
            mark: mark_of(row)?,
            floor: time(row.get("floor")?)?,
            taken_at: time(row.get("taken_at")?)?,
        })
    })
}

pub(super) fn keep(conn: &Connection, point: &Checkpoint) -> Result<(), StoreError> {
    let mut insert = conn.prepare_cached(
        "INSERT OR REPLACE INTO relay_checkpoints (taken_at, created, sequence, message, floor)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    insert.execute(params![
        point.taken_at.timestamp_millis(),
        nanos(point.mark.created),
        point.mark.sequence,
        point.mark.id,
        point.floor.timestamp_millis(),
    ])?;
    Ok(())
}

pub(super) fn forget(conn: &Connection, taken_at: &[DateTime<Utc>]) -> Result<(), StoreError> {
    let mut delete = conn.prepare_cached("DELETE FROM relay_checkpoints WHERE taken_at = ?1")?;
    for taken_at in taken_at {
        delete.execute([taken_at.timestamp_millis()])?;
    }
    Ok(())
}

pub(super) fn take(
    conn: &Connection,
    name: &str,
    owner: &str,
    ttl: Duration,
) -> Result<Option<u64>, StoreError> {
    let now = now(conn)?;
    let sql = "INSERT INTO leases (name, owner, until, epoch) VALUES (?1, ?2, ?3, 1)
         ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until,
            epoch = epoch + 1 WHERE until <= ?4 RETURNING epoch";
    let values = params![name, owner, after(now, ttl), now];
    maybe(conn, sql, values, |row| row.get(0))
}

/// Prolongs a lease, even one that is over: the epoch says whose it is.
pub(super) fn renew(
    conn: &Connection,
    name: &str,
    epoch: u64,
    ttl: Duration,
) -> Result<(), StoreError> {
    let until = after(now(conn)?, ttl);
    let mut update =
        conn.prepare_cached("UPDATE leases SET until = ?3 WHERE name = ?1 AND epoch = ?2")?;
    match update.execute(params![name, epoch, until])? {
        1 => Ok(()),
        _ => Err(StoreError::Reload),
    }
}

pub(super) fn end(conn: &Connection, name: &str, epoch: u64) -> Result<(), StoreError> {
    let now = now(conn)?;
    let mut update =
        conn.prepare_cached("UPDATE leases SET until = ?3 WHERE name = ?1 AND epoch = ?2")?;
    update.execute(params![name, epoch, now])?;
    Ok(())
}

pub(super) fn holder(conn: &Connection, name: &str) -> Result<Option<Holder>, StoreError> {
    let now = now(conn)?;
    let sql = "SELECT owner, epoch, until FROM leases WHERE name = ?1";
    let found: Option<(String, u64, i64)> = maybe(conn, sql, [name], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    let holder = |(owner, epoch, until)| {
        Ok(Holder {
            owner,
            epoch,
            until: time(until)?,
            live: until > now,
        })
    };
    found.map(holder).transpose()
}
