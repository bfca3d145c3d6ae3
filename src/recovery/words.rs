//! What would be done next with a saga, and why, in words. Nothing here does anything.

use chrono::{DateTime, Utc};

use crate::ports::{Head, Pause};
use crate::saga::decide::{Ctx, Decision, Limits, Mode, Then, decide, hold};
use crate::saga::ids::SagaId;
use crate::saga::state::Saga;
use crate::saga::step::{Evidence, Inquiry, Seen, Step, next_step};

/// What recovery would do with one saga, and why.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Intention {
    /// The saga.
    pub saga: SagaId,
    /// Where it stands.
    pub state: String,
    /// The next step.
    pub step: String,
    /// Why: what the last pass waited for, who has parked it, what was ordered.
    pub why: Option<String>,
}

impl Intention {
    /// Of a saga as it is in the log, for a process that may do this much at its mint.
    pub fn of(head: &Head, saga: &Saga, mode: Mode, now: DateTime<Utc>) -> Self {
        let ctx = Ctx {
            now,
            tries: head.attempts,
            doubt: head.doubt,
            refused: None,
            mode,
            limits: Limits::default(),
        };
        let held = hold(saga, &next_step(saga, false), &ctx);
        Intention {
            saga: head.new.id.clone(),
            state: head.state.clone(),
            step: held.map_or_else(|| describe(saga), |held| in_words(&held)),
            why: reason(head, saga),
        }
    }
}

/// What a process may do at a mint, as far as the store tells: who is paused.
pub fn mode_of(pauses: &[Pause], saga: &Saga) -> Mode {
    let mint_url = &saga.adoption.mint_url;
    match pauses.iter().any(|pause| pause.mint_url == *mint_url) {
        true => Mode::Paused,
        false => Mode::Normal,
    }
}

/// The next step in words.
pub fn describe(saga: &Saga) -> String {
    match next_step(saga, false) {
        Step::Inquire(inquiry) => ask(&inquiry),
        Step::Stop if saga.parked.is_some() => "nothing until it is resumed or resolved".to_owned(),
        step => step.name().to_owned(),
    }
}

/// Why that is what comes next.
fn reason(head: &Head, saga: &Saga) -> Option<String> {
    let parked = saga.parked.as_ref();
    let parked = parked.map(|p| format!("parked by {} as {}: {}", p.by, p.code, p.evidence));
    let ordered = saga.resolution.as_ref().map(|r| {
        let (by, reason) = (&r.by, &r.reason);
        format!("{by} has ordered {}: {reason}", r.resolution.as_str())
    });
    let waited = head.last_error.as_ref().map(|why| match head.doubt {
        Some(doubt) => format!("{why} ({} times in a row)", doubt.passes),
        None => why.clone(),
    });
    let never =
        || (head.attempts == 0).then(|| "no pass has ended since its last event".to_owned());
    let all: Vec<String> = [parked, ordered, waited.or_else(never)]
        .into_iter()
        .flatten()
        .collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// What recovery would make of these answers: the events that it would record, and then.
pub fn foresee(saga: &Saga, inquiry: &Inquiry, evidence: &Evidence, ctx: &Ctx) -> String {
    let step = Step::Inquire(inquiry.clone());
    in_words(&decide(saga, &step, Seen::Evidence(evidence.clone()), ctx))
}

/// The events of a decision, and what follows.
fn in_words(decision: &Decision) -> String {
    let events: Vec<&str> = decision.entries.iter().map(|e| e.event.name()).collect();
    let recorded = match events.as_slice() {
        [] => String::new(),
        events => format!("record {}, then ", events.join(", ")),
    };
    let then = match &decision.then {
        Then::Next => "go on from there".to_owned(),
        Then::Do(step) => step.name().to_owned(),
        Then::Later(why) | Then::Doubt(_, why) => format!("wait: {why}"),
    };
    recorded + &then
}

/// Everything that an inquiry asks for.
fn ask(inquiry: &Inquiry) -> String {
    let ranges = inquiry.outputs.len() + usize::from(inquiry.blanks.is_some());
    let count = |n: usize, what: &str| match n {
        0 => None,
        1 => Some(format!("1 {what}")),
        n => Some(format!("{n} {what}s")),
    };
    let asked = [
        count(inquiry.ys.len(), "input state"),
        inquiry.quote.as_ref().map(|_| "the quote".to_owned()),
        count(ranges, "counter range"),
    ];
    let asked: Vec<String> = asked.into_iter().flatten().collect();
    format!("ask the mint for {}", asked.join(", "))
}
