//! The one write path to sagas and proofs. Runs inside a savepoint: an error undoes all of it.

use rusqlite::{Connection, params};

use crate::ports::{Append, OutboxReply, StoreError};
use crate::saga::state::Status;

use super::fault::is_duplicate;
use super::proofs::ProofWriter;
use super::sagas::now;

const ADVANCE: &str = "
UPDATE sagas SET version = ?1, head_hash = ?2, state = ?3, status = ?4, attempts = 0,
    last_error = NULL, doubt_code = NULL, doubt_passes = NULL, next_attempt_at = ?5,
    updated_at = ?6,
    claim_payment_hash = CASE WHEN ?7 THEN claim_payment_hash END,
    claim_intent_key = CASE WHEN ?7 THEN claim_intent_key END,
    command = CASE WHEN ?8 THEN json_replace(command, '$.sealed', NULL) ELSE command END
WHERE id = ?9 AND version = ?10 AND fence = ?11";

const RECORD: &str = "
INSERT INTO saga_events (id, saga, seq, name, body, private, prev_hash, hash)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

const OUTBOX: &str = "
INSERT INTO outbox (id, event, subject, body, written_at) VALUES (?1, ?2, ?3, ?4, ?5)";

/// Writes head, events, outbox rows and proof rows, or says why not.
pub(super) fn append(conn: &Connection, append: &Append) -> Result<(), StoreError> {
    check(append)?;
    let now = now(conn)?;
    advance(conn, append, now)?;
    record(conn, append, now)?;
    let writer = ProofWriter {
        conn,
        saga: &append.saga,
        wallet: &append.wallet,
        now,
    };
    writer.move_all(&append.proofs)?;
    writer.insert_all(&append.proofs)
}

/// The records follow the version that was read, without a gap. Anything else is a caller's bug
/// that would damage the log.
fn check(append: &Append) -> Result<(), StoreError> {
    let expected = append.expected_version.saturating_add(1)..;
    let in_order = append
        .records
        .iter()
        .zip(expected)
        .all(|(record, seq)| record.seq == seq && record.saga == append.saga);
    if append.records.is_empty() || !in_order {
        return Err(StoreError::Unusable(format!(
            "the append to saga {} has no records, or not the next ones",
            append.saga
        )));
    }
    Ok(())
}

/// The compare-and-swap of the head, on the version and on the fence that were read.
fn advance(conn: &Connection, append: &Append, now: i64) -> Result<(), StoreError> {
    let head = &append.head;
    let version = append.records.last().map(|record| record.seq);
    let next_attempt_at = match head.status {
        Status::Done => None,
        Status::Active | Status::Owing | Status::Parked => Some(now),
    };
    let matched = conn.prepare_cached(ADVANCE)?.execute(params![
        version,
        head.head_hash,
        head.state,
        head.status.as_str(),
        next_attempt_at,
        now,
        head.holds_claims,
        head.erase_sealed,
        append.saga.as_str(),
        append.expected_version,
        append.fence,
    ])?;
    if matched == 1 {
        Ok(())
    } else {
        Err(StoreError::Reload)
    }
}

fn record(conn: &Connection, append: &Append, now: i64) -> Result<(), StoreError> {
    let reload_if_there = |error: rusqlite::Error| {
        if is_duplicate(&error) {
            StoreError::Reload
        } else {
            error.into()
        }
    };
    let mut event = conn.prepare_cached(RECORD)?;
    let mut outbox = conn.prepare_cached(OUTBOX)?;
    for record in &append.records {
        let id = record.id();
        event
            .execute(params![
                id,
                record.saga.as_str(),
                record.seq,
                record.name,
                record.body,
                record.private,
                record.prev_hash,
                record.hash,
            ])
            .map_err(reload_if_there)?;
        let none: Option<&str> = None;
        outbox
            .execute(params![id, id, none, none, now])
            .map_err(reload_if_there)?;
    }
    if let (Some(reply), Some(last)) = (&append.reply, append.records.last()) {
        let (event, id) = (last.id(), OutboxReply::id(&last.id()));
        outbox
            .execute(params![id, event, reply.subject, reply.body, now])
            .map_err(reload_if_there)?;
    }
    Ok(())
}
