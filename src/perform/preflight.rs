//! Choosing coins and looking at them at the mint, before anything is reserved.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::Answer;
use crate::driver::Driver;
use crate::ports::{Clock, Keyset, Mint, ProofRow, Store, StoreError, Wallet};
use crate::saga::code::Code;
use crate::saga::decide::{Look, judge, policy};
use crate::saga::event::Plan;
use crate::saga::ids::{Amount, Coin, SagaId, Y};
use crate::saga::plan::{self, NoPlan, Terms};
use crate::saga::proofs::ProofState;
use crate::saga::state::Saga;
use crate::saga::step::{MintState, Preflight};

/// Times that coins are chosen again, after a conflict or a look at the mint.
const ROUNDS_MAX: u32 = 5;

/// Rows that are the wallet's still: free, or held by some melt.
const HELD: [ProofState; 3] = [
    ProofState::Unspent,
    ProofState::Reserved,
    ProofState::Pending,
];

/// What the mint offers, and the coins that it does not hold as free.
struct Offer<'a> {
    keysets: &'a [Keyset],
    returns_change: bool,
    excluded: Vec<Y>,
}

/// Which try of a pass this is.
pub(crate) struct Round {
    /// Conflicts so far in this pass.
    pub number: u32,
    /// Passes without progress before this one.
    pub tries: u32,
}

/// Coins chosen by passes of this process that are not durable yet. It spares the database
/// conflicts that are certain; the guard inside the transaction is what makes the choice safe.
#[derive(Default)]
pub(crate) struct Claims(Mutex<HashMap<Y, SagaId>>);

impl Claims {
    /// Lets go whatever this saga has claimed.
    pub(crate) fn release(&self, saga: &SagaId) {
        self.with(|claims| claims.retain(|_, holder| holder != saga));
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<Y, SagaId>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S: Store, M: Mint, C: Clock> Driver<S, M, C> {
    /// Chooses coins, looks at them at the mint, and chooses again without those that are not
    /// free, as far as the policy allows.
    pub(super) async fn preflight(
        &self,
        saga: &Saga,
        wallet: &Wallet,
        round: &Round,
    ) -> Result<Answer<Preflight>, StoreError> {
        let keysets = match self.mint.keysets(wallet).await {
            Ok(keysets) => keysets,
            Err(trouble) => return Ok(Err(trouble)),
        };
        let mut seen = Preflight {
            plan: Err((Code::CoinsBusy, "the coins kept changing hands".to_owned())),
            findings: Vec::new(),
            corrections: Vec::new(),
        };
        let returns_change = self.mint.returns_change(wallet).await;
        let mut offer = Offer {
            keysets: &keysets,
            returns_change,
            excluded: Vec::new(),
        };
        for _ in round.number.min(ROUNDS_MAX)..ROUNDS_MAX {
            let rows = self.store.proofs(&wallet.id, &HELD).await?;
            let plan = match self.choose(saga, &rows, &offer, round) {
                Ok(plan) => plan,
                Err(why) => {
                    seen.plan = Err(why);
                    return Ok(Ok(seen));
                }
            };
            let ys: Vec<Y> = plan.inputs.iter().map(|c| c.y.clone()).collect();
            let states = match self.mint.check_state(wallet, &ys).await {
                Ok(states) => states,
                Err(trouble) => return Ok(Err(trouble)),
            };
            let chosen: Vec<(Y, MintState)> = ys.into_iter().zip(states).collect();
            let look = judge(
                policy(saga),
                &chosen,
                &mut seen.findings,
                &mut seen.corrections,
            );
            match look {
                Look::Clear => {
                    seen.plan = Ok(plan);
                    return Ok(Ok(seen));
                }
                Look::Block => {
                    let gone = seen.corrections.len();
                    let text = format!("{gone} chosen coin(s) are spent at the mint");
                    seen.plan = Err((Code::MeltBlockedByReconciliation, text));
                    return Ok(Ok(seen));
                }
                Look::Again => offer
                    .excluded
                    .extend(seen.findings.iter().map(|f| f.y.clone())),
            }
        }
        Ok(Ok(seen))
    }

    /// The plan over the free coins, claimed for this pass.
    fn choose(
        &self,
        saga: &Saga,
        rows: &[ProofRow],
        offer: &Offer<'_>,
        round: &Round,
    ) -> Result<Plan, (Code, String)> {
        let Some(quote) = &saga.quote else {
            return Err((Code::QuoteMismatch, "there is no quote".to_owned()));
        };
        let terms = Terms {
            amount: quote.amount,
            fee_reserve: quote.fee_reserve,
            keysets: offer.keysets,
            returns_change: offer.returns_change,
            bounds: self.tuning.bounds,
            spread: u64::from(round.number) + u64::from(round.tries),
        };
        let me = &saga.adoption.id;
        self.claims.with(|claims| {
            claims.retain(|_, holder| holder != me);
            let ours = rows
                .iter()
                .filter(|row| !offer.excluded.contains(&row.coin.y));
            let is_free = |row: &&ProofRow| {
                row.state == ProofState::Unspent && !claims.contains_key(&row.coin.y)
            };
            let (free, held): (Vec<&ProofRow>, Vec<&ProofRow>) = ours.partition(is_free);
            let free: Vec<Coin> = free.into_iter().map(|row| row.coin.clone()).collect();
            match plan::choose(&free, &terms) {
                Ok(plan) => {
                    let ys = plan.inputs.iter().map(|c| (c.y.clone(), me.clone()));
                    claims.extend(ys);
                    Ok(plan)
                }
                Err(why) => {
                    let held = held.iter().map(|row| row.coin.amount).sum();
                    Err(explain(&why, &terms, held, &saga.adoption.unit))
                }
            }
        })
    }
}

/// Why there is no plan, with the figures a person needs. What other melts hold is not missing,
/// only busy.
fn explain(why: &NoPlan, terms: &Terms<'_>, held: Amount, unit: &str) -> (Code, String) {
    match why {
        NoPlan::Insufficient { missing } => {
            let (amount, reserve) = (terms.amount, terms.fee_reserve);
            if held >= *missing {
                let text = format!(
                    "{missing} {unit} more are needed, and {held} {unit} are held by other melts"
                );
                return (Code::CoinsBusy, text);
            }
            let text = format!(
                "{missing} {unit} are missing: the payment takes {amount} {unit}, a fee reserve \
                 of {reserve} {unit} and the mint's input fees"
            );
            (Code::InsufficientBalance, text)
        }
        NoPlan::TooManyInputs { needed } => {
            let max = terms.bounds.inputs_max;
            (
                Code::ExposureLimit,
                format!("it takes {needed} coins, and {max} are allowed"),
            )
        }
        NoPlan::Exposure { at_risk } => {
            let max = terms.bounds.exposure_max;
            let text = format!("{at_risk} {unit} would be at risk, and {max} {unit} are allowed");
            (Code::ExposureLimit, text)
        }
        NoPlan::Keyset => (
            Code::UnitUnknown,
            format!("the mint has no active keyset that can express this in {unit}"),
        ),
    }
}
