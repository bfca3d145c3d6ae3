//! Reads. A row that cannot be read is [`StoreError::Unusable`], never skipped.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, Rows, ToSql, params};

use crate::ports::{Due, DueFilter, Head, HeadFilter, Loaded, Pause, ProofRow, StoreError};
use crate::saga::ids::{SagaId, WalletId, Y};
use crate::saga::proofs::ProofState;

use super::rows::{HEAD, head_of, pause_of, proof_of, record_of, text};

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

pub(super) fn due(conn: &Connection, filter: &DueFilter) -> Result<Vec<Due>, StoreError> {
    let now = super::sagas::now(conn)?;
    let except = list(filter.except_mints.iter().map(String::as_str));
    let order = if filter.newest {
        "s.id DESC"
    } else {
        "s.next_attempt_at, s.id"
    };
    let mut select = conn.prepare_cached(&format!(
        "SELECT s.id, w.mint_url FROM sagas s JOIN wallets w ON w.id = s.wallet
         WHERE s.next_attempt_at <= ?1 AND (s.lease_until IS NULL OR s.lease_until <= ?1)
            AND s.status IN ('active', 'owing', 'parked')
            AND w.mint_url NOT IN (SELECT value FROM json_each(?3))
         ORDER BY {order} LIMIT ?2"
    ))?;
    collect(select.query(params![now, filter.limit, except])?, |row| {
        Ok(Due {
            saga: SagaId::new(text(row, "id")?),
            mint_url: text(row, "mint_url")?,
        })
    })
}

pub(super) fn pauses(conn: &Connection) -> Result<Vec<Pause>, StoreError> {
    let mut select = conn.prepare_cached("SELECT * FROM mints ORDER BY mint_url")?;
    collect(select.query([])?, pause_of)
}

pub(super) fn heads(conn: &Connection, filter: &HeadFilter) -> Result<Vec<Head>, StoreError> {
    let mut conditions = Vec::new();
    let after = filter.after.as_ref().map(SagaId::as_str);
    let since = filter.changed_since.map(|at| at.timestamp_millis());
    let (beyond, order) = if filter.newest_first {
        ("s.id < :after", "DESC")
    } else {
        ("s.id > :after", "ASC")
    };
    let statuses = list(filter.statuses.iter().map(|s| s.as_str()));
    let kind = filter.kind.map(|kind| kind.as_str());
    let wallet = filter.wallet.as_ref().map(WalletId::as_str);
    let mut values: Vec<(&str, &dyn ToSql)> = vec![(":limit", &filter.limit)];
    if after.is_some() {
        conditions.push(beyond);
        values.push((":after", &after));
    }
    if since.is_some() {
        conditions.push("s.updated_at >= :since");
        values.push((":since", &since));
    }
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
    conditions.push("TRUE");
    let conditions = conditions.join(" AND ");
    let sql = format!("{HEAD} WHERE {conditions} ORDER BY s.id {order} LIMIT :limit");
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

/// A JSON array of words for `json_each`, so that one statement serves any number of them.
pub(super) fn list<'a>(words: impl Iterator<Item = &'a str>) -> String {
    serde_json::Value::from_iter(words).to_string()
}

pub(super) fn collect<T>(
    mut rows: Rows<'_>,
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}
