//! Counters, given out only where the mint has signed nothing ahead of them. A database from an old
//! backup would take counters that were used before: their outputs are signed already, and their
//! secrets belong to coins that exist.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::Answer;
use crate::driver::Driver;
use crate::ports::{Clock, Mint, Store, StoreError, Wallet};
use crate::saga::code::Code;
use crate::saga::event::Refusal;
use crate::saga::ids::{KeysetId, Range, WalletId};
use crate::saga::step::Trouble;

/// What this process has found out about wallets: true = nothing is signed ahead of the counters.
/// A wallet that is not here was not looked at yet.
#[derive(Default)]
pub(crate) struct Probes(Mutex<HashMap<WalletId, bool>>);

impl Probes {
    fn of(&self, wallet: &WalletId) -> Option<bool> {
        self.with(|known| known.get(wallet).copied())
    }

    fn note(&self, wallet: &WalletId, is_fine: bool) {
        self.with(|known| known.insert(wallet.clone(), is_fine));
    }

    fn forget(&self, wallet: &WalletId) {
        self.with(|known| known.remove(wallet));
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<WalletId, bool>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S: Store, M: Mint, C: Clock> Driver<S, M, C> {
    /// Takes counters, once it is known that the mint has signed nothing ahead of them.
    pub(super) async fn take_counters(
        &self,
        wallet: &Wallet,
        keyset: &KeysetId,
        count: u32,
    ) -> Result<Answer<u32>, StoreError> {
        if let Err(trouble) = self.check_counters(wallet).await? {
            return Ok(Err(trouble));
        }
        let start = self.store.take_counters(&wallet.id, keyset, count).await?;
        Ok(Ok(start))
    }

    /// Whether new counters of this wallet may be used. It asks the mint once in a process's life,
    /// and again after a refusal that looks like counters that were used before.
    ///
    /// # Errors
    /// Outer: the store. Inner: [`Code::CountersBehind`], or why the mint does not say.
    pub async fn check_counters(&self, wallet: &Wallet) -> Result<Answer<()>, StoreError> {
        if self.tuning.probe_ahead == 0 || self.probes.of(&wallet.id) == Some(true) {
            return Ok(Ok(()));
        }
        if !self.mint.restores(wallet).await {
            // Without NUT-09 nothing can be found out, and the mint refuses used outputs anyway.
            return Ok(Ok(()));
        }
        let ahead = match self.signed_ahead(wallet).await? {
            Ok(ahead) => ahead,
            Err(trouble) => return Ok(Err(trouble)),
        };
        self.probes.note(&wallet.id, ahead.is_empty());
        let Some(range) = ahead.first() else {
            return Ok(Ok(()));
        };
        let code = Code::CountersBehind;
        tracing::error!(wallet = %wallet.id, keyset = %range.keyset, %code, "{}", code.advice());
        Ok(Err(behind(range)))
    }

    /// True if this process has seen that the wallet's counters are behind. It asks nobody.
    pub(crate) fn is_known_behind(&self, wallet: &Wallet) -> bool {
        self.probes.of(&wallet.id) == Some(false)
    }

    /// Looks with NUT-09 at the next counters of every active keyset, where an honest store finds
    /// nothing: counters are taken durably before anything is sent.
    ///
    /// # Errors
    /// Outer: the store. Inner: the mint.
    pub async fn signed_ahead(&self, wallet: &Wallet) -> Result<Answer<Vec<Range>>, StoreError> {
        let keysets = match self.mint.keysets(wallet).await {
            Ok(keysets) => keysets,
            Err(trouble) => return Ok(Err(trouble)),
        };
        let mut ahead = Vec::new();
        for keyset in keysets.iter().filter(|keyset| keyset.active) {
            let start = self.next_counter(&wallet.id, &keyset.id).await?;
            let left = keyset.id.counters_end().saturating_sub(start);
            let range = Range {
                keyset: keyset.id.clone(),
                start,
                count: self.tuning.probe_ahead.min(left),
            };
            let found = match self.mint.restore(wallet, &range).await {
                Ok(found) => found,
                Err(trouble) => return Ok(Err(trouble)),
            };
            let Some(last) = found.last_counter(&range) else {
                continue;
            };
            // Others may have taken them since: then the store knows of them by now.
            if last >= self.next_counter(&wallet.id, &keyset.id).await? {
                ahead.push(range);
            }
        }
        Ok(Ok(ahead))
    }

    /// The next counter of a keyset.
    pub(crate) async fn next_counter(
        &self,
        wallet: &WalletId,
        keyset: &KeysetId,
    ) -> Result<u32, StoreError> {
        let counters = self.store.counters(wallet).await?;
        let next = counters.into_iter().find(|(id, _)| id == keyset);
        Ok(next.map_or(0, |(_, next)| next))
    }

    /// 11003: outputs were signed before. 20006: a melt's blanks were (or its invoice was paid).
    pub(super) fn doubt_counters(&self, wallet: &Wallet, refusal: &Refusal) {
        if matches!(refusal.mint_code, Some(11003 | 20006)) {
            self.probes.forget(&wallet.id);
        }
    }
}

fn behind(range: &Range) -> Trouble {
    Trouble::Unknown {
        code: Code::CountersBehind,
        detail: format!(
            "the mint has signed outputs of keyset {} at counter {} or later, which this store has \
             not given out: run meltd restore --counters",
            range.keyset, range.start
        ),
    }
}
