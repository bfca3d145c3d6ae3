//! Swaps: for a plan, for a fence, for a received token. A swap with a known answer is done or
//! refused; with an unknown one it is asked for, and posted again with the same outputs.

use super::super::code::{Code, Discrepancy};
use super::super::event::{
    Entry, Event, Finding, Private, ProofCorrected, Purpose, Received, Rejected, SwapDone,
    SwapPrepared, Way,
};
use super::super::ids::{self, Outputs, SignedCoin, Y};
use super::super::proofs::ProofState;
use super::super::state::Saga;
use super::super::step::{Evidence, Inquiry, MintState, Step, Trouble, inquiry, prepare_receive};
use super::{Ctx, Decision, Inputs, Then, contradiction, melt};

/// Outputs for the plan's swap are chosen: its intent.
pub(super) fn prepared(saga: &Saga, outputs: Outputs, ctx: &Ctx) -> Decision {
    if let Some(late) = melt::too_late(saga, ctx) {
        return late;
    }
    let Some(plan) = &saga.plan else {
        return Decision::later("there is no plan");
    };
    let fee = match &plan.way {
        Way::Swap { swap_fee, .. } => *swap_fee,
        Way::Direct => return Decision::later("a direct plan swaps nothing"),
    };
    let Some(input_amount) = ids::sum(plan.inputs.iter().map(|c| c.amount)) else {
        return Decision::later("the inputs do not add up");
    };
    Decision::event(Event::SwapPrepared(SwapPrepared {
        purpose: Purpose::Plan,
        inputs: plan.inputs.iter().map(|c| c.y.clone()).collect(),
        input_amount,
        fee,
        outputs,
        attempt: 1,
    }))
}

/// A fence was described, or no input is worth more than its fee.
pub(super) fn fence_prepared(answer: Result<Option<SwapPrepared>, Trouble>, ctx: &Ctx) -> Decision {
    match answer {
        Ok(Some(swap)) if swap.attempt > ctx.limits.ranges_max => {
            Decision::later("the mint refuses every fence")
        }
        Ok(Some(swap)) => Decision::event(Event::SwapPrepared(swap)),
        Ok(None) => Decision::later(format!("{}: still asking", Code::UnfenceableDust)),
        Err(trouble) => Decision::later(trouble.explain().1),
    }
}

/// The answer to a swap.
pub(super) fn posted(
    saga: &Saga,
    swap: &SwapPrepared,
    answer: Result<Vec<SignedCoin>, Trouble>,
) -> Decision {
    match answer {
        Ok(coins) if coins.len() == swap.outputs.amounts.len() => finished(saga, swap, coins),
        Ok(_) => Decision::later("the mint signed another number of outputs than it was given"),
        Err(Trouble::Refused(_)) => Decision::go(Step::Inquire(inquiry(saga))),
        Err(trouble @ Trouble::Unknown { .. }) => Decision::later(trouble.explain().1),
    }
}

/// The outputs are there: for a plan or a fence `SwapDone`, for a token `Received`.
fn finished(saga: &Saga, swap: &SwapPrepared, coins: Vec<SignedCoin>) -> Decision {
    if swap.purpose == Purpose::Receive {
        let (coins, private) = split_signatures(coins);
        let event = Event::Received(Received {
            coins,
            fee: swap.fee,
        });
        return Decision::events([Entry { event, private }]);
    }
    let send = match saga.plan.as_ref().map(|p| &p.way) {
        Some(Way::Swap { send, .. }) if swap.purpose == Purpose::Plan => send.len(),
        _ => 0,
    };
    Decision::events([done_with(swap, coins, send)])
}

/// The event of a fence that is through.
pub(super) fn done(swap: &SwapPrepared, coins: Vec<SignedCoin>) -> Entry {
    done_with(swap, coins, 0)
}

fn done_with(swap: &SwapPrepared, coins: Vec<SignedCoin>, send: usize) -> Entry {
    let (mut coins, private) = split_signatures(coins);
    let keep = coins.split_off(send.min(coins.len()));
    let event = Event::SwapDone(SwapDone {
        purpose: swap.purpose,
        inputs: swap.inputs.clone(),
        send: coins,
        keep,
        fee: swap.fee,
    });
    Entry { event, private }
}

/// Coins for the body, signatures for the private half, in the same order.
pub(super) fn split_signatures(coins: Vec<SignedCoin>) -> (Vec<ids::Coin>, Private) {
    let (coins, signatures) = coins.into_iter().map(|c| (c.coin, c.signature)).unzip();
    (
        coins,
        Private {
            signatures,
            ..Private::default()
        },
    )
}

/// The first open swap of this purpose, over inputs that were asked for, whose outputs NUT-09
/// returned, complete. Ranges of an earlier round, over other coins, say nothing of this one.
pub(super) fn found(
    saga: &Saga,
    inquiry: &Inquiry,
    evidence: &Evidence,
    purpose: Purpose,
) -> Option<(SwapPrepared, Vec<SignedCoin>)> {
    let open = saga
        .swaps
        .iter()
        .filter(|s| !s.done && s.prepared.purpose == purpose)
        .map(|s| &s.prepared)
        .filter(|swap| swap.inputs.iter().all(|y| inquiry.ys.contains(y)));
    open.into_iter().find_map(|swap| {
        let at = inquiry.outputs.iter().position(|o| o == &swap.outputs)?;
        let coins = evidence.restored.get(at)?.as_ref().ok()?;
        let whole = coins.len() == swap.outputs.amounts.len();
        whole.then(|| (swap.clone(), coins.clone()))
    })
}

/// What the mint knows of a plan's or a token's swap.
pub(super) fn evidence(saga: &Saga, inquiry: &Inquiry, evidence: Evidence, ctx: &Ctx) -> Decision {
    let Some(swap) = saga.open_swap().cloned() else {
        return Decision::later("no swap is open");
    };
    let inputs = Inputs::of(&evidence);
    if let Some((won, coins)) = found(saga, inquiry, &evidence, swap.purpose) {
        return match inputs {
            // Its amounts are an earlier plan's: they are not what this plan sends.
            Inputs::Spent if swap.purpose == Purpose::Plan && won != swap => contradiction(
                saga,
                Code::ProofStateInconsistency,
                "an earlier swap of this melt has won: restore the wallet to get its outputs",
                ctx,
            ),
            Inputs::Spent => finished(saga, &won, coins),
            Inputs::Unknown => Decision::later("the outputs are signed; the inputs are not told"),
            Inputs::Unspent | Inputs::Pending | Inputs::Mixed => contradiction(
                saga,
                Code::CountersBehind,
                "the mint has signed these outputs, but their inputs are not spent",
                ctx,
            ),
        };
    }
    if evidence.restored.iter().any(Result::is_err) {
        return Decision::later("NUT-09 does not answer");
    }
    match inputs {
        Inputs::Unknown => Decision::later("the mint does not tell the inputs' states"),
        Inputs::Pending if swap.purpose == Purpose::Receive && ctx.refused.is_some() => reject(
            Code::TokenPending,
            "the token is part of another operation at the mint",
        ),
        Inputs::Pending => Decision::later("the inputs are in another operation at the mint"),
        Inputs::Unspent => again(saga, &swap, ctx),
        Inputs::Spent | Inputs::Mixed => gone(saga, &swap, inquiry, &evidence, ctx),
    }
}

/// Nothing happened yet: after a refusal a new range or the end, otherwise the same post again.
fn again(saga: &Saga, swap: &SwapPrepared, ctx: &Ctx) -> Decision {
    if let Some(why) = ctx.held(saga) {
        return Decision::later(why);
    }
    let Some(refusal) = &ctx.refused else {
        return Decision::go(Step::PostSwap(swap.clone()));
    };
    // Another post of this very swap is, or was, at the mint and may still win: nothing is freed.
    if melt::is_under_way(refusal) {
        return Decision::later(refusal.explain());
    }
    // 11003: the outputs were signed before; 12001…12003: their keyset no longer signs.
    let other_range = matches!(refusal.mint_code, Some(11003 | 12001..=12003));
    match swap.purpose {
        Purpose::Receive if other_range && swap.attempt < ctx.limits.ranges_max => {
            Decision::go(prepare_receive(saga))
        }
        Purpose::Receive => reject(Code::MintRefused, &refusal.explain()),
        Purpose::Plan | Purpose::Fence => {
            let is_final = melt::no_new_plan(saga, ctx);
            let reason = refusal.explain();
            melt::release(
                saga,
                ProofState::Reserved,
                Code::MintRefused,
                &reason,
                is_final,
            )
        }
    }
}

/// The inputs are gone and none of our outputs was signed: somebody else spent them. A plan's
/// coins are let go, and those that are spent are corrected, one by one, in the same append.
fn gone(
    saga: &Saga,
    swap: &SwapPrepared,
    inquiry: &Inquiry,
    evidence: &Evidence,
    ctx: &Ctx,
) -> Decision {
    // Unless it refused, our own post may be what spent them: the signatures can show later.
    let is_refused = swap.purpose == Purpose::Receive && ctx.refused.is_some();
    let code = Code::ProofStateInconsistency;
    if !is_refused && ctx.doubted(code) < ctx.limits.contradictions_max {
        return Decision::doubt(
            code,
            "the inputs are spent, but none of our outputs is signed",
        );
    }
    if swap.purpose == Purpose::Receive {
        return reject(
            Code::TokenSpent,
            "the mint says that the token was already spent",
        );
    }
    if let Some(why) = ctx.held(saga) {
        return Decision::doubt(code, &why);
    }
    let is_final = melt::no_new_plan(saga, ctx);
    let reason = "coins of this wallet were spent elsewhere";
    let mut decision = melt::release(saga, ProofState::Reserved, code, reason, is_final);
    let is_spent = |y: &&Y| melt::state_of(inquiry, evidence, y) == Some(MintState::Spent);
    let spent: Vec<Y> = inquiry.ys.iter().filter(is_spent).cloned().collect();
    let finding = |y: &Y| Finding {
        y: y.clone(),
        discrepancy: Discrepancy::DbUnspentMintSpent,
    };
    let corrected = Event::ProofCorrected(ProofCorrected {
        findings: spent.iter().map(finding).collect(),
        spent,
    });
    decision.entries.push(corrected.into());
    decision
}

fn reject(code: Code, reason: &str) -> Decision {
    let event = Event::Rejected(Rejected {
        code,
        reason: reason.to_owned(),
    });
    Decision {
        entries: vec![event.into()],
        then: Then::Next,
    }
}
