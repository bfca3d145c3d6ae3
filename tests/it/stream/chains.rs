//! Order, gaps, repeats and changed events, saga by saga.

use meltd::saga::chain::{Broken, Record, Tail, genesis, link, seal};
use meltd::saga::command::Kind;
use meltd::saga::ids::SagaId;
use meltd::saga::upcast;
use meltd::stream::chains::{Chains, From, Taken};

use crate::saga_events::log_sent;
use crate::saga_kit::at;

const ONE: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const TWO: &str = "01890a5d-ac96-774b-bcce-b302099a8058";

fn log(saga: &str) -> Vec<Record> {
    let id = SagaId::new(saga);
    let mut tail = Tail {
        hash: genesis(&id),
        kind: Kind::Melt,
        seq: 0,
        saga: id,
    };
    let entries = log_sent(1).into_iter();
    entries
        .map(|entry| seal(&mut tail, &entry, at(0), "salt").unwrap())
        .collect()
}

fn take(chains: &mut Chains, record: &Record) -> Result<Taken, Broken> {
    let public = Record {
        private: None,
        ..record.clone()
    };
    chains.take(&public, &upcast::read(&record.body).unwrap())
}

#[test]
fn two_sagas_are_read_side_by_side_and_repeats_are_dropped() {
    let mut chains = Chains::new(From::Start);
    let (one, two) = (log(ONE), log(TWO));
    for (a, b) in one.iter().zip(&two) {
        assert_eq!(take(&mut chains, a), Ok(Taken::Next));
        assert_eq!(take(&mut chains, b), Ok(Taken::Next));
    }
    for record in one.iter().chain(&two) {
        assert_eq!(take(&mut chains, record), Ok(Taken::Repeat));
    }
    assert_eq!(chains.len(), 2);
    let last = one.last().unwrap();
    let (seq, hash) = chains.head(&SagaId::new(ONE)).unwrap();
    assert_eq!((seq, hash.to_hex()), (last.seq, last.hash.clone()));
}

#[test]
fn a_gap_is_told_once_and_reading_goes_on() {
    let mut chains = Chains::new(From::Start);
    let log = log(ONE);
    assert_eq!(take(&mut chains, &log[0]), Ok(Taken::Next));
    let gap = Broken::Gap {
        expected: 2,
        found: 3,
    };
    assert_eq!(take(&mut chains, &log[2]), Err(gap));
    assert_eq!(take(&mut chains, &log[3]), Ok(Taken::Next));
}

#[test]
fn a_beginning_in_the_middle_is_taken_as_given_but_not_one_from_the_start() {
    let log = log(ONE);
    let mut chains = Chains::new(From::Middle);
    assert_eq!(take(&mut chains, &log[2]), Ok(Taken::Next));
    assert_eq!(take(&mut chains, &log[3]), Ok(Taken::Next));
    assert_eq!(take(&mut chains, &log[1]), Ok(Taken::Repeat));
    let mut chains = Chains::new(From::Start);
    let gap = Broken::Gap {
        expected: 1,
        found: 3,
    };
    assert_eq!(take(&mut chains, &log[2]), Err(gap));
}

/// Seen red without the comparison in `Chain::repeat`: the other event passed for a repeat.
#[test]
fn another_event_at_the_same_place_is_no_repeat() {
    let log = log(ONE);
    let mut chains = Chains::new(From::Start);
    for record in &log {
        take(&mut chains, record).unwrap();
    }
    let mut forked = log[1].clone();
    forked.body = forked.body.replace("\"fee_reserve\":", "\"fee_reserve\":1");
    let prev = meltd::saga::chain::Hash::from_hex(&forked.prev_hash).unwrap();
    forked.hash = link(prev, &forked.body).to_hex();
    assert_ne!(forked.hash, log[1].hash);
    assert_eq!(take(&mut chains, &forked), Err(Broken::Hash { seq: 2 }));
}

#[test]
fn a_changed_body_or_header_is_seen() {
    let log = log(ONE);
    let change: [fn(&mut Record); 4] = [
        |r| {
            r.body = r
                .body
                .replace("\"compliance\":\"STANDARD\"", "\"compliance\":\"HIGH\"")
        },
        |r| r.hash = "00".repeat(32),
        |r| r.prev_hash = "00".repeat(32),
        |r| r.hash = "zz".to_owned(),
    ];
    for change in change {
        let mut chains = Chains::new(From::Start);
        take(&mut chains, &log[0]).unwrap();
        let mut changed = log[1].clone();
        change(&mut changed);
        assert_eq!(take(&mut chains, &changed), Err(Broken::Hash { seq: 2 }));
    }
}
