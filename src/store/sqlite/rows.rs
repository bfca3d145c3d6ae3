//! Rows as the ports' values. One that cannot be read is an error, never skipped or guessed.

use chrono::{DateTime, Utc};
use rusqlite::Row;

use crate::ports::{Head, NewSaga, Pause, ProofRow, StoreError, Wallet};
use crate::saga::chain::Record;
use crate::saga::code::Code;
use crate::saga::decide::Doubt;
use crate::saga::ids::{Coin, KeysetId, Producer, SagaId, Signature, WalletId, Y};
use crate::saga::proofs::{ProofState, Token, TransactionType};
use crate::saga::state::Status;

use super::fault::damaged;

/// Heads with their wallets; a condition follows.
pub(super) const HEAD: &str = "
SELECT s.*, w.npub, w.mint_url, w.unit FROM sagas s JOIN wallets w ON w.id = s.wallet";

pub(super) fn head_of(row: &Row<'_>) -> Result<Head, StoreError> {
    let command: String = row.get("command")?;
    Ok(Head {
        new: NewSaga {
            id: SagaId::new(text(row, "id")?),
            wallet: Wallet {
                id: WalletId::new(text(row, "wallet")?),
                npub: row.get("npub")?,
                mint_url: row.get("mint_url")?,
                unit: row.get("unit")?,
            },
            producer: Producer::new(text(row, "producer")?),
            command_id: row.get("command_id")?,
            intent_key: row.get("intent_key")?,
            request_hash: row.get("request_hash")?,
            // The parser's message could quote the command.
            command: serde_json::from_str(&command).map_err(|_| damaged("command"))?,
            reply_to: row.get("reply_to")?,
        },
        version: row.get("version")?,
        head_hash: row.get("head_hash")?,
        state: row.get("state")?,
        status: word(row, "status", &STATUSES, |s| s.as_str())?,
        fence: row.get("fence")?,
        attempts: row.get("attempts")?,
        next_attempt_at: maybe_time(row, "next_attempt_at")?,
        last_error: row.get("last_error")?,
        doubt: doubt_of(row)?,
        created_at: time(row.get("created_at")?)?,
        updated_at: time(row.get("updated_at")?)?,
    })
}

fn doubt_of(row: &Row<'_>) -> Result<Option<Doubt>, StoreError> {
    if row.get::<_, Option<String>>("doubt_code")?.is_none() {
        return Ok(None);
    }
    Ok(Some(Doubt {
        code: word(row, "doubt_code", Code::ALL, Code::as_str)?,
        passes: row.get("doubt_passes")?,
    }))
}

const STATUSES: [Status; 4] = [Status::Active, Status::Owing, Status::Parked, Status::Done];

const STATES: [ProofState; 4] = [
    ProofState::Unspent,
    ProofState::Reserved,
    ProofState::Pending,
    ProofState::Spent,
];

const TYPES: [TransactionType; 4] = [
    TransactionType::Minted,
    TransactionType::Received,
    TransactionType::Sent,
    TransactionType::Change,
];

pub(super) fn proof_of(row: &Row<'_>) -> Result<ProofRow, StoreError> {
    Ok(ProofRow {
        wallet: WalletId::new(text(row, "wallet")?),
        coin: Coin {
            y: Y::new(text(row, "y")?),
            keyset: KeysetId::new(text(row, "keyset")?),
            counter: row.get("counter")?,
            amount: row.get("amount")?,
        },
        signature: Signature {
            c: row.get("c")?,
            e: row.get("e")?,
            s: row.get("s")?,
        },
        state: word(row, "state", &STATES, |s| s.as_str())?,
        saga: row.get::<_, Option<String>>("saga")?.map(SagaId::new),
        token: Token {
            token_id: row.get("token_id")?,
            transaction_type: word(row, "transaction_type", &TYPES, |t| t.as_str())?,
            transaction_id: row.get("transaction_id")?,
            parent_transaction_id: row.get("parent_transaction_id")?,
        },
        spent_at: maybe_time(row, "spent_at")?,
    })
}

pub(super) fn record_of(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        saga: SagaId::new(row.get::<_, String>("saga")?),
        seq: row.get("seq")?,
        name: row.get("name")?,
        body: row.get("body")?,
        private: row.get("private")?,
        prev_hash: row.get("prev_hash")?,
        hash: row.get("hash")?,
    })
}

pub(super) fn pause_of(row: &Row<'_>) -> Result<Pause, StoreError> {
    Ok(Pause {
        mint_url: text(row, "mint_url")?,
        by: text(row, "paused_by")?,
        reason: text(row, "reason")?,
        at: time(row.get("paused_at")?)?,
    })
}

pub(super) fn text(row: &Row<'_>, column: &str) -> Result<String, StoreError> {
    Ok(row.get(column)?)
}

/// The enum's value whose word is stored.
fn word<T: Copy>(
    row: &Row<'_>,
    column: &str,
    all: &[T],
    as_str: fn(T) -> &'static str,
) -> Result<T, StoreError> {
    let text = text(row, column)?;
    let found = all.iter().copied().find(|value| as_str(*value) == text);
    found.ok_or_else(|| damaged(column))
}

pub(super) fn time(millis: i64) -> Result<DateTime<Utc>, StoreError> {
    DateTime::from_timestamp_millis(millis).ok_or_else(|| damaged("time"))
}

pub(super) fn maybe_time(row: &Row<'_>, column: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
    row.get::<_, Option<i64>>(column)?.map(time).transpose()
}
