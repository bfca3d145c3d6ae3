//! Looking: every coin of a wallet, and every counter where a coin may have been left, held against
//! the mint. Nothing is changed.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Stopped;
use crate::driver::{Driver, fold};
use crate::ports::{Clock, HeadFilter, Mint, ProofRow, Store, StoreError, Wallet};
use crate::saga::code::{Discrepancy, Severity};
use crate::saga::ids::{Amount, Range, SagaId, Y};
use crate::saga::proofs::ProofState;
use crate::saga::state::Status;
use crate::saga::step::MintState;

/// Ys in one request.
const BATCH: usize = 100;

/// Heads read at a time.
const PAGE: u32 = 500;

/// How far a look goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope {
    /// Also coins that the store holds as spent. There are ever more of them.
    pub spent: bool,
    /// Of the sagas that have ended, only those adopted since then; `None` = all.
    pub since: Option<DateTime<Utc>>,
    /// Between two requests to the mint.
    pub pause: Duration,
}

/// One coin about which the store and the mint do not agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The coin.
    pub y: Y,
    /// Its value.
    pub amount: Amount,
    /// What differs.
    pub discrepancy: Discrepancy,
    /// How bad that is.
    pub severity: Severity,
}

/// What a look found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Look {
    /// Coins that the mint was asked about.
    pub checked: u64,
    /// Coins left out, because a living saga holds them.
    pub held: u64,
    /// What differs.
    pub differences: Vec<Difference>,
    /// Coins that are held by sagas that have ended: nobody will let them go.
    pub leaked: Vec<Y>,
    /// Counters at which the mint has signed coins that the store does not have.
    #[serde(skip)]
    pub ranges: Vec<Range>,
    /// Ranges ahead of the store's counters in which the mint has signed something: the store is
    /// older than the mint, and no new counter may be used.
    pub behind: Vec<Range>,
}

impl Look {
    /// The coins that are to be corrected.
    pub(super) fn suspects(&self) -> Vec<Y> {
        let gone = |d: &&Difference| d.discrepancy == Discrepancy::DbUnspentMintSpent;
        let gone = self.differences.iter().filter(gone);
        gone.map(|d| d.y.clone()).collect()
    }

    fn note(&mut self, y: Y, amount: Amount, discrepancy: Discrepancy) {
        let severity = discrepancy.severity();
        self.differences.push(Difference {
            y,
            amount,
            discrepancy,
            severity,
        });
    }
}

/// What the two words on one coin differ in, if they do. A coin in a payment of ours may be
/// pending or spent at the mint; that is its saga's to find out, as long as it lives.
fn discrepancy(here: ProofState, there: MintState) -> Option<Discrepancy> {
    match (here, there) {
        (ProofState::Unspent, MintState::Spent) => Some(Discrepancy::DbUnspentMintSpent),
        (ProofState::Unspent, MintState::Pending) => Some(Discrepancy::DbUnspentMintPending),
        (ProofState::Spent, MintState::Unspent) => Some(Discrepancy::DbSpentMintUnspent),
        (ProofState::Reserved | ProofState::Pending, MintState::Spent) => {
            Some(Discrepancy::DbPendingMintSpent)
        }
        _ => None,
    }
}

impl<S: Store, M: Mint, C: Clock> Driver<S, M, C> {
    /// Compares a wallet with its mint. What is found is in `look` as it is found, so that whoever
    /// stops it can tell.
    ///
    /// # Errors
    /// [`Stopped`] at the first question that is not answered.
    pub async fn look_at(
        &self,
        wallet: &Wallet,
        scope: &Scope,
        look: &mut Look,
    ) -> Result<(), Stopped> {
        self.look_at_rows(wallet, scope, look).await?;
        if self.mint.restores(wallet).await {
            self.look_behind(wallet, scope, look).await?;
            look.behind = self.signed_ahead(wallet).await??;
        }
        Ok(())
    }

    /// The rows, by NUT-07. The mint is asked before it is read again who holds a coin, so that a
    /// coin that a saga spends meanwhile is not taken for a difference.
    async fn look_at_rows(
        &self,
        wallet: &Wallet,
        scope: &Scope,
        look: &mut Look,
    ) -> Result<(), Stopped> {
        use ProofState::{Pending, Reserved, Spent, Unspent};
        let states: &[ProofState] = match scope.spent {
            true => &[Unspent, Reserved, Pending, Spent],
            false => &[Unspent, Reserved, Pending],
        };
        let rows = self.store.proofs(&wallet.id, states).await?;
        for batch in rows.chunks(BATCH) {
            let ys: Vec<Y> = batch.iter().map(|row| row.coin.y.clone()).collect();
            let states = self.mint.check_state(wallet, &ys).await?;
            let again = self.store.proofs_by_y(&ys).await?;
            look.checked += again.len() as u64;
            for (y, state) in ys.iter().zip(states) {
                if let Some(row) = again.iter().find(|row| row.coin.y == *y) {
                    self.compare(row, state, look).await?;
                }
            }
            tokio::time::sleep(scope.pause).await;
        }
        Ok(())
    }

    async fn compare(
        &self,
        row: &ProofRow,
        state: MintState,
        look: &mut Look,
    ) -> Result<(), StoreError> {
        let y = &row.coin.y;
        if let (ProofState::Reserved | ProofState::Pending, Some(holder)) = (row.state, &row.saga) {
            if self.is_living(holder).await? {
                look.held += 1;
                return Ok(());
            }
            look.leaked.push(y.clone());
        }
        if let Some(discrepancy) = discrepancy(row.state, state) {
            look.note(y.clone(), row.coin.amount, discrepancy);
        }
        Ok(())
    }

    async fn is_living(&self, saga: &SagaId) -> Result<bool, StoreError> {
        let loaded = self.store.load(saga).await?;
        Ok(loaded.is_some_and(|loaded| loaded.head.status != Status::Done))
    }

    /// The counters that ended sagas took and got nothing for, by NUT-09.
    async fn look_behind(
        &self,
        wallet: &Wallet,
        scope: &Scope,
        look: &mut Look,
    ) -> Result<(), Stopped> {
        for range in self.stranded(wallet, scope.since).await? {
            let found = self.restored(wallet, std::slice::from_ref(&range)).await?;
            let found = self.nobodys(wallet, found).await?;
            if !found.is_empty() {
                look.ranges.push(range);
            }
            for coin in found {
                let discrepancy = Discrepancy::ProofNotInDb;
                look.note(coin.coin.y, coin.coin.amount, discrepancy);
            }
            tokio::time::sleep(scope.pause).await;
        }
        Ok(())
    }

    async fn stranded(
        &self,
        wallet: &Wallet,
        since: Option<DateTime<Utc>>,
    ) -> Result<Vec<Range>, StoreError> {
        let mut ranges = HashSet::new();
        let mut filter = HeadFilter {
            statuses: vec![Status::Done],
            wallet: Some(wallet.id.clone()),
            after: since.map(first_id),
            limit: PAGE,
            ..HeadFilter::default()
        };
        loop {
            let heads = self.store.heads(filter.clone()).await?;
            let Some(last) = heads.last() else {
                return Ok(ranges.into_iter().collect());
            };
            filter.after = Some(last.new.id.clone());
            for head in &heads {
                let loaded = self.store.load(&head.new.id).await?;
                // A log that does not fold is the audit's to report.
                if let Some(Ok((saga, _))) = loaded.map(|loaded| fold(&loaded)) {
                    ranges.extend(saga.stranded_ranges());
                }
            }
        }
    }
}

/// Ids sort by time: the one before all that were made since then.
fn first_id(since: DateTime<Utc>) -> SagaId {
    let millis = u64::try_from(since.timestamp_millis()).unwrap_or(0);
    let first = uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]);
    SagaId::new(first.into_uuid().to_string())
}
