//! What differs between the store and the mint, for one reconciliation. The order makes it safe
//! beside living sagas: the mint is asked first, then which sagas live, then the rows. A coin that
//! the mint has signed by then belongs to a saga that still lives, or that has stored it, or to
//! nobody.

use std::collections::HashSet;

use super::Answer;
use crate::driver::{Driver, fold};
use crate::ports::{Clock, HeadFilter, Mint, Store, StoreError, Wallet};
use crate::saga::command::{Kind, ReconcileCommand};
use crate::saga::ids::{Range, SignedCoin, Y};
use crate::saga::proofs::ProofState;
use crate::saga::state::Status;
use crate::saga::step::{MintState, Truth};

/// Ys in one request: a tenth of what mints accept (NUT-07), so that each is answered soon.
const BATCH: usize = 100;

/// Heads read at a time.
const PAGE: u32 = 500;

/// What is not at its end.
const LIVING: [Status; 3] = [Status::Active, Status::Owing, Status::Parked];

impl<S: Store, M: Mint, C: Clock> Driver<S, M, C> {
    pub(super) async fn truth(
        &self,
        wallet: &Wallet,
        command: &ReconcileCommand,
    ) -> Result<Answer<Truth>, StoreError> {
        let states = match self.states(wallet, &command.suspects).await {
            Ok(states) => states,
            Err(trouble) => return Ok(Err(trouble)),
        };
        let found = match self.restored(wallet, &command.ranges).await {
            Ok(found) => found,
            Err(trouble) => return Ok(Err(trouble)),
        };
        let found = self.nobodys(wallet, found).await?;
        let free: HashSet<Y> = self
            .store
            .proofs_by_y(&command.suspects)
            .await?
            .into_iter()
            .filter(|row| row.wallet == wallet.id && row.state == ProofState::Unspent)
            .map(|row| row.coin.y)
            .collect();
        let pairs = command.suspects.iter().zip(states);
        let gone = pairs.filter(|(y, state)| *state == MintState::Spent && free.contains(y));
        Ok(Ok(Truth {
            spent: gone.map(|(y, _)| y.clone()).collect(),
            found,
        }))
    }

    /// The states of any number of Ys, in batches, in order (NUT-07).
    ///
    /// # Errors
    /// The mint's, of the first batch that it does not answer.
    pub(crate) async fn states(&self, wallet: &Wallet, ys: &[Y]) -> Answer<Vec<MintState>> {
        let mut states = Vec::with_capacity(ys.len());
        for batch in ys.chunks(BATCH) {
            states.extend(self.mint.check_state(wallet, batch).await?);
        }
        Ok(states)
    }

    /// What the mint has signed at these counters (NUT-09) and holds as free.
    pub(crate) async fn restored(
        &self,
        wallet: &Wallet,
        ranges: &[Range],
    ) -> Answer<Vec<SignedCoin>> {
        let mut found = Vec::new();
        for range in ranges {
            found.extend(self.mint.restore(wallet, range).await?.coins);
        }
        let ys: Vec<Y> = found.iter().map(|c| c.coin.y.clone()).collect();
        let states = self.states(wallet, &ys).await?;
        let free = found.into_iter().zip(states);
        let free = free.filter(|(_, state)| *state == MintState::Unspent);
        Ok(free.map(|(coin, _)| coin).collect())
    }

    /// Of these coins, those that the store does not have and that no living saga may still take.
    pub(crate) async fn nobodys(
        &self,
        wallet: &Wallet,
        coins: Vec<SignedCoin>,
    ) -> Result<Vec<SignedCoin>, StoreError> {
        let coins = self.unknown(coins).await?;
        if coins.is_empty() {
            return Ok(coins);
        }
        let owned = self.living_ranges(wallet).await?;
        let ours = |coin: &SignedCoin| owned.iter().any(|range| range.holds(&coin.coin));
        let free = coins.into_iter().filter(|coin| !ours(coin)).collect();
        // Once more, for those whose saga has stored them and ended meanwhile.
        self.unknown(free).await
    }

    async fn unknown(&self, mut coins: Vec<SignedCoin>) -> Result<Vec<SignedCoin>, StoreError> {
        let mut known = HashSet::new();
        for batch in coins.chunks(BATCH) {
            let ys: Vec<Y> = batch.iter().map(|c| c.coin.y.clone()).collect();
            let rows = self.store.proofs_by_y(&ys).await?;
            known.extend(rows.into_iter().map(|row| row.coin.y));
        }
        coins.retain(|coin| !known.contains(&coin.coin.y));
        Ok(coins)
    }

    /// The counters that the wallet's living sagas have taken and may still take coins from.
    async fn living_ranges(&self, wallet: &Wallet) -> Result<Vec<Range>, StoreError> {
        let mut ranges = Vec::new();
        let mut filter = HeadFilter {
            statuses: LIVING.to_vec(),
            wallet: Some(wallet.id.clone()),
            limit: PAGE,
            ..HeadFilter::default()
        };
        loop {
            let heads = self.store.heads(filter.clone()).await?;
            let Some(last) = heads.last() else {
                return Ok(ranges);
            };
            filter.after = Some(last.new.id.clone());
            let others = heads.iter().map(|head| &head.new);
            for new in others.filter(|new| new.command.kind() != Kind::Reconcile) {
                let Some(loaded) = self.store.load(&new.id).await? else {
                    continue;
                };
                // What a damaged log has taken cannot be known, so nothing is added beside it.
                let (saga, _) = fold(&loaded)
                    .map_err(|damage| StoreError::Unusable(format!("saga {}: {damage}", new.id)))?;
                ranges.extend(saga.own_ranges());
            }
        }
    }
}
