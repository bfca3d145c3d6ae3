//! Wallets and their counters.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::ports::{StoreError, Wallet};
use crate::saga::ids::{KeysetId, WalletId};

/// What a wallet is found by.
#[derive(Clone, Debug)]
pub(super) struct Key {
    npub: String,
    mint_url: String,
    unit: String,
}

impl Key {
    pub(super) fn new(npub: &str, mint_url: &str, unit: &str) -> Self {
        Key {
            npub: npub.to_owned(),
            mint_url: mint_url.to_owned(),
            unit: unit.to_owned(),
        }
    }
}

pub(super) fn find(conn: &Connection, key: &Key) -> Result<Option<Wallet>, StoreError> {
    let mut select = conn.prepare_cached(
        "SELECT id, npub, mint_url, unit FROM wallets
         WHERE npub = ?1 AND mint_url = ?2 AND unit = ?3",
    )?;
    let found = select.query_row([&key.npub, &key.mint_url, &key.unit], wallet_of);
    Ok(found.optional()?)
}

/// Inserts it under a random id unless somebody was faster; returns what is there.
pub(super) fn create(conn: &Connection, key: &Key) -> Result<Wallet, StoreError> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|e| StoreError::Unavailable(format!("no randomness for a wallet id: {e}")))?;
    let mut insert = conn.prepare_cached(
        "INSERT INTO wallets (id, npub, mint_url, unit) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (npub, mint_url, unit) DO NOTHING",
    )?;
    insert.execute([&hex::encode(bytes), &key.npub, &key.mint_url, &key.unit])?;
    find(conn, key)?.ok_or_else(|| StoreError::Unusable("a new wallet is not there".to_owned()))
}

/// Inserts it under its own id, unless it is there.
pub(super) fn put(conn: &Connection, wallet: &Wallet) -> Result<(), StoreError> {
    let mut insert = conn.prepare_cached(
        "INSERT INTO wallets (id, npub, mint_url, unit) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO NOTHING",
    )?;
    let id = wallet.id.as_str();
    insert.execute([id, &wallet.npub, &wallet.mint_url, &wallet.unit])?;
    let key = Key::new(&wallet.npub, &wallet.mint_url, &wallet.unit);
    if find(conn, &key)?.as_ref() == Some(wallet) {
        return Ok(());
    }
    Err(StoreError::Unusable(
        "another wallet has this id, or the same owner, mint and unit".to_owned(),
    ))
}

pub(super) fn list(conn: &Connection, npub: Option<&str>) -> Result<Vec<Wallet>, StoreError> {
    let mut select = conn.prepare_cached(
        "SELECT id, npub, mint_url, unit FROM wallets
         WHERE ?1 IS NULL OR npub = ?1 ORDER BY npub, mint_url, unit",
    )?;
    let rows = select.query_map([npub], wallet_of)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn wallet_of(row: &Row<'_>) -> rusqlite::Result<Wallet> {
    Ok(Wallet {
        id: WalletId::new(row.get::<_, String>("id")?),
        npub: row.get("npub")?,
        mint_url: row.get("mint_url")?,
        unit: row.get("unit")?,
    })
}

/// Takes the next `count` counters; the table refuses a range that does not fit.
pub(super) fn take_counters(
    conn: &Connection,
    wallet: &WalletId,
    keyset: &KeysetId,
    count: u32,
) -> Result<u32, StoreError> {
    let mut take = conn.prepare_cached(
        "INSERT INTO counters (wallet, keyset, next)
         SELECT ?1, ?2, ?3 WHERE ?3 <= ?4
         ON CONFLICT (wallet, keyset) DO UPDATE SET next = next + excluded.next
            WHERE next + excluded.next <= ?4
         RETURNING next - ?3",
    )?;
    let end = keyset.counters_end();
    let taken = take.query_row(
        params![wallet.as_str(), keyset.as_str(), count, end],
        |row| row.get(0),
    );
    taken
        .optional()?
        .ok_or_else(|| StoreError::Unusable(format!("the counters of keyset {keyset} are used up")))
}

/// Makes the next counter at least this.
pub(super) fn raise_counters(
    conn: &Connection,
    wallet: &WalletId,
    keyset: &KeysetId,
    at_least: u32,
) -> Result<(), StoreError> {
    let mut raise = conn.prepare_cached(
        "INSERT INTO counters (wallet, keyset, next) VALUES (?1, ?2, ?3)
         ON CONFLICT (wallet, keyset) DO UPDATE SET next = max(next, excluded.next)",
    )?;
    raise.execute(params![wallet.as_str(), keyset.as_str(), at_least])?;
    Ok(())
}

pub(super) fn counters(
    conn: &Connection,
    wallet: &WalletId,
) -> Result<Vec<(KeysetId, u32)>, StoreError> {
    let mut select =
        conn.prepare_cached("SELECT keyset, next FROM counters WHERE wallet = ?1 ORDER BY keyset")?;
    let rows = select.query_map([wallet.as_str()], |row| {
        Ok((KeysetId::new(row.get::<_, String>(0)?), row.get(1)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
