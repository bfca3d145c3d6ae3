//! What a process may do at a mint at all: everything, nothing new, or only look.

use super::super::code::Code;
use super::super::state::Saga;
use super::super::step::{Step, Trouble};
use super::{Ctx, Decision, melt};

/// How far a pass may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// As far as the saga needs.
    #[default]
    Normal,
    /// The mint is paused: nothing new is begun there. What is there already is asked for,
    /// finished and fenced.
    Paused,
    /// Nothing is posted and nothing is let go; asking goes on, and what it shows is recorded.
    ObserveOnly,
}

/// What becomes of a step that the mode does not allow; `None` = it is done as usual.
pub fn hold(saga: &Saga, step: &Step, ctx: &Ctx) -> Option<Decision> {
    match (ctx.mode, step) {
        (Mode::Normal, _) | (_, Step::Accept | Step::Reconcile | Step::Stop | Step::Inquire(_)) => {
            None
        }
        (Mode::ObserveOnly, _) => Some(Decision::later(observing())),
        // What was reserved and not sent goes back in time all the same.
        (Mode::Paused, Step::PrepareMelt { .. } | Step::PrepareSwap { .. }) => {
            let late = melt::too_late(saga, ctx);
            Some(late.unwrap_or_else(|| Decision::later(paused())))
        }
        (Mode::Paused, Step::QuoteMelt | Step::QuoteMint | Step::Preflight) => {
            Some(melt::reject_or_later(saga, &trouble(), ctx))
        }
        (Mode::Paused, Step::PrepareReceive { attempt: 0, .. }) => {
            Some(melt::reject_or_later(saga, &trouble(), ctx))
        }
        (
            Mode::Paused,
            Step::PrepareReceive { .. }
            | Step::PrepareFence { .. }
            | Step::PrepareMint { .. }
            | Step::PostSwap(_)
            | Step::PostMelt
            | Step::PostMint(_)
            | Step::ReleaseRest,
        ) => None,
    }
}

pub(super) fn paused() -> String {
    let code = Code::MintPaused;
    format!("{code}: nothing new is begun at this mint")
}

pub(super) fn observing() -> String {
    let code = Code::ObserveOnly;
    format!("{code}: this process moves no money")
}

fn trouble() -> Trouble {
    Trouble::Unknown {
        code: Code::MintPaused,
        detail: "nothing new is begun at this mint".to_owned(),
    }
}
