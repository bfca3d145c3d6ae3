//! The state table of the fence: the swap that makes a late melt bounce.

use meltd::saga::decide::Then;
use meltd::saga::event::Resolution;
use meltd::saga::proofs::ProofState;
use meltd::saga::step::{
    MintState::{Pending, Spent, Unspent},
    QuoteState, Seen, Step,
};

use crate::saga_events::*;
use crate::saga_kit::*;
use crate::saga_table::{ALL_FREE, ALL_SPENT, QUOTE_STATES, contradicts};

#[test]
fn the_fence_is_described_and_made_durable() {
    let given = melt(&log_sent(3));
    let step = Step::PrepareFence {
        inputs: direct().inputs,
        attempt: 0,
    };
    given
        .when(&step, Seen::FencePrepared(Ok(Some(fence(1)))))
        .then(&["SwapPrepared Fence #1 at 200"])
        .and("next")
        .is("fencing");
    given
        .when(&step, Seen::FencePrepared(Ok(None)))
        .then(&[])
        .and("later")
        .because("UNFENCEABLE_DUST");
    given
        .when(&step, Seen::FencePrepared(unknown()))
        .then(&[])
        .and("later");
    given
        .when(&step, Seen::FencePrepared(refused(11005)))
        .then(&[])
        .and("later");
    given
        .when(&step, Seen::FencePrepared(Ok(Some(fence(6)))))
        .then(&[])
        .and("later");
}

#[test]
fn the_fence_is_answered() {
    let given = melt(&log_fencing(1)).fresh();
    assert_eq!(given.step(), Step::PostSwap(fence(1)));
    given
        .sees(Seen::Swapped(Ok(outcome(&fence(1).outputs))))
        .then(&["SwapDone Fence send [] keep [1, 2, 4, 8]"])
        .and("next")
        .is("fencing");
    for code in [11001, 11002, 11003, 11005, 12001] {
        given
            .sees(Seen::Swapped(refused(code)))
            .then(&[])
            .and("do inquire");
    }
    given.sees(Seen::Swapped(unknown())).then(&[]).and("later");
}

#[test]
fn a_fence_that_is_through_frees_the_other_coins() {
    let log = with(log_fencing(1), fence_done(1));
    let given = melt(&log);
    assert_eq!(given.step(), Step::ReleaseRest);
    given
        .sees(Seen::Done)
        .then(&["ProofsReleased final PAYMENT_FAILED [1 pending, 2 pending]"])
        .and("next")
        .is("released");
}

#[test]
fn a_refusal_of_the_form_is_planned_again_once() {
    let fenced = |code, more: Vec<_>| {
        let mut log = with(log_sent(1), melt_refused(code));
        log.extend(more);
        log.extend([prepared(fence(1)), fence_done(1)]);
        log
    };
    let again = "ProofsReleased again PAYMENT_FAILED [1 pending, 2 pending]";
    let ends = "ProofsReleased final PAYMENT_FAILED [1 pending, 2 pending]";
    for code in [11005, 11008, 11014, 12001, 12002, 12003] {
        let given = melt(&fenced(code, vec![]));
        given.sees(Seen::Done).then(&[again]).is("requested");
        given
            .clone()
            .minutes(60)
            .sees(Seen::Done)
            .then(&[ends])
            .is("released");
        let ordered = melt(&fenced(code, vec![resolved(Resolution::Released)]));
        ordered.sees(Seen::Done).then(&[ends]).is("released");
    }
    for code in [10001, 11003, 11004, 11015, 20003, 20004] {
        melt(&fenced(code, vec![]))
            .sees(Seen::Done)
            .then(&[ends])
            .is("released");
    }
    let mut second = melt(&fenced(11005, vec![]));
    second.saga.replans = 1;
    second.sees(Seen::Done).then(&[ends]).is("released");
}

#[test]
fn planned_again_forgets_the_attempt_but_never_a_range() {
    let mut log = with(log_sent(1), melt_refused(11005));
    log.extend([prepared(fence(1)), prepared(fence(2)), fence_done(2)]);
    let saga = melt(&log).sees(Seen::Done).saga;
    assert_eq!(saga.replans, 1);
    assert!(saga.sent.is_none() && saga.quote.is_none() && saga.refusal.is_none());
    assert_eq!(saga.open_ranges(), vec![fence(1).outputs.range()]);
    assert!(saga.holds_claims());
}

#[test]
fn fencing_finds_its_own_swap() {
    let asked = states(&[Unspent, Unspent, Spent]).found(&fence(1).outputs);
    for quote in QUOTE_STATES {
        melt(&log_fencing(1))
            .sees(asked.clone().quote(quote).seen())
            .then(&["SwapDone Fence send [] keep [1, 2, 4, 8]"])
            .and("next");
    }
    // The first of two ranges won, late.
    let asked = states(&[Unspent, Unspent, Spent])
        .found(&fence(1).outputs)
        .empty();
    let outcome = melt(&log_fencing(2)).sees(asked.seen());
    let saga = outcome
        .then(&["SwapDone Fence send [] keep [1, 2, 4, 8]"])
        .saga;
    assert_eq!(saga.open_ranges(), vec![fence(2).outputs.range()]);
}

#[test]
fn fencing_finds_signatures_but_the_input_is_free() {
    let asked = states(&ALL_FREE).found(&fence(1).outputs);
    contradicts(&log_fencing(1), asked, "COUNTERS_BEHIND");
}

#[test]
fn fencing_and_the_payment_lives() {
    let later = |asked: Asked| {
        let given = melt(&log_fencing(1)).tries(99);
        given.sees(asked.seen()).then(&[]).and("later");
    };
    later(silence().quote(QuoteState::Unpaid).empty());
    later(
        states(&[Pending, Pending, Pending])
            .quote(QuoteState::Pending)
            .empty(),
    );
    later(states(&ALL_SPENT).quote(QuoteState::Pending).empty());
    later(states(&ALL_SPENT).quote(QuoteState::Unpaid).mute());
    later(states(&ALL_SPENT).quote_is(unknown()).empty());
    later(
        states(&[Unspent, Unspent, Spent])
            .quote(QuoteState::Unpaid)
            .mute(),
    );
    later(states(&ALL_FREE).quote(QuoteState::Unpaid).mute());
    let asked = states(&ALL_SPENT).quote(QuoteState::Paid).empty();
    melt(&log_fencing(1))
        .sees(asked.change(&[coin(100, 4), coin(101, 4)]).seen())
        .then(&[
            "MeltPaid claimed",
            "AtomicCommitted fee 3 change [4, 4] owed 0 []",
        ])
        .is("settled");
}

#[test]
fn fencing_and_the_evidence_contradicts_itself() {
    let log = log_fencing(1);
    let asked = states(&ALL_SPENT).quote(QuoteState::Unpaid).empty();
    contradicts(&log, asked, "SPENT_BUT_UNPAID");
    let asked = states(&[Unspent, Unspent, Spent])
        .quote(QuoteState::Unpaid)
        .empty();
    contradicts(&log, asked, "INPUTS_MIXED");
    let asked = states(&ALL_FREE).quote(QuoteState::Paid).empty();
    contradicts(&log, asked, "PAID_BUT_UNSPENT");
}

#[test]
fn a_fence_that_did_not_happen_is_posted_again_and_the_melt_never() {
    for quote in QUOTE_STATES.into_iter().filter(|q| *q != QuoteState::Paid) {
        let asked = states(&ALL_FREE).quote(quote).empty();
        melt(&log_fencing(1))
            .sees(asked.seen())
            .then(&[])
            .and("do post_swap");
    }
}

#[test]
fn another_range_only_after_a_refusal_and_at_most_five() {
    let asked = |n| (1..n).fold(states(&ALL_FREE).empty(), |asked, _| asked.empty());
    for n in 1..5 {
        let given = melt(&log_fencing(n)).refused(11003);
        given
            .sees(asked(n).seen())
            .then(&[])
            .and("do prepare_fence");
    }
    let given = melt(&log_fencing(5)).refused(11003);
    given.sees(asked(5).seen()).then(&[]).and("later");
    // The next pass asks, and offers the last range again.
    melt(&log_fencing(5))
        .sees(asked(5).seen())
        .then(&[])
        .and("do post_swap");
    let step = Step::PrepareFence {
        inputs: direct().inputs,
        attempt: 1,
    };
    let seen = Seen::FencePrepared(Ok(Some(fence(2))));
    let next = melt(&log_fencing(1)).when(&step, seen);
    next.then(&["SwapPrepared Fence #2 at 210"])
        .and("next")
        .is("fencing");
}

/// A range of the round before, over a coin that is spent since, says nothing of this round.
#[test]
fn a_fence_of_an_earlier_round_is_not_this_rounds() {
    let mut log = with(log_sent(1), melt_refused(11005));
    log.extend([prepared(fence(1)), prepared(fence(2)), fence_done(2)]);
    log.push(released(ProofState::Pending, &[1, 2], false));
    let mut plan = direct();
    plan.inputs[2] = coin(5, 16);
    log.extend([quoted(), planned(plan), sent_with(&[1, 2, 5])]);
    let mut second = fence(3);
    second.inputs = vec![y(5)];
    log.push(prepared(second));
    let asked = states(&ALL_FREE).quote(QuoteState::Unpaid);
    let asked = asked.found(&fence(1).outputs).empty().seen();
    melt(&log).sees(asked).then(&[]).and("do post_swap");
}

/// A fence that is not known to be dead may still win. Another coin, because fees have changed,
/// would leave it in the air while its own coin is let go.
#[test]
fn another_range_is_over_the_same_coin() {
    let step = Step::PrepareFence {
        inputs: vec![coin(3, 16)],
        attempt: 1,
    };
    let asked = states(&ALL_FREE).quote(QuoteState::Unpaid).empty().seen();
    let outcome = melt(&log_fencing(1)).refused(11005).sees(asked);
    assert_eq!(outcome.decision.then, Then::Do(step));
}

/// A second round has coins of its own, and five ranges of its own.
#[test]
fn the_fences_of_an_earlier_round_are_not_counted() {
    let mut plan = direct();
    plan.inputs[2] = coin(5, 16);
    let mut log = with(log_fencing(4), prepared(fence(5)));
    log.extend([fence_done(5), released(ProofState::Pending, &[1, 2], false)]);
    log.extend([quoted(), planned(plan.clone()), sent_with(&[1, 2, 5])]);
    let asked = (0..4).fold(states(&ALL_FREE).quote(QuoteState::Unpaid), |a, _| {
        a.empty()
    });
    let step = Step::PrepareFence {
        inputs: plan.inputs,
        attempt: 0,
    };
    let outcome = melt(&log).minutes(60).sees(asked.seen());
    assert_eq!(outcome.decision.then, Then::Do(step));
}

/// NUT-07 is away: the signatures that were found mean nothing yet, and contradict nothing.
#[test]
fn a_fence_that_is_signed_waits_for_its_inputs_state() {
    let asked = silence()
        .quote(QuoteState::Unpaid)
        .found(&fence(1).outputs)
        .seen();
    melt(&log_fencing(1))
        .tries(99)
        .sees(asked)
        .then(&[])
        .and("later");
}

/// Parked after the fence went through: only the release is missing. Spent inputs are then the
/// fence's own doing, and no word of the mint turns them into a payment.
#[test]
fn a_fence_that_is_through_is_never_followed_by_a_payment() {
    let log = with(with(log_fencing(1), parked()), fence_done(1));
    for asked in [
        states(&ALL_SPENT).quote(QuoteState::Paid),
        states(&ALL_SPENT).change(&[coin(100, 8)]),
        states(&ALL_FREE).quote(QuoteState::Unpaid),
        states(&[Unspent, Unspent, Spent]).quote(QuoteState::Unpaid),
    ] {
        melt(&log)
            .tries(99)
            .sees(asked.seen())
            .then(&[])
            .and("later");
    }
}

/// A fence is safe whatever the quote says: while the inputs are free, an operator's order is
/// carried out. Otherwise a quote that stays pending, or paid, for ever would hold the coins.
#[test]
fn an_ordered_release_is_fenced_whatever_the_quote_says() {
    let order = || resolved(Resolution::Released);
    for quote in QUOTE_STATES {
        let asked = states(&ALL_FREE).quote(quote);
        let given = melt(&with(log_sent(1), order())).tries(99);
        given
            .sees(asked.clone().seen())
            .then(&[])
            .and("do prepare_fence");
        let given = melt(&with(log_fencing(1), order())).tries(99);
        given
            .sees(asked.clone().empty().seen())
            .then(&[])
            .and("do post_swap");
        let pending = states(&[Pending, Unspent, Unspent]).quote(quote).empty();
        given.sees(pending.seen()).then(&[]).and("later");
        let desk = melt(&with(with(log_sent(1), order()), parked()));
        desk.sees(asked.seen()).then(&[]).and("later");
    }
}
