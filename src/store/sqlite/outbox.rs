//! Outbox rows: reading, putting off, putting back, taking away.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::ports::{Again, Link, Mark, OutboxDepth, OutboxRow, Refilled, StoreError};
use crate::saga::ids::SagaId;

use super::query::collect;
use super::rows::{maybe_time, text, time};
use super::sagas::{after as moment, now};

/// A row with its event's own fields; a condition and an order follow. `?1` is the time.
const ROW: &str = "
SELECT o.id, e.saga, coalesce(o.subject, 'melt.events.' || e.name) AS subject,
    coalesce(o.body, e.body) AS body, o.subject IS NULL AS is_event, e.seq, e.hash, e.prev_hash,
    o.round, o.attempts, coalesce(o.next_attempt_at <= ?1, 1) AS due, o.parked, o.last_error
FROM outbox o CROSS JOIN saga_events e ON e.id = o.event";

/// A row that is there already keeps its state and gets a new round.
const REFILL: &str = "
INSERT INTO outbox (id, event, written_at, round)
    SELECT id, id, ?2, ?2 FROM saga_events WHERE id > ?1 || ':' AND id < ?1 || ';'
    ON CONFLICT (id) DO UPDATE SET round = max(excluded.round, round + 1)";

pub(super) fn page(
    conn: &Connection,
    after: &str,
    limit: u32,
) -> Result<Vec<OutboxRow>, StoreError> {
    let sql = format!("{ROW} WHERE o.id > ?2 ORDER BY o.id LIMIT ?3");
    let mut select = conn.prepare_cached(&sql)?;
    collect(select.query(params![now(conn)?, after, limit])?, row_of)
}

pub(super) fn parked(conn: &Connection, limit: u32) -> Result<Vec<OutboxRow>, StoreError> {
    let sql = format!("{ROW} WHERE o.parked = 1 ORDER BY o.id LIMIT ?2");
    let mut select = conn.prepare_cached(&sql)?;
    collect(select.query(params![now(conn)?, limit])?, row_of)
}

fn row_of(row: &Row<'_>) -> Result<OutboxRow, StoreError> {
    let link = Link {
        seq: row.get("seq")?,
        hash: row.get("hash")?,
        prev_hash: row.get("prev_hash")?,
    };
    let is_event: bool = row.get("is_event")?;
    Ok(OutboxRow {
        id: text(row, "id")?,
        saga: SagaId::new(text(row, "saga")?),
        subject: text(row, "subject")?,
        body: text(row, "body")?,
        link: is_event.then_some(link),
        round: row.get("round")?,
        attempts: row.get("attempts")?,
        due: row.get("due")?,
        parked: row.get("parked")?,
        last_error: row.get("last_error")?,
    })
}

pub(super) fn depth(conn: &Connection) -> Result<OutboxDepth, StoreError> {
    let mut select = conn.prepare_cached(
        "SELECT count(*) AS rows, coalesce(sum(parked), 0) AS parked,
            coalesce(sum(round > 0), 0) AS again,
            min(written_at) / 1000 * 1000 AS oldest FROM outbox",
    )?;
    let mut rows = select.query([])?;
    let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    Ok(OutboxDepth {
        rows: row.get("rows")?,
        parked: row.get("parked")?,
        again: row.get("again")?,
        oldest: maybe_time(row, "oldest")?,
        now: time(now(conn)?)?,
    })
}

/// Notes a failure; `wait` = not due for so long, `None` = parked.
pub(super) fn fail(
    conn: &Connection,
    id: &str,
    wait: Option<Duration>,
    why: &str,
) -> Result<(), StoreError> {
    let now = now(conn)?;
    let next = wait.map(|wait| moment(now, wait));
    let mut update = conn.prepare_cached(
        "UPDATE outbox SET attempts = min(attempts + 1, 4294967295), last_error = ?2,
            next_attempt_at = ?3, parked = ?3 IS NULL WHERE id = ?1",
    )?;
    update.execute(params![id, why, next])?;
    Ok(())
}

pub(super) fn unpark(conn: &Connection, id: &str) -> Result<bool, StoreError> {
    let mut update =
        conn.prepare_cached("UPDATE outbox SET parked = 0 WHERE id = ?1 AND parked = 1")?;
    Ok(update.execute([id])? == 1)
}

/// Advances the mark and takes rows away.
pub(super) fn settle(
    conn: &Connection,
    rows: &[(String, u64)],
    mark: &Mark,
    epoch: u64,
) -> Result<(), StoreError> {
    super::relay::advance(conn, mark, epoch)?;
    let mut delete = conn.prepare_cached("DELETE FROM outbox WHERE id = ?1 AND round = ?2")?;
    for (id, round) in rows {
        delete.execute(params![id, round])?;
    }
    Ok(())
}

/// Puts the events of some sagas back.
pub(super) fn refill(
    conn: &Connection,
    again: &Again,
    after: &str,
    limit: u32,
) -> Result<Refilled, StoreError> {
    let since = match again {
        Again::Since(since) => since.timestamp_millis(),
        Again::All => i64::MIN,
    };
    let mut select = conn.prepare_cached(
        "SELECT id, updated_at >= ?2 AS chosen FROM sagas WHERE id > ?1 ORDER BY id LIMIT ?3",
    )?;
    let heads = collect(select.query(params![after, since, limit])?, |row| {
        Ok((text(row, "id")?, row.get::<_, bool>("chosen")?))
    })?;
    let mut rows = 0;
    for (saga, _) in heads.iter().filter(|(_, chosen)| *chosen) {
        rows += refill_saga(conn, saga)?;
    }
    let full = heads.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let last = heads.last().filter(|_| full);
    Ok(Refilled {
        until: last.map(|(saga, _)| SagaId::new(saga.clone())),
        rows,
    })
}

/// Puts one saga's events back.
pub(super) fn refill_saga(conn: &Connection, saga: &str) -> Result<u64, StoreError> {
    let now = now(conn)?;
    let changed = conn.prepare_cached(REFILL)?.execute(params![saga, now])?;
    Ok(u64::try_from(changed).unwrap_or(u64::MAX))
}

/// One row of a query that has one or none.
pub(super) fn maybe<T>(
    conn: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>, StoreError> {
    let mut select = conn.prepare_cached(sql)?;
    Ok(select.query_row(values, read).optional()?)
}
