//! The melt: request, quote, intent, and the evidence after a post.

use super::super::code::Code;
use super::super::command::Command;
use super::super::event::{
    Entry, Event, MeltRequested, Private, ProofsReleased, ProofsSent, Purpose, ReceiveRequested,
    Refusal, Rejected, Released,
};
use super::super::ids::Range;
use super::super::proofs::ProofState;
use super::super::state::{Saga, State};
use super::super::step::{
    Evidence, Inquiry, MeltQuote, MeltWord, MintState, QuoteState, Step, Trouble, fenced, inquiry,
    open_fence, paid_ordered, prepare_fence, release_ordered,
};
use super::super::{ids, quote};
use super::{Ctx, Decision, Inputs, Mode, commit, contradiction, is_over, mode, swap};

/// The first event: what was adopted.
pub(super) fn accept(saga: &Saga) -> Decision {
    let a = &saga.adoption;
    let npub = Some(a.npub.clone());
    match &a.command {
        Command::Melt(melt) => {
            let event = Event::MeltRequested(MeltRequested {
                wallet: a.wallet.clone(),
                mint_url: a.mint_url.clone(),
                unit: a.unit.clone(),
                request_hash: a.request_hash.clone(),
                payment_hash: melt.payment_hash.clone(),
                amount_msat: melt.amount_msat,
                amountless: melt.amountless,
                invoice_expires_at: melt.invoice_expires_at,
                fee_limit: melt.fee_limit,
                policy: melt.policy,
                deadline: melt.deadline,
            });
            let invoice = Some(melt.invoice.clone());
            let private = Private {
                npub,
                invoice,
                ..Private::default()
            };
            Decision::events([Entry { event, private }])
        }
        Command::Receive(receive) => {
            let event = Event::ReceiveRequested(ReceiveRequested {
                wallet: a.wallet.clone(),
                mint_url: a.mint_url.clone(),
                unit: a.unit.clone(),
                request_hash: a.request_hash.clone(),
                ys: receive.ys.clone(),
                amount: receive.amount,
            });
            let private = Private {
                npub,
                ..Private::default()
            };
            Decision::events([Entry { event, private }])
        }
        Command::Mint(_) | Command::Reconcile(_) => {
            Decision::later("this saga begins with another event")
        }
    }
}

/// Nothing is reserved yet: a refusal or an over deadline ends the saga clean.
pub(super) fn reject_or_later(saga: &Saga, trouble: &Trouble, ctx: &Ctx) -> Decision {
    let (code, reason) = trouble.explain();
    match trouble {
        Trouble::Refused(_) => Decision::event(Event::Rejected(Rejected { code, reason })),
        Trouble::Unknown { .. } if is_over(saga, ctx.now) => {
            Decision::event(Event::Rejected(Rejected { code, reason }))
        }
        Trouble::Unknown { .. } => Decision::later(format!("{code}: {reason}")),
    }
}

/// The mint's quote, checked against the command.
pub(super) fn quoted(saga: &Saga, answer: Result<MeltQuote, Trouble>, ctx: &Ctx) -> Decision {
    let Command::Melt(command) = &saga.adoption.command else {
        return Decision::next();
    };
    if let Some(end) = called_off(saga) {
        return end;
    }
    let quote = match answer {
        Ok(quote) => quote,
        Err(trouble) => return reject_or_later(saga, &trouble, ctx),
    };
    match quote::check(command, &saga.adoption.unit, &quote, ctx.now) {
        Ok(event) => {
            let private = Private {
                quote_id: Some(quote.id),
                ..Private::default()
            };
            Decision::events([Entry {
                event: Event::QuoteCreated(event),
                private,
            }])
        }
        Err((code, reason)) => Decision::event(Event::Rejected(Rejected { code, reason })),
    }
}

/// Counters are taken: the intent of the melt, or the release of coins that came too late.
pub(super) fn prepared(saga: &Saga, blanks: Option<Range>, ctx: &Ctx) -> Decision {
    if let Some(late) = too_late(saga, ctx) {
        return late;
    }
    let Some(plan) = &saga.plan else {
        return Decision::later("there is no plan");
    };
    let Some(input_amount) = ids::sum(saga.send.iter().map(|c| c.amount)) else {
        return Decision::later("the inputs do not add up");
    };
    Decision::event(Event::ProofsSent(ProofsSent {
        inputs: saga.send.iter().map(|c| c.y.clone()).collect(),
        input_amount,
        input_fee: plan.input_fee,
        blanks,
        max_change: plan.max_change,
        guaranteed_change: plan.guaranteed_change,
        attempt: 1,
    }))
}

/// True when a saga whose coins are let go ends with that: it was planned again as often as it may
/// be, its time is over, or an operator ordered it.
pub(super) fn no_new_plan(saga: &Saga, ctx: &Ctx) -> bool {
    saga.replans >= ctx.limits.replans_max || is_over(saga, ctx.now) || release_ordered(saga)
}

/// What an operator's order to let the coins go means while nothing was sent.
const ORDERED: &str = "an operator ordered the release before anything was sent";

/// Nothing is reserved yet, and an operator ordered the release.
pub(super) fn called_off(saga: &Saga) -> Option<Decision> {
    release_ordered(saga).then(|| {
        Decision::event(Event::Rejected(Rejected {
            code: Code::PaymentFailed,
            reason: ORDERED.to_owned(),
        }))
    })
}

/// Before the first post, time still counts: reserved coins go back when the command's or the
/// quote's time is over, or when an operator says so.
pub(super) fn too_late(saga: &Saga, ctx: &Ctx) -> Option<Decision> {
    if release_ordered(saga) {
        let (from, code) = (ProofState::Reserved, Code::PaymentFailed);
        return Some(release(saga, from, code, ORDERED, true));
    }
    let expires = saga.quote.as_ref().and_then(|q| q.expires_at);
    if is_over(saga, ctx.now) {
        let reason = "the time to start this payment was over before anything was sent";
        return Some(release(
            saga,
            ProofState::Reserved,
            Code::QuoteExpired,
            reason,
            true,
        ));
    }
    if expires.is_some_and(|at| at <= ctx.now) {
        let is_final = saga.replans >= ctx.limits.replans_max;
        let reason = "the quote expired before it was used";
        return Some(release(
            saga,
            ProofState::Reserved,
            Code::QuoteExpired,
            reason,
            is_final,
        ));
    }
    None
}

/// Lets the saga's own coins go from `from`.
pub(super) fn release(
    saga: &Saga,
    from: ProofState,
    code: Code,
    reason: &str,
    is_final: bool,
) -> Decision {
    let spent = |y: &ids::Y| {
        saga.swaps
            .iter()
            .any(|s| s.done && s.prepared.inputs.contains(y))
    };
    let held = saga.send.iter().filter(|c| !spent(&c.y));
    Decision::event(Event::ProofsReleased(ProofsReleased {
        coins: held
            .map(|c| Released {
                y: c.y.clone(),
                from,
            })
            .collect(),
        is_final,
        code,
        reason: reason.to_owned(),
    }))
}

/// The answer to the post. Only PAID is an answer; everything else leads to an inquiry.
pub(super) fn posted(saga: &Saga, answer: Result<MeltWord, Trouble>) -> Decision {
    match answer {
        Ok(word) if word.state == QuoteState::Paid => {
            let blanks = saga.sent.as_ref().is_some_and(|s| s.blanks.is_some());
            if blanks && word.change.is_none() {
                // PAID without signatures does not mean that there is no change: look once.
                return Decision::go(Step::Inquire(inquiry(saga)));
            }
            commit::paid(saga, word.preimage, word.change)
        }
        Ok(word) if word.state == QuoteState::Failed || word.state == QuoteState::Unpaid => {
            let detail = "the mint answered that the payment failed".to_owned();
            refused(
                saga,
                Refusal {
                    mint_code: None,
                    detail,
                },
            )
        }
        Ok(_) => Decision::next(),
        Err(Trouble::Refused(refusal)) if !is_under_way(&refusal) => refused(saga, refusal),
        Err(Trouble::Refused(_)) => Decision::next(),
        Err(Trouble::Unknown { .. }) => Decision::next(),
    }
}

/// 11001 spent, 11002 pending, 20005 quote pending, 20006 already paid or pending: these say that
/// another post of the same request, perhaps our own, is ahead. They are not even evidence.
pub(super) fn is_under_way(refusal: &Refusal) -> bool {
    matches!(refusal.mint_code, Some(11001 | 11002 | 20005 | 20006))
}

/// 20005 and 20006 once the inputs turn out to be free: another quote for the same invoice is paid
/// or being paid, or the blanks of this melt were signed before.
fn is_elsewhere(refusal: &Refusal) -> bool {
    matches!(refusal.mint_code, Some(20005 | 20006))
}

fn refused(saga: &Saga, refusal: Refusal) -> Decision {
    if saga.refusal.is_some() {
        return Decision::next();
    }
    Decision::event(Event::MeltRefused(refusal))
}

/// What the mint knows of a melt that was, or may have been, posted.
pub(super) fn evidence(saga: &Saga, evidence: Evidence, ctx: &Ctx) -> Decision {
    if saga.state == State::Paid {
        return commit::settle_only(saga, evidence);
    }
    match Inputs::of(&evidence) {
        Inputs::Unknown => Decision::later("the mint does not tell the inputs' states"),
        Inputs::Pending => Decision::later("the payment is under way at the mint"),
        Inputs::Spent => spent(saga, evidence, true, ctx),
        Inputs::Mixed => contradiction(
            saga,
            Code::InputsMixed,
            "some inputs of the melt are spent at the mint and the others are not",
            ctx,
        ),
        Inputs::Unspent => unspent(saga, evidence, ctx),
    }
}

/// All inputs are spent: by the melt, if the quote or a signature says so. `exhausted` = every
/// range of ours was asked for and came back empty.
fn spent(saga: &Saga, evidence: Evidence, exhausted: bool, ctx: &Ctx) -> Decision {
    let change_found = evidence
        .change
        .as_ref()
        .is_some_and(|c| !c.coins.is_empty());
    match evidence.quote {
        Some(Ok(word)) if word.state == QuoteState::Paid => {
            commit::paid(saga, word.preimage, evidence.change)
        }
        // The mint signed our blanks, which it does for a payment only.
        _ if change_found => commit::paid(saga, None, evidence.change),
        Some(Ok(word)) if word.state == QuoteState::Pending => {
            Decision::later("the inputs are spent and the quote is still pending")
        }
        // What the mint does not say, an operator has found out.
        _ if exhausted && paid_ordered(saga) => commit::paid(saga, None, evidence.change),
        Some(Ok(_)) | Some(Err(Trouble::Refused(_))) | None if exhausted => contradiction(
            saga,
            Code::SpentButUnpaid,
            "all inputs are spent, but the mint does not call the quote paid and signed nothing",
            ctx,
        ),
        _ => Decision::later("the inputs are spent; the mint does not say yet by what"),
    }
}

/// All inputs are free: what does the quote say?
fn unspent(saga: &Saga, evidence: Evidence, ctx: &Ctx) -> Decision {
    let over = is_over(saga, ctx.now);
    match evidence.quote {
        // A fence is safe whatever the quote says, and it is the only way to carry the order out.
        _ if release_ordered(saga) => fence(saga, ctx),
        Some(Ok(word)) => match word.state {
            QuoteState::Paid => contradiction(
                saga,
                Code::PaidButUnspent,
                "the mint calls the quote paid, but all inputs are unspent",
                ctx,
            ),
            QuoteState::Pending | QuoteState::Issued => {
                Decision::later("the mint calls the quote pending")
            }
            QuoteState::Unpaid | QuoteState::Failed => post_again_or_fence(saga, ctx),
            QuoteState::Unknown if over => fence(saga, ctx),
            QuoteState::Unknown => Decision::later("the mint does not know the quote's state"),
        },
        // A fence is safe at any time; after the deadline it is also the way forward.
        Some(Err(_)) | None if over => fence(saga, ctx),
        Some(Err(trouble)) => Decision::later(trouble.explain().1),
        None => Decision::later("the quote cannot be asked for"),
    }
}

/// UNSPENT and UNPAID: the identical request again while that is wanted, else the fence.
fn post_again_or_fence(saga: &Saga, ctx: &Ctx) -> Decision {
    let Some(sent) = &saga.sent else {
        return Decision::later("nothing was sent");
    };
    // "Already paid or pending", and our inputs are free: it is not our post that the mint means.
    if let Some(refusal) = ctx.refused.as_ref().filter(|r| is_elsewhere(r))
        && saga.refusal.is_none()
    {
        return Decision::event(Event::MeltRefused(refusal.clone()));
    }
    let tired = saga.refusal.is_some() || sent.attempt >= ctx.limits.posts_max;
    if tired || is_over(saga, ctx.now) {
        return fence(saga, ctx);
    }
    if let Some(why) = ctx.held(saga) {
        return Decision::later(why);
    }
    if ctx.mode == Mode::Paused {
        return Decision::later(mode::paused());
    }
    let attempt = sent.attempt.saturating_add(1);
    Decision::event(Event::ProofsSent(ProofsSent {
        attempt,
        ..sent.clone()
    }))
}

fn fence(saga: &Saga, ctx: &Ctx) -> Decision {
    match ctx.held(saga) {
        Some(why) => Decision::later(why),
        None => Decision::go(prepare_fence(saga)),
    }
}

/// What the mint knows after the intent of a fence. Our own ranges are looked at first: a fence
/// that won shows as one spent input and its signed outputs.
pub(super) fn fence_evidence(
    saga: &Saga,
    inquiry: &Inquiry,
    evidence: Evidence,
    ctx: &Ctx,
) -> Decision {
    if fenced(saga) {
        return Decision::later("fenced; the other coins are let go when the saga is resumed");
    }
    let found = swap::found(saga, inquiry, &evidence, Purpose::Fence);
    if let Some((swap, coins)) = found {
        let won = swap
            .inputs
            .iter()
            .all(|y| state_of(inquiry, &evidence, y) == Some(MintState::Spent));
        if won {
            return Decision::events([swap::done(&swap, coins)]);
        }
        if evidence.states.is_err() {
            return Decision::later("the fence is signed; the inputs' states are not told");
        }
        return contradiction(
            saga,
            Code::CountersBehind,
            "the mint has signed the fence's outputs, but the fence's input is not spent",
            ctx,
        );
    }
    let asked = evidence.restored.iter().all(Result::is_ok);
    match Inputs::of(&evidence) {
        Inputs::Unknown => Decision::later("the mint does not tell the inputs' states"),
        Inputs::Pending => Decision::later("the payment is under way at the mint"),
        Inputs::Spent => spent(saga, evidence, asked, ctx),
        Inputs::Mixed if asked => contradiction(
            saga,
            Code::InputsMixed,
            "some inputs are spent at the mint, the others are not, and no fence of ours is found",
            ctx,
        ),
        Inputs::Mixed => Decision::later("a fence may be through; the mint does not say yet"),
        Inputs::Unspent if !asked => Decision::later("NUT-09 does not answer"),
        Inputs::Unspent => fence_again(saga, evidence, ctx),
    }
}

/// All inputs free, nothing restored: the same fence again, or another range after a refusal.
fn fence_again(saga: &Saga, evidence: Evidence, ctx: &Ctx) -> Decision {
    if let Some(Ok(MeltWord {
        state: QuoteState::Paid,
        ..
    })) = evidence.quote
        && !release_ordered(saga)
    {
        return contradiction(
            saga,
            Code::PaidButUnspent,
            "the mint calls the quote paid, but all inputs are unspent",
            ctx,
        );
    }
    if let Some(why) = ctx.held(saga) {
        return Decision::later(why);
    }
    match (open_fence(saga), &ctx.refused) {
        (Some(swap), Some(_)) if swap.attempt >= ctx.limits.ranges_max => {
            Decision::later("the mint refuses every fence")
        }
        (_, Some(_)) => Decision::go(prepare_fence(saga)),
        (Some(swap), None) => Decision::go(Step::PostSwap(swap.clone())),
        (None, None) => Decision::go(prepare_fence(saga)),
    }
}

pub(super) fn state_of(inquiry: &Inquiry, evidence: &Evidence, y: &ids::Y) -> Option<MintState> {
    let states = evidence.states.as_ref().ok()?;
    inquiry
        .ys
        .iter()
        .zip(states)
        .find(|(have, _)| *have == y)
        .map(|(_, state)| *state)
}

/// The fence is through, so the late melt can only bounce: the other coins go back unchanged.
pub(super) fn release_rest(saga: &Saga, ctx: &Ctx) -> Decision {
    let refusal = saga.refusal.as_ref();
    let replan = refusal.is_some_and(is_worth_a_new_plan) && !no_new_plan(saga, ctx);
    let reason = match refusal {
        Some(refusal) => format!(
            "{}; fenced, so it can never be paid later",
            refusal.explain()
        ),
        None => "no post was answered in time; fenced, so it can never be paid later".to_owned(),
    };
    // Whoever owes the invoice must not be told that it is unpaid.
    let code = match refusal {
        Some(refusal) if is_elsewhere(refusal) => Code::InvoicePaidElsewhere,
        _ => Code::PaymentFailed,
    };
    release(saga, ProofState::Pending, code, &reason, !replan)
}

/// Refusals of the request's form, which a fresh quote and choice can mend: fees that changed
/// (11005), too many inputs or outputs (11008…11014), keysets that went inactive (12001…12003).
fn is_worth_a_new_plan(refusal: &Refusal) -> bool {
    matches!(refusal.mint_code, Some(11005..=11014 | 12001..=12003))
}
