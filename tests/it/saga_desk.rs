//! The operator's desk as a table: which order may be given in which state, on which evidence, and
//! what follows from it.

use meltd::saga::code::Code;
use meltd::saga::decide::{Order, order};
use meltd::saga::event::{Entry, Event, Resolution};
use meltd::saga::evolve::evolve;
use meltd::saga::ids::SagaId;
use meltd::saga::plan::Keyset;
use meltd::saga::proofs::{ProofState, ProofWrite, project_proofs};
use meltd::saga::state::{Saga, State};
use meltd::saga::step::{
    MintState::{Pending, Spent, Unspent},
    QuoteState, next_step,
};

use crate::saga_events::*;
use crate::saga_evolve::in_state;
use crate::saga_kit::*;
use crate::saga_table::{ALL_FREE, ALL_SPENT};

const WHO: (&str, &str) = ("alice", "looked at it");

fn keysets(fee_ppk: u64) -> Vec<Keyset> {
    vec![Keyset {
        id: keyset(),
        active: true,
        fee_ppk,
        amounts: (0..32).map(|i| 1 << i).collect(),
    }]
}

fn resolve(saga: &Saga, as_: Resolution, asked: Asked) -> Result<Vec<Entry>, (Code, String)> {
    let order_ = Order::Resolve(as_);
    order(saga, &order_, WHO, &asked.0, Some(&keysets(1000)))
}

/// The saga after an order, and the coins and the value that it gives up.
fn given(saga: &Saga, as_: Resolution, asked: Asked) -> (Saga, Vec<Entry>, usize, u64) {
    let entries = resolve(saga, as_, asked).unwrap();
    let after = entries.iter().try_fold(saga.clone(), evolve).unwrap();
    let Event::OperatorResolved(event) = &entries[0].event else {
        panic!("{entries:?}");
    };
    let (coins, value) = (event.coins.len(), event.written_off);
    assert_eq!((event.by.as_str(), event.reason.as_str()), WHO);
    (after, entries, coins, value)
}

#[track_caller]
fn refused_with(saga: &Saga, as_: Resolution, asked: Asked, words: &str) {
    let (code, why) = resolve(saga, as_, asked).unwrap_err();
    assert_eq!(code, Code::ResolutionRefused);
    assert!(why.contains(words), "{why}");
}

/// Where nothing was sent nothing can be lost or paid; where it is known to be paid nothing can be
/// let go. Seen red with `written-off` allowed in `Planned`.
#[test]
fn each_resolution_has_its_states() {
    use State::*;
    for state in State::ALL {
        let saga = in_state(state);
        let of = |as_| saga.can_resolve(as_);
        let paid = [Sent, Fencing, Paid].contains(&state);
        let released = [
            Adopted, Requested, Quoted, Planned, Swapping, Ready, Sent, Fencing,
        ];
        let written_off = [Swapping, Sent, Fencing, Owing, Issuing];
        assert_eq!(of(Resolution::Paid), paid, "{state:?}");
        assert_eq!(of(Resolution::Released), released.contains(&state));
        assert_eq!(of(Resolution::WrittenOff), written_off.contains(&state));
        for as_ in [
            Resolution::Paid,
            Resolution::Released,
            Resolution::WrittenOff,
        ] {
            if !of(as_) {
                refused_with(&saga, as_, silence(), state.as_str());
            }
        }
    }
    let fenced = melt(&with(log_fencing(1), fence_done(1))).saga;
    assert!(!fenced.can_resolve(Resolution::Paid), "the fence has won");
    assert!(!fenced.can_resolve(Resolution::WrittenOff));
}

#[test]
fn paid_is_refused_while_an_input_is_not_spent() {
    let saga = melt(&with(log_sent(1), parked())).saga;
    let paid = Resolution::Paid;
    for quote in [QuoteState::Unpaid, QuoteState::Paid] {
        refused_with(
            &saga,
            paid,
            states(&ALL_FREE).quote(quote),
            "all inputs are unspent",
        );
        let mixed = states(&[Spent, Unspent, Spent]).quote(quote);
        refused_with(&saga, paid, mixed, "some inputs are unspent");
        let pending = states(&[Pending; 3]).quote(quote);
        refused_with(&saga, paid, pending, "under way");
        refused_with(&saga, paid, silence().quote(quote), "does not tell");
    }
    let asked = states(&ALL_SPENT).quote(QuoteState::Unpaid);
    let (after, ..) = given(&saga, paid, asked.clone());
    assert!(after.parked.is_none());
    let mut next = melt(&[]);
    next.saga = after;
    next.sees(asked.seen())
        .then(&[
            "MeltPaid claimed",
            "AtomicCommitted fee 4 change [] owed 7 []",
        ])
        .is("owing");
}

/// A mint that has said PAID and is gone for ever: the settlement does not wait for it.
#[test]
fn paid_settles_what_the_log_calls_paid_without_the_mint() {
    let log = with(log_sent(1), paid());
    melt(&log).sees(silence().seen()).then(&[]).and("later");
    let (after, ..) = given(&melt(&log).saga, Resolution::Paid, silence());
    let mut next = melt(&[]);
    next.saga = after;
    next.sees(silence().seen())
        .then(&["AtomicCommitted fee 4 change [] owed 7 []"])
        .is("owing");
}

#[test]
fn released_is_refused_where_no_fence_can_be() {
    let saga = melt(&with(log_sent(1), parked())).saga;
    let released = Resolution::Released;
    let spent = states(&ALL_SPENT).quote(QuoteState::Unpaid);
    refused_with(&saga, released, spent, "nothing can be released");
    let mixed = states(&[Spent, Unspent, Unspent]);
    refused_with(&saga, released, mixed, "written-off");
    // A pending payment may still fail: the order stands, and waits.
    for asked in [states(&ALL_FREE), states(&[Pending; 3]), silence()] {
        let (after, entries, coins, _) = given(&saga, released, asked);
        assert_eq!((entries.len(), coins), (1, 0));
        assert_eq!(next_step(&after, false).name(), "inquire");
    }
    // Released never goes around the fence: the order alone moves no coin.
    let (_, entries, ..) = given(&saga, released, states(&ALL_FREE));
    assert!(project_proofs(&SagaId::new(SAGA), &entries).is_empty());
}

#[test]
fn written_off_is_refused_where_the_coins_can_come_back() {
    let off = Resolution::WrittenOff;
    let sent = melt(&log_sent(1)).saga;
    let free = states(&ALL_FREE).quote(QuoteState::Unpaid);
    refused_with(&sent, off, free.clone(), "brings them back");
    let paid = states(&ALL_SPENT).quote(QuoteState::Paid);
    refused_with(&sent, off, paid.clone(), "settles by itself");
    let signed = states(&ALL_SPENT).change(&[coin(100, 8)]);
    refused_with(&sent, off, signed, "settles by itself");
    let fencing = melt(&log_fencing(1)).saga;
    let won = states(&[Unspent, Unspent, Spent]).found(&fence(1).outputs);
    refused_with(&fencing, off, won, "recovery finishes it");
    refused_with(&fencing, off, free.empty(), "brings them back");
    let swapping = melt(&log_swapping()).saga;
    refused_with(&swapping, off, states(&[Spent]).empty(), "the mint answers");
    let owing = in_state(State::Owing);
    let more = paid.change(&[coin(100, 4)]);
    refused_with(&owing, off, more, "recovery collects it");
    let issuing = mint(&log_issuing(1)).saga;
    let paid = states(&[]).quote(QuoteState::Paid).empty();
    refused_with(&issuing, off, paid, "recovery finishes it");
}

/// What is given up leaves its state for good, by the same append, and counts.
#[test]
fn written_off_coins_are_spent_and_counted() {
    let off = Resolution::WrittenOff;
    let move_to_spent = |n, from| ProofWrite::Move {
        y: y(n),
        from,
        to: ProofState::Spent,
    };
    for asked in [
        silence().quote_is(unknown()),
        states(&ALL_SPENT).quote(QuoteState::Unpaid),
        states(&[Pending; 3]).quote(QuoteState::Pending),
    ] {
        let saga = melt(&with(log_sent(1), parked())).saga;
        let (after, entries, coins, value) = given(&saga, off, asked);
        assert_eq!((after.state, coins, value), (State::WrittenOff, 3, 112));
        assert_eq!(after.written_off, 112);
        assert!(
            after.holds_claims(),
            "it may be paid: the invoice stays taken"
        );
        let pending = ProofState::Pending;
        assert_eq!(
            project_proofs(&SagaId::new(SAGA), &entries),
            [1, 2, 3].map(|n| move_to_spent(n, pending))
        );
    }
    let swapping = melt(&log_swapping()).saga;
    let (after, entries, _, value) = given(&swapping, off, silence().mute());
    assert_eq!((after.state, value), (State::WrittenOff, 128));
    let writes = project_proofs(&SagaId::new(SAGA), &entries);
    assert_eq!(writes, [move_to_spent(4, ProofState::Reserved)]);
    let issuing = mint(&log_issuing(1)).saga;
    let (after, _, _, value) = given(&issuing, off, states(&[]).quote(QuoteState::Issued).empty());
    assert_eq!((after.state, value), (State::WrittenOff, 0));
}

/// Only what is gone is given up. The rest is fenced and comes back.
#[test]
fn of_mixed_inputs_the_spent_ones_are_given_up_and_the_others_released() {
    let saga = melt(&with(log_sent(3), parked())).saga;
    let mixed = states(&[Spent, Unspent, Unspent]).quote(QuoteState::Unpaid);
    let (after, _, coins, value) = given(&saga, Resolution::WrittenOff, mixed);
    assert_eq!((after.state, coins, value), (State::Sent, 1, 64));
    assert_eq!(after.sent_ys(), [y(2), y(3)]);
    let mut next = melt(&[]);
    next.saga = after;
    let free = states(&[Unspent; 2]).quote(QuoteState::Unpaid);
    let fencing = next.sees(free.clone().seen()).then(&[]);
    let fencing = fencing.and("do prepare_fence");
    let fenced = [prepared(fence(1)), fence_done(1)];
    next.saga = fenced.iter().try_fold(fencing.saga, evolve).unwrap();
    let released = next.sees(meltd::saga::step::Seen::Done);
    let saga = released
        .then(&["ProofsReleased final PAYMENT_FAILED [2 pending]"])
        .is("released")
        .saga;
    assert_eq!(saga.written_off, 64);
    // The same while a fence over the coin that is gone was prepared already.
    let fencing = melt(&with(log_fencing(1), parked())).saga;
    let mixed = states(&[Unspent, Unspent, Spent]).quote(QuoteState::Unpaid);
    let (after, ..) = given(&fencing, Resolution::WrittenOff, mixed.empty());
    assert_eq!(after.state, State::Fencing);
    next.saga = after;
    next.sees(free.empty().seen())
        .then(&[])
        .and("do prepare_fence");
}

/// No input is worth more than its fee: nothing can be fenced, so all may be given up.
#[test]
fn dust_that_cannot_be_fenced_may_be_written_off() {
    let saga = melt(&log_sent(3)).saga;
    let free = states(&ALL_FREE).quote(QuoteState::Unpaid);
    let off = Order::Resolve(Resolution::WrittenOff);
    let cheap = order(&saga, &off, WHO, &free.0, Some(&keysets(1000)));
    assert!(cheap.is_err());
    let dear = order(&saga, &off, WHO, &free.0, Some(&keysets(64_000))).unwrap();
    let after = dear.iter().try_fold(saga.clone(), evolve).unwrap();
    assert_eq!((after.state, after.written_off), (State::WrittenOff, 112));
    // Not knowing the keysets is not knowing that it is dust.
    assert!(order(&saga, &off, WHO, &free.0, None).is_err());
}

#[test]
fn change_that_never_comes_is_written_off_and_the_melt_stays_settled() {
    let owing = in_state(State::Owing);
    let (after, _, coins, value) = given(&owing, Resolution::WrittenOff, silence());
    assert_eq!((after.state, coins, value), (State::Settled, 0, 7));
    assert_eq!((after.change_owed, after.written_off), (0, 7));
}

#[test]
fn parking_and_resuming() {
    for state in State::ALL {
        let saga = in_state(state);
        let parked = order(&saga, &Order::Park, WHO, &silence().0, None);
        assert_eq!(parked.is_ok(), !state.is_terminal(), "{state:?}");
        let Ok(entries) = parked else { continue };
        let saga = entries.iter().try_fold(saga, evolve).unwrap();
        let desk = saga.parked.clone().unwrap();
        assert_eq!(
            (desk.by.as_str(), desk.code),
            ("alice", Code::OperatorParked)
        );
        assert!(order(&saga, &Order::Park, WHO, &silence().0, None).is_err());
        let entries = order(&saga, &Order::Resume, WHO, &silence().0, None).unwrap();
        let saga = entries.iter().try_fold(saga, evolve).unwrap();
        assert!(saga.parked.is_none());
        assert!(order(&saga, &Order::Resume, WHO, &silence().0, None).is_err());
    }
    let waits = mint(&[mint_quoted()]).saga;
    assert!(order(&waits, &Order::Park, WHO, &silence().0, None).is_err());
}
