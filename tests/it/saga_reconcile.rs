//! The table of reconciliations, and of counters that are not given out.

use meltd::saga::code::Code;
use meltd::saga::command::{Cause, Command, ReconcileCommand};
use meltd::saga::event::{Entry, Event, ProofCorrected, ReconcileRequested, Rejected, Restored};
use meltd::saga::ids::{Coin, Range, WalletId};
use meltd::saga::proofs::{ProofState, ProofWrite, project_proofs};
use meltd::saga::state::State;
use meltd::saga::step::{Seen, Step, Trouble, Truth};

use crate::saga_events::*;
use crate::saga_kit::*;

fn command() -> ReconcileCommand {
    ReconcileCommand {
        cause: Cause::Reconcile,
        suspects: vec![y(1), y(2)],
        ranges: vec![blanks(3)],
    }
}

fn reconcile(entries: &[Entry]) -> Given {
    given(Command::Reconcile(command()), entries)
}

fn begun() -> Entry {
    Event::ReconcileRequested(ReconcileRequested {
        wallet: WalletId::new("w1"),
        mint_url: "https://mint.example".to_owned(),
        unit: "sat".to_owned(),
        request_hash: "ab".repeat(32),
        cause: Cause::Reconcile,
        suspects: vec![y(1), y(2)],
        ranges: vec![blanks(3)],
    })
    .into()
}

fn truth(spent: &[u32], found: &[Coin]) -> Seen {
    Seen::Truth(Ok(Truth {
        spent: spent.iter().map(|n| y(*n)).collect(),
        found: found.iter().cloned().map(signed).collect(),
    }))
}

#[test]
fn what_differs_becomes_events_and_nothing_else_does() {
    let adopted = reconcile(&[]);
    assert_eq!(adopted.step(), Step::Accept);
    let accepted = adopted.sees(Seen::Done).then(&["ReconcileRequested"]);
    accepted.is("requested");

    let asked = reconcile(&[begun()]);
    assert_eq!(asked.step(), Step::Reconcile);
    let coins = [coin(50, 8), coin(51, 2)];
    asked
        .sees(truth(&[1], &coins))
        .then(&["ProofCorrected 1", "Restored"])
        .is("settled");
    asked
        .sees(truth(&[2], &[]))
        .then(&["ProofCorrected 1"])
        .is("settled");
    asked
        .sees(truth(&[], &coins))
        .then(&["Restored"])
        .is("settled");
    let nothing = asked.sees(truth(&[], &[]));
    nothing
        .then(&["Rejected MINOR_INCONSISTENCY"])
        .is("rejected");
    asked.sees(Seen::Truth(unknown())).then(&[]).is("requested");
}

/// Its claim on the wallet ends with it, so that the wallet can be reconciled again.
#[test]
fn the_wallet_is_claimed_until_it_ends() {
    let corrected: Entry = Event::ProofCorrected(ProofCorrected {
        findings: Vec::new(),
        spent: vec![y(1)],
    })
    .into();
    let rejected: Entry = Event::Rejected(Rejected {
        code: Code::MinorInconsistency,
        reason: String::new(),
    })
    .into();
    assert!(reconcile(&[]).saga.holds_claims());
    assert!(reconcile(&[begun()]).saga.holds_claims());
    for last in [corrected, rejected] {
        let ended = reconcile(&[begun(), last]).saga;
        assert!(ended.state.is_terminal() && !ended.holds_claims());
    }
}

/// One spent coin never writes off its siblings, and a found one is born free.
#[test]
fn only_the_coins_that_differ_are_written() {
    let asked = reconcile(&[begun()]);
    let decided = meltd::saga::decide::decide(
        &asked.saga,
        &Step::Reconcile,
        truth(&[2], &[coin(50, 8)]),
        &asked.ctx,
    );
    let writes = project_proofs(&asked.saga.adoption.id, &decided.entries);
    assert_eq!(writes.len(), 2, "{writes:?}");
    let (from, to) = (ProofState::Unspent, ProofState::Spent);
    assert_eq!(writes[0], ProofWrite::Move { y: y(2), from, to });
    let free = matches!(&writes[1], ProofWrite::Insert { coin, state: ProofState::Unspent, .. }
        if coin.y == y(50));
    assert!(free, "{writes:?}");
}

/// Guards that a melt whose coins are reserved lets them go in time, that nothing is given up once
/// something was sent, and that a saga that has only begun ends clean.
#[test]
fn without_counters_a_saga_waits_or_lets_go() {
    let behind = || {
        Seen::NoCounters(Trouble::Unknown {
            code: Code::CountersBehind,
            detail: "ahead".to_owned(),
        })
    };
    let planned = melt(&log_planned());
    planned
        .sees(behind())
        .then(&[])
        .is("planned")
        .because("COUNTERS_BEHIND");
    let late = planned.clone().minutes(120).sees(behind());
    late.is("released");
    melt(&log_sent(1))
        .minutes(120)
        .when(&Step::PostMelt, behind())
        .then(&[])
        .is("sent");
    let receiving = receive(&[receive_requested()]);
    receiving.sees(behind()).then(&[]).is("requested");
    receiving.minutes(120).sees(behind()).is("rejected");
}

/// Guards which counters an ended saga may have left something at: those that gave it no coin.
#[test]
fn stranded_ranges_are_those_without_a_coin() {
    let rejected: Entry = Event::Rejected(Rejected {
        code: Code::TokenSpent,
        reason: String::new(),
    })
    .into();
    let living = receive(&log_receiving(1)).saga;
    assert_eq!(living.stranded_ranges(), Vec::<Range>::new());
    assert_eq!(living.own_ranges().len(), 1);
    let ended = receive(&with(log_receiving(1), rejected)).saga;
    assert_eq!(ended.stranded_ranges(), living.own_ranges());
    let funded = mint(&log_issuing(1)).saga;
    assert_eq!(funded.own_ranges().len(), 1);
}

/// A restored coin is a term of its own in the wallet's conservation.
#[test]
fn restored_coins_are_gained_after_a_correction_too() {
    let coins = vec![coin(50, 8)];
    let restored: Entry = Event::Restored(Restored {
        wallet: WalletId::new("w1"),
        coins: coins.clone(),
    })
    .into();
    let corrected: Entry = Event::ProofCorrected(ProofCorrected {
        findings: Vec::new(),
        spent: vec![y(1)],
    })
    .into();
    let saga = reconcile(&[begun(), corrected, restored]).saga;
    assert_eq!((saga.state, saga.gained), (State::Settled, coins));
}
