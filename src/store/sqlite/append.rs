//! The one write path to sagas and proofs. Runs inside a savepoint: an error undoes all of it.

use rusqlite::{Connection, OptionalExtension, params};

use crate::ports::{Append, StoreError};
use crate::saga::ids::{Coin, SagaId, Signature, WalletId, Y};
use crate::saga::proofs::{ProofState, ProofWrite, Token};
use crate::saga::state::Status;

use super::fault::is_duplicate;
use super::sagas::now;

const ADVANCE: &str = "
UPDATE sagas SET version = ?1, head_hash = ?2, state = ?3, status = ?4, attempts = 0,
    last_error = NULL, next_attempt_at = ?5, updated_at = ?6,
    claim_payment_hash = CASE WHEN ?7 THEN claim_payment_hash END,
    claim_intent_key = CASE WHEN ?7 THEN claim_intent_key END,
    command = CASE WHEN ?8 THEN json_replace(command, '$.sealed', NULL) ELSE command END
WHERE id = ?9 AND version = ?10 AND fence = ?11";

const RECORD: &str = "
INSERT INTO saga_events (id, saga, seq, name, body, private, prev_hash, hash)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

const MOVE: &str = "
UPDATE proofs SET state = ?1, saga = ?2, spent_at = ?3
WHERE y = ?4 AND wallet = ?5 AND state = ?6 AND saga IS ?7";

const INSERT: &str = "
INSERT INTO proofs (y, wallet, keyset, counter, amount, c, e, s, state, saga, token_id,
    transaction_type, transaction_id, parent_transaction_id)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
ON CONFLICT (y) DO NOTHING";

/// Writes head, events, outbox rows and proof rows, or says why not.
pub(super) fn append(conn: &Connection, append: &Append) -> Result<(), StoreError> {
    check(append)?;
    let now = now(conn)?;
    advance(conn, append, now)?;
    record(conn, append)?;
    let writer = ProofWriter {
        conn,
        saga: &append.saga,
        wallet: &append.wallet,
        now,
    };
    writer.move_all(&append.proofs)?;
    writer.insert_all(&append.proofs)
}

/// Deletes published outbox rows; those that are gone already do not matter.
pub(super) fn outbox_delete(conn: &Connection, ids: &[String]) -> Result<(), StoreError> {
    let mut delete = conn.prepare_cached("DELETE FROM outbox WHERE id = ?1")?;
    for id in ids {
        delete.execute([id])?;
    }
    Ok(())
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

fn record(conn: &Connection, append: &Append) -> Result<(), StoreError> {
    let reload_if_there = |error: rusqlite::Error| {
        if is_duplicate(&error) {
            StoreError::Reload
        } else {
            error.into()
        }
    };
    let mut event = conn.prepare_cached(RECORD)?;
    let mut outbox = conn.prepare_cached("INSERT INTO outbox (id) VALUES (?1)")?;
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
        outbox.execute([id]).map_err(reload_if_there)?;
    }
    Ok(())
}

struct ProofWriter<'a> {
    conn: &'a Connection,
    saga: &'a SagaId,
    wallet: &'a WalletId,
    now: i64,
}

impl ProofWriter<'_> {
    /// All moves, so that a refusal names every coin that is not as it was read.
    fn move_all(&self, writes: &[ProofWrite]) -> Result<(), StoreError> {
        let mut changed = Vec::new();
        for write in writes {
            match write {
                ProofWrite::Move { y, from, to } => {
                    if !self.shift(y, *from, *to)? {
                        changed.push(y.clone());
                    }
                }
                ProofWrite::Insert { .. } => {}
            }
        }
        if changed.is_empty() {
            Ok(())
        } else {
            Err(StoreError::ChooseAgain(changed))
        }
    }

    fn insert_all(&self, writes: &[ProofWrite]) -> Result<(), StoreError> {
        for write in writes {
            match write {
                ProofWrite::Insert {
                    coin,
                    signature,
                    state,
                    token,
                } => {
                    if !self.insert(coin, signature, *state, token)? {
                        self.adopt(coin, signature)?;
                    }
                }
                ProofWrite::Move { .. } => {}
            }
        }
        Ok(())
    }

    /// The state, and the holder if there must be one, are the condition that was read.
    fn shift(&self, y: &Y, from: ProofState, to: ProofState) -> Result<bool, StoreError> {
        if from == ProofState::Spent {
            return Err(StoreError::Unusable(
                "a spent proof never changes".to_owned(),
            ));
        }
        let spent_at = (to == ProofState::Spent).then_some(self.now);
        let matched = self.conn.prepare_cached(MOVE)?.execute(params![
            to.as_str(),
            self.holder_in(to),
            spent_at,
            y.as_str(),
            self.wallet.as_str(),
            from.as_str(),
            self.holder_in(from),
        ])?;
        Ok(matched == 1)
    }

    fn insert(
        &self,
        coin: &Coin,
        signature: &Signature,
        state: ProofState,
        token: &Token,
    ) -> Result<bool, StoreError> {
        let inserted = self.conn.prepare_cached(INSERT)?.execute(params![
            coin.y.as_str(),
            self.wallet.as_str(),
            coin.keyset.as_str(),
            coin.counter,
            coin.amount,
            signature.c,
            signature.e,
            signature.s,
            state.as_str(),
            self.holder_in(state),
            token.token_id,
            token.transaction_type.as_str(),
            token.transaction_id,
            token.parent_transaction_id,
        ])?;
        Ok(inserted == 1)
    }

    /// A row of the same Y is there: the same coin of the same wallet is left as it is.
    fn adopt(&self, coin: &Coin, signature: &Signature) -> Result<(), StoreError> {
        let mut select = self
            .conn
            .prepare_cached("SELECT 1 FROM proofs WHERE y = ?1 AND wallet = ?2 AND c = ?3")?;
        let same = select
            .query_row(
                [coin.y.as_str(), self.wallet.as_str(), &signature.c],
                |_| Ok(()),
            )
            .optional()?;
        same.ok_or_else(|| StoreError::YConflict(coin.y.clone()))
    }

    /// Who holds a coin of ours in this state: nobody while it is unspent.
    fn holder_in(&self, state: ProofState) -> Option<&str> {
        match state {
            ProofState::Unspent => None,
            ProofState::Reserved | ProofState::Pending | ProofState::Spent => {
                Some(self.saga.as_str())
            }
        }
    }
}
