//! Whose wallets they are that the backup does not have: the stream names no owner.

use std::collections::BTreeMap;

use super::Bringer;
use super::plan::{Place, Plan};
use crate::ports::{Bus, Clock, Mint, Store, Wallet};
use crate::saga::ids::{Range, WalletId};
use crate::stream::verify::AuditError;

impl<S: Store, B: Bus, M: Mint, C: Clock> Bringer<S, B, M, C> {
    /// The wallets of the database, and those that could be given an owner.
    pub(super) async fn wallets(
        &self,
        plan: &Plan,
        npubs: &[String],
    ) -> Result<BTreeMap<WalletId, Wallet>, AuditError> {
        let known = self.store.wallets(None).await?.into_iter();
        let mut wallets: BTreeMap<_, _> = known.map(|w| (w.id.clone(), w)).collect();
        for (id, place) in &plan.wallets {
            if wallets.contains_key(id) {
                continue;
            }
            if let Some(wallet) = self.owned(id, place, npubs).await {
                self.store.put_wallet(&wallet).await?;
                wallets.insert(id.clone(), wallet);
            }
        }
        Ok(wallets)
    }

    /// The wallet with the owner whose seed makes its coin.
    async fn owned(&self, id: &WalletId, place: &Place, npubs: &[String]) -> Option<Wallet> {
        let coin = place.coin.as_ref()?;
        let range = Range {
            keyset: coin.keyset.clone(),
            start: coin.counter,
            count: 1,
        };
        for npub in npubs {
            let wallet = Wallet {
                id: id.clone(),
                npub: npub.clone(),
                mint_url: place.mint_url.clone(),
                unit: place.unit.clone(),
            };
            let found = self.mint.restore(&wallet, &range).await;
            if found.is_ok_and(|found| found.coins.iter().any(|c| c.coin.y == coin.y)) {
                return Some(wallet);
            }
        }
        None
    }
}
