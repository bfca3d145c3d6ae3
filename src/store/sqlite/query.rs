//! Reads. A row that cannot be read is [`StoreError::Unusable`], never skipped.

use chrono::{DateTime, Utc};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, Rows, ToSql, params};

use crate::ports::{Head, HeadFilter, Loaded, NewSaga, OutboxRow, ProofRow, StoreError, Wallet};
use crate::saga::chain::Record;
use crate::saga::ids::{Coin, KeysetId, Producer, SagaId, Signature, WalletId, Y};
use crate::saga::proofs::{ProofState, Token, TransactionType};
use crate::saga::state::Status;

use super::fault::damaged;

/// Heads with their wallets; a condition follows.
pub(super) const HEAD: &str = "
SELECT s.*, w.npub, w.mint_url, w.unit FROM sagas s JOIN wallets w ON w.id = s.wallet";

pub(super) fn load(conn: &Connection, saga: &SagaId) -> Result<Option<Loaded>, StoreError> {
    let mut select = conn.prepare_cached(&format!("{HEAD} WHERE s.id = ?1"))?;
    let mut rows = select.query([saga.as_str()])?;
    let Some(head) = rows.next()?.map(head_of).transpose()? else {
        return Ok(None);
    };
    // The ids of one saga's events are neighbours: ';' is the character after ':'.
    let mut select = conn.prepare_cached(
        "SELECT saga, seq, name, body, private, prev_hash, hash FROM saga_events
         WHERE id > ?1 || ':' AND id < ?1 || ';' ORDER BY id",
    )?;
    let records = collect(select.query([saga.as_str()])?, |row| Ok(record_of(row)?))?;
    Ok(Some(Loaded { head, records }))
}

pub(super) fn due(conn: &Connection, limit: u32) -> Result<Vec<SagaId>, StoreError> {
    let now = super::sagas::now(conn)?;
    let mut select = conn.prepare_cached(
        "SELECT id FROM sagas
         WHERE next_attempt_at <= ?1 AND (lease_until IS NULL OR lease_until <= ?1)
            AND status IN ('active', 'owing', 'parked')
         ORDER BY next_attempt_at, id LIMIT ?2",
    )?;
    collect(select.query(params![now, limit])?, |row| {
        Ok(SagaId::new(text(row, "id")?))
    })
}

pub(super) fn heads(conn: &Connection, filter: &HeadFilter) -> Result<Vec<Head>, StoreError> {
    let mut conditions = vec!["s.id > :after"];
    let after = filter.after.as_ref().map_or("", SagaId::as_str);
    let statuses = list(filter.statuses.iter().map(|s| s.as_str()));
    let kind = filter.kind.map(|kind| kind.as_str());
    let wallet = filter.wallet.as_ref().map(WalletId::as_str);
    let mut values: Vec<(&str, &dyn ToSql)> = vec![(":after", &after), (":limit", &filter.limit)];
    if !filter.statuses.is_empty() {
        conditions.push("s.status IN (SELECT value FROM json_each(:statuses))");
        values.push((":statuses", &statuses));
    }
    if kind.is_some() {
        conditions.push("s.kind = :kind");
        values.push((":kind", &kind));
    }
    if wallet.is_some() {
        conditions.push("s.wallet = :wallet");
        values.push((":wallet", &wallet));
    }
    let conditions = conditions.join(" AND ");
    let sql = format!("{HEAD} WHERE {conditions} ORDER BY s.id LIMIT :limit");
    let mut select = conn.prepare_cached(&sql)?;
    collect(select.query(values.as_slice())?, head_of)
}

pub(super) fn proofs(
    conn: &Connection,
    wallet: &WalletId,
    states: &[ProofState],
) -> Result<Vec<ProofRow>, StoreError> {
    let all = states.is_empty();
    let states = list(states.iter().map(|state| state.as_str()));
    let mut select = conn.prepare_cached(if all {
        "SELECT * FROM proofs WHERE wallet = ?1 AND ?2 IS NOT NULL ORDER BY y"
    } else {
        "SELECT * FROM proofs WHERE wallet = ?1
            AND state IN (SELECT value FROM json_each(?2)) ORDER BY y"
    })?;
    collect(select.query([wallet.as_str(), &states])?, proof_of)
}

pub(super) fn proofs_by_y(conn: &Connection, ys: &[Y]) -> Result<Vec<ProofRow>, StoreError> {
    let ys = list(ys.iter().map(Y::as_str));
    let mut select = conn.prepare_cached(
        "SELECT * FROM proofs WHERE y IN (SELECT value FROM json_each(?1)) ORDER BY y",
    )?;
    collect(select.query([ys])?, proof_of)
}

pub(super) fn outbox(
    conn: &Connection,
    after: &str,
    limit: u32,
) -> Result<Vec<OutboxRow>, StoreError> {
    let mut select = conn.prepare_cached(
        "SELECT o.id, e.name, e.body FROM outbox o CROSS JOIN saga_events e ON e.id = o.id
         WHERE o.id > ?1 ORDER BY o.id LIMIT ?2",
    )?;
    collect(select.query(params![after, limit])?, |row| {
        Ok(OutboxRow {
            id: text(row, "id")?,
            subject: format!("melt.events.{}", text(row, "name")?),
            body: text(row, "body")?,
        })
    })
}

/// Every row of every table, as `table column=value …`.
pub(super) fn dump(conn: &Connection) -> Result<Vec<String>, StoreError> {
    let mut tables =
        conn.prepare_cached("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")?;
    let tables = collect(tables.query([])?, |row| text(row, "name"))?;
    let mut dump = Vec::new();
    for table in tables {
        let mut select = conn.prepare(&format!("SELECT * FROM \"{table}\""))?;
        let names: Vec<String> = select
            .column_names()
            .iter()
            .map(|n| (*n).to_owned())
            .collect();
        dump.extend(collect(select.query([])?, |row| {
            let mut line = table.clone();
            for (i, name) in names.iter().enumerate() {
                line.push_str(&format!(" {name}={}", shown(row.get_ref(i)?)));
            }
            Ok(line)
        })?);
    }
    Ok(dump)
}

fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ValueRef::Blob(bytes) => hex::encode(bytes),
    }
}

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
        created_at: time(row.get("created_at")?)?,
        updated_at: time(row.get("updated_at")?)?,
    })
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

fn proof_of(row: &Row<'_>) -> Result<ProofRow, StoreError> {
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

fn record_of(row: &Row<'_>) -> rusqlite::Result<Record> {
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

fn text(row: &Row<'_>, column: &str) -> Result<String, StoreError> {
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

fn time(millis: i64) -> Result<DateTime<Utc>, StoreError> {
    DateTime::from_timestamp_millis(millis).ok_or_else(|| damaged("time"))
}

fn maybe_time(row: &Row<'_>, column: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
    row.get::<_, Option<i64>>(column)?.map(time).transpose()
}

/// A JSON array of words for `json_each`, so that one statement serves any number of them.
fn list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    serde_json::Value::from_iter(words).to_string()
}

fn collect<T>(
    mut rows: Rows<'_>,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}
