//! Reconciliation: what differs becomes facts, coin by coin. One spent coin never writes off its
//! siblings.

use super::super::code::{Code, Discrepancy};
use super::super::command::Command;
use super::super::event::{
    Entry, Event, Finding, Private, ProofCorrected, ReconcileRequested, Rejected, Restored,
};
use super::super::ids::Y;
use super::super::state::{Saga, State};
use super::super::step::{Trouble, Truth};
use super::{Ctx, Decision, melt, swap};

/// The first event: what was adopted.
pub(super) fn accept(saga: &Saga) -> Decision {
    let a = &saga.adoption;
    let Command::Reconcile(command) = &a.command else {
        return Decision::later("this is no reconciliation");
    };
    let event = Event::ReconcileRequested(ReconcileRequested {
        wallet: a.wallet.clone(),
        mint_url: a.mint_url.clone(),
        unit: a.unit.clone(),
        request_hash: a.request_hash.clone(),
        cause: command.cause,
        suspects: command.suspects.clone(),
        ranges: command.ranges.clone(),
    });
    let private = Private {
        npub: Some(a.npub.clone()),
        ..Private::default()
    };
    Decision::events([Entry { event, private }])
}

/// What differs is corrected; nothing else is touched.
pub(super) fn told(saga: &Saga, answer: Result<Truth, Trouble>) -> Decision {
    let truth = match answer {
        Ok(truth) => truth,
        Err(trouble) => {
            let (code, why) = trouble.explain();
            return Decision::later(format!("{code}: {why}"));
        }
    };
    let mut entries: Vec<Entry> = Vec::new();
    if !truth.spent.is_empty() {
        let finding = |y: &Y| Finding {
            y: y.clone(),
            discrepancy: Discrepancy::DbUnspentMintSpent,
        };
        let corrected = ProofCorrected {
            findings: truth.spent.iter().map(finding).collect(),
            spent: truth.spent,
        };
        entries.push(Event::ProofCorrected(corrected).into());
    }
    if !truth.found.is_empty() {
        let (coins, private) = swap::split_signatures(truth.found);
        let wallet = saga.adoption.wallet.clone();
        let event = Event::Restored(Restored { wallet, coins });
        entries.push(Entry { event, private });
    }
    if entries.is_empty() {
        let reason = "the store and the mint agree on these coins by now".to_owned();
        let code = Code::MinorInconsistency;
        return Decision::event(Event::Rejected(Rejected { code, reason }));
    }
    Decision::events(entries)
}

/// No counters were given out. Time still counts where nothing was sent; otherwise the saga waits,
/// because a counter that was used before must never be used again.
pub(super) fn no_counters(saga: &Saga, trouble: &Trouble, ctx: &Ctx) -> Decision {
    let late = match saga.state {
        State::Planned | State::Ready => melt::too_late(saga, ctx),
        State::Requested if saga.swaps.is_empty() => {
            return melt::reject_or_later(saga, trouble, ctx);
        }
        _ => None,
    };
    let (code, why) = trouble.explain();
    late.unwrap_or_else(|| Decision::later(format!("{code}: {why}")))
}
