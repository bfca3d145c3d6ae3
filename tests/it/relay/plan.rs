//! The plan: one row of the table a situation, and the rules for any outbox.

use std::collections::BTreeSet;

use meltd::ports::{Link, OutboxRow};
use meltd::relay::{Plan, plan};
use meltd::saga::ids::SagaId;
use proptest::prelude::*;

/// `a1` = event 1 of saga a; `a1r` = its reply; `!` = parked, `~` = waiting.
fn row(text: &str) -> OutboxRow {
    let plain = text.trim_end_matches(['!', '~']);
    let (saga, rest) = plain.split_at(1);
    let is_reply = rest.ends_with('r');
    let seq: u32 = rest.trim_end_matches('r').parse().unwrap();
    let link = Link {
        seq,
        hash: String::new(),
        prev_hash: String::new(),
    };
    OutboxRow {
        id: format!("{saga}:{seq:06}{}", if is_reply { ":reply" } else { "" }),
        saga: SagaId::new(saga),
        subject: String::new(),
        body: String::new(),
        link: (!is_reply).then_some(link),
        round: 0,
        attempts: 0,
        due: !text.ends_with('~'),
        parked: text.ends_with('!'),
        last_error: None,
    }
}

fn set(sagas: &str) -> BTreeSet<SagaId> {
    sagas.split_whitespace().map(SagaId::new).collect()
}

/// (what it is about, rows, in flight, held, slots, published, skipped)
type Line = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    usize,
    &'static str,
    &'static str,
);

const TABLE: &[Line] = &[
    ("nothing", "", "", "", 4, "", ""),
    (
        "one of each saga",
        "a1 a2 b1 b2 c1",
        "",
        "",
        4,
        "a1 b1 c1",
        "",
    ),
    (
        "in id order up to the slots",
        "a1 b1 c1",
        "",
        "",
        2,
        "a1 b1",
        "",
    ),
    ("slots in use count", "b1 c1 d1", "a", "", 2, "b1", ""),
    ("no slot", "b1", "a", "", 1, "", ""),
    ("a saga in flight waits", "a2 a3 b1", "a", "", 4, "b1", ""),
    (
        "a parked row holds its saga",
        "a1! a2 a3 b1",
        "",
        "",
        4,
        "b1",
        "a1! a2 a3",
    ),
    (
        "a waiting row too",
        "a1~ a2 b1~ b2 c1",
        "",
        "",
        4,
        "c1",
        "a1~ a2 b1~ b2",
    ),
    (
        "what is before it goes first",
        "a1 a2! a3",
        "",
        "",
        4,
        "a1",
        "",
    ),
    ("and in flight it stays", "a2! a3", "a", "", 4, "", ""),
    (
        "held from the page before",
        "a5 a6 b1",
        "",
        "a",
        4,
        "b1",
        "a5 a6",
    ),
    (
        "blocked ones use no slot",
        "a1! b1! c1! d1",
        "",
        "",
        1,
        "d1",
        "a1! b1! c1!",
    ),
    ("a reply waits for its event", "a1 a1r", "", "", 4, "a1", ""),
    ("and goes out behind it", "a1r a2", "", "", 4, "a1r", ""),
    (
        "a parked reply holds nobody",
        "a1r! a2",
        "",
        "",
        4,
        "a2",
        "a1r!",
    ),
    (
        "a parked event holds the reply",
        "a1! a1r",
        "",
        "",
        4,
        "",
        "a1! a1r",
    ),
];

/// Seen red without the look at sagas in flight, and with a parked row that holds nobody.
#[test]
fn the_plan_by_its_table() {
    for (about, rows, in_flight, held, slots, publish, skip) in TABLE {
        let names: Vec<&str> = rows.split_whitespace().collect();
        let rows: Vec<OutboxRow> = names.iter().map(|text| row(text)).collect();
        let plan = plan(&rows, &set(in_flight), &set(held), *slots);
        let named = |indexes: &[usize]| {
            let words: Vec<_> = indexes.iter().map(|i| names[*i]).collect();
            words.join(" ")
        };
        assert_eq!(named(&plan.publish), *publish, "{about}: published");
        assert_eq!(named(&plan.skip), *skip, "{about}: skipped");
    }
}

/// Rows as an outbox has them: sagas in order, their events in order, in any state.
fn outbox() -> impl Strategy<Value = Vec<OutboxRow>> {
    let events = prop::collection::vec((0..8u8, any::<bool>()), 0..5);
    let sagas = prop::collection::vec((1..4u32, events), 0..20);
    sagas.prop_map(|sagas| {
        let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ".chars();
        let mut rows = Vec::new();
        for (saga, (first, events)) in letters.zip(sagas) {
            for (seq, (state, reply)) in (first..).zip(events) {
                let mark = match state {
                    0 => "!",
                    1 => "~",
                    _ => "",
                };
                rows.push(row(&format!("{saga}{seq}{mark}")));
                if reply {
                    rows.push(row(&format!("{saga}{seq}r")));
                }
            }
        }
        rows
    })
}

/// Walks to the end: every message is confirmed as soon as all slots are used.
fn walk(rows: &[OutboxRow], page: usize, slots: usize) -> Vec<String> {
    let (mut window, mut rest): (Vec<OutboxRow>, _) = (Vec::new(), rows.iter());
    let mut held = BTreeSet::new();
    let mut published = Vec::new();
    loop {
        let more: Vec<_> = rest.by_ref().take(page).cloned().collect();
        let ended = more.is_empty();
        window.extend(more);
        loop {
            let Plan { publish, skip } = plan(&window, &BTreeSet::new(), &held, slots);
            if publish.is_empty() && skip.is_empty() {
                break;
            }
            let events = skip
                .iter()
                .map(|i| &window[*i])
                .filter(|row| row.link.is_some());
            held.extend(events.map(|row| row.saga.clone()));
            published.extend(publish.iter().map(|i| window[*i].id.clone()));
            let gone = |i: &usize| publish.contains(i) || skip.contains(i);
            let left = window.iter().enumerate().filter(|(i, _)| !gone(i));
            window = left.map(|(_, row)| row.clone()).collect();
        }
        if ended {
            assert!(window.is_empty(), "{window:?}");
            return published;
        }
    }
}

proptest! {
    /// Invariants of one plan: in order, one a saga, never more than the slots, nothing that is
    /// parked, waiting, or behind such an event.
    #[test]
    fn a_plan_keeps_its_rules(rows in outbox(), flying in "[A-Z]{0,4}", slots in 0..10usize) {
        let in_flight: BTreeSet<_> = flying.chars().map(|c| SagaId::new(c.to_string())).collect();
        let plan = plan(&rows, &in_flight, &BTreeSet::new(), slots);
        prop_assert!(plan.publish.is_sorted() && plan.skip.is_sorted());
        let room = slots.saturating_sub(in_flight.len());
        prop_assert!(plan.publish.len() <= room);
        let mut sagas = BTreeSet::new();
        for at in &plan.publish {
            let row = &rows[*at];
            prop_assert!(row.due && !row.parked && !in_flight.contains(&row.saga));
            prop_assert!(sagas.insert(&row.saga));
            let before = rows[..*at].iter().filter(|other| other.saga == row.saga);
            for other in before {
                prop_assert!(other.link.is_none() && (other.parked || !other.due));
            }
        }
        for at in &plan.skip {
            let saga = &rows[*at].saga;
            let own = rows[..=*at].iter().filter(|row| row.saga == *saga);
            prop_assert!(own.clone().any(|row| row.parked || !row.due));
        }
    }

    /// Invariant: whatever the size of the pages and the number of slots, a walk publishes exactly
    /// the rows that no blocked event of their saga stands before, and each saga's in order.
    #[test]
    fn a_walk_finds_everything(rows in outbox(), page in 1..7usize, slots in 1..5usize) {
        let mut blocked = BTreeSet::new();
        let mut expected = BTreeSet::new();
        for row in &rows {
            let waits = row.parked || !row.due;
            if blocked.contains(&row.saga) || (waits && row.link.is_some()) {
                blocked.insert(row.saga.clone());
            } else if !waits {
                expected.insert(row.id.clone());
            }
        }
        let published = walk(&rows, page, slots);
        prop_assert_eq!(published.iter().cloned().collect::<BTreeSet<_>>(), expected);
        for saga in rows.iter().map(|row| &row.saga) {
            let own = published.iter().filter(|id| id.starts_with(saga.as_str()));
            prop_assert!(own.is_sorted());
        }
    }
}
