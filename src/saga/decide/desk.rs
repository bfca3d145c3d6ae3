//! The operator's desk: what puts a saga on it, what a person may order there, and what ends a
//! CRITICAL. Orders are guarded by evidence that was asked for just now.

use super::super::code::Code;
use super::super::command::Kind;
use super::super::event::{
    CriticalResolved, Entry, Event, OperatorResolved, Parked, Released, Resolution, Resumed,
};
use super::super::evolve::evolve;
use super::super::ids::{self, Coin};
use super::super::plan::{Keyset, fence_input};
use super::super::proofs::ProofState;
use super::super::state::{Saga, State};
use super::super::step::{Evidence, Inquiry, MintState, QuoteState, has_coins_at_mint, inquiry};
use super::{Ctx, Decision, Inputs, Mode, Then, is_over, melt, whole};

/// What an operator wants done, by whom and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Put it on the desk.
    Park,
    /// Take it off the desk.
    Resume,
    /// Decide it.
    Resolve(Resolution),
}

/// The events of an order, or the code and sentence of why it cannot be given. `evidence` is the
/// fresh answer to the saga's own [`inquiry`], and `keysets` what the mint offers now; both are
/// looked at for [`Order::Resolve`] only.
///
/// # Errors
/// [`Code::ResolutionRefused`] with what speaks against it.
pub fn order(
    saga: &Saga,
    order: &Order,
    (by, reason): (&str, &str),
    evidence: &Evidence,
    keysets: Option<&[Keyset]>,
) -> Result<Vec<Entry>, (Code, String)> {
    let (by, reason) = (by.to_owned(), reason.to_owned());
    let event = match order {
        Order::Park if saga.parked.is_some() => return Err(refuse("it is parked already")),
        Order::Park if !saga.can_park() => {
            return Err(refuse(
                "it has ended, or it waits for a funding invoice to be paid",
            ));
        }
        Order::Park => Event::Parked(Parked {
            code: Code::OperatorParked,
            evidence: reason,
            by,
        }),
        Order::Resume if saga.parked.is_none() => return Err(refuse("it is not parked")),
        Order::Resume => Event::Resumed(Resumed { by, reason }),
        Order::Resolve(resolution) => {
            let coins = resolve(saga, *resolution, evidence, keysets)?;
            let written_off = match (resolution, saga.state) {
                (Resolution::WrittenOff, State::Owing) => saga.change_owed,
                _ => ids::sum(coins.iter().map(|c| c.amount)).unwrap_or(0),
            };
            let from = match saga.state {
                State::Swapping => ProofState::Reserved,
                _ => ProofState::Pending,
            };
            let coins = coins.into_iter().map(|c| Released { y: c.y, from });
            Event::OperatorResolved(OperatorResolved {
                resolution: *resolution,
                by,
                reason,
                coins: coins.collect(),
                written_off,
            })
        }
    };
    let decision = end_criticals(saga, Decision::event(event));
    Ok(decision.entries)
}

fn refuse(what: &str) -> (Code, String) {
    (Code::ResolutionRefused, what.to_owned())
}

/// Holds a resolution against the state and the evidence; the coins that it gives up.
fn resolve(
    saga: &Saga,
    resolution: Resolution,
    evidence: &Evidence,
    keysets: Option<&[Keyset]>,
) -> Result<Vec<Coin>, (Code, String)> {
    if !saga.can_resolve(resolution) {
        let state = saga.state.as_str();
        let what = match resolution {
            Resolution::Paid => "nothing of it is known to be sent, or it is settled already",
            Resolution::Released => "it is paid, or it has ended",
            Resolution::WrittenOff => {
                "nothing was sent, so nothing can be lost: release or resume it"
            }
        };
        return Err(refuse(&format!("in state {state} {what}")));
    }
    let inquiry = inquiry(saga);
    let evidence = whole(&inquiry, evidence.clone());
    match resolution {
        Resolution::Paid => check_paid(saga, &evidence).map(|()| Vec::new()),
        Resolution::Released => check_released(&evidence).map(|()| Vec::new()),
        Resolution::WrittenOff => give_up(saga, &inquiry, &evidence, keysets),
    }
}

fn quote_state(evidence: &Evidence) -> Option<QuoteState> {
    let word = evidence.quote.as_ref()?.as_ref().ok()?;
    Some(word.state)
}

/// A melt is all or nothing: while an input is free, or still in a payment, it is not paid.
fn check_paid(saga: &Saga, evidence: &Evidence) -> Result<(), (Code, String)> {
    if saga.state == State::Paid {
        return Ok(());
    }
    match Inputs::of(evidence) {
        Inputs::Spent => Ok(()),
        Inputs::Unspent => Err(refuse("all inputs are unspent at the mint: it is not paid")),
        Inputs::Mixed => Err(refuse(
            "some inputs are unspent at the mint: it is not paid",
        )),
        Inputs::Pending => Err(refuse("the payment is under way at the mint: wait for it")),
        Inputs::Unknown => Err(refuse(
            "the mint does not tell the inputs' states: ask again, or write it off",
        )),
    }
}

/// A release runs the fence, which needs inputs that are free, or will be.
fn check_released(evidence: &Evidence) -> Result<(), (Code, String)> {
    let found = evidence.restored.iter().flatten();
    if found.into_iter().any(|coins| !coins.is_empty()) {
        return Ok(());
    }
    match Inputs::of(evidence) {
        Inputs::Spent => Err(refuse(
            "all inputs are spent at the mint: nothing can be released",
        )),
        Inputs::Mixed => Err(refuse(
            "some inputs are spent at the mint: `--as written-off` gives those up and releases \
             the others",
        )),
        Inputs::Unspent | Inputs::Pending | Inputs::Unknown => Ok(()),
    }
}

/// What is written off: nothing that recovery, or a fence, would bring back.
fn give_up(
    saga: &Saga,
    inquiry: &Inquiry,
    evidence: &Evidence,
    keysets: Option<&[Keyset]>,
) -> Result<Vec<Coin>, (Code, String)> {
    let mut restored = evidence.restored.iter().flatten();
    let is_signed = restored.any(|coins| !coins.is_empty());
    let is_paid = quote_state(evidence) == Some(QuoteState::Paid);
    match (saga.kind(), saga.state) {
        (Kind::Mint, _) if is_signed || is_paid => Err(refuse(
            "the mint has issued it, or would: recovery finishes it",
        )),
        (Kind::Mint, _) => Ok(Vec::new()),
        (Kind::Melt, State::Owing) => {
            let known = |c: &ids::SignedCoin| saga.change.iter().any(|k| k.y == c.coin.y);
            let mut change = evidence.change.iter().flat_map(|c| &c.coins);
            match change.any(|c| !known(c)) {
                true => Err(refuse(
                    "the mint has signed more change: recovery collects it",
                )),
                false => Ok(Vec::new()),
            }
        }
        (Kind::Reconcile, _) => Ok(Vec::new()),
        (Kind::Melt | Kind::Receive, _) if is_signed => {
            Err(refuse("the mint has signed our swap: recovery finishes it"))
        }
        // What a swap did not spend comes back by itself, and what it did is corrected.
        (_, State::Swapping) if evidence.states.is_ok() => {
            Err(refuse("the mint answers: recovery finishes or releases it"))
        }
        (_, State::Swapping) => Ok(saga.send.clone()),
        (Kind::Melt | Kind::Receive, _) => give_up_sent(saga, inquiry, evidence, keysets),
    }
}

/// Of a melt that was sent: what the mint does not hold as unspent.
fn give_up_sent(
    saga: &Saga,
    inquiry: &Inquiry,
    evidence: &Evidence,
    keysets: Option<&[Keyset]>,
) -> Result<Vec<Coin>, (Code, String)> {
    let is_signed = evidence
        .change
        .as_ref()
        .is_some_and(|c| !c.coins.is_empty());
    let is_paid = is_signed || quote_state(evidence) == Some(QuoteState::Paid);
    if Inputs::of(evidence) == Inputs::Spent && is_paid {
        return Err(refuse(
            "the mint says paid and the inputs are spent: it settles by itself",
        ));
    }
    let is_free = |c: &Coin| melt::state_of(inquiry, evidence, &c.y) == Some(MintState::Unspent);
    let (free, gone): (Vec<Coin>, Vec<Coin>) = saga.send.iter().cloned().partition(is_free);
    let is_dust = keysets.is_some_and(|k| !free.is_empty() && fence_input(&free, k).is_none());
    if is_dust {
        return Ok(saga.send.clone());
    }
    if gone.is_empty() {
        return Err(refuse(
            "all inputs are unspent at the mint: `--as released` fences them and brings them back",
        ));
    }
    Ok(gone)
}

/// Nothing at the mint, nothing to hope for, and still no end: it goes on the desk. Whatever has
/// something at the mint is asked for without end.
pub(super) fn park_idle(saga: &Saga, decision: Decision, ctx: &Ctx) -> Decision {
    let Then::Later(why) = &decision.then else {
        return decision;
    };
    let is_idle = decision.entries.is_empty()
        && ctx.mode == Mode::Normal
        && ctx.tries >= ctx.limits.idle_max
        && is_over(saga, ctx.now);
    if !is_idle || has_coins_at_mint(saga) || saga.parked.is_some() || !saga.can_park() {
        return decision;
    }
    let parked = Event::Parked(Parked {
        code: Code::NothingAtMint,
        evidence: why.clone(),
        by: "meltd".to_owned(),
    });
    Decision {
        entries: vec![parked.into()],
        then: decision.then,
    }
}

/// Adds the end of each CRITICAL whose cause is over once these events have happened.
pub(super) fn end_criticals(saga: &Saga, mut decision: Decision) -> Decision {
    if saga.criticals.is_empty() || decision.entries.is_empty() {
        return decision;
    }
    let folded = decision.entries.iter().try_fold(saga.clone(), evolve);
    let Ok(after) = folded else { return decision };
    for code in &after.criticals {
        if let Some(how) = ended(&after, *code).filter(|_| saga.criticals.contains(code)) {
            let event = Event::CriticalResolved(CriticalResolved {
                code: *code,
                how: how.to_owned(),
            });
            decision.entries.push(event.into());
        }
    }
    decision
}

/// How the cause of a CRITICAL has ended, if it has. What a mint did wrong beside a settlement that
/// is complete, such as more change than was possible, stays raised.
fn ended(saga: &Saga, code: Code) -> Option<&'static str> {
    match (code, saga.state) {
        (Code::CriticalMeltFailure, State::Settled | State::Owing) => Some("the melt is settled"),
        (Code::CriticalMeltFailure, State::Released | State::Requested) => {
            Some("the coins are back, and the melt can never be paid later")
        }
        (Code::CriticalMeltFailure, State::Rejected) => Some("the saga ended without a loss"),
        (Code::CriticalMeltFailure, State::WrittenOff) => Some("an operator wrote it off"),
        (Code::ChangeSignatureInvalid, State::Settled) => Some("no change is owed any more"),
        _ => None,
    }
}
