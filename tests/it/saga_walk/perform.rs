//! Step → Seen for a walk: what the real driver's `perform` does, at the model's mint.

use meltd::saga::code::Code;
use meltd::saga::command::Kind;
use meltd::saga::event::{Purpose, SwapPrepared};
use meltd::saga::ids::{Amount, Coin, Outputs, Range, SignedCoin};
use meltd::saga::plan::{self, Bounds, Terms};
use meltd::saga::state::State;
use meltd::saga::step::{
    Change, Evidence, Funding, Inquiry, MeltQuote, MeltWord, MintQuote, MintState, Preflight,
    QuoteState, Seen, Step, Trouble,
};

use super::Walk;
use crate::saga_kit::*;
use crate::saga_model::{Reply, Request, keyset_id};

impl Walk {
    pub(super) fn perform(&mut self, step: &Step) -> Seen {
        let is_silent = self.mint.tape.pick(12) == 11;
        match step {
            Step::Accept | Step::ReleaseRest | Step::Reconcile | Step::Stop => Seen::Done,
            Step::QuoteMelt if is_silent => Seen::MeltQuote(unknown()),
            Step::QuoteMelt => Seen::MeltQuote(Ok(self.quote())),
            Step::Preflight if is_silent => Seen::Preflight(unknown()),
            Step::Preflight => Seen::Preflight(Ok(self.preflight())),
            Step::PrepareMelt { keyset, blanks } => {
                let range = (*blanks > 0).then(|| Range {
                    keyset: keyset.clone(),
                    start: self.take(*blanks as usize),
                    count: *blanks,
                });
                Seen::MeltPrepared(range)
            }
            Step::PrepareSwap { keyset, amounts } => Seen::SwapPrepared(Outputs {
                keyset: keyset.clone(),
                start: self.take(amounts.len()),
                amounts: amounts.clone(),
            }),
            Step::PrepareFence { .. } if is_silent => Seen::FencePrepared(unknown()),
            Step::PrepareFence { inputs, attempt } => {
                Seen::FencePrepared(Ok(self.fence(inputs, *attempt)))
            }
            Step::PrepareReceive { .. } if is_silent => Seen::ReceivePrepared(unknown()),
            Step::PrepareReceive { amount, .. } => Seen::ReceivePrepared(Ok(self.outputs(*amount))),
            Step::QuoteMint if is_silent => Seen::MintQuote(unknown()),
            Step::QuoteMint => Seen::MintQuote(Ok(self.mint_quote())),
            Step::PrepareMint { .. } if is_silent => Seen::MintPrepared(unknown()),
            Step::PrepareMint { .. } => Seen::MintPrepared(Ok(match self.mint.funding {
                QuoteState::Paid => Funding::Ready(self.outputs(mint_command().amount)),
                QuoteState::Issued => Funding::Issued,
                _ => Funding::Unpaid,
            })),
            Step::PostSwap(swap) => Seen::Swapped(self.post_swap(swap)),
            Step::PostMelt => Seen::Melted(self.post_melt()),
            Step::PostMint(sent) => {
                let outputs = sent.outputs.clone();
                Seen::Minted(signed_of(self.mint.post(Request::Mint { outputs })))
            }
            Step::Inquire(inquiry) => Seen::Evidence(self.inquire(inquiry)),
        }
    }

    fn quote(&mut self) -> MeltQuote {
        let n = self.mint.quote(100);
        MeltQuote {
            id: n.to_string(),
            invoice: None,
            unit: None,
            amount: 100,
            fee_reserve: self.mint.quotes[n].reserve,
            state: QuoteState::Unpaid,
            expires_at: at(self.minutes + 30),
        }
    }

    fn mint_quote(&mut self) -> MintQuote {
        MintQuote {
            id: "funding".to_owned(),
            invoice: INVOICE.to_owned(),
            amount: None,
            unit: None,
            expires_at: Some(at(self.minutes + 30)),
            locked: false,
        }
    }

    fn preflight(&mut self) -> Preflight {
        let (keysets, coins) = (self.mint.keysets(), self.rows.unspent());
        let bounds = Bounds {
            overpay_max: [500, 0][usize::from(self.mint.tape.pick(2))],
            inputs_max: 100,
            blanks_max: 100,
            exposure_max: 1 << 40,
        };
        let terms = Terms {
            amount: 100,
            fee_reserve: self.saga.quote.as_ref().unwrap().fee_reserve,
            keysets: &keysets,
            returns_change: true,
            bounds,
            spread: u64::from(self.tries),
        };
        let why = |_| (Code::InsufficientBalance, String::new());
        Preflight {
            plan: plan::choose(&coins, &terms).map_err(why),
            findings: Vec::new(),
            corrections: Vec::new(),
        }
    }

    fn outputs(&mut self, amount: Amount) -> Outputs {
        let keyset = keyset_id(self.mint.active);
        let powers: Vec<Amount> = (0..20).map(|n| 1 << n).collect();
        let amounts = plan::split(amount, &powers).unwrap();
        Outputs {
            start: self.take(amounts.len()),
            keyset,
            amounts,
        }
    }

    fn fence(&mut self, inputs: &[Coin], attempt: u32) -> Option<SwapPrepared> {
        let keysets = self.mint.keysets();
        let (coin, fee, amounts, keyset) = plan::fence_input(inputs, &keysets)?;
        Some(SwapPrepared {
            purpose: Purpose::Fence,
            inputs: vec![coin.y.clone()],
            input_amount: coin.amount,
            fee,
            outputs: Outputs {
                start: self.take(amounts.len()),
                keyset,
                amounts,
            },
            attempt: attempt + 1,
        })
    }

    fn post_swap(&mut self, swap: &SwapPrepared) -> Result<Vec<SignedCoin>, Trouble> {
        let (inputs, outputs) = (swap.inputs.clone(), swap.outputs.clone());
        signed_of(self.mint.post(Request::Swap { inputs, outputs }))
    }

    fn quote_at(&self) -> usize {
        let quote = self.saga.quote.as_ref().unwrap();
        quote.id.as_ref().unwrap().parse().unwrap()
    }

    fn post_melt(&mut self) -> Result<MeltWord, Trouble> {
        let sent = self.saga.sent.clone().unwrap();
        let request = Request::Melt {
            quote: self.quote_at(),
            inputs: sent.inputs,
            blanks: sent.blanks,
        };
        match self.mint.post(request)? {
            Reply::Melt(word) => Ok(word),
            Reply::Signed(_) => panic!("a melt is not signed"),
        }
    }

    /// The order of the real one: states, quote, NUT-09; anything can happen between them.
    fn inquire(&mut self, inquiry: &Inquiry) -> Evidence {
        let states = inquiry.ys.iter().map(|y| self.mint.coins[y].1).collect();
        let states: Result<Vec<_>, _> = self.heard(states);
        self.mint.stir();
        let quote = inquiry.quote.as_ref().map(|(kind, _)| match kind {
            Kind::Mint => word(self.mint.funding),
            Kind::Melt | Kind::Receive | Kind::Reconcile => {
                let at = self.quote_at();
                self.mint.word(at)
            }
        });
        let quote = quote.map(|word| self.heard(word));
        self.mint.stir();
        let outputs = inquiry.outputs.clone();
        let restored = outputs.iter().map(|o| {
            let found = self.mint.restore(&o.range());
            self.heard(found)
        });
        let restored = restored.collect();
        let told = quote.as_ref().and_then(|q| q.as_ref().ok()?.change.clone());
        let is_settled = matches!(self.saga.state, State::Owing | State::Paid);
        let spent = |s: &Vec<MintState>| s.iter().all(|s| *s == MintState::Spent);
        let change = match &inquiry.blanks {
            Some(blanks) if is_settled || states.as_ref().is_ok_and(spent) => {
                let coins = self.mint.restore(blanks);
                let found = self.heard(coins).ok();
                found.map_or(told, |coins| Some(Change { coins, bad: 0 }))
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

    /// An answer, or silence.
    fn heard<T>(&mut self, answer: T) -> Result<T, Trouble> {
        match self.mint.tape.pick(8) {
            7 => unknown(),
            _ => Ok(answer),
        }
    }
}

fn signed_of(answer: Result<Reply, Trouble>) -> Result<Vec<SignedCoin>, Trouble> {
    match answer? {
        Reply::Signed(coins) => Ok(coins),
        Reply::Melt(_) => panic!("a melt's answer"),
    }
}
