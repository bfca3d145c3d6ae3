//! CRITICAL and its end, what a mode holds back, what goes on the desk by itself, and what a mint
//! means that calls an invoice paid which this melt has not paid.

use meltd::saga::code::Code;
use meltd::saga::decide::Mode;
use meltd::saga::event::Resolution;
use meltd::saga::step::{MintState::Spent, QuoteState, Seen};

use crate::saga_events::*;
use crate::saga_kit::*;
use crate::saga_table::{ALL_FREE, ALL_SPENT};

fn critical_log() -> Vec<meltd::saga::event::Entry> {
    with(with(log_sent(1), critical()), parked())
}

/// Seen red without the end: the alarm of a melt that had settled stayed on for ever.
#[test]
fn a_critical_ends_with_its_cause() {
    let settles = states(&ALL_SPENT)
        .quote(QuoteState::Paid)
        .change(&[coin(100, 8)]);
    let saga = melt(&critical_log())
        .sees(settles.seen())
        .then(&[
            "MeltPaid claimed",
            "AtomicCommitted fee 3 change [8] owed 0 []",
            "CriticalResolved CRITICAL_MELT_FAILURE",
        ])
        .is("settled")
        .saga;
    assert!(saga.criticals.is_empty());
    let mut log = with(critical_log(), resolved(Resolution::Released));
    log.extend([prepared(fence(1)), fence_done(1)]);
    melt(&log).sees(Seen::Done).then(&[
        "ProofsReleased final PAYMENT_FAILED [1 pending, 2 pending]",
        "CriticalResolved CRITICAL_MELT_FAILURE",
    ]);
}

#[test]
fn a_bad_signature_ends_with_the_last_of_the_change() {
    let bad = states(&ALL_SPENT)
        .quote(QuoteState::Paid)
        .change(&[coin(100, 4)])
        .bad(1);
    let begun = melt(&log_sent(1)).sees(bad.seen());
    let mut given = melt(&[]);
    given.saga = begun.is("owing").saga;
    assert_eq!(given.saga.criticals, [Code::ChangeSignatureInvalid]);
    let part = states(&ALL_SPENT).change(&[coin(100, 4), coin(101, 1)]);
    given
        .sees(part.seen())
        .then(&["ChangeCollected fee 4 change [1] owed 2"]);
    let rest = states(&ALL_SPENT).change(&[coin(100, 4), coin(101, 4)]);
    given.sees(rest.seen()).then(&[
        "ChangeCollected fee 3 change [4] owed 0",
        "CriticalResolved CHANGE_SIGNATURE_INVALID",
    ]);
}

/// Seen red without the check in the later collection.
#[test]
fn more_change_than_possible_is_raised_when_it_comes_later_too() {
    let log = with(with(log_sent(1), paid()), committed(&[coin(100, 1)]));
    let much = states(&ALL_SPENT).change(&[coin(100, 1), coin(101, 16)]);
    let outcome = melt(&log).sees(much.seen()).then(&[
        "CriticalRaised FEE_OUT_OF_BOUNDS",
        "ChangeCollected fee 0 change [16] owed 0",
    ]);
    // What the mint did wrong stays raised: nothing of it is over.
    assert_eq!(outcome.is("settled").saga.criticals, [Code::FeeOutOfBounds]);
    let exact = states(&ALL_SPENT).change(&[coin(100, 1), coin(101, 8), coin(102, 2)]);
    melt(&log)
        .sees(exact.seen())
        .then(&["ChangeCollected fee 0 change [8, 2] owed 0"]);
}

/// The first post says that the invoice is paid or pending, and our inputs are free: not by us.
/// Seen red with `PAYMENT_FAILED`, which invites whoever owes the invoice to pay it again.
#[test]
fn an_invoice_that_somebody_else_pays_is_not_called_failed() {
    for code in [20005, 20006] {
        let given = melt(&log_sent(1)).refused(code);
        let free = states(&ALL_FREE).quote(QuoteState::Unpaid);
        let event = format!("MeltRefused Some({code})");
        let seen = given.sees(free.clone().seen()).then(&[&event]).and("next");
        let mut next = given.clone();
        next.saga = seen.saga;
        next.sees(free.seen()).then(&[]).and("do prepare_fence");
        let mut log = with(log_sent(1), melt_refused(code));
        log.extend([prepared(fence(1)), fence_done(1)]);
        melt(&log)
            .sees(Seen::Done)
            .then(&["ProofsReleased final INVOICE_PAID_ELSEWHERE [1 pending, 2 pending]"])
            .is("released");
        // Spent inputs are ours: then it was our own earlier post that the mint meant.
        let ours = states(&ALL_SPENT).quote(QuoteState::Paid);
        given
            .sees(ours.change(&[coin(100, 8)]).seen())
            .is("settled");
        let pending = states(&ALL_FREE).quote(QuoteState::Pending);
        given.sees(pending.seen()).then(&[]).and("later");
    }
}

/// Nothing new while the mint is paused; what was reserved in vain goes back in time.
#[test]
fn a_paused_mint_gets_nothing_new() {
    let paused = |log: &[_]| melt(log).mode(Mode::Paused);
    for log in [
        vec![requested()],
        vec![requested(), quoted()],
        log_planned(),
        vec![requested(), quoted(), planned(swapped())],
        log_ready(),
    ] {
        let given = paused(&log);
        let held = given.held().unwrap();
        held.then(&[]).and("later").because("MINT_PAUSED");
    }
    let over = paused(&[requested()]).minutes(60).held().unwrap();
    over.then(&["Rejected MINT_PAUSED"]).is("rejected");
    let over = paused(&log_planned()).minutes(60).held().unwrap();
    let ends = "ProofsReleased final QUOTE_EXPIRED [1 reserved, 2 reserved, 3 reserved]";
    over.then(&[ends]).is("released");
    for log in [log_sent(1), log_fencing(1), log_swapping()] {
        assert!(paused(&log).held().is_none(), "asking goes on");
        assert!(paused(&log).fresh().held().is_none());
    }
    // What may be at the mint is asked for and fenced, but not sent once more.
    let free = || states(&ALL_FREE).quote(QuoteState::Unpaid).seen();
    let again = paused(&log_sent(1)).sees(free());
    again.then(&[]).and("later").because("MINT_PAUSED");
    let tired = paused(&log_sent(3)).sees(free());
    tired.then(&[]).and("do prepare_fence");
    assert!(mint(&[]).mode(Mode::Paused).held().is_some());
    assert!(mint(&[mint_quoted()]).mode(Mode::Paused).held().is_none());
    assert!(
        receive(&[receive_requested()])
            .mode(Mode::Paused)
            .held()
            .is_some()
    );
}

/// Only looking: every step but an inquiry is held, and no inquiry leads to a post, a fence, a
/// release or the desk. What it shows is recorded.
#[test]
fn observing_moves_nothing_and_records_what_it_sees() {
    use crate::saga_evolve::in_state;
    use meltd::saga::state::State;
    for state in State::ALL {
        for fresh in [false, true] {
            let mut given = melt(&[]).mode(Mode::ObserveOnly);
            (given.saga, given.fresh) = (in_state(state), fresh);
            let looks = matches!(given.step().name(), "accept" | "inquire" | "stop");
            match given.held() {
                None => assert!(looks, "{state:?}"),
                Some(held) => {
                    assert!(!looks, "{state:?}");
                    held.then(&[]).and("later").because("OBSERVE_ONLY");
                }
            }
        }
    }
    let observing = |log: &[_]| melt(log).mode(Mode::ObserveOnly).minutes(999);
    let free = states(&ALL_FREE).quote(QuoteState::Unpaid);
    for log in [
        log_sent(1),
        log_sent(3),
        with(log_sent(1), resolved(Resolution::Released)),
    ] {
        observing(&log)
            .sees(free.clone().seen())
            .then(&[])
            .and("later");
    }
    let fencing = observing(&log_fencing(1)).sees(free.empty().seen());
    fencing.then(&[]).and("later");
    let swapping = observing(&log_swapping());
    let unspent = states(&[meltd::saga::step::MintState::Unspent]).empty();
    swapping.sees(unspent.seen()).then(&[]).and("later");
    let gone = swapping.clone().doubts(Code::ProofStateInconsistency, 9);
    gone.sees(states(&[Spent]).empty().seen())
        .then(&[])
        .and("doubt");
    let contradicts = observing(&log_sent(1)).doubts(Code::SpentButUnpaid, 9);
    let odd = states(&ALL_SPENT).quote(QuoteState::Unpaid);
    contradicts.sees(odd.seen()).then(&[]).and("doubt");
    let paid = states(&ALL_SPENT)
        .quote(QuoteState::Paid)
        .change(&[coin(100, 8)]);
    observing(&log_sent(1)).sees(paid.seen()).is("settled");
    let issuing = mint(&log_issuing(1)).mode(Mode::ObserveOnly);
    let paid = states(&[]).quote(QuoteState::Paid).empty();
    issuing.sees(paid.seen()).then(&[]).and("later");
}

/// Nothing at the mint and no hope: after many passes it goes on the desk, once its time is over.
/// Whatever is at the mint is asked for without end.
#[test]
fn without_anything_at_the_mint_it_is_parked_in_the_end() {
    // A step that brings nothing, pass after pass, for whatever reason.
    let accept = meltd::saga::step::Step::Accept;
    let stuck = |minutes, tries| {
        let given = melt(&log_planned()).minutes(minutes).tries(tries);
        given.when(&accept, Seen::Swapped(unknown()))
    };
    let parked = stuck(60, 20).then(&["Parked NOTHING_AT_MINT"]);
    assert_eq!(parked.and("later").saga.status().as_str(), "parked");
    stuck(60, 19).then(&[]);
    stuck(59, 9_999).then(&[]);
    for log in [log_sent(1), log_fencing(1), log_swapping()] {
        let given = melt(&log).minutes(99_999).tries(99_999);
        given.sees(silence().mute().seen()).then(&[]).and("later");
    }
}
