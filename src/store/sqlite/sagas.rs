//! Adoption and leases: writes to heads that are not appends.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use crate::ports::{Adopted, Head, Later, Lease, NewSaga, StoreError};
use crate::saga::chain;
use crate::saga::code::Code;
use crate::saga::ids::SagaId;

use super::rows::{HEAD, head_of};

const ADOPT: &str = "
INSERT INTO sagas (id, wallet, kind, producer, command_id, intent_key, request_hash, command,
    payment_hash, reply_to, claim_payment_hash, claim_intent_key, version, head_hash, state,
    status, fence, lease_owner, lease_until, attempts, next_attempt_at, created_at, updated_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?9, ?6, 0, ?11, 'adopted', 'active', 1, ?12, ?13,
    0, ?14, ?14, ?14)";

/// Milliseconds since 1970 by SQLite's clock, the only one that leases and due times are
/// compared by.
pub(super) fn now(conn: &Connection) -> Result<i64, StoreError> {
    let mut select =
        conn.prepare_cached("SELECT CAST(round(unixepoch('subsec') * 1000) AS INTEGER)")?;
    Ok(select.query_row([], |row| row.get(0))?)
}

/// A moment that far from now, a century at most: what is longer is a mistake, and must still
/// be a date.
pub(super) fn after(now: i64, wait: Duration) -> i64 {
    const CENTURY_MS: u128 = 100 * 366 * 24 * 3_600_000;
    let wait = i64::try_from(wait.as_millis().min(CENTURY_MS)).unwrap_or_default();
    now.saturating_add(wait)
}

/// Inserts a head, or finds the answer that a repeat gets. The transaction holds the write lock,
/// so nobody can insert between the questions and the insert; the unique indexes stand behind it.
pub(super) fn adopt(
    conn: &Connection,
    new: &NewSaga,
    owner: &str,
    ttl: Duration,
) -> Result<Adopted, StoreError> {
    if let Some(head) = known(conn, new)? {
        return Ok(Adopted::Existing(Box::new(head)));
    }
    let command = serde_json::to_string(&new.command)
        .map_err(|e| StoreError::Unusable(format!("the command cannot be written: {e}")))?;
    let now = now(conn)?;
    conn.prepare_cached(ADOPT)?.execute(params![
        new.id.as_str(),
        new.wallet.id.as_str(),
        new.command.kind().as_str(),
        new.producer.as_str(),
        new.command_id,
        new.intent_key,
        new.request_hash,
        command,
        new.payment_hash(),
        new.reply_to,
        chain::genesis(&new.id).to_hex(),
        owner,
        after(now, ttl),
        now,
    ])?;
    Ok(Adopted::New(Lease {
        saga: new.id.clone(),
        fence: 1,
    }))
}

/// Looks at the unique keys in their order: command id, payment hash, intent key.
pub(super) fn known(conn: &Connection, new: &NewSaga) -> Result<Option<Head>, StoreError> {
    let producer = new.producer.as_str();
    let by_id = "WHERE s.producer = ?1 AND s.command_id = ?2";
    if let Some(head) = one(conn, by_id, &[producer, &new.command_id])? {
        let same = head.new.request_hash == new.request_hash;
        return answer(head, same, Code::CommandIdReused);
    }
    if let Some(hash) = new.payment_hash()
        && let Some(head) = one(conn, "WHERE s.claim_payment_hash = ?1", &[hash])?
    {
        let same = head.new.producer == new.producer && head.new.request_hash == new.request_hash;
        return answer(head, same, Code::InvoiceInUse);
    }
    if let Some(intent) = &new.intent_key {
        let by_intent = "WHERE s.producer = ?1 AND s.claim_intent_key = ?2";
        if one(conn, by_intent, &[producer, intent])?.is_some() {
            return Err(StoreError::Refuse(Code::IntentInUse));
        }
    }
    Ok(None)
}

fn answer(head: Head, same: bool, refusal: Code) -> Result<Option<Head>, StoreError> {
    if same {
        Ok(Some(head))
    } else {
        Err(StoreError::Refuse(refusal))
    }
}

fn one(conn: &Connection, condition: &str, keys: &[&str]) -> Result<Option<Head>, StoreError> {
    let mut select = conn.prepare_cached(&format!("{HEAD} {condition}"))?;
    let mut rows = select.query(rusqlite::params_from_iter(keys))?;
    rows.next()?.map(head_of).transpose()
}

/// Takes the lease if it is free or over.
pub(super) fn lease(
    conn: &Connection,
    saga: &SagaId,
    owner: &str,
    ttl: Duration,
) -> Result<Option<Lease>, StoreError> {
    let now = now(conn)?;
    let mut update = conn.prepare_cached(
        "UPDATE sagas SET fence = fence + 1, lease_owner = ?1, lease_until = ?2
         WHERE id = ?3 AND (lease_until IS NULL OR lease_until <= ?4) RETURNING fence",
    )?;
    let fence = update
        .query_row(params![owner, after(now, ttl), saga.as_str(), now], |row| {
            row.get(0)
        })
        .optional()?;
    Ok(fence.map(|fence| Lease {
        saga: saga.clone(),
        fence,
    }))
}

/// Prolongs a lease that nobody took, even if it is over: the fence says whose it is.
pub(super) fn renew(
    conn: &Connection,
    lease: &Lease,
    owner: &str,
    ttl: Duration,
) -> Result<(), StoreError> {
    let until = after(now(conn)?, ttl);
    let mut update = conn.prepare_cached(
        "UPDATE sagas SET lease_until = ?1 WHERE id = ?2 AND fence = ?3 AND lease_owner = ?4",
    )?;
    let matched = update.execute(params![until, lease.saga.as_str(), lease.fence, owner])?;
    if matched == 1 {
        Ok(())
    } else {
        Err(StoreError::Reload)
    }
}

/// Ends a lease, and notes why the pass made no progress if it made none.
pub(super) fn release(
    conn: &Connection,
    lease: &Lease,
    owner: &str,
    later: Option<Later>,
) -> Result<(), StoreError> {
    let saga = lease.saga.as_str();
    let Some(Later { wait, why, doubt }) = later else {
        let mut update = conn.prepare_cached(
            "UPDATE sagas SET lease_owner = NULL, lease_until = NULL
             WHERE id = ?1 AND fence = ?2 AND lease_owner = ?3",
        )?;
        update.execute(params![saga, lease.fence, owner])?;
        return Ok(());
    };
    let now = now(conn)?;
    let mut update = conn.prepare_cached(
        "UPDATE sagas SET lease_owner = NULL, lease_until = NULL, updated_at = ?4,
            attempts = min(attempts + 1, 4294967295), last_error = ?5,
            doubt_code = ?7, doubt_passes = ?8,
            next_attempt_at = CASE WHEN status <> 'done' THEN ?6 END
         WHERE id = ?1 AND fence = ?2 AND lease_owner = ?3",
    )?;
    let due = after(now, wait);
    let code = doubt.map(|d| d.code.as_str());
    let passes = doubt.map(|d| d.passes);
    update.execute(params![
        saga,
        lease.fence,
        owner,
        now,
        why,
        due,
        code,
        passes
    ])?;
    Ok(())
}
