//! Restore: the coins of a wallet found again from the seed and the mint alone (NUT-13, NUT-09),
//! and counters brought beyond everything that the mint has signed. It may run beside living sagas
//! and as often as one likes: what the store has, and what a saga is about to store, is left alone.

use std::time::Duration;

use serde::Serialize;

use crate::driver::Driver;
use crate::ports::{Clock, Mint, Store, Wallet};
use crate::reconcile::{Settled, Stopped};
use crate::saga::code::Code;
use crate::saga::command::Cause;
use crate::saga::ids::{Amount, KeysetId, Range, SignedCoin, Y, sum};
use crate::saga::step::{Change, MintState, Trouble};

/// Counters in one request (NUT-13 asks for batches of 100).
const BATCH: u32 = 100;

/// Empty batches in a row after which nothing more is expected (NUT-13).
const EMPTY_MAX: u32 = 3;

/// Counters that are left out behind the last one found: a melt that is still under way at the
/// mint may have blanks there, which are not signed yet and must not be used again.
const MARGIN: u32 = 64;

/// How often a mint that is away or asks to slow down is asked again, after 1, 2, 4… seconds.
const TRIES: u32 = 6;

/// Where the looking begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At counter 0: finds everything.
    Start,
    /// At the store's own counters: finds what an old backup has forgotten.
    Counters,
}

/// How far it is.
#[derive(Clone, Debug)]
pub struct Progress<'a> {
    /// The keyset that is looked at.
    pub keyset: &'a KeysetId,
    /// The counter that comes next.
    pub counter: u32,
    /// Value added so far.
    pub restored: Amount,
}

/// A counter that was raised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Raised {
    /// The keyset.
    pub keyset: KeysetId,
    /// What the store had.
    pub from: u32,
    /// What it has now.
    pub to: u32,
}

/// What a restore found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Keysets of the mint that were looked through, retired ones included.
    pub keysets: u32,
    /// Counters that were asked for.
    pub counters: u64,
    /// Coins that the mint has ever signed there.
    pub signed: u64,
    /// Of these, coins that are spent.
    pub spent: u64,
    /// Coins that are in a payment at the mint: run it again when that has ended.
    pub pending: u64,
    /// Their value.
    pub pending_amount: Amount,
    /// Signatures that do not verify.
    pub bad: u64,
    /// Counters that were behind.
    pub raised: Vec<Raised>,
    /// What was added.
    #[serde(flatten)]
    pub settled: Settled,
}

impl<S: Store, M: Mint, C: Clock> Driver<S, M, C> {
    /// Looks through the counters of every keyset of the wallet's mint. What is found and done is
    /// in `found` as it happens, so that whoever stops it can tell.
    ///
    /// # Errors
    /// [`Stopped`]; what was found until then is stored.
    pub async fn restore_wallet(
        &self,
        wallet: &Wallet,
        begin: Begin,
        found: &mut Found,
        told: impl Fn(&Progress<'_>),
    ) -> Result<(), Stopped> {
        if !self.mint.restores(wallet).await {
            let why = "the mint does not support NUT-09, so nothing can be found there";
            return Err(Stopped::Mint(Code::MintRefused, why.to_owned()));
        }
        let keysets = patiently(async || self.mint.keysets(wallet).await).await?;
        for keyset in &keysets {
            self.restore_keyset(wallet, &keyset.id, begin, found, &told)
                .await?;
            found.keysets += 1;
        }
        Ok(())
    }

    async fn restore_keyset(
        &self,
        wallet: &Wallet,
        keyset: &KeysetId,
        begin: Begin,
        found: &mut Found,
        told: &impl Fn(&Progress<'_>),
    ) -> Result<(), Stopped> {
        let next = self.next_counter(&wallet.id, keyset).await?;
        let mut start = match begin {
            Begin::Start => 0,
            Begin::Counters => next,
        };
        let mut empty = 0;
        while empty < EMPTY_MAX || start < next {
            let count = BATCH.min(keyset.counters_end().saturating_sub(start));
            if count == 0 {
                break;
            }
            let range = Range {
                keyset: keyset.clone(),
                start,
                count,
            };
            let change = patiently(async || self.mint.restore(wallet, &range).await).await?;
            found.counters += u64::from(count);
            match change.last_counter(&range) {
                None => empty += 1,
                Some(last) => {
                    empty = 0;
                    // First the counters: whatever happens then, none is used a second time.
                    self.raise(wallet, keyset, last, found).await?;
                    self.restore_batch(wallet, change, found).await?;
                }
            }
            start = start.saturating_add(count);
            let restored = found.settled.restored_amount;
            told(&Progress {
                keyset,
                counter: start,
                restored,
            });
        }
        Ok(())
    }

    /// Makes the next counter lie beyond one that the mint has signed.
    async fn raise(
        &self,
        wallet: &Wallet,
        keyset: &KeysetId,
        signed: u32,
        found: &mut Found,
    ) -> Result<(), Stopped> {
        let from = self.next_counter(&wallet.id, keyset).await?;
        if signed < from {
            return Ok(());
        }
        let to = signed.saturating_add(1).saturating_add(MARGIN);
        let to = to.min(keyset.counters_end());
        self.store.raise_counters(&wallet.id, keyset, to).await?;
        let keyset = keyset.clone();
        match found.raised.iter_mut().find(|r| r.keyset == keyset) {
            Some(raised) => raised.to = to,
            None => found.raised.push(Raised { keyset, from, to }),
        }
        Ok(())
    }

    /// Adds the coins of a batch that are free at the mint and that nobody here has.
    async fn restore_batch(
        &self,
        wallet: &Wallet,
        change: Change,
        found: &mut Found,
    ) -> Result<(), Stopped> {
        found.bad += u64::from(change.bad);
        found.signed += change.coins.len() as u64;
        let ys: Vec<Y> = change.coins.iter().map(|c| c.coin.y.clone()).collect();
        let states = patiently(async || self.states(wallet, &ys).await).await?;
        let (mut free, mut pending) = (Vec::new(), Vec::new());
        for (coin, state) in change.coins.into_iter().zip(states) {
            match state {
                MintState::Unspent => free.push(coin),
                MintState::Pending => pending.push(coin.coin.amount),
                MintState::Spent => found.spent += 1,
            }
        }
        found.pending += pending.len() as u64;
        let pending = sum(pending).unwrap_or(Amount::MAX);
        found.pending_amount = found.pending_amount.saturating_add(pending);
        let Some(range) = around(&self.nobodys(wallet, free).await?) else {
            return Ok(());
        };
        let (cause, ranges) = (Cause::Restore, vec![range]);
        self.settle_differences(wallet, cause, Vec::new(), ranges, &mut found.settled)
            .await
    }
}

/// The smallest range that has all of these coins, which are of one keyset.
fn around(coins: &[SignedCoin]) -> Option<Range> {
    let counters = || coins.iter().map(|c| c.coin.counter);
    let (first, last) = (counters().min()?, counters().max()?);
    Some(Range {
        keyset: coins.first()?.coin.keyset.clone(),
        start: first,
        count: (last - first).saturating_add(1),
    })
}

/// The answer, asked for again while the mint is away or asks to slow down.
async fn patiently<T>(ask: impl AsyncFn() -> Result<T, Trouble>) -> Result<T, Trouble> {
    let mut wait = Duration::from_secs(1);
    for _ in 1..TRIES {
        match ask().await {
            Err(Trouble::Unknown {
                code: Code::MintRateLimited | Code::MintSlow | Code::MintUnreachable,
                ..
            }) => tokio::time::sleep(wait).await,
            answer => return answer,
        }
        wait *= 2;
    }
    ask().await
}
