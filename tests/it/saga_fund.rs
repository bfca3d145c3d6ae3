//! The state table of funding: mint quotes and received tokens.

use meltd::saga::code::Code;
use meltd::saga::step::{
    Funding, MintQuote,
    MintState::{Pending, Spent, Unspent},
    QuoteState, Seen, Step,
};

use crate::saga_events::*;
use crate::saga_kit::*;

fn quote() -> MintQuote {
    MintQuote {
        id: QUOTE.to_owned(),
        invoice: INVOICE.to_owned(),
        amount: Some(96),
        unit: Some("sat".to_owned()),
        expires_at: Some(at(30)),
        locked: true,
    }
}

#[test]
fn a_mint_saga_begins_with_its_quote() {
    let given = mint(&[]);
    assert_eq!(given.step(), Step::QuoteMint);
    let outcome = given
        .sees(Seen::MintQuote(Ok(quote())))
        .and("next")
        .is("quoted");
    assert_eq!(outcome.decision.entries, [mint_quoted()]);
    given
        .sees(Seen::MintQuote(refused(20003)))
        .then(&["Rejected MINT_REFUSED"]);
    given
        .sees(Seen::MintQuote(unknown()))
        .then(&[])
        .and("later");
    let over = given.clone().minutes(60);
    over.sees(Seen::MintQuote(unknown()))
        .then(&["Rejected MINT_UNREACHABLE"]);
    let mut other = quote();
    other.amount = Some(97);
    given
        .sees(Seen::MintQuote(Ok(other)))
        .then(&["Rejected QUOTE_MISMATCH"]);
    let mut other = quote();
    other.unit = Some("usd".to_owned());
    given
        .sees(Seen::MintQuote(Ok(other)))
        .then(&["Rejected QUOTE_MISMATCH"]);
}

#[test]
fn the_funding_invoice_is_waited_for_an_hour_over_its_expiry() {
    let given = mint(&[mint_quoted()]);
    assert_eq!(given.step(), Step::PrepareMint { attempt: 0 });
    let unpaid = || Seen::MintPrepared(Ok(Funding::Unpaid));
    given
        .clone()
        .minutes(89)
        .tries(99)
        .sees(unpaid())
        .then(&[])
        .and("later");
    given
        .clone()
        .minutes(90)
        .sees(unpaid())
        .then(&["Rejected MINT_QUOTE_EXPIRED"])
        .is("rejected");
    for trouble in [unknown(), refused(20007)] {
        let given = given.clone().minutes(9_999);
        given
            .sees(Seen::MintPrepared(trouble))
            .then(&[])
            .and("later");
    }
}

#[test]
fn a_paid_quote_is_issued() {
    let ready = Funding::Ready(mint_sent(1).outputs);
    mint(&[mint_quoted()])
        .sees(Seen::MintPrepared(Ok(ready)))
        .then(&["MintSent #1 at 300"])
        .and("next")
        .is("issuing");
    let given = mint(&log_issuing(1)).fresh();
    assert_eq!(given.step(), Step::PostMint(mint_sent(1)));
    given
        .sees(Seen::Minted(Ok(outcome(&mint_sent(1).outputs))))
        .then(&["Minted [32, 64]"])
        .and("next")
        .is("settled");
    for code in [11003, 20001, 20002, 12001] {
        given
            .sees(Seen::Minted(refused(code)))
            .then(&[])
            .and("do inquire");
    }
    given.sees(Seen::Minted(unknown())).then(&[]).and("later");
}

#[test]
fn what_became_of_the_minting() {
    let given = mint(&log_issuing(1));
    let asked = || states(&[]);
    given
        .sees(
            asked()
                .quote(QuoteState::Issued)
                .found(&mint_sent(1).outputs)
                .seen(),
        )
        .then(&["Minted [32, 64]"])
        .is("settled");
    given
        .sees(asked().quote(QuoteState::Issued).mute().seen())
        .then(&[])
        .and("later");
    given
        .sees(asked().quote(QuoteState::Paid).mute().seen())
        .then(&[])
        .and("later");
    given
        .sees(asked().quote(QuoteState::Paid).empty().seen())
        .then(&[])
        .and("do post_mint");
    for silent in [
        QuoteState::Unpaid,
        QuoteState::Pending,
        QuoteState::Unknown,
        QuoteState::Failed,
    ] {
        let given = given.clone().minutes(9_999);
        given
            .sees(asked().quote(silent).empty().seen())
            .then(&[])
            .and("later");
    }
    given
        .sees(asked().quote_is(unknown()).empty().seen())
        .then(&[])
        .and("later");
    given.sees(asked().empty().seen()).then(&[]).and("later");
}

#[test]
fn issued_but_empty_is_looked_at_again_and_then_parked() {
    let asked = states(&[]).quote(QuoteState::Issued).empty();
    for passes in 0..5 {
        let given = mint(&log_issuing(1)).doubts(Code::IssuedButEmpty, passes);
        given
            .sees(asked.clone().seen())
            .then(&[])
            .and("doubt")
            .because("ISSUED_BUT_EMPTY");
    }
    let given = mint(&log_issuing(1)).doubts(Code::IssuedButEmpty, 5);
    given.sees(asked.seen()).then(&[
        "CriticalRaised CRITICAL_MELT_FAILURE",
        "Parked ISSUED_BUT_EMPTY",
    ]);
}

/// A funding whose invoice may still be paid is never put on the desk, where nobody would look at
/// it again. Issued to somebody else is final at the mint, so there it ends.
/// Seen red with a contradiction there: parked, and never asked again.
#[test]
fn a_funding_that_waits_for_its_payer_is_never_parked() {
    let seen = || Seen::MintPrepared(Ok(Funding::Issued));
    for passes in 0..5 {
        let given = mint(&[mint_quoted()]).doubts(Code::IssuedButEmpty, passes);
        given.sees(seen()).then(&[]).and("doubt");
    }
    let given = mint(&[mint_quoted()]).doubts(Code::IssuedButEmpty, 5);
    given
        .sees(seen())
        .then(&[
            "CriticalRaised ISSUED_BUT_EMPTY",
            "Rejected ISSUED_BUT_EMPTY",
        ])
        .is("rejected");
    assert!(!given.saga.can_park());
    let unpaid = Seen::MintPrepared(Ok(Funding::Unpaid));
    let idle = mint(&[mint_quoted()]).tries(9_999);
    idle.sees(unpaid).then(&[]).and("later");
}

#[test]
fn a_refused_range_is_followed_by_another_at_most_five() {
    let asked = |n: u32| (0..n).fold(states(&[]).quote(QuoteState::Paid), |a, _| a.empty());
    for n in 1..5 {
        let given = mint(&log_issuing(n)).refused(11003);
        let next = given.sees(asked(n).seen()).then(&[]).and("do prepare_mint");
        assert_eq!(next.saga.minting.len() as u32, n);
        let ready = Seen::MintPrepared(Ok(Funding::Ready(mint_sent(n + 1).outputs)));
        let event = format!("MintSent #{} at {}", n + 1, 300 + 10 * n);
        given
            .when(&Step::PrepareMint { attempt: n }, ready)
            .then(&[&event])
            .is("issuing");
        let unpaid = Seen::MintPrepared(Ok(Funding::Unpaid));
        let given = given.minutes(9_999);
        given
            .when(&Step::PrepareMint { attempt: n }, unpaid)
            .then(&[])
            .and("later");
    }
    let given = mint(&log_issuing(5)).refused(11003);
    given.sees(asked(5).seen()).then(&[]).and("later");
    // An earlier range turns out to have won.
    let won = states(&[])
        .quote(QuoteState::Issued)
        .found(&mint_sent(1).outputs)
        .empty();
    mint(&log_issuing(2))
        .sees(won.seen())
        .then(&["Minted [32, 64]"]);
}

#[test]
fn a_parked_minting_is_asked_for_and_nothing_is_posted() {
    let given = mint(&with(log_issuing(1), parked())).refused(11003);
    let paid = states(&[]).quote(QuoteState::Paid);
    given.sees(paid.empty().seen()).then(&[]).and("later");
    let issued = states(&[]).quote(QuoteState::Issued);
    given
        .sees(issued.found(&mint_sent(1).outputs).seen())
        .then(&["Minted [32, 64]"]);
}

#[test]
fn a_token_is_swapped_in() {
    let given = receive(&[receive_requested()]);
    let step = Step::PrepareReceive {
        amount: 95,
        attempt: 0,
    };
    assert_eq!(given.step(), step);
    let outcome = given.sees(Seen::ReceivePrepared(Ok(receive_swap(1).outputs)));
    assert_eq!(outcome.decision.entries, [prepared(receive_swap(1))]);
    outcome.and("next").is("swapping");
    given
        .sees(Seen::ReceivePrepared(refused(12001)))
        .then(&["Rejected MINT_REFUSED"]);
    given
        .sees(Seen::ReceivePrepared(unknown()))
        .then(&[])
        .and("later");
    let over = given.minutes(60);
    over.sees(Seen::ReceivePrepared(unknown()))
        .then(&["Rejected MINT_UNREACHABLE"]);
    let given = receive(&log_receiving(1)).fresh();
    assert_eq!(given.step(), Step::PostSwap(receive_swap(1)));
    given
        .sees(Seen::Swapped(Ok(outcome_of(1))))
        .then(&["Received [1, 2, 4, 8, 16, 64] fee 1"])
        .and("next")
        .is("settled");
}

fn outcome_of(attempt: u32) -> Vec<meltd::saga::ids::SignedCoin> {
    outcome(&receive_swap(attempt).outputs)
}

#[test]
fn what_became_of_a_token_swap() {
    let given = receive(&log_receiving(1));
    let found = |asked: Asked| asked.found(&receive_swap(1).outputs).seen();
    given
        .sees(found(states(&[Spent, Spent])))
        .then(&["Received [1, 2, 4, 8, 16, 64] fee 1"])
        .is("settled");
    given.sees(found(silence())).then(&[]).and("later");
    given.sees(silence().empty().seen()).then(&[]).and("later");
    given
        .sees(states(&[Spent, Spent]).mute().seen())
        .then(&[])
        .and("later");
    given
        .sees(states(&[Pending, Spent]).empty().seen())
        .then(&[])
        .and("later");
    given
        .sees(states(&[Unspent, Unspent]).empty().seen())
        .then(&[])
        .and("do post_swap");
}

#[test]
fn a_refused_token_is_spent_pending_or_refused() {
    let spent = || states(&[Spent, Spent]).empty().seen();
    let given = receive(&log_receiving(1)).refused(11001);
    given
        .sees(spent())
        .then(&["Rejected TOKEN_SPENT"])
        .is("rejected");
    let one = states(&[Spent, Unspent]).empty().seen();
    given
        .sees(one)
        .then(&["Rejected TOKEN_SPENT"])
        .is("rejected");
    let given = receive(&log_receiving(1)).refused(11002);
    let pending = states(&[Pending, Unspent]).empty().seen();
    given
        .sees(pending)
        .then(&["Rejected TOKEN_PENDING"])
        .is("rejected");
    let free = || states(&[Unspent, Unspent]).empty().seen();
    for code in [10001, 11005, 11007, 30001] {
        let given = receive(&log_receiving(1)).refused(code);
        given
            .sees(free())
            .then(&["Rejected MINT_REFUSED"])
            .is("rejected");
    }
}

#[test]
fn a_refused_range_of_a_token_is_followed_by_another_at_most_five() {
    let free = |n| (0..n).fold(states(&[Unspent, Unspent]), |a, _| a.empty());
    for code in [11003, 12001, 12002, 12003] {
        for n in 1..5 {
            let given = receive(&log_receiving(n)).refused(code);
            given
                .sees(free(n).seen())
                .then(&[])
                .and("do prepare_receive");
            let step = Step::PrepareReceive {
                amount: 95,
                attempt: n,
            };
            let seen = Seen::ReceivePrepared(Ok(receive_swap(n + 1).outputs));
            let event = format!("SwapPrepared Receive #{} at {}", n + 1, 400 + 10 * n);
            given.when(&step, seen).then(&[&event]).is("swapping");
            // Something was posted: what is not known now is asked for later.
            given
                .when(&step, Seen::ReceivePrepared(refused(12001)))
                .then(&[])
                .and("later");
        }
        let given = receive(&log_receiving(5)).refused(code);
        given.sees(free(5).seen()).then(&["Rejected MINT_REFUSED"]);
    }
    // The first of two ranges won, late.
    let won = states(&[Spent, Spent])
        .found(&receive_swap(1).outputs)
        .empty();
    let outcome = receive(&log_receiving(2)).sees(won.seen());
    assert_eq!(
        outcome.saga.gained,
        outcome_of(1)
            .into_iter()
            .map(|s| s.coin)
            .collect::<Vec<_>>()
    );
    outcome.then(&["Received [1, 2, 4, 8, 16, 64] fee 1"]);
}

#[test]
fn a_parked_token_is_asked_for_and_nothing_is_posted() {
    let given = receive(&with(log_receiving(1), parked()));
    let free = || states(&[Unspent, Unspent]).empty().seen();
    given.sees(free()).then(&[]).and("later");
    given
        .clone()
        .refused(11003)
        .sees(free())
        .then(&[])
        .and("later");
    let won = states(&[Spent, Spent])
        .found(&receive_swap(1).outputs)
        .seen();
    given
        .sees(won)
        .then(&["Received [1, 2, 4, 8, 16, 64] fee 1"])
        .is("settled");
}

/// Its swap would have no outputs: the mint would take the token for nothing.
#[test]
fn a_token_that_is_worth_no_more_than_its_fee_is_not_swapped() {
    for (amount, input_fee) in [(1, 1), (0, 0), (2, 5)] {
        let mut command = receive_command();
        (command.amount, command.input_fee) = (amount, input_fee);
        let command = meltd::saga::command::Command::Receive(command);
        let given = given(command, &[receive_requested()]);
        let seen = Seen::ReceivePrepared(Ok(outputs(400, &[])));
        given
            .sees(seen)
            .then(&["Rejected TOKEN_TOO_SMALL"])
            .is("rejected");
    }
}

/// Nobody refused, so our own post may be what spent it, with signatures that show a moment later.
/// To reject erases the token and leaves the outputs in a range that nobody asks for.
#[test]
fn a_token_that_is_spent_is_looked_at_again_unless_the_mint_refused_it() {
    for inputs in [[Spent, Spent], [Spent, Unspent]] {
        let asked = || states(&inputs).empty().seen();
        let code = Code::ProofStateInconsistency;
        for passes in 0..5 {
            let given = receive(&log_receiving(1)).tries(99).doubts(code, passes);
            given.sees(asked()).then(&[]).and("doubt");
        }
        let given = receive(&log_receiving(1)).doubts(code, 5);
        given.sees(asked()).then(&["Rejected TOKEN_SPENT"]);
    }
}
