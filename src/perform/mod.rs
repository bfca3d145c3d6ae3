//! Step → Seen: the I/O of one step. It decides nothing; what it saw goes to `decide`.

mod counters;
mod inquire;
mod preflight;
mod reconcile;

use crate::driver::Driver;
use crate::ports::{Clock, Mint, Store, StoreError, SwapInputs, Wallet};
use crate::saga::code::Code;
use crate::saga::command::Command;
use crate::saga::event::{MintSent, Purpose, SwapPrepared};
use crate::saga::ids::{Amount, Coin, Outputs, Range, Signature, SignedCoin, Y};
use crate::saga::plan;
use crate::saga::state::Saga;
use crate::saga::step::{
    Evidence, Funding, MeltQuote, MeltWord, MintQuote, QuoteState, Seen, Step, Trouble,
};

pub(crate) use counters::Probes;
pub(crate) use preflight::{Claims, Round};

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
            Step::PrepareMelt { blanks: 0, .. } => Seen::MeltPrepared(None),
            Step::PrepareMelt { keyset, blanks } => {
                match self.take_counters(&wallet, keyset, *blanks).await? {
                    Ok(start) => Seen::MeltPrepared(Some(Range {
                        keyset: keyset.clone(),
                        start,
                        count: *blanks,
                    })),
                    Err(trouble) => Seen::NoCounters(trouble),
                }
            }
            Step::PrepareSwap { keyset, amounts } => {
                let count = u32::try_from(amounts.len()).unwrap_or(u32::MAX);
                match self.take_counters(&wallet, keyset, count).await? {
                    Ok(start) => Seen::SwapPrepared(Outputs {
                        keyset: keyset.clone(),
                        start,
                        amounts: amounts.clone(),
                    }),
                    Err(trouble) => Seen::NoCounters(trouble),
                }
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
            Step::Reconcile => Seen::Truth(match &saga.adoption.command {
                Command::Reconcile(command) => self.truth(&wallet, command).await?,
                _ => Err(nonsense("no reconciliation")),
            }),
        })
    }

    async fn quote_melt(&self, saga: &Saga, wallet: &Wallet) -> Answer<MeltQuote> {
        let Command::Melt(melt) = &saga.adoption.command else {
            return Err(nonsense("no melt"));
        };
        let amount = melt.amountless.then_some(melt.amount_msat);
        self.mint.quote_melt(wallet, &melt.invoice, amount).await
    }

    async fn quote_mint(&self, saga: &Saga, wallet: &Wallet) -> Answer<MintQuote> {
        let Command::Mint(mint) = &saga.adoption.command else {
            return Err(nonsense("no mint"));
        };
        self.mint
            .quote_mint(wallet, &saga.adoption.id, mint.amount)
            .await
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
        let start = match self.take_counters(wallet, &keyset, count).await? {
            Ok(start) => start,
            Err(trouble) => return Ok(Err(trouble)),
        };
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
        let start = match self.take_counters(wallet, &keyset, count).await? {
            Ok(start) => start,
            Err(trouble) => return Ok(Err(trouble)),
        };
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

    /// A refusal of a keyset makes the cached list stale; one of outputs, the look at the counters.
    fn heed<T>(&self, wallet: &Wallet, answer: Answer<T>) -> Answer<T> {
        if let Err(Trouble::Refused(refusal)) = &answer {
            if matches!(refusal.mint_code, Some(11005 | 12001..=12003)) {
                self.mint.forget_keysets(wallet);
            }
            self.doubt_counters(wallet, refusal);
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
}

/// Whether the mint has answered a question; `None` if it was not asked one. A post is no question:
/// it may take as long as the payment behind it.
pub(crate) fn is_heard(seen: &Seen) -> Option<bool> {
    fn told<T>(answer: &Answer<T>) -> bool {
        !matches!(answer, Err(Trouble::Unknown { .. }))
    }
    match seen {
        Seen::MeltQuote(answer) => Some(told(answer)),
        Seen::MintQuote(answer) => Some(told(answer)),
        Seen::Preflight(answer) => Some(told(answer)),
        Seen::MintPrepared(answer) => Some(told(answer)),
        // The quote is not looked at: a mint may hold that answer back while it pays.
        Seen::Evidence(Evidence {
            states: Ok(none), ..
        }) if none.is_empty() => None,
        Seen::Evidence(evidence) => Some(told(&evidence.states)),
        Seen::Truth(answer) => Some(told(answer)),
        // Counters that are behind are the wallet's trouble; only silence is the mint's.
        Seen::NoCounters(trouble) => match trouble {
            Trouble::Unknown {
                code: Code::CountersBehind,
                ..
            } => None,
            trouble => Some(!matches!(trouble, Trouble::Unknown { .. })),
        },
        Seen::Done
        | Seen::MeltPrepared(_)
        | Seen::SwapPrepared(_)
        | Seen::FencePrepared(_)
        | Seen::ReceivePrepared(_)
        | Seen::Swapped(_)
        | Seen::Melted(_)
        | Seen::Minted(_) => None,
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
