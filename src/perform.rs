//! Step → Seen: the I/O of one step. It decides nothing; what it saw goes to `decide`.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::driver::Driver;
use crate::ports::{Clock, Keyset, Mint, ProofRow, Store, StoreError, SwapInputs, Wallet};
use crate::saga::code::Code;
use crate::saga::command::{Command, Kind};
use crate::saga::decide::{Look, judge, policy};
use crate::saga::event::{MintSent, Plan, Purpose, SwapPrepared};
use crate::saga::ids::{Amount, Coin, Outputs, Range, SagaId, Signature, SignedCoin, Y};
use crate::saga::plan::{self, NoPlan, Terms};
use crate::saga::proofs::ProofState;
use crate::saga::state::{Saga, State};
use crate::saga::step::{
    Change, Evidence, Funding, Inquiry, MeltWord, MintState, Preflight, QuoteState, Seen, Step,
    Trouble,
};

/// Times that coins are chosen again, after a conflict or a look at the mint.
const ROUNDS_MAX: u32 = 5;

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
    pub fn release(&self, saga: &SagaId) {
        self.with(|claims| claims.retain(|_, holder| holder != saga));
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<Y, SagaId>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

type Answer<T> = Result<T, Trouble>;

impl<S: Store, M: Mint, C: Clock> Driver<S, M, C> {
    /// Does the step. `Err` only for the store: the mint's troubles are something seen.
    pub(crate) async fn perform(
        &self,
        saga: &Saga,
        step: &Step,
        round: &Round,
    ) -> Result<Seen, StoreError> {
        let wallet = wallet_of(saga);
        Ok(match step {
            Step::Accept | Step::ReleaseRest | Step::Stop => Seen::Done,
            Step::QuoteMelt => Seen::MeltQuote(self.quote_melt(saga, &wallet).await),
            Step::QuoteMint => Seen::MintQuote(self.quote_mint(saga, &wallet).await),
            Step::Preflight => Seen::Preflight(self.preflight(saga, &wallet, round).await?),
            Step::PrepareMelt { keyset, blanks } => Seen::MeltPrepared(if *blanks == 0 {
                None
            } else {
                let start = self
                    .store
                    .take_counters(&wallet.id, keyset, *blanks)
                    .await?;
                Some(Range {
                    keyset: keyset.clone(),
                    start,
                    count: *blanks,
                })
            }),
            Step::PrepareSwap { keyset, amounts } => {
                let count = u32::try_from(amounts.len()).unwrap_or(u32::MAX);
                let start = self.store.take_counters(&wallet.id, keyset, count).await?;
                let (keyset, amounts) = (keyset.clone(), amounts.clone());
                Seen::SwapPrepared(Outputs {
                    keyset,
                    start,
                    amounts,
                })
            }
            Step::PrepareFence { inputs, attempt } => {
                Seen::FencePrepared(self.prepare_fence(&wallet, inputs, *attempt).await?)
            }
            Step::PrepareReceive { amount, .. } => {
                Seen::ReceivePrepared(self.outputs(&wallet, *amount).await?)
            }
            Step::PrepareMint { .. } => Seen::MintPrepared(self.prepare_mint(saga, &wallet).await?),
            Step::PostSwap(swap) => Seen::Swapped(self.post_swap(saga, &wallet, swap).await?),
            Step::PostMelt => Seen::Melted(self.post_melt(saga, &wallet).await?),
            Step::PostMint(sent) => Seen::Minted(self.post_mint(saga, &wallet, sent).await),
            Step::Inquire(inquiry) => Seen::Evidence(self.inquire(saga, &wallet, inquiry).await),
        })
    }

    async fn quote_melt(
        &self,
        saga: &Saga,
        wallet: &Wallet,
    ) -> Answer<crate::saga::step::MeltQuote> {
        let Command::Melt(melt) = &saga.adoption.command else {
            return Err(nonsense("no melt"));
        };
        let amount = melt.amountless.then_some(melt.amount_msat);
        self.mint.quote_melt(wallet, &melt.invoice, amount).await
    }

    async fn quote_mint(
        &self,
        saga: &Saga,
        wallet: &Wallet,
    ) -> Answer<crate::saga::step::MintQuote> {
        let Command::Mint(mint) = &saga.adoption.command else {
            return Err(nonsense("no mint"));
        };
        self.mint
            .quote_mint(wallet, &saga.adoption.id, mint.amount)
            .await
    }

    /// Chooses coins, looks at them at the mint, and chooses again without those that are not
    /// free, as far as the policy allows.
    async fn preflight(
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
        let mut excluded: Vec<Y> = Vec::new();
        for _ in round.number.min(ROUNDS_MAX)..ROUNDS_MAX {
            let rows = self.store.proofs(&wallet.id, &[]).await?;
            let plan = match self.choose(saga, &rows, &keysets, &excluded, round) {
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
                Look::Again => excluded.extend(seen.findings.iter().map(|f| f.y.clone())),
            }
        }
        Ok(Ok(seen))
    }

    /// The plan over the free coins, claimed for this pass.
    fn choose(
        &self,
        saga: &Saga,
        rows: &[ProofRow],
        keysets: &[Keyset],
        excluded: &[Y],
        round: &Round,
    ) -> Result<Plan, (Code, String)> {
        let Some(quote) = &saga.quote else {
            return Err((Code::QuoteMismatch, "there is no quote".to_owned()));
        };
        let terms = Terms {
            amount: quote.amount,
            fee_reserve: quote.fee_reserve,
            keysets,
            returns_change: true,
            bounds: self.tuning.bounds,
            spread: u64::from(round.number) + u64::from(round.tries),
        };
        let me = &saga.adoption.id;
        self.claims.with(|claims| {
            claims.retain(|_, holder| holder != me);
            let is_free = |row: &&ProofRow| {
                row.state == ProofState::Unspent && !excluded.contains(&row.coin.y)
            };
            let free: Vec<Coin> = rows
                .iter()
                .filter(is_free)
                .filter(|row| !claims.contains_key(&row.coin.y))
                .map(|row| row.coin.clone())
                .collect();
            match plan::choose(&free, &terms) {
                Ok(plan) => {
                    let ys = plan.inputs.iter().map(|c| (c.y.clone(), me.clone()));
                    claims.extend(ys);
                    Ok(plan)
                }
                Err(why) => Err(explain(&why, &terms, rows, &free, saga)),
            }
        })
    }

    async fn prepare_fence(
        &self,
        wallet: &Wallet,
        inputs: &[Coin],
        attempt: u32,
    ) -> Result<Answer<Option<SwapPrepared>>, StoreError> {
        let keysets = match self.mint.keysets(wallet).await {
            Ok(keysets) => keysets,
            Err(trouble) => return Ok(Err(trouble)),
        };
        let Some((coin, fee, amounts, keyset)) = plan::fence_input(inputs, &keysets) else {
            return Ok(Ok(None));
        };
        let count = u32::try_from(amounts.len()).unwrap_or(u32::MAX);
        let start = self.store.take_counters(&wallet.id, &keyset, count).await?;
        Ok(Ok(Some(SwapPrepared {
            purpose: Purpose::Fence,
            inputs: vec![coin.y.clone()],
            input_amount: coin.amount,
            fee,
            outputs: Outputs {
                keyset,
                start,
                amounts,
            },
            attempt: attempt.saturating_add(1),
        })))
    }

    /// Outputs of this sum on the active keyset, with counters taken for them.
    async fn outputs(
        &self,
        wallet: &Wallet,
        amount: Amount,
    ) -> Result<Answer<Outputs>, StoreError> {
        let keysets = match self.mint.keysets(wallet).await {
            Ok(keysets) => keysets,
            Err(trouble) => return Ok(Err(trouble)),
        };
        let parts = plan::output_keyset(&keysets)
            .and_then(|out| Some((out.id.clone(), plan::split(amount, &out.amounts)?)));
        let Some((keyset, amounts)) = parts else {
            return Ok(Err(Trouble::Unknown {
                code: Code::UnitUnknown,
                detail: format!("no active keyset can express {amount} {}", wallet.unit),
            }));
        };
        let count = u32::try_from(amounts.len()).unwrap_or(u32::MAX);
        let start = self.store.take_counters(&wallet.id, &keyset, count).await?;
        Ok(Ok(Outputs {
            keyset,
            start,
            amounts,
        }))
    }

    async fn prepare_mint(
        &self,
        saga: &Saga,
        wallet: &Wallet,
    ) -> Result<Answer<Funding>, StoreError> {
        let Some(quote) = &saga.quote else {
            return Ok(Err(nonsense("no quote")));
        };
        let id = quote.id.as_deref().unwrap_or_default();
        let state = match self.mint.mint_quote(wallet, id).await {
            Ok(state) => state,
            Err(trouble) => return Ok(Err(trouble)),
        };
        match state {
            QuoteState::Paid => Ok(self
                .outputs(wallet, quote.amount)
                .await?
                .map(Funding::Ready)),
            QuoteState::Issued => Ok(Ok(Funding::Issued)),
            QuoteState::Unpaid | QuoteState::Pending | QuoteState::Failed | QuoteState::Unknown => {
                Ok(Ok(Funding::Unpaid))
            }
        }
    }

    async fn post_swap(
        &self,
        saga: &Saga,
        wallet: &Wallet,
        swap: &SwapPrepared,
    ) -> Result<Answer<Vec<SignedCoin>>, StoreError> {
        let inputs = match (&saga.adoption.command, swap.purpose) {
            (Command::Receive(receive), Purpose::Receive) => match &receive.sealed {
                Some(sealed) => SwapInputs::Sealed(saga.adoption.id.clone(), sealed.clone()),
                None => return Ok(Err(nonsense("the token was erased"))),
            },
            _ => SwapInputs::Coins(self.signed(&swap.inputs).await?),
        };
        let answer = self.mint.swap(wallet, &inputs, &swap.outputs).await;
        Ok(self.heed(wallet, answer))
    }

    async fn post_melt(
        &self,
        saga: &Saga,
        wallet: &Wallet,
    ) -> Result<Answer<MeltWord>, StoreError> {
        let (Some(sent), Some(quote)) = (&saga.sent, &saga.quote) else {
            return Ok(Err(nonsense("nothing to send")));
        };
        let inputs = self.signed(&sent.inputs).await?;
        let id = quote.id.as_deref().unwrap_or_default();
        let answer = self
            .mint
            .melt(wallet, id, &inputs, sent.blanks.as_ref())
            .await;
        Ok(self.heed(wallet, answer))
    }

    async fn post_mint(
        &self,
        saga: &Saga,
        wallet: &Wallet,
        sent: &MintSent,
    ) -> Answer<Vec<SignedCoin>> {
        let id = saga
            .quote
            .as_ref()
            .and_then(|q| q.id.as_deref())
            .unwrap_or_default();
        let answer = self
            .mint
            .mint(wallet, &saga.adoption.id, id, &sent.outputs)
            .await;
        self.heed(wallet, answer)
    }

    /// A refusal of a keyset makes the cached list stale.
    fn heed<T>(&self, wallet: &Wallet, answer: Answer<T>) -> Answer<T> {
        if let Err(Trouble::Refused(refusal)) = &answer
            && matches!(refusal.mint_code, Some(11005 | 12001..=12003))
        {
            self.mint.forget_keysets(wallet);
        }
        answer
    }

    /// Our coins with their signatures, in the order asked for.
    async fn signed(&self, ys: &[Y]) -> Result<Vec<(Coin, Signature)>, StoreError> {
        let rows = self.store.proofs_by_y(ys).await?;
        ys.iter()
            .map(|y| {
                let row = rows.iter().find(|row| &row.coin.y == y);
                let row =
                    row.ok_or_else(|| StoreError::Unusable(format!("no row for coin {y}")))?;
                Ok((row.coin.clone(), row.signature.clone()))
            })
            .collect()
    }

    /// States first, because they never block; then the quote, because a mint may settle only when
    /// asked; then NUT-09, for what was signed and never arrived.
    async fn inquire(&self, saga: &Saga, wallet: &Wallet, inquiry: &Inquiry) -> Evidence {
        let states = match inquiry.ys.as_slice() {
            [] => Ok(Vec::new()),
            ys => self.mint.check_state(wallet, ys).await,
        };
        let quote =
            match &inquiry.quote {
                None => None,
                Some((Kind::Mint, id)) => Some(self.mint.mint_quote(wallet, id).await.map(
                    |state| MeltWord {
                        state,
                        preimage: None,
                        change: None,
                    },
                )),
                Some((Kind::Melt | Kind::Receive, id)) => Some(
                    self.mint
                        .melt_quote(wallet, id, inquiry.blanks.as_ref())
                        .await,
                ),
            };
        let mut restored = Vec::new();
        for outputs in &inquiry.outputs {
            restored.push(self.restore(wallet, outputs).await);
        }
        let told = quote
            .as_ref()
            .and_then(|q| q.as_ref().ok())
            .and_then(|w| w.change.clone());
        let spent = |s: &Vec<MintState>| s.iter().all(|state| *state == MintState::Spent);
        let settled = matches!(saga.state, State::Owing | State::Paid);
        let change = match &inquiry.blanks {
            Some(blanks) if settled || states.as_ref().is_ok_and(spent) => {
                self.change(saga, wallet, blanks, told).await
            }
            _ => told,
        };
        Evidence {
            states,
            quote,
            change,
            restored,
        }
    }

    /// All change that can be found: what the quote told, and NUT-09 where that is not complete.
    async fn change(
        &self,
        saga: &Saga,
        wallet: &Wallet,
        blanks: &Range,
        told: Option<Change>,
    ) -> Option<Change> {
        let guaranteed = saga.sent.as_ref().map_or(0, |s| s.guaranteed_change);
        let got: Amount = told
            .iter()
            .flat_map(|c| &c.coins)
            .map(|c| c.coin.amount)
            .sum();
        if told
            .as_ref()
            .is_some_and(|c| c.bad == 0 && !c.coins.is_empty() && got >= guaranteed)
        {
            return told;
        }
        let Ok(found) = self.mint.restore(wallet, blanks).await else {
            return told;
        };
        let mut all = told.unwrap_or_default();
        all.bad = all.bad.max(found.bad);
        for coin in found.coins {
            if !all.coins.iter().any(|have| have.coin.y == coin.coin.y) {
                all.coins.push(coin);
            }
        }
        Some(all)
    }

    /// NUT-09 for outputs of known amounts: all of them, or none; anything else is no answer.
    async fn restore(&self, wallet: &Wallet, outputs: &Outputs) -> Answer<Vec<SignedCoin>> {
        let found = self.mint.restore(wallet, &outputs.range()).await?;
        let mut coins = found.coins;
        coins.sort_by_key(|c| c.coin.counter);
        let as_asked = coins.len() == outputs.amounts.len()
            && coins
                .iter()
                .zip(&outputs.amounts)
                .all(|(c, amount)| c.coin.amount == *amount);
        if found.bad == 0 && (coins.is_empty() || as_asked) {
            return Ok(coins);
        }
        Err(nonsense(
            "the mint returned other signatures than were asked for",
        ))
    }
}

fn nonsense(detail: &str) -> Trouble {
    Trouble::Unknown {
        code: Code::MintNonsense,
        detail: detail.to_owned(),
    }
}

/// The wallet of a saga.
pub(crate) fn wallet_of(saga: &Saga) -> Wallet {
    Wallet {
        id: saga.adoption.wallet.clone(),
        npub: saga.adoption.npub.clone(),
        mint_url: saga.adoption.mint_url.clone(),
        unit: saga.adoption.unit.clone(),
    }
}

/// Why there is no plan, with the figures a person needs. What other melts hold is not missing,
/// only busy.
fn explain(
    why: &NoPlan,
    terms: &Terms<'_>,
    rows: &[ProofRow],
    free: &[Coin],
    saga: &Saga,
) -> (Code, String) {
    let unit = &saga.adoption.unit;
    match why {
        NoPlan::Insufficient { missing } => {
            let held: Amount = rows
                .iter()
                .filter(|row| row.state != ProofState::Spent)
                .filter(|row| !free.iter().any(|c| c.y == row.coin.y))
                .map(|row| row.coin.amount)
                .sum();
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
