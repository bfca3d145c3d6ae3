//! The state table of settlement: change that is exact, short, bad, too much or late.

use meltd::saga::code::Code;
use meltd::saga::decide::proven;
use meltd::saga::event::Resolution;
use meltd::saga::step::{
    MintState::{Spent, Unspent},
    QuoteState, Seen,
};

use crate::saga_events::*;
use crate::saga_kit::*;

const ALL_SPENT: [meltd::saga::step::MintState; 3] = [Spent; 3];

fn paid_with(change: &[meltd::saga::ids::Coin]) -> Asked {
    states(&ALL_SPENT).quote(QuoteState::Paid).change(change)
}

#[test]
fn change_between_guaranteed_and_most_is_exact() {
    let rows: [(&[u64], &str); 3] = [
        (
            &[1, 2, 4],
            "AtomicCommitted fee 4 change [1, 2, 4] owed 0 []",
        ),
        (&[8], "AtomicCommitted fee 3 change [8] owed 0 []"),
        (
            &[1, 2, 8],
            "AtomicCommitted fee 0 change [1, 2, 8] owed 0 []",
        ),
    ];
    for (amounts, event) in rows {
        let coins: Vec<_> = (100..).zip(amounts).map(|(n, a)| coin(n, *a)).collect();
        melt(&log_sent(1))
            .sees(paid_with(&coins).seen())
            .then(&["MeltPaid claimed", event])
            .is("settled");
    }
}

#[test]
fn short_or_missing_change_is_owed_and_the_fee_is_the_reserve() {
    let short = melt(&log_sent(1)).sees(paid_with(&[coin(100, 4)]).seen());
    let saga = short
        .then(&[
            "MeltPaid claimed",
            "AtomicCommitted fee 4 change [4] owed 3 []",
        ])
        .is("owing")
        .saga;
    assert_eq!((saga.change_owed, saga.fee_paid), (3, 4));
    let none = states(&ALL_SPENT).quote(QuoteState::Paid);
    melt(&log_sent(1))
        .sees(none.seen())
        .then(&[
            "MeltPaid claimed",
            "AtomicCommitted fee 4 change [] owed 7 []",
        ])
        .is("owing");
}

#[test]
fn change_that_does_not_verify_is_owed_and_raised_beside_the_commit() {
    let asked = paid_with(&[coin(100, 4)]).bad(2);
    let saga = melt(&log_sent(1))
        .sees(asked.seen())
        .then(&[
            "MeltPaid claimed",
            "CriticalRaised CHANGE_SIGNATURE_INVALID",
            "AtomicCommitted fee 4 change [4] owed 3 [\"CHANGE_SIGNATURE_INVALID\"]",
        ])
        .is("owing")
        .saga;
    assert!(
        saga.parked.is_none(),
        "a violation never holds the settlement up"
    );
}

#[test]
fn more_change_than_possible_is_stored_and_raised() {
    let asked = paid_with(&[coin(100, 8), coin(101, 4)]);
    melt(&log_sent(1))
        .sees(asked.seen())
        .then(&[
            "MeltPaid claimed",
            "CriticalRaised FEE_OUT_OF_BOUNDS",
            "AtomicCommitted fee 0 change [8, 4] owed 0 [\"FEE_OUT_OF_BOUNDS\"]",
        ])
        .is("settled");
}

#[test]
fn paid_alone_in_the_log_is_settled_with_what_is_found() {
    let log = with(log_sent(1), paid());
    melt(&log)
        .sees(paid_with(&[coin(100, 8)]).seen())
        .then(&["AtomicCommitted fee 3 change [8] owed 0 []"])
        .and("next")
        .is("settled");
    let nothing = states(&ALL_SPENT).quote(QuoteState::Paid);
    melt(&log)
        .sees(nothing.seen())
        .then(&["AtomicCommitted fee 4 change [] owed 7 []"])
        .is("owing");
    melt(&log).sees(silence().seen()).then(&[]).and("later");
}

#[test]
fn owed_change_is_collected_in_parts() {
    let log = with(with(log_sent(1), paid()), committed(&[coin(100, 1)]));
    let given = melt(&log);
    assert_eq!((given.saga.change_owed, given.saga.fee_paid), (6, 4));
    given.sees(states(&ALL_SPENT).seen()).then(&[]).and("later");
    given.sees(silence().seen()).then(&[]).and("later");
    // What is stored already is not stored twice.
    given
        .sees(paid_with(&[coin(100, 1)]).seen())
        .then(&[])
        .and("later");
    let part = given
        .sees(paid_with(&[coin(100, 1), coin(101, 2)]).seen())
        .then(&["ChangeCollected fee 4 change [2] owed 4"])
        .and("next")
        .is("owing");
    let entries = part.decision.entries;
    let log = log.into_iter().chain(entries).collect::<Vec<_>>();
    let rest = paid_with(&[coin(100, 1), coin(101, 2), coin(102, 4), coin(103, 1)]);
    let saga = melt(&log)
        .sees(rest.seen())
        .then(&["ChangeCollected fee 3 change [4, 1] owed 0"])
        .is("settled")
        .saga;
    assert_eq!(total(&saga.change), 8);
    assert_eq!((saga.change_owed, saga.fee_paid), (0, 3));
}

#[test]
fn the_seeds_atomic_result_names_tokens_amounts_and_operations() {
    let log = with(log_ready(), sent_swapped());
    let asked = states(&[Spent; 4])
        .quote(QuoteState::Paid)
        .change(&[coin(100, 2), coin(101, 1)]);
    let saga = melt(&log).sees(asked.seen()).saga;
    let result = saga.committed.map(|c| c.atomic_result).unwrap_or_default();
    assert_eq!(result.source_proofs_spent, 4);
    assert_eq!(result.keep_token_id, Some(format!("{SAGA}:keep")));
    assert_eq!(
        result.melt_change_token_id,
        Some(format!("{SAGA}:melt_change"))
    );
    assert_eq!((result.keep_amount, result.melt_change_amount), (22, 3));
    let kinds: Vec<_> = result
        .operations
        .iter()
        .map(|o| (o.kind.as_str(), o.proof_count))
        .collect();
    assert_eq!(kinds, [("keep_change", 3), ("melt_change", 2)]);
}

#[test]
fn a_preimage_proves_only_what_it_hashes_to() {
    let hash = payment_hash();
    assert!(proven(PREIMAGE, &hash));
    assert!(proven(PREIMAGE, &hash.to_uppercase()));
    for wrong in ["", "00", &hash, &PREIMAGE[2..], &format!("{PREIMAGE}00")] {
        assert!(!proven(wrong, &hash), "{wrong}");
    }
    assert!(!proven(PREIMAGE, ""));
}

/// Whatever the answer to the post or to an inquiry, a parked melt posts nothing and releases
/// nothing; evidence still settles it.
#[test]
fn parked_it_is_asked_and_settled_but_nothing_is_posted() {
    let unpaid = states(&[Unspent; 3]).quote(QuoteState::Unpaid);
    for log in [
        log_sent(1),
        log_sent(3),
        with(log_sent(1), melt_refused(11005)),
    ] {
        let given = melt(&with(log, parked()));
        assert_eq!(given.step().name(), "inquire");
        given.sees(unpaid.clone().seen()).then(&[]).and("later");
        given
            .clone()
            .minutes(999)
            .sees(unpaid.clone().seen())
            .then(&[])
            .and("later");
        let settled = given.sees(paid_with(&[coin(100, 8)]).seen()).is("settled");
        assert!(settled.saga.parked.is_none());
    }
    let given = melt(&with(log_fencing(1), parked()));
    given
        .sees(unpaid.clone().empty().seen())
        .then(&[])
        .and("later");
    given
        .clone()
        .refused(11003)
        .sees(unpaid.empty().seen())
        .then(&[])
        .and("later");
    let through = states(&[Unspent, Unspent, Spent]).found(&fence(1).outputs);
    given
        .sees(through.seen())
        .then(&["SwapDone Fence send [] keep [1, 2, 4, 8]"])
        .is("fencing");
}

#[test]
fn resumed_it_goes_on_where_it_was() {
    let log = with(with(log_sent(1), parked()), resumed());
    let asked = states(&[Unspent; 3]).quote(QuoteState::Unpaid);
    melt(&log)
        .sees(asked.seen())
        .then(&["ProofsSent #2"])
        .and("next");
    let log = with(with(log_fencing(1), parked()), fence_done(1));
    assert_eq!(melt(&log).step().name(), "inquire");
    assert_eq!(melt(&with(log, resumed())).step().name(), "release_rest");
}

#[test]
fn seen_done_belongs_to_the_steps_that_ask_nothing() {
    melt(&log_sent(1)).sees(Seen::Done).then(&[]).and("later");
}

#[test]
fn a_parked_melt_is_not_planned_again() {
    let given = melt(&with(log_swapping(), parked())).doubts(Code::ProofStateInconsistency, 99);
    given
        .sees(states(&[Spent]).empty().seen())
        .then(&[])
        .and("doubt");
}

/// The operator's word is carried out: what was ordered to be let go is not paid.
#[test]
fn a_release_that_is_ordered_before_anything_was_sent_sends_nothing() {
    let order = || resolved(Resolution::Released);
    let ends = "ProofsReleased final PAYMENT_FAILED [1 reserved, 2 reserved, 3 reserved]";
    let given = melt(&with(log_planned(), order()));
    given
        .sees(Seen::MeltPrepared(Some(blanks(4))))
        .then(&[ends])
        .is("released");
    let ends = "ProofsReleased final PAYMENT_FAILED [4 reserved]";
    let given = melt(&[requested(), quoted(), planned(swapped()), order()]);
    given
        .sees(Seen::SwapPrepared(plan_outputs()))
        .then(&[ends])
        .is("released");
    let ends =
        "ProofsReleased final PAYMENT_FAILED [a reserved, b reserved, c reserved, d reserved]";
    let given = melt(&with(log_ready(), order()));
    given
        .sees(Seen::MeltPrepared(Some(blanks(3))))
        .then(&[ends])
        .is("released");
    // A refused plan swap is not planned again.
    let given = melt(&with(log_swapping(), order())).refused(11005);
    let ends = "ProofsReleased final MINT_REFUSED [4 reserved]";
    given
        .sees(states(&[Unspent]).empty().seen())
        .then(&[ends])
        .is("released");
    let given = melt(&[requested(), quoted(), order()]);
    let seen = Seen::Preflight(Ok(meltd::saga::step::Preflight {
        plan: Ok(direct()),
        findings: Vec::new(),
        corrections: Vec::new(),
    }));
    given
        .sees(seen)
        .then(&["Rejected PAYMENT_FAILED"])
        .is("rejected");
}

#[test]
fn an_operator_who_says_paid_settles_spent_inputs_and_no_others() {
    let log = with(with(log_sent(1), parked()), resolved(Resolution::Paid));
    for quote in [QuoteState::Unpaid, QuoteState::Failed, QuoteState::Unknown] {
        let given = melt(&log);
        given
            .sees(states(&ALL_SPENT).quote(quote).seen())
            .then(&[
                "MeltPaid claimed",
                "AtomicCommitted fee 4 change [] owed 7 []",
            ])
            .is("owing");
        let free = states(&[Unspent; 3]).quote(QuoteState::Paid);
        given.sees(free.seen()).then(&[]).and("doubt");
        let mixed = states(&[Unspent, Spent, Spent]).quote(quote);
        given.sees(mixed.seen()).then(&[]).and("doubt");
    }
}

/// A mint that repeats a signature pays it once.
#[test]
fn change_that_is_told_twice_is_counted_once() {
    let twice = [coin(100, 4), coin(100, 4), coin(101, 1)];
    let given = melt(&log_sent(1));
    let settled = given.sees(paid_with(&twice).seen());
    settled.then(&[
        "MeltPaid claimed",
        "AtomicCommitted fee 4 change [4, 1] owed 2 []",
    ]);
    let log = with(with(log_sent(1), paid()), committed(&[]));
    let collected = melt(&log).sees(paid_with(&twice).seen());
    collected.then(&["ChangeCollected fee 4 change [4, 1] owed 2"]);
}

/// A settlement without any signature stays open where blanks were sent; what nobody promised is
/// looked for only so often, but a mint that is away has not been asked.
#[test]
fn change_that_nobody_promised_is_looked_for_a_while() {
    let log = with(log_ready(), sent_swapped());
    let paid_now = states(&[Spent; 4]).quote(QuoteState::Paid);
    let open = melt(&log).sees(paid_now.clone().seen());
    let open = open.then(&[
        "MeltPaid claimed",
        "AtomicCommitted fee 4 change [] owed 0 []",
    ]);
    let log: Vec<_> = log
        .into_iter()
        .chain(open.is("owing").decision.entries)
        .collect();
    let there = paid_now.clone().change(&[coin(100, 1), coin(101, 2)]);
    melt(&log)
        .sees(there.seen())
        .then(&["ChangeCollected fee 1 change [1, 2] owed 0"])
        .is("settled");
    let gone = states(&[Spent; 4]).quote_is(unknown());
    for (asked, tries, ends) in [
        (paid_now.clone(), 7, false),
        (paid_now.clone(), 8, true),
        (gone.clone().change(&[]), 8, true),
        (gone, 99, false),
        (silence(), 99, false),
        (silence().quote_is(unknown()), 99, false),
    ] {
        let outcome = melt(&log).tries(tries).sees(asked.seen());
        let event = ["ChangeCollected fee 4 change [] owed 0"];
        outcome.then(if ends { &event[..] } else { &[] });
    }
}
