//! Wallets and their counters.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use mongodb::bson::{Document, doc};
use mongodb::options::ReturnDocument;
use serde::Deserialize;

use super::Db;
use super::fault::{damaged, is_duplicate, store_error};
use crate::ports::{StoreError, Wallet};
use crate::saga::ids::{KeysetId, WalletId};

/// Enough: after one duplicate key the wallet exists, and wallets are never deleted.
const CREATE_ROUNDS: u32 = 3;

#[derive(Deserialize)]
struct WalletDoc {
    #[serde(rename = "_id")]
    id: String,
    npub: String,
    mint_url: String,
    unit: String,
    counters: BTreeMap<String, i64>,
}

impl WalletDoc {
    fn into_wallet(self) -> Wallet {
        Wallet {
            id: WalletId::new(self.id),
            npub: self.npub,
            mint_url: self.mint_url,
            unit: self.unit,
        }
    }
}

/// The wallet of (npub, mint, unit). Two that create it at once get the same one.
pub(super) async fn get_or_create(db: Db, key: [String; 3]) -> Result<Wallet, StoreError> {
    let [npub, mint_url, unit] = key;
    let owner = doc! { "npub": npub, "mint_url": mint_url, "unit": unit };
    let wallets = db.wallets::<WalletDoc>();
    let found = wallets.find_one(owner.clone()).await;
    if let Some(wallet) = found.map_err(store_error)? {
        return Ok(wallet.into_wallet());
    }
    for _ in 0..CREATE_ROUNDS {
        let born = doc! { "$setOnInsert": { "_id": opaque_id()?, "counters": {} } };
        let made = wallets
            .find_one_and_update(owner.clone(), born)
            .upsert(true)
            .return_document(ReturnDocument::After);
        match made.await {
            Ok(Some(wallet)) => return Ok(wallet.into_wallet()),
            Ok(None) => {}
            Err(error) if is_duplicate(&error) => {}
            Err(error) => return Err(store_error(error)),
        }
    }
    let text = "a wallet could not be created beside others".to_owned();
    Err(StoreError::Unavailable(text))
}

/// Inserts a wallet under its own id, unless it is there.
pub(super) async fn put(db: Db, wallet: Wallet) -> Result<(), StoreError> {
    let born = doc! {
        "_id": wallet.id.as_str(),
        "npub": &wallet.npub,
        "mint_url": &wallet.mint_url,
        "unit": &wallet.unit,
        "counters": {},
    };
    match db.wallets::<Document>().insert_one(born).await {
        Ok(_) => return Ok(()),
        Err(error) if is_duplicate(&error) => {}
        Err(error) => return Err(store_error(error)),
    }
    let wallets = db.wallets::<WalletDoc>();
    let found = wallets.find_one(doc! { "_id": wallet.id.as_str() }).await;
    match found.map_err(store_error)?.map(WalletDoc::into_wallet) {
        Some(there) if there == wallet => Ok(()),
        Some(_) | None => Err(StoreError::Unusable(
            "another wallet has this id, or the same owner, mint and unit".to_owned(),
        )),
    }
}

/// 128 random bits: an id that says nothing about its owner.
fn opaque_id() -> Result<String, StoreError> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|_| StoreError::Unavailable("the system has no randomness".to_owned()))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// All wallets, or those of one owner.
pub(super) async fn list(db: Db, npub: Option<String>) -> Result<Vec<Wallet>, StoreError> {
    let filter = npub.map(|npub| doc! { "npub": npub }).unwrap_or_default();
    let order = doc! { "npub": 1, "mint_url": 1, "unit": 1 };
    let found = db.wallets::<WalletDoc>().find(filter).sort(order).await;
    let found = found.map_err(store_error)?;
    let wallets = found.map_ok(WalletDoc::into_wallet).try_collect().await;
    wallets.map_err(store_error)
}

/// One atomic increment; the condition keeps the next counter within what a counter can be.
pub(super) async fn take_counters(
    db: Db,
    wallet: WalletId,
    keyset: KeysetId,
    count: u32,
) -> Result<u32, StoreError> {
    let field = field_of(&keyset)?;
    let last_start = i64::from(keyset.counters_end()) - i64::from(count);
    if last_start < 0 {
        return Err(used_up(&wallet, &keyset));
    }
    let fits = doc! { "_id": wallet.as_str(), &field: { "$not": { "$gt": last_start } } };
    let wallets = db.wallets::<WalletDoc>();
    let taken = wallets
        .find_one_and_update(fits, doc! { "$inc": { field: i64::from(count) } })
        .return_document(ReturnDocument::After);
    let Some(after) = taken.await.map_err(store_error)? else {
        return Err(used_up(&wallet, &keyset));
    };
    let next = after.counters.get(keyset.as_str()).copied();
    next.and_then(|next| u32::try_from(next).ok())
        .and_then(|next| next.checked_sub(count))
        .ok_or_else(|| damaged("counters", wallet.as_str()))
}

fn used_up(wallet: &WalletId, keyset: &KeysetId) -> StoreError {
    let text =
        format!("wallet {wallet} is unknown, or the counters of keyset {keyset} are used up");
    StoreError::Unusable(text)
}

/// Makes the next counter at least this.
pub(super) async fn raise_counters(
    db: Db,
    wallet: WalletId,
    keyset: KeysetId,
    at_least: u32,
) -> Result<(), StoreError> {
    let raise = doc! { "$max": { field_of(&keyset)?: i64::from(at_least) } };
    let owner = doc! { "_id": wallet.as_str() };
    let raised = db.wallets::<Document>().update_one(owner, raise).await;
    match raised.map_err(store_error)?.matched_count {
        0 => Err(StoreError::Unusable(format!("wallet {wallet} is unknown"))),
        _ => Ok(()),
    }
}

/// The path of a keyset's counter. A dot or a dollar in it would name another field.
fn field_of(keyset: &KeysetId) -> Result<String, StoreError> {
    let id = keyset.as_str();
    let plain = |c: char| c.is_ascii_alphanumeric() || "+/=_-".contains(c);
    if id.is_empty() || !id.chars().all(plain) {
        let text = "a keyset id has characters that no mint uses".to_owned();
        return Err(StoreError::Unusable(text));
    }
    Ok(format!("counters.{id}"))
}

/// The next counter of each keyset.
pub(super) async fn counters(db: Db, wallet: WalletId) -> Result<Vec<(KeysetId, u32)>, StoreError> {
    let filter: Document = doc! { "_id": wallet.as_str() };
    let found = db.wallets::<WalletDoc>().find_one(filter).await;
    let counters = found.map_err(store_error)?.map(|w| w.counters);
    let read = |(keyset, next): (String, i64)| {
        let next = u32::try_from(next).map_err(|_| damaged("counters", wallet.as_str()))?;
        Ok((KeysetId::new(keyset), next))
    };
    counters.unwrap_or_default().into_iter().map(read).collect()
}
