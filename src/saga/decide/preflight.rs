//! The pre-flight check: chosen coins against their NUT-07 states, proof by proof.

use super::super::code::{Code, Discrepancy};
use super::super::command::{Command, Policy};
use super::super::event::{Event, Finding, PreflightBlocked, PreflightPassed};
use super::super::ids::Y;
use super::super::state::Saga;
use super::super::step::{MintState, Preflight, Trouble};
use super::{Ctx, Decision, melt};

/// What a look at the mint says about the chosen coins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// All free: go on.
    Clear,
    /// Leave these out and choose again.
    Again,
    /// Stop here, by policy.
    Block,
}

/// Compares chosen coins with the mint's word on them; adds what differs to `findings` and coins
/// that are gone to `corrections`. One spent proof never writes off its siblings.
pub fn judge(
    policy: Policy,
    chosen: &[(Y, MintState)],
    findings: &mut Vec<Finding>,
    corrections: &mut Vec<Y>,
) -> Look {
    let mut look = Look::Clear;
    for (y, state) in chosen {
        let discrepancy = match state {
            MintState::Unspent => continue,
            MintState::Pending => Discrepancy::DbUnspentMintPending,
            MintState::Spent => Discrepancy::DbUnspentMintSpent,
        };
        findings.push(Finding {
            y: y.clone(),
            discrepancy,
        });
        if discrepancy == Discrepancy::DbUnspentMintSpent {
            corrections.push(y.clone());
        }
        let blocks = policy == Policy::Block && discrepancy == Discrepancy::DbUnspentMintSpent;
        if blocks {
            look = Look::Block;
        } else if look == Look::Clear {
            look = Look::Again;
        }
    }
    look
}

/// The policy of a saga's command.
pub fn policy(saga: &Saga) -> Policy {
    match &saga.adoption.command {
        Command::Melt(melt) => melt.policy,
        Command::Mint(_) | Command::Receive(_) | Command::Reconcile(_) => Policy::Block,
    }
}

pub(super) fn checked(answer: Result<Preflight, Trouble>, saga: &Saga, ctx: &Ctx) -> Decision {
    if let Some(end) = melt::called_off(saga) {
        return end;
    }
    let seen = match answer {
        Ok(seen) => seen,
        Err(trouble) => return melt::reject_or_later(saga, &trouble, ctx),
    };
    match seen.plan {
        Ok(plan) => Decision::event(Event::PreflightPassed(PreflightPassed {
            plan,
            findings: seen.findings,
            corrections: seen.corrections,
        })),
        // Coins that other melts hold come back as change: worth waiting for until the deadline.
        Err((Code::CoinsBusy, reason)) if !super::is_over(saga, ctx.now) && ctx.tries < 5 => {
            Decision::later(format!("{}: {reason}", Code::CoinsBusy))
        }
        Err((code, reason)) => Decision::event(Event::PreflightBlocked(PreflightBlocked {
            code,
            reason,
            findings: seen.findings,
            corrections: seen.corrections,
        })),
    }
}
