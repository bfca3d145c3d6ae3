//! Which event may follow which state, and what is done next in each state: both as tables that
//! name every pair.

use meltd::saga::command::Kind;
use meltd::saga::event::{Entry, Event, Purpose, Resolution};
use meltd::saga::evolve::evolve;
use meltd::saga::proofs::ProofState;
use meltd::saga::state::{Saga, State};
use meltd::saga::step::{Step, has_coins_at_mint, next_step};

use crate::saga_events::*;
use crate::saga_kit::*;
use crate::saga_samples::samples;

/// A saga in this state, of the kind that gets there.
pub(crate) fn in_state(state: State) -> Saga {
    let owing = || with(with(log_sent(1), paid()), committed(&[]));
    let settled = || with(with(log_sent(1), paid()), committed(&[coin(100, 8)]));
    let saga = match state {
        State::Adopted => melt(&[]).saga,
        State::Requested => melt(&[requested()]).saga,
        State::Quoted => melt(&[requested(), quoted()]).saga,
        State::Planned => melt(&log_planned()).saga,
        State::Swapping => melt(&log_swapping()).saga,
        State::Ready => melt(&log_ready()).saga,
        State::Sent => melt(&log_sent(1)).saga,
        State::Fencing => melt(&log_fencing(1)).saga,
        State::Paid => melt(&with(log_sent(1), paid())).saga,
        State::Owing => melt(&owing()).saga,
        State::Issuing => mint(&log_issuing(1)).saga,
        State::Settled => melt(&settled()).saga,
        State::Released => {
            let log = with(
                log_planned(),
                released(ProofState::Reserved, &[1, 2, 3], true),
            );
            melt(&log).saga
        }
        State::Rejected => melt(&[requested(), sample("Rejected")]).saga,
        State::Blocked => melt(&[requested(), quoted(), sample("PreflightBlocked")]).saga,
        State::WrittenOff => melt(&with(log_sent(1), written_off(&[1, 2, 3], 112))).saga,
    };
    assert_eq!(saga.state, state);
    saga
}

fn sample(name: &str) -> Entry {
    let mut samples = samples().into_iter();
    samples.find(|(_, e)| e.event.name() == name).unwrap().1
}

/// Every state that each kind can be in.
fn sagas() -> Vec<Saga> {
    let of_melts = State::ALL.into_iter().filter(|s| *s != State::Issuing);
    let mut sagas: Vec<Saga> = of_melts.map(in_state).collect();
    let minted = samples()
        .into_iter()
        .find(|(_, e)| e.event.name() == "Minted");
    let received = samples()
        .into_iter()
        .find(|(_, e)| e.event.name() == "Received");
    let ends = |log: Vec<Entry>, last: Entry| with(log, last);
    for log in [
        vec![],
        vec![mint_quoted()],
        log_issuing(1),
        ends(log_issuing(1), minted.unwrap().1),
        ends(vec![mint_quoted()], sample("Rejected")),
        ends(log_issuing(1), resolved(Resolution::WrittenOff)),
    ] {
        sagas.push(mint(&log).saga);
    }
    for log in [
        vec![],
        vec![receive_requested()],
        log_receiving(1),
        ends(log_receiving(1), received.unwrap().1),
        ends(log_receiving(1), sample("Rejected")),
        ends(log_receiving(1), resolved(Resolution::WrittenOff)),
    ] {
        sagas.push(receive(&log).saga);
    }
    sagas
}

/// Event → the states of this kind that it may follow, each with the state that comes of it.
fn follows(event: &Event, kind: Kind) -> Vec<(State, State)> {
    use State::*;
    let each = |from: &[State], to: State| from.iter().map(|s| (*s, to)).collect();
    let stays = |from: &[State]| from.iter().map(|s| (*s, *s)).collect();
    let live = State::ALL.iter().copied().filter(|s| !s.is_terminal());
    let rows: Vec<(Kind, Vec<(State, State)>)> = match event {
        Event::MeltRequested(_) => vec![(Kind::Melt, each(&[Adopted], Requested))],
        Event::ReceiveRequested(_) => vec![(Kind::Receive, each(&[Adopted], Requested))],
        Event::QuoteCreated(_) => vec![(Kind::Melt, each(&[Requested], Quoted))],
        Event::PreflightPassed(_) => vec![(Kind::Melt, each(&[Quoted], Planned))],
        Event::PreflightBlocked(_) => vec![(Kind::Melt, each(&[Quoted], Blocked))],
        Event::SwapPrepared(p) => match p.purpose {
            Purpose::Plan => vec![(Kind::Melt, each(&[Planned], Swapping))],
            Purpose::Fence => vec![(Kind::Melt, each(&[Sent, Fencing], Fencing))],
            Purpose::Receive => vec![(Kind::Receive, each(&[Requested, Swapping], Swapping))],
        },
        Event::SwapDone(d) => match d.purpose {
            Purpose::Plan => vec![(Kind::Melt, each(&[Swapping], Ready))],
            Purpose::Fence => vec![(Kind::Melt, each(&[Fencing], Fencing))],
            Purpose::Receive => Vec::new(),
        },
        Event::ProofsSent(_) => vec![(Kind::Melt, each(&[Planned, Ready, Sent], Sent))],
        Event::MeltPaid(_) => vec![(Kind::Melt, each(&[Sent, Fencing], Paid))],
        Event::AtomicCommitted(c) if c.change_owed > 0 || c.change_open => {
            vec![(Kind::Melt, each(&[Paid], Owing))]
        }
        Event::AtomicCommitted(_) => vec![(Kind::Melt, each(&[Paid], Settled))],
        Event::ChangeCollected(c) if c.change_owed > 0 || c.change_open => {
            vec![(Kind::Melt, each(&[Owing], Owing))]
        }
        Event::ChangeCollected(_) => vec![(Kind::Melt, each(&[Owing], Settled))],
        Event::MeltRefused(_) => vec![(Kind::Melt, stays(&[Sent, Fencing]))],
        Event::ProofsReleased(r) => {
            let to = if r.is_final { Released } else { Requested };
            vec![(Kind::Melt, each(&[Planned, Swapping, Ready, Fencing], to))]
        }
        Event::Rejected(_) => vec![
            (Kind::Melt, each(&[Adopted, Requested, Quoted], Rejected)),
            (Kind::Mint, each(&[Adopted, Quoted], Rejected)),
            (
                Kind::Receive,
                each(&[Adopted, Requested, Swapping], Rejected),
            ),
        ],
        Event::CriticalRaised(_)
        | Event::CriticalResolved(_)
        | Event::ProofCorrected(_)
        | Event::Restored(_) => vec![(kind, stays(&State::ALL))],
        Event::Parked(_) => {
            let waits = |s: &State| kind == Kind::Mint && *s == Quoted;
            vec![(kind, live.filter(|s| !waits(s)).map(|s| (s, s)).collect())]
        }
        // Only off the desk; the sagas of this table are not on it.
        Event::Resumed(_) => Vec::new(),
        Event::OperatorResolved(r) => match r.resolution {
            Resolution::Paid => vec![(Kind::Melt, stays(&[Sent, Fencing, Paid]))],
            Resolution::Released => vec![(
                Kind::Melt,
                stays(&[
                    Adopted, Requested, Quoted, Planned, Swapping, Ready, Sent, Fencing,
                ]),
            )],
            Resolution::WrittenOff => vec![
                (
                    Kind::Melt,
                    vec![
                        // The sample names other coins than this one's.
                        (Swapping, Swapping),
                        (Sent, WrittenOff),
                        (Fencing, WrittenOff),
                        (Owing, Settled),
                    ],
                ),
                (Kind::Mint, each(&[Issuing], WrittenOff)),
                (Kind::Receive, each(&[Swapping], WrittenOff)),
            ],
        },
        Event::MintQuoteCreated(_) => vec![(Kind::Mint, each(&[Adopted], Quoted))],
        Event::MintSent(_) => vec![(Kind::Mint, each(&[Quoted, Issuing], Issuing))],
        Event::Minted(_) => vec![(Kind::Mint, each(&[Issuing], Settled))],
        Event::Received(_) => vec![(Kind::Receive, each(&[Swapping], Settled))],
        Event::ReconcileRequested(_) => vec![(Kind::Reconcile, each(&[Adopted], Requested))],
    };
    let ours = rows.into_iter().filter(|(of, _)| *of == kind);
    ours.flat_map(|(_, rows)| rows).collect()
}

/// Seen red with the kind left out of the fold: a mint's quote followed an adopted melt.
#[test]
fn every_event_follows_the_states_of_the_table_and_no_other() {
    for (_, entry) in samples() {
        for saga in sagas() {
            let (state, seq, name) = (saga.state, saga.seq, entry.event.name());
            let table = follows(&entry.event, saga.kind());
            let row = table.iter().find(|(from, _)| *from == state);
            let kind = saga.kind();
            match (evolve(saga, &entry), row) {
                (Ok(next), Some((_, to))) => {
                    assert_eq!(next.state, *to, "{name} after {state:?} of a {kind:?}");
                    assert_eq!(next.seq, seq + 1);
                }
                (Err(illegal), None) => {
                    assert_eq!((illegal.event, illegal.state), (name, state.as_str()));
                    assert_eq!(illegal.seq, seq + 1);
                    assert!(illegal.to_string().contains(SAGA));
                }
                (outcome, row) => {
                    panic!("{name} after {state:?} of a {kind:?}: {row:?}, {outcome:?}")
                }
            }
        }
    }
}

#[test]
fn resumed_follows_parked_only() {
    for state in State::ALL.into_iter().filter(|s| !s.is_terminal()) {
        let saga = evolve(in_state(state), &parked()).unwrap();
        assert_eq!(saga.status().as_str(), "parked");
        let saga = evolve(saga, &resumed()).unwrap();
        assert_eq!((saga.state, saga.parked.is_none()), (state, true));
        assert!(evolve(saga, &resumed()).is_err());
    }
}

#[test]
fn claims_are_let_go_only_by_an_end_without_success() {
    for state in State::ALL {
        let lets_go = matches!(state, State::Released | State::Rejected | State::Blocked);
        assert_eq!(in_state(state).holds_claims(), !lets_go, "{state:?}");
    }
}

#[test]
fn the_status_is_what_the_scan_needs() {
    for state in State::ALL {
        let status = in_state(state).status().as_str();
        let want = match state {
            _ if state.is_terminal() => "done",
            State::Owing => "owing",
            _ => "active",
        };
        assert_eq!(status, want, "{state:?}");
    }
}

/// State → the step when it is not fresh, when it is, and when it is parked.
const STEPS: [(State, &str, &str, &str); 16] = [
    (State::Adopted, "accept", "accept", "stop"),
    (State::Requested, "quote_melt", "quote_melt", "stop"),
    (State::Quoted, "preflight", "preflight", "stop"),
    (State::Planned, "prepare_melt", "prepare_melt", "stop"),
    (State::Swapping, "inquire", "post_swap", "inquire"),
    (State::Ready, "prepare_melt", "prepare_melt", "stop"),
    (State::Sent, "inquire", "post_melt", "inquire"),
    (State::Fencing, "inquire", "post_swap", "inquire"),
    (State::Paid, "inquire", "inquire", "inquire"),
    (State::Owing, "inquire", "inquire", "inquire"),
    (State::Issuing, "inquire", "post_mint", "inquire"),
    (State::Settled, "stop", "stop", "stop"),
    (State::Released, "stop", "stop", "stop"),
    (State::Rejected, "stop", "stop", "stop"),
    (State::Blocked, "stop", "stop", "stop"),
    (State::WrittenOff, "stop", "stop", "stop"),
];

#[test]
fn the_next_step_of_every_state() {
    for ((state, then, fresh, parked), listed) in STEPS.into_iter().zip(State::ALL) {
        assert_eq!(state, listed);
        let mut saga = in_state(state);
        assert_eq!(next_step(&saga, false).name(), then, "{state:?}");
        assert_eq!(next_step(&saga, true).name(), fresh, "{state:?} fresh");
        assert_eq!(has_coins_at_mint(&saga), parked == "inquire", "{state:?}");
        let Event::Parked(desk) = crate::saga_events::parked().event else {
            panic!("not parked");
        };
        saga.parked = Some(desk);
        for is_fresh in [false, true] {
            assert_eq!(
                next_step(&saga, is_fresh).name(),
                parked,
                "{state:?} parked"
            );
        }
    }
}

#[test]
fn the_next_step_of_the_other_kinds() {
    let rows: [(Given, &str, &str); 10] = [
        (mint(&[]), "quote_mint", "quote_mint"),
        (mint(&[mint_quoted()]), "prepare_mint", "prepare_mint"),
        (mint(&log_issuing(2)), "inquire", "post_mint"),
        (receive(&[]), "accept", "accept"),
        (
            receive(&[receive_requested()]),
            "prepare_receive",
            "prepare_receive",
        ),
        (receive(&log_receiving(2)), "inquire", "post_swap"),
        (
            melt(&[requested(), quoted(), planned(swapped())]),
            "prepare_swap",
            "prepare_swap",
        ),
        (
            melt(&with(log_fencing(1), fence_done(1))),
            "release_rest",
            "release_rest",
        ),
        (
            melt(&with(log_fencing(2), fence_done(1))),
            "release_rest",
            "release_rest",
        ),
        (
            melt(&with(log_ready(), sent_swapped())),
            "inquire",
            "post_melt",
        ),
    ];
    for (row, (given, then, fresh)) in rows.into_iter().enumerate() {
        assert_eq!(given.step().name(), then, "row {row}");
        assert_eq!(given.fresh().step().name(), fresh, "row {row}");
    }
    assert_eq!(
        mint(&log_issuing(2)).fresh().step(),
        Step::PostMint(mint_sent(2))
    );
    assert_eq!(
        receive(&log_receiving(2)).fresh().step(),
        Step::PostSwap(receive_swap(2))
    );
}

/// An inquiry asks for everything that a crash can have left at the mint.
#[test]
fn what_is_asked_in_each_state() {
    let inquiry = |given: Given| match given.step() {
        Step::Inquire(inquiry) => inquiry,
        other => panic!("{other:?}"),
    };
    let sent = inquiry(melt(&log_sent(1)));
    assert_eq!(sent.ys, [y(1), y(2), y(3)]);
    assert_eq!(
        sent.quote,
        Some((meltd::saga::command::Kind::Melt, QUOTE.to_owned()))
    );
    assert_eq!((sent.blanks, sent.outputs.len()), (Some(blanks(4)), 0));
    let fencing = inquiry(melt(&log_fencing(2)));
    assert_eq!(
        (fencing.ys, fencing.blanks),
        (vec![y(1), y(2), y(3)], Some(blanks(4)))
    );
    assert_eq!(fencing.outputs, [fence(1).outputs, fence(2).outputs]);
    let swapping = inquiry(melt(&log_swapping()));
    assert_eq!((swapping.ys, swapping.quote), (vec![y(4)], None));
    assert_eq!(swapping.outputs, [plan_outputs()]);
    let receiving = inquiry(receive(&log_receiving(2)));
    assert_eq!(
        (receiving.ys, receiving.quote),
        (vec![y(901), y(902)], None)
    );
    assert_eq!(
        receiving.outputs,
        [receive_swap(1).outputs, receive_swap(2).outputs]
    );
    let issuing = inquiry(mint(&log_issuing(2)));
    assert_eq!(
        issuing.quote,
        Some((meltd::saga::command::Kind::Mint, QUOTE.to_owned()))
    );
    assert_eq!(
        issuing.outputs,
        [mint_sent(1).outputs, mint_sent(2).outputs]
    );
    assert!(issuing.ys.is_empty());
}
