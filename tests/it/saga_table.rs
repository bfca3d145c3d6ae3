//! The state table of a melt after its intent: what was seen → what is a fact, and
//! what follows. One row, one line of the table.

use meltd::saga::code::Code;
use meltd::saga::event::Resolution;
use meltd::saga::step::{
    MintState::{Pending, Spent, Unspent},
    QuoteState, Seen, Step, Trouble,
};

use crate::saga_events::*;
use crate::saga_kit::*;

pub(crate) const ALL_SPENT: [meltd::saga::step::MintState; 3] = [Spent; 3];
pub(crate) const ALL_FREE: [meltd::saga::step::MintState; 3] = [Unspent; 3];
pub(crate) const QUOTE_STATES: [QuoteState; 6] = [
    QuoteState::Unpaid,
    QuoteState::Pending,
    QuoteState::Paid,
    QuoteState::Failed,
    QuoteState::Issued,
    QuoteState::Unknown,
];

/// The answer to the post, in a state that has just announced it.
fn posted(answer: Result<meltd::saga::step::MeltWord, Trouble>) -> Outcome {
    melt(&log_sent(1)).fresh().sees(Seen::Melted(answer))
}

#[test]
fn the_post_is_answered_paid_with_change() {
    let mut answer = word(QuoteState::Paid);
    answer.change = Some(change(&[coin(100, 8)]));
    posted(Ok(answer.clone()))
        .then(&[
            "MeltPaid claimed",
            "AtomicCommitted fee 3 change [8] owed 0 []",
        ])
        .and("next")
        .is("settled");
    answer.preimage = Some(PREIMAGE.to_owned());
    posted(Ok(answer))
        .then(&[
            "MeltPaid proven",
            "AtomicCommitted fee 3 change [8] owed 0 []",
        ])
        .and("next");
}

#[test]
fn the_post_is_answered_paid_without_signatures_so_they_are_looked_for() {
    posted(Ok(word(QuoteState::Paid)))
        .then(&[])
        .and("do inquire");
}

#[test]
fn the_post_of_a_melt_without_blanks_is_answered_paid() {
    let mut log = log_sent(1);
    if let Some(meltd::saga::event::Event::ProofsSent(sent)) =
        log.last_mut().map(|entry| &mut entry.event)
    {
        (sent.blanks, sent.max_change, sent.guaranteed_change) = (None, 0, 0);
    }
    melt(&log)
        .fresh()
        .sees(Seen::Melted(Ok(word(QuoteState::Paid))))
        .then(&[
            "MeltPaid claimed",
            "AtomicCommitted fee 11 change [] owed 0 []",
        ])
        .and("next");
}

#[test]
fn a_refusal_of_the_post_is_evidence_and_releases_nothing() {
    for code in [
        10001, 11003, 11005, 11010, 12001, 12002, 12003, 20003, 20004, 20007,
    ] {
        let event = format!("MeltRefused Some({code})");
        posted(refused(code)).then(&[&event]).and("next").is("sent");
    }
    for state in [QuoteState::Unpaid, QuoteState::Failed] {
        posted(Ok(word(state)))
            .then(&["MeltRefused None"])
            .and("next");
    }
}

#[test]
fn a_refusal_that_says_under_way_is_not_even_evidence() {
    for code in [11001, 11002, 20005, 20006] {
        posted(refused(code)).then(&[]).and("next");
    }
    for state in [QuoteState::Pending, QuoteState::Issued, QuoteState::Unknown] {
        posted(Ok(word(state))).then(&[]).and("next");
    }
    posted(unknown()).then(&[]).and("next");
}

#[test]
fn the_first_refusal_is_kept() {
    let log = with(log_sent(1), melt_refused(11005));
    melt(&log)
        .when(&Step::PostMelt, Seen::Melted(refused(20004)))
        .then(&[])
        .and("next");
    let log = with(log, melt_refused(20004));
    assert_eq!(melt(&log).saga.refusal, Some(refusal(11005)));
}

#[test]
fn sent_and_the_states_are_not_told() {
    for quote in QUOTE_STATES {
        let given = melt(&log_sent(1)).tries(99).minutes(999);
        given
            .sees(silence().quote(quote).seen())
            .then(&[])
            .and("later");
    }
}

#[test]
fn sent_and_an_input_is_pending_for_days() {
    for (quote, others) in QUOTE_STATES
        .into_iter()
        .zip([Spent, Unspent, Pending].iter().cycle())
    {
        let asked = states(&[Pending, *others, Unspent]).quote(quote);
        let given = melt(&log_sent(1)).tries(5_000).minutes(9_999);
        given.sees(asked.seen()).then(&[]).and("later");
    }
}

#[test]
fn sent_spent_and_paid_is_settled() {
    let asked = states(&ALL_SPENT)
        .quote(QuoteState::Paid)
        .change(&[coin(100, 8)]);
    melt(&log_sent(1))
        .sees(asked.seen())
        .then(&[
            "MeltPaid claimed",
            "AtomicCommitted fee 3 change [8] owed 0 []",
        ])
        .and("next")
        .is("settled");
}

#[test]
fn the_preimage_is_proven_claimed_empty_or_wrong() {
    let wrong = PREIMAGE.replace('1', "2");
    let rows = [
        (PREIMAGE, "MeltPaid proven", Some(PREIMAGE)),
        (&PREIMAGE.to_uppercase(), "MeltPaid proven", Some(PREIMAGE)),
        (&wrong, "MeltPaid claimed", Some(wrong.as_str())),
        ("no hex", "MeltPaid claimed", Some("no hex")),
        ("", "MeltPaid claimed", None),
    ];
    for (given_as, event, kept) in rows {
        let asked = states(&ALL_SPENT)
            .quote(QuoteState::Paid)
            .preimage(given_as);
        let asked = asked.change(&[coin(100, 11)]);
        let outcome = melt(&log_sent(1))
            .sees(asked.seen())
            .then(&[event, "AtomicCommitted fee 0 change [11] owed 0 []"]);
        let have = outcome.saga.paid.and_then(|p| p.preimage);
        assert_eq!(have.map(|p| p.to_lowercase()), kept.map(str::to_lowercase));
    }
}

#[test]
fn signatures_on_our_blanks_prove_a_payment_whatever_the_quote_says() {
    let found = states(&ALL_SPENT).change(&[coin(100, 8)]);
    let settled = [
        "MeltPaid claimed",
        "AtomicCommitted fee 3 change [8] owed 0 []",
    ];
    for quote in QUOTE_STATES {
        let asked = found.clone().quote(quote);
        melt(&log_sent(1))
            .sees(asked.seen())
            .then(&settled)
            .and("next");
    }
    for quote in [refused(20007), unknown()] {
        let asked = found.clone().quote_is(quote);
        melt(&log_sent(1))
            .sees(asked.seen())
            .then(&settled)
            .and("next");
    }
}

#[test]
fn sent_and_spent_but_not_called_paid() {
    let later = |asked: Asked| {
        let given = melt(&log_sent(1)).tries(99);
        given.sees(asked.seen()).then(&[]).and("later");
    };
    later(states(&ALL_SPENT).quote(QuoteState::Pending));
    later(states(&ALL_SPENT).quote_is(unknown()));
    let contradictions = [
        states(&ALL_SPENT).quote(QuoteState::Unpaid),
        states(&ALL_SPENT).quote(QuoteState::Failed),
        states(&ALL_SPENT).quote(QuoteState::Issued),
        states(&ALL_SPENT).quote(QuoteState::Unknown),
        states(&ALL_SPENT).quote_is(refused(20007)),
        states(&ALL_SPENT),
    ];
    for asked in contradictions {
        contradicts(&log_sent(1), asked, "SPENT_BUT_UNPAID");
    }
}

/// Looked at again `contradictions_max` times, then raised and parked, and never twice.
#[track_caller]
pub(crate) fn contradicts(log: &[meltd::saga::event::Entry], asked: Asked, code: &str) {
    let named = Code::ALL.iter().copied().find(|c| c.as_str() == code);
    let named = named.unwrap();
    // Only the same contradiction counts, pass after pass; not how long the saga waits already.
    let other = Code::YConflict;
    let early = [melt(log).tries(99), melt(log).tries(99).doubts(other, 99)];
    let counted = (0..5).map(|passes| melt(log).doubts(named, passes));
    for given in early.into_iter().chain(counted) {
        given
            .sees(asked.clone().seen())
            .then(&[])
            .and("doubt")
            .because(code);
    }
    let parked_as = format!("Parked {code}");
    let outcome = melt(log)
        .doubts(named, 5)
        .sees(asked.clone().seen())
        .then(&["CriticalRaised CRITICAL_MELT_FAILURE", &parked_as])
        .and("doubt");
    assert_eq!(outcome.saga.status().as_str(), "parked");
    let log = with(log.to_vec(), parked());
    melt(&log)
        .doubts(named, 99)
        .sees(asked.seen())
        .then(&[])
        .and("doubt");
}

#[test]
fn sent_and_some_inputs_are_spent_and_some_are_not() {
    for quote in QUOTE_STATES {
        let asked = states(&[Spent, Unspent, Spent]).quote(quote);
        contradicts(&log_sent(1), asked, "INPUTS_MIXED");
    }
}

#[test]
fn sent_and_paid_but_unspent() {
    contradicts(
        &log_sent(1),
        states(&ALL_FREE).quote(QuoteState::Paid),
        "PAID_BUT_UNSPENT",
    );
}

#[test]
fn sent_and_the_quote_is_not_told_or_under_way() {
    let quotes = [
        states(&ALL_FREE).quote(QuoteState::Pending),
        states(&ALL_FREE).quote(QuoteState::Issued),
        states(&ALL_FREE).quote(QuoteState::Unknown),
        states(&ALL_FREE).quote_is(unknown()),
        states(&ALL_FREE).quote_is(refused(20007)),
        states(&ALL_FREE),
    ];
    for asked in quotes {
        let given = melt(&log_sent(1)).tries(99);
        given.sees(asked.seen()).then(&[]).and("later");
    }
}

#[test]
fn sent_unspent_and_unpaid_is_posted_again_at_most_three_times() {
    for quote in [QuoteState::Unpaid, QuoteState::Failed] {
        let asked = states(&ALL_FREE).quote(quote);
        for (attempt, next) in [(1, "ProofsSent #2"), (2, "ProofsSent #3")] {
            melt(&log_sent(attempt))
                .sees(asked.clone().seen())
                .then(&[next])
                .and("next");
        }
        melt(&log_sent(3))
            .sees(asked.seen())
            .then(&[])
            .and("do prepare_fence");
    }
}

#[test]
fn a_repeated_post_is_the_identical_request() {
    let asked = states(&ALL_FREE).quote(QuoteState::Unpaid);
    let before = melt(&log_sent(1));
    let after = before.sees(asked.seen()).saga.sent.map(|mut sent| {
        sent.attempt = 1;
        sent
    });
    assert_eq!(after, before.saga.sent);
}

#[test]
fn a_refusal_the_deadline_the_invoice_or_an_operator_lead_to_the_fence() {
    let asked = states(&ALL_FREE).quote(QuoteState::Unpaid);
    let fenced = |given: Given| {
        given
            .sees(asked.clone().seen())
            .then(&[])
            .and("do prepare_fence");
    };
    fenced(melt(&with(log_sent(1), melt_refused(11005))));
    fenced(melt(&log_sent(1)).minutes(60));
    fenced(melt(&log_sent(1)).minutes(120));
    fenced(melt(&with(log_sent(1), resolved(Resolution::Released))));
    // The quote's own expiry decides nothing once the melt is sent.
    let expired = melt(&log_sent(1)).minutes(31);
    expired
        .sees(asked.clone().seen())
        .then(&["ProofsSent #2"])
        .and("next");
}

#[test]
fn after_the_deadline_a_silent_quote_is_fenced_too() {
    let quotes = [
        states(&ALL_FREE).quote(QuoteState::Unknown),
        states(&ALL_FREE).quote_is(unknown()),
        states(&ALL_FREE).quote_is(refused(20007)),
    ];
    for asked in quotes {
        let ordered = with(log_sent(1), resolved(Resolution::Released));
        for given in [melt(&log_sent(1)).minutes(60), melt(&ordered)] {
            given
                .sees(asked.clone().seen())
                .then(&[])
                .and("do prepare_fence");
        }
    }
}

/// An adapter's answer of the wrong length is no answer: it decides nothing.
#[test]
fn an_answer_of_the_wrong_length_is_no_answer() {
    for short in [
        &[][..],
        &[Spent],
        &[Unspent, Unspent],
        &[Unspent; 4],
        &[Spent; 4],
    ] {
        for quote in QUOTE_STATES {
            let given = melt(&log_sent(1)).tries(99).minutes(999);
            given
                .sees(states(short).quote(quote).seen())
                .then(&[])
                .and("later");
        }
    }
    let given = melt(&log_fencing(2)).tries(99).refused(11003);
    let unpaid = states(&ALL_FREE).quote(QuoteState::Unpaid);
    given.sees(unpaid.clone().seen()).then(&[]).and("later");
    given
        .sees(unpaid.clone().empty().seen())
        .then(&[])
        .and("later");
    given
        .sees(unpaid.clone().empty().empty().seen())
        .then(&[])
        .and("do prepare_fence");
    // A part of a range's outputs: the rest may be on its way.
    let part = outputs(200, &[1, 2]);
    given
        .sees(unpaid.found(&part).empty().seen())
        .then(&[])
        .and("later");
}
