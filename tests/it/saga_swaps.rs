//! The state table of what comes before the melt: request, quote, pre-flight, plan swap, intent.

use meltd::saga::code::{Code, Discrepancy};
use meltd::saga::command::Policy;
use meltd::saga::decide::{Look, judge};
use meltd::saga::event::{Finding, Way};
use meltd::saga::ids::SagaId;
use meltd::saga::proofs::{ProofState, ProofWrite, project_proofs};
use meltd::saga::quote;
use meltd::saga::step::{
    MeltQuote,
    MintState::{self, Pending, Spent, Unspent},
    Preflight, QuoteState, Seen, Step, Trouble,
};

use crate::saga_events::*;
use crate::saga_kit::*;

fn good_quote() -> MeltQuote {
    MeltQuote {
        id: QUOTE.to_owned(),
        invoice: Some(INVOICE.to_uppercase()),
        unit: Some("sat".to_owned()),
        amount: 100,
        fee_reserve: 4,
        state: QuoteState::Unpaid,
        expires_at: at(30),
    }
}

#[test]
fn the_command_is_recorded_first() {
    let outcome = melt(&[])
        .sees(Seen::Done)
        .then(&["MeltRequested"])
        .and("next");
    let entry = &outcome.decision.entries[0];
    assert_eq!(entry.event, requested().event);
    assert_eq!(entry.private.invoice.as_deref(), Some(INVOICE));
    assert_eq!(entry.private.npub.as_deref(), Some(NPUB));
    receive(&[])
        .sees(Seen::Done)
        .then(&["ReceiveRequested"])
        .and("next");
}

#[test]
fn a_good_quote_is_created() {
    let outcome = melt(&[requested()]).sees(Seen::MeltQuote(Ok(good_quote())));
    let saga = outcome
        .then(&["QuoteCreated"])
        .and("next")
        .is("quoted")
        .saga;
    assert_eq!(saga.quote, melt(&[requested(), quoted()]).saga.quote);
}

#[test]
fn a_quote_for_anything_else_is_rejected() {
    let rows: [(&str, fn(&mut MeltQuote)); 8] = [
        ("QUOTE_MISMATCH", |q| {
            q.invoice = Some("lnbc-another".to_owned())
        }),
        ("QUOTE_MISMATCH", |q| q.unit = Some("msat".to_owned())),
        ("QUOTE_MISMATCH", |q| q.amount = 99),
        ("QUOTE_MISMATCH", |q| q.amount = 101),
        ("QUOTE_MISMATCH", |q| q.state = QuoteState::Pending),
        ("QUOTE_MISMATCH", |q| q.state = QuoteState::Paid),
        ("FEE_OVER_LIMIT", |q| q.fee_reserve = 11),
        ("QUOTE_EXPIRED", |q| q.expires_at = at(0)),
    ];
    for (code, spoil) in rows {
        let mut quote = good_quote();
        spoil(&mut quote);
        let event = format!("Rejected {code}");
        let given = melt(&[requested()]);
        let outcome = given
            .sees(Seen::MeltQuote(Ok(quote)))
            .then(&[&event])
            .and("next");
        assert!(!outcome.is("rejected").saga.holds_claims());
    }
}

#[test]
fn what_the_mint_leaves_out_of_a_quote_is_not_held_against_it() {
    let mut quote = good_quote();
    (quote.invoice, quote.unit, quote.fee_reserve) = (None, None, 10);
    assert!(quote::check(&melt_command(), "sat", &quote, at(29)).is_ok());
    let mut command = melt_command();
    (command.fee_limit, quote.fee_reserve) = (None, u64::MAX);
    assert!(quote::check(&command, "sat", &quote, at(29)).is_ok());
}

#[test]
fn the_amount_is_rounded_up_to_the_unit() {
    for (msat, amount) in [(1, 1), (999, 1), (1000, 1), (1001, 2), (99_001, 100)] {
        let mut command = melt_command();
        command.amount_msat = msat;
        assert_eq!(command.amount(), amount, "{msat}");
    }
}

#[test]
fn before_anything_is_reserved_a_refusal_ends_and_silence_waits_until_the_deadline() {
    let quote: [(Given, fn(Result<(), Trouble>) -> Seen); 2] = [
        (melt(&[requested()]), |t| {
            Seen::MeltQuote(t.map(|()| good_quote()))
        }),
        (melt(&[requested(), quoted()]), |t| {
            Seen::Preflight(t.map(|()| preflight(Err((Code::CoinsBusy, String::new())))))
        }),
    ];
    for (given, seen) in quote {
        given
            .sees(seen(refused(20003)))
            .then(&["Rejected MINT_REFUSED"])
            .and("next");
        given.sees(seen(unknown())).then(&[]).and("later");
        given
            .minutes(60)
            .sees(seen(unknown()))
            .then(&["Rejected MINT_UNREACHABLE"])
            .is("rejected");
    }
}

fn preflight(plan: Result<meltd::saga::event::Plan, (Code, String)>) -> Preflight {
    Preflight {
        plan,
        findings: vec![Finding {
            y: y(9),
            discrepancy: Discrepancy::DbUnspentMintSpent,
        }],
        corrections: vec![y(9)],
    }
}

#[test]
fn the_preflight_reserves_or_blocks() {
    let given = melt(&[requested(), quoted()]);
    let passed = given.sees(Seen::Preflight(Ok(preflight(Ok(direct())))));
    assert_eq!(passed.saga.send, direct().inputs);
    passed.then(&["PreflightPassed"]).and("next").is("planned");
    for code in [
        Code::InsufficientBalance,
        Code::MeltBlockedByReconciliation,
        Code::ExposureLimit,
    ] {
        let event = format!("PreflightBlocked {code} 1");
        let seen = Seen::Preflight(Ok(preflight(Err((code, String::new())))));
        let outcome = given.sees(seen).then(&[&event]).and("next").is("blocked");
        assert!(!outcome.saga.holds_claims());
    }
}

#[test]
fn busy_coins_are_waited_for_a_few_times_before_the_deadline() {
    let given = melt(&[requested(), quoted()]);
    let busy = || Seen::Preflight(Ok(preflight(Err((Code::CoinsBusy, String::new())))));
    given.clone().tries(4).sees(busy()).then(&[]).and("later");
    given
        .clone()
        .tries(5)
        .sees(busy())
        .then(&["PreflightBlocked COINS_BUSY 1"]);
    given
        .minutes(60)
        .sees(busy())
        .then(&["PreflightBlocked COINS_BUSY 1"]);
}

#[test]
fn one_spent_proof_never_writes_off_its_siblings() {
    let rows: [(Policy, &[MintState], Look, usize, usize); 7] = [
        (
            Policy::Block,
            &[Unspent, Unspent, Unspent],
            Look::Clear,
            0,
            0,
        ),
        (Policy::Block, &[Unspent, Spent, Unspent], Look::Block, 1, 1),
        (
            Policy::Block,
            &[Unspent, Pending, Unspent],
            Look::Again,
            1,
            0,
        ),
        (Policy::Block, &[Pending, Spent, Spent], Look::Block, 3, 2),
        (
            Policy::Reselect,
            &[Unspent, Spent, Unspent],
            Look::Again,
            1,
            1,
        ),
        (
            Policy::Reselect,
            &[Pending, Spent, Spent],
            Look::Again,
            3,
            2,
        ),
        (Policy::Reselect, &[Unspent], Look::Clear, 0, 0),
    ];
    for (policy, states, look, found, corrected) in rows {
        let chosen: Vec<_> = (1..).map(y).zip(states.iter().copied()).collect();
        let (mut findings, mut corrections) = (Vec::new(), Vec::new());
        assert_eq!(
            judge(policy, &chosen, &mut findings, &mut corrections),
            look
        );
        assert_eq!((findings.len(), corrections.len()), (found, corrected));
        let spent = chosen.iter().filter(|(_, s)| *s == Spent).map(|(y, _)| y);
        assert!(spent.eq(corrections.iter()));
    }
}

#[test]
fn the_intent_of_a_direct_melt() {
    let outcome = melt(&log_planned()).sees(Seen::MeltPrepared(Some(blanks(4))));
    let entries = outcome
        .then(&["ProofsSent #1"])
        .and("next")
        .is("sent")
        .decision
        .entries;
    assert_eq!(entries, [sent(1)]);
}

#[test]
fn the_intent_of_a_swapped_melt() {
    let given = melt(&log_ready());
    assert_eq!(total(&given.saga.send), 105);
    let outcome = given.sees(Seen::MeltPrepared(Some(blanks(3))));
    let entries = outcome.then(&["ProofsSent #1"]).is("sent").decision.entries;
    assert_eq!(entries, [sent_swapped()]);
}

#[test]
fn before_the_first_post_time_still_counts() {
    let rows: [(Vec<_>, &str); 2] = [
        (log_planned(), "[1 reserved, 2 reserved, 3 reserved]"),
        (
            log_ready(),
            "[a reserved, b reserved, c reserved, d reserved]",
        ),
    ];
    for (log, coins) in rows {
        let seen = || Seen::MeltPrepared(Some(blanks(4)));
        let given = melt(&log);
        given
            .clone()
            .minutes(29)
            .sees(seen())
            .then(&["ProofsSent #1"]);
        let again = format!("ProofsReleased again QUOTE_EXPIRED {coins}");
        given
            .clone()
            .minutes(30)
            .sees(seen())
            .then(&[&again])
            .is("requested");
        let mut twice = given.clone().minutes(30);
        twice.saga.replans = 1;
        let ends = format!("ProofsReleased final QUOTE_EXPIRED {coins}");
        twice.sees(seen()).then(&[&ends]).is("released");
        let over = given.minutes(60).sees(seen()).then(&[&ends]).is("released");
        assert!(!over.saga.holds_claims());
    }
    let given = melt(&[requested(), quoted(), planned(swapped())]).minutes(60);
    given
        .sees(Seen::SwapPrepared(plan_outputs()))
        .then(&["ProofsReleased final QUOTE_EXPIRED [4 reserved]"]);
}

#[test]
fn the_plan_swap_is_announced_and_answered() {
    let given = melt(&[requested(), quoted(), planned(swapped())]);
    let step = Step::PrepareSwap {
        keyset: keyset(),
        amounts: plan_outputs().amounts,
    };
    assert_eq!(given.step(), step);
    let outcome = given.sees(Seen::SwapPrepared(plan_outputs()));
    assert_eq!(outcome.decision.entries, [prepared(swap_prepared())]);
    let given = melt(&log_swapping()).fresh();
    assert_eq!(given.step(), Step::PostSwap(swap_prepared()));
    let done = given.sees(Seen::Swapped(Ok(outcome_of_plan())));
    assert_eq!(done.decision.entries, [swap_done()]);
    done.and("next").is("ready");
    for code in [10001, 11001, 11002, 11003, 11005, 12001, 12002] {
        given
            .sees(Seen::Swapped(refused(code)))
            .then(&[])
            .and("do inquire");
    }
    given.sees(Seen::Swapped(unknown())).then(&[]).and("later");
}

fn outcome_of_plan() -> Vec<meltd::saga::ids::SignedCoin> {
    outcome(&plan_outputs())
}

#[test]
fn what_became_of_a_plan_swap() {
    let given = melt(&log_swapping());
    given
        .sees(states(&[Spent]).found(&plan_outputs()).seen())
        .then(&["SwapDone Plan send [1, 8, 32, 64] keep [2, 4, 16]"])
        .is("ready");
    given
        .sees(silence().found(&plan_outputs()).seen())
        .then(&[])
        .and("later");
    given.sees(silence().empty().seen()).then(&[]).and("later");
    given
        .sees(states(&[Spent]).mute().seen())
        .then(&[])
        .and("later");
    given
        .sees(states(&[Pending]).empty().seen())
        .then(&[])
        .and("later");
    given
        .sees(states(&[Unspent]).empty().seen())
        .then(&[])
        .and("do post_swap");
    // After the deadline too: a swap that is through is a swap that is known.
    let over = given.clone().minutes(999);
    over.sees(states(&[Unspent]).empty().seen())
        .then(&[])
        .and("do post_swap");
    for inputs in [Unspent, Pending] {
        let asked = states(&[inputs]).found(&plan_outputs());
        given.sees(asked.clone().seen()).then(&[]).and("doubt");
        let often = given.clone().doubts(Code::CountersBehind, 5);
        often.sees(asked.seen()).then(&[
            "CriticalRaised CRITICAL_MELT_FAILURE",
            "Parked COUNTERS_BEHIND",
        ]);
    }
}

#[test]
fn a_refused_plan_swap_frees_its_coins_and_is_planned_again_once() {
    let free = states(&[Unspent]).empty();
    for code in [10001, 11003, 11005, 12001, 12002] {
        let given = melt(&log_swapping()).refused(code);
        given
            .sees(free.clone().seen())
            .then(&["ProofsReleased again MINT_REFUSED [4 reserved]"])
            .is("requested");
        let mut twice = given.clone();
        twice.saga.replans = 1;
        let ends = ["ProofsReleased final MINT_REFUSED [4 reserved]"];
        twice.sees(free.clone().seen()).then(&ends).is("released");
        let parked = melt(&with(log_swapping(), parked())).refused(code);
        parked.sees(free.clone().seen()).then(&[]).and("later");
        given
            .sees(states(&[Pending]).empty().seen())
            .then(&[])
            .and("later");
    }
    let parked = melt(&with(log_swapping(), parked()));
    parked.sees(free.seen()).then(&[]).and("later");
}

#[test]
fn coins_that_somebody_else_spent_are_given_up_after_some_looks() {
    let asked = states(&[Spent]).empty();
    let given = melt(&log_swapping());
    given
        .clone()
        .tries(99)
        .doubts(Code::ProofStateInconsistency, 4)
        .sees(asked.clone().seen())
        .then(&[])
        .and("doubt");
    let given = given.doubts(Code::ProofStateInconsistency, 5);
    let outcome = given.sees(asked.seen());
    assert_eq!(outcome.saga.state.as_str(), "requested");
}

/// 11001 and 11002 beside free inputs and no signatures: another post of the same swap, of ours or
/// of a worker that was slow, is or was at the mint and may still win. Coins that were let go now
/// could be spent under the next melt, and the outputs would lie in a range that nobody asks for.
#[test]
fn a_swap_that_is_told_to_be_under_way_frees_nothing() {
    for code in [11001, 11002] {
        let given = melt(&log_swapping()).refused(code);
        given
            .sees(states(&[Unspent]).empty().seen())
            .then(&[])
            .and("later");
        let given = receive(&log_receiving(1)).refused(code);
        given
            .sees(states(&[Unspent, Unspent]).empty().seen())
            .then(&[])
            .and("later");
    }
}

/// The coins' first plan swap was refused, they were planned again with other amounts, and then the
/// first swap turns out to have won. Its outputs are not what the second plan sends.
#[test]
fn an_earlier_plan_swap_is_never_taken_for_the_present_one() {
    let mut plan = swapped();
    let mut swap = swap_prepared();
    if let Way::Swap { send, keep, .. } = &mut plan.way {
        (*send, *keep) = (vec![1, 4, 8, 32, 64], vec![2, 16]);
    }
    swap.outputs = outputs(20, &[1, 4, 8, 32, 64, 2, 16]);
    let mut log = with(log_swapping(), released(ProofState::Reserved, &[4], false));
    log.extend([quoted(), planned(plan), prepared(swap)]);
    let asked = states(&[Spent]).found(&plan_outputs()).empty().seen();
    melt(&log).sees(asked.clone()).then(&[]).and("doubt");
    let often = melt(&log).doubts(Code::ProofStateInconsistency, 5);
    often.sees(asked).then(&[
        "CriticalRaised CRITICAL_MELT_FAILURE",
        "Parked PROOF_STATE_INCONSISTENCY",
    ]);
}

/// A coin that is spent at the mint does not come back into the balance.
#[test]
fn what_was_spent_elsewhere_is_corrected_in_the_same_append() {
    let mut plan = swapped();
    plan.inputs = vec![coin(4, 64), coin(5, 64)];
    let mut swap = swap_prepared();
    swap.inputs = vec![y(4), y(5)];
    let given = melt(&[requested(), quoted(), planned(plan), prepared(swap)]);
    let given = given.doubts(Code::ProofStateInconsistency, 5);
    let outcome = given.sees(states(&[Spent, Unspent]).empty().seen()).then(&[
        "ProofsReleased again PROOF_STATE_INCONSISTENCY [4 reserved, 5 reserved]",
        "ProofCorrected 1",
    ]);
    let writes = project_proofs(&SagaId::new(SAGA), &outcome.decision.entries);
    let to = |n, to| ProofWrite::Move {
        y: y(n),
        from: ProofState::Reserved,
        to,
    };
    assert_eq!(
        writes,
        [to(4, ProofState::Spent), to(5, ProofState::Unspent)]
    );
}
