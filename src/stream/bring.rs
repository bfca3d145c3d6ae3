//! `meltd recover --from-stream`: a database that was restored from an old backup is brought
//! forward.
//!
//! The stream holds every event's exact body and its place in the chain, so the log is put back
//! verbatim, one event a transaction, with the proof rows that the same projection makes. What the
//! stream does not hold:
//!
//! - **Signatures of coins** (C, DLEQ) are fetched from the mint by NUT-09 and verified; without
//!   them the saga is left for the next run.
//! - **Quote id, invoice, sealed token.** Melts that were sent, and change that is owed, go on
//!   without; everything else that has not ended is parked as `PRIVATE_HALF_LOST`. A mint that
//!   settles a payment only when its quote is asked for leaves such a melt pending until it looks
//!   by itself, as at a restart.
//! - **Preimages.** The log says whether a payment was proven; an answer to a repeat has none.
//! - **The owner of a wallet** that the backup does not have: one of the npubs given, if its seed
//!   makes the wallet's coins.
//! - **Producer, command id, intent key.** The saga's producer is `stream`. A repeat by the true
//!   one finds its invoice in use; a second invoice for the same intent is *not* recognised.
//! - **Counters** are raised beyond every range in the stream. A range that was taken for an event
//!   which was never published is not in it: the look ahead at the mint finds that one.
//!
//! It is repeated until nothing is left: what was brought is not brought twice. Nobody else may
//! work on the database meanwhile. The events that were brought are published again, as repeats.

mod owners;
mod plan;
mod run;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::verify::{AuditError, Signers};
use crate::ports::{Bus, Clock, Mint, Store, Wallet};
use crate::saga::ids::{KeysetId, SagaId, WalletId};

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Brought {
    /// Events appended.
    pub events: u64,
    /// Sagas that were brought forward.
    pub sagas: Vec<SagaId>,
    /// Those among them that the database did not know at all.
    pub new: Vec<SagaId>,
    /// Those among them that a person has to look at.
    pub parked: Vec<SagaId>,
    /// Counters that were raised.
    pub counters: Vec<Raised>,
    /// Sagas that could not be brought forward, or not to their end, and why.
    pub left: Vec<(SagaId, String)>,
    /// What is wrong with the stream itself.
    pub problems: Vec<String>,
}

/// A keyset's counter in a wallet.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Raised {
    /// The wallet.
    pub wallet: WalletId,
    /// The keyset.
    pub keyset: KeysetId,
    /// The next counter as the database had it.
    pub from: u32,
    /// The next counter now.
    pub to: u32,
}

/// What bringing forward needs.
pub struct Bringer<S, B, M, C> {
    /// The database.
    pub store: Arc<S>,
    /// The stream.
    pub bus: Arc<B>,
    /// The mints: signatures come from there.
    pub mint: Arc<M>,
    /// The time, for the events that park.
    pub clock: Arc<C>,
    /// This process.
    pub owner: Arc<str>,
    /// How long a lease lives; it is renewed.
    pub lease_ttl: Duration,
}

impl<S: Store, B: Bus, M: Mint, C: Clock> Bringer<S, B, M, C> {
    /// Brings the database forward. `npubs` are owners whose wallets the backup may not have.
    ///
    /// # Errors
    /// Only if stream or database cannot be read; what could not be done is in [`Brought`].
    pub async fn bring(
        &self,
        npubs: &[String],
        signers: Signers<'_>,
    ) -> Result<Brought, AuditError> {
        let mut brought = Brought::default();
        let plan = plan::plan(&*self.store, &*self.bus, signers, &mut brought).await?;
        let wallets = self.wallets(&plan, npubs).await?;
        // The counters first: a crash after this leaves gaps, and never a range used twice.
        self.raise(&plan, &wallets, &mut brought).await?;
        let mut runs = run::Runs::new(self, &wallets);
        runs.events(plan.lost, &mut brought).await?;
        runs.park(&mut brought).await?;
        runs.release().await;
        brought.sagas.sort();
        brought.left.sort();
        Ok(brought)
    }

    async fn raise(
        &self,
        plan: &plan::Plan,
        wallets: &BTreeMap<WalletId, Wallet>,
        brought: &mut Brought,
    ) -> Result<(), AuditError> {
        for wallet in wallets.keys() {
            let Some(used) = plan.counters.get(wallet) else {
                continue;
            };
            let have: BTreeMap<KeysetId, u32> =
                self.store.counters(wallet).await?.into_iter().collect();
            for (keyset, next) in used {
                let from = have.get(keyset).copied().unwrap_or(0);
                let missing = next.saturating_sub(from);
                if missing == 0 {
                    continue;
                }
                let start = self.store.take_counters(wallet, keyset, missing).await?;
                brought.counters.push(Raised {
                    wallet: wallet.clone(),
                    keyset: keyset.clone(),
                    from,
                    to: start.saturating_add(missing),
                });
            }
        }
        Ok(())
    }
}
