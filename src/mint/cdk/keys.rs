//! One mint's keysets (NUT-01, NUT-02): the list is kept for a minute, the keys of a keyset for
//! ever, because its id commits to them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::cdk::nuts::nut02::KeySetVersion;
use ::cdk::nuts::{CurrencyUnit, Id, KeySet, KeySetInfo, Keys, KeysResponse, KeysetResponse};
use tokio::time::Instant;

use super::errors;
use super::wire::Wire;
use crate::ports::Keyset;
use crate::saga::code::Code;
use crate::saga::ids::{Amount, KeysetId};
use crate::saga::step::Trouble;

/// The list is asked for again after this long: a rotation is noticed within a minute, and at once
/// when the mint refuses a keyset, because the caller then forgets the list.
const LIST_TTL: Duration = Duration::from_secs(60);

/// The public keys of one keyset, whose id was verified.
#[derive(Debug)]
pub(super) struct Keyring {
    pub(super) id: Id,
    pub(super) unit: CurrencyUnit,
    pub(super) keys: Keys,
}

/// What is known of one mint's keysets.
#[derive(Debug, Default)]
pub(super) struct KeyCache {
    list: Mutex<Option<(Instant, Arc<Vec<KeySetInfo>>)>>,
    keyrings: Mutex<HashMap<Id, Arc<Keyring>>>,
    /// Held while the list is fetched, so that many that find it old fetch it once.
    fetching: tokio::sync::Mutex<()>,
}

impl KeyCache {
    /// Forgets the list, but no keys.
    pub(super) fn forget(&self) {
        *lock(&self.list) = None;
    }

    /// All keysets of the mint (`GET /v1/keysets`).
    pub(super) async fn list(
        &self,
        wire: &Wire,
        limit: Duration,
    ) -> Result<Arc<Vec<KeySetInfo>>, Trouble> {
        if let Some(list) = self.fresh_list() {
            return Ok(list);
        }
        let turn = tokio::time::timeout(limit, self.fetching.lock()).await;
        let _turn = turn.map_err(|_| errors::slow(limit))?;
        if let Some(list) = self.fresh_list() {
            return Ok(list);
        }
        let answer: KeysetResponse = wire.get(&["v1", "keysets"], limit).await?;
        let list = Arc::new(answer.keysets);
        *lock(&self.list) = Some((Instant::now(), Arc::clone(&list)));
        Ok(list)
    }

    /// The keys of one keyset (`GET /v1/keys/{id}`, which serves retired keysets too). Its unit
    /// has to be the wallet's.
    pub(super) async fn keyring(
        &self,
        wire: &Wire,
        id: Id,
        unit: &CurrencyUnit,
        limit: Duration,
    ) -> Result<Arc<Keyring>, Trouble> {
        let known = lock(&self.keyrings).get(&id).cloned();
        let keyring = match known {
            Some(keyring) => keyring,
            None => {
                let path = ["v1", "keys", &id.to_string()];
                let answer: KeysResponse = wire.get(&path, limit).await?;
                let keyring = Arc::new(self.verified(id, answer)?);
                lock(&self.keyrings).insert(id, Arc::clone(&keyring));
                keyring
            }
        };
        if keyring.unit != *unit {
            return Err(errors::nonsense(format!("keyset {id} is of another unit")));
        }
        Ok(keyring)
    }

    /// The keysets of one unit. The fee of an active version 2 keyset has to be the one its id
    /// commits to. An active keyset that does not verify is listed as retired, so that nothing is
    /// ever signed with it; if there is no other, the mint's answer is nonsense.
    pub(super) async fn keysets(
        &self,
        wire: &Wire,
        unit: &CurrencyUnit,
        limit: Duration,
    ) -> Result<Vec<Keyset>, Trouble> {
        let list = self.list(wire, limit).await?;
        let mut keysets: Vec<Keyset> = Vec::new();
        let mut last_bad = None;
        for info in list.iter().filter(|info| info.unit == *unit) {
            if keysets.iter().any(|k| k.id.as_str() == info.id.to_string()) {
                continue;
            }
            let amounts = match self.amounts(wire, info, limit).await {
                Ok(amounts) => amounts,
                Err(Trouble::Unknown { code, detail }) if code == Code::MintNonsense => {
                    tracing::warn!(keyset = %info.id, %detail, "a keyset is not used");
                    last_bad = Some(Trouble::Unknown { code, detail });
                    Vec::new()
                }
                Err(trouble) => return Err(trouble),
            };
            keysets.push(Keyset {
                id: KeysetId::new(info.id.to_string()),
                active: info.active && !amounts.is_empty(),
                fee_ppk: info.input_fee_ppk,
                amounts,
            });
        }
        match last_bad {
            Some(bad) if keysets.iter().all(|k| !k.active) => Err(bad),
            _ => Ok(keysets),
        }
    }

    /// The amounts of an active keyset, ascending; none for a retired one.
    async fn amounts(
        &self,
        wire: &Wire,
        info: &KeySetInfo,
        limit: Duration,
    ) -> Result<Vec<Amount>, Trouble> {
        if !info.active {
            return Ok(Vec::new());
        }
        let keyring = self.keyring(wire, info.id, &info.unit, limit).await?;
        if !commits(info, &keyring.keys) {
            let id = info.id;
            return Err(errors::nonsense(format!(
                "the fee of keyset {id} is not the one of its id"
            )));
        }
        let amounts = keyring.keys.keys().keys().map(|amount| amount.to_u64());
        Ok(amounts.filter(|amount| *amount > 0).collect())
    }

    fn fresh_list(&self) -> Option<Arc<Vec<KeySetInfo>>> {
        let list = lock(&self.list);
        let (at, list) = list.as_ref()?;
        (at.elapsed() < LIST_TTL).then(|| Arc::clone(list))
    }

    /// The keys of the answer, if they are those of the id. A mint that does not repeat the fee
    /// and the expiry beside the keys is believed what it says in its list: the id decides.
    fn verified(&self, id: Id, answer: KeysResponse) -> Result<Keyring, Trouble> {
        let wrong = |why: &str| errors::nonsense(format!("the keys of keyset {id} {why}"));
        let mut keysets = answer.keysets.into_iter();
        let keyset = keysets.find(|keyset| keyset.id == id);
        let keyset: KeySet = keyset.ok_or_else(|| wrong("are not in the answer"))?;
        let listed = self.fresh_list();
        let listed = listed.iter().flat_map(|list| list.iter());
        let as_listed = listed
            .filter(|info| info.id == id && info.unit == keyset.unit)
            .any(|info| commits(info, &keyset.keys));
        if keyset.verify_id().is_err() && !as_listed {
            return Err(wrong("do not give its id"));
        }
        Ok(Keyring {
            id,
            unit: keyset.unit,
            keys: keyset.keys,
        })
    }
}

/// True if the id is the one of these keys with the listed unit, fee and expiry. Version 1 ids
/// commit to the keys alone.
fn commits(info: &KeySetInfo, keys: &Keys) -> bool {
    let id = match info.id.get_version() {
        KeySetVersion::Version00 => Id::v1_from_keys(keys),
        KeySetVersion::Version01 => {
            Id::v2_from_data(keys, &info.unit, info.input_fee_ppk, info.final_expiry)
        }
    };
    id == info.id
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
