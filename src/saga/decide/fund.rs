//! Funding: mint quotes and received tokens.

use chrono::TimeDelta;

use super::super::code::Code;
use super::super::command::Command;
use super::super::event::{
    CriticalRaised, Entry, Event, MintQuoteCreated, MintSent, Minted, Private, Purpose, Rejected,
    SwapPrepared,
};
use super::super::ids::{Outputs, SignedCoin};
use super::super::state::Saga;
use super::super::step::{
    Evidence, Funding, Inquiry, MintQuote, QuoteState, Step, Trouble, inquiry,
};
use super::{Ctx, Decision, contradiction, melt, swap};

/// How long after its expiry a mint quote is still asked for: a payment can be on its way when
/// the invoice expires, and giving up on it would strand the payer's money.
const MINT_QUOTE_GRACE: TimeDelta = TimeDelta::hours(1);

/// The mint's funding quote.
pub(super) fn quoted(saga: &Saga, answer: Result<MintQuote, Trouble>, ctx: &Ctx) -> Decision {
    let Command::Mint(command) = &saga.adoption.command else {
        return Decision::next();
    };
    let quote = match answer {
        Ok(quote) => quote,
        Err(trouble) => return melt::reject_or_later(saga, &trouble, ctx),
    };
    let a = &saga.adoption;
    let other_amount = quote.amount.is_some_and(|amount| amount != command.amount);
    if other_amount || quote.unit.as_ref().is_some_and(|unit| unit != &a.unit) {
        let reason = "the mint quoted another amount or unit than the one asked for".to_owned();
        return Decision::event(Event::Rejected(Rejected {
            code: Code::QuoteMismatch,
            reason,
        }));
    }
    let event = Event::MintQuoteCreated(MintQuoteCreated {
        wallet: a.wallet.clone(),
        mint_url: a.mint_url.clone(),
        unit: a.unit.clone(),
        amount: command.amount,
        expires_at: quote.expires_at,
        locked: quote.locked,
    });
    let private = Private {
        npub: Some(a.npub.clone()),
        quote_id: Some(quote.id),
        invoice: Some(quote.invoice),
        ..Private::default()
    };
    Decision::events([Entry { event, private }])
}

/// The quote was asked for; if it is paid, outputs are ready.
pub(super) fn mint_prepared(saga: &Saga, answer: Result<Funding, Trouble>, ctx: &Ctx) -> Decision {
    match answer {
        Ok(Funding::Ready(outputs)) => {
            let attempt = u32::try_from(saga.minting.len())
                .unwrap_or(u32::MAX)
                .saturating_add(1);
            Decision::event(Event::MintSent(MintSent { outputs, attempt }))
        }
        Ok(Funding::Unpaid) => {
            let expires = saga.quote.as_ref().and_then(|q| q.expires_at);
            match expires.and_then(|at| at.checked_add_signed(MINT_QUOTE_GRACE)) {
                Some(end) if end <= ctx.now && saga.minting.is_empty() => {
                    let code = Code::MintQuoteExpired;
                    let reason = "the funding invoice was not paid before it expired".to_owned();
                    Decision::event(Event::Rejected(Rejected { code, reason }))
                }
                _ => Decision::later("waiting for the funding invoice to be paid"),
            }
        }
        Ok(Funding::Issued) => issued_elsewhere(ctx),
        Err(trouble) => Decision::later(trouble.explain().1),
    }
}

/// Issued, and never by this saga. A mint never takes that back, so after enough looks the saga
/// ends; it is not parked, because a funding that waits for its payer must always be looked at.
fn issued_elsewhere(ctx: &Ctx) -> Decision {
    let code = Code::IssuedButEmpty;
    let reason = "the mint says that this quote was issued, but we never asked it to";
    if ctx.doubted(code) < ctx.limits.contradictions_max {
        return Decision::doubt(code, reason);
    }
    let raised = Event::CriticalRaised(CriticalRaised {
        code,
        reason: reason.to_owned(),
        requires_manual_intervention: true,
    });
    let rejected = Event::Rejected(Rejected {
        code,
        reason: reason.to_owned(),
    });
    Decision::events([raised.into(), rejected.into()])
}

/// The answer to minting.
pub(super) fn minted(saga: &Saga, answer: Result<Vec<SignedCoin>, Trouble>) -> Decision {
    let asked = saga.minting.last().map(|sent| sent.outputs.amounts.len());
    match answer {
        Ok(coins) if Some(coins.len()) == asked => funded(coins),
        Ok(_) => Decision::later("the mint signed another number of outputs than it was given"),
        Err(Trouble::Refused(_)) => Decision::go(Step::Inquire(inquiry(saga))),
        Err(trouble @ Trouble::Unknown { .. }) => Decision::later(trouble.explain().1),
    }
}

fn funded(coins: Vec<SignedCoin>) -> Decision {
    let (coins, private) = swap::split_signatures(coins);
    Decision::events([Entry {
        event: Event::Minted(Minted { coins }),
        private,
    }])
}

/// What the mint knows after the intent of minting.
pub(super) fn evidence(saga: &Saga, inquiry: &Inquiry, evidence: Evidence, ctx: &Ctx) -> Decision {
    let whole = |outputs: &Outputs, coins: &[SignedCoin]| coins.len() == outputs.amounts.len();
    let pairs = inquiry.outputs.iter().zip(&evidence.restored);
    let found = pairs.into_iter().find_map(|(outputs, restored)| {
        restored.as_ref().ok().filter(|coins| whole(outputs, coins))
    });
    if let Some(coins) = found {
        return funded(coins.clone());
    }
    if evidence.restored.iter().any(Result::is_err) {
        return Decision::later("NUT-09 does not answer");
    }
    let Some(last) = saga.minting.last() else {
        return Decision::later("nothing was sent");
    };
    match evidence
        .quote
        .as_ref()
        .map(|q| q.as_ref().map(|word| word.state))
    {
        Some(Ok(QuoteState::Issued)) => contradiction(
            saga,
            Code::IssuedButEmpty,
            "the mint says that this quote was issued, but returns no signatures for our outputs",
            ctx,
        ),
        Some(Ok(QuoteState::Paid)) if ctx.held(saga).is_some() => {
            Decision::later(ctx.held(saga).unwrap_or_default())
        }
        Some(Ok(QuoteState::Paid)) => match &ctx.refused {
            Some(_) if last.attempt < ctx.limits.ranges_max => Decision::go(Step::PrepareMint {
                attempt: last.attempt,
            }),
            Some(refusal) => Decision::later(refusal.explain()),
            None => Decision::go(Step::PostMint(last.clone())),
        },
        _ => Decision::later("the mint does not say what became of the quote"),
    }
}

/// Outputs for a received token are chosen: the intent of its swap.
pub(super) fn receive_prepared(
    saga: &Saga,
    answer: Result<Outputs, Trouble>,
    ctx: &Ctx,
) -> Decision {
    let Command::Receive(command) = &saga.adoption.command else {
        return Decision::next();
    };
    let outputs = match answer {
        // A swap without outputs would give the token away.
        Ok(outputs) if outputs.amounts.is_empty() && saga.swaps.is_empty() => {
            let (amount, fee) = (command.amount, command.input_fee);
            let reason = format!("the token is worth {amount}, and swapping it costs {fee}");
            let code = Code::TokenTooSmall;
            return Decision::event(Event::Rejected(Rejected { code, reason }));
        }
        Ok(outputs) => outputs,
        Err(trouble) if saga.swaps.is_empty() => {
            return melt::reject_or_later(saga, &trouble, ctx);
        }
        Err(trouble) => return Decision::later(trouble.explain().1),
    };
    let attempt = u32::try_from(saga.swaps.len())
        .unwrap_or(u32::MAX)
        .saturating_add(1);
    Decision::event(Event::SwapPrepared(SwapPrepared {
        purpose: Purpose::Receive,
        inputs: command.ys.clone(),
        input_amount: command.amount,
        fee: command.input_fee,
        outputs,
        attempt,
    }))
}
