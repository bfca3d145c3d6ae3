//! From what was seen to what is now a fact. [`decide`] is a table: state × answer → events, and
//! what to do after them. It never waits, asks or guesses: unknown stays unknown.

mod commit;
mod desk;
mod fund;
mod melt;
mod mode;
mod preflight;
mod reconcile;
mod swap;

use chrono::{DateTime, Utc};

use super::code::Code;
use super::command::{Command, Kind};
use super::event::{CriticalRaised, Entry, Event, Parked, Refusal};
use super::state::{Saga, State};
use super::step::{Evidence, Inquiry, MintState, Seen, Step, Trouble};

pub use commit::proven;
pub use desk::{Order, order};
pub use mode::{Mode, hold};
pub use preflight::{Look, judge, policy};

/// The bounds of the loop; each is a number of tries, never a time after which coins are freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Posts of one identical melt request.
    pub posts_max: u32,
    /// Fence, receive or mint ranges of one saga.
    pub ranges_max: u32,
    /// Times a saga is planned again.
    pub replans_max: u32,
    /// Looks for change that was never promised, after a settlement without any.
    pub looks_max: u32,
    /// Passes in a row that a contradiction must survive before the saga is parked.
    pub contradictions_max: u32,
    /// Passes without an event after which a saga is parked that has nothing at the mint and whose
    /// time is over.
    pub idle_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        // Three posts: a lost request and a lost answer are both survived; more only adds load.
        // Eight looks: about two minutes, longer than any mint takes between PAID and change.
        // Five ranges: each needs a refusal of its own, which no honest mint gives twice.
        // Twenty idle passes: about an hour and a half with the driver's back-off.
        Limits {
            posts_max: 3,
            ranges_max: 5,
            replans_max: 1,
            looks_max: 8,
            contradictions_max: 5,
            idle_max: 20,
        }
    }
}

/// What the decision may look at beside the saga.
#[derive(Clone, Debug)]
pub struct Ctx {
    /// Now, as the caller's clock has it.
    pub now: DateTime<Utc>,
    /// Passes without an event since the last one.
    pub tries: u32,
    /// The contradiction that the passes before this one have ended with, if they did.
    pub doubt: Option<Doubt>,
    /// The mint's refusal of this pass's last post, if it refused.
    pub refused: Option<Refusal>,
    /// What this process may do at this mint now.
    pub mode: Mode,
    /// The bounds.
    pub limits: Limits,
}

/// Evidence that contradicts itself, and how often it was seen in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Which contradiction.
    pub code: Code,
    /// Passes in a row that ended with it. A pass that sees anything else begins again at nothing.
    pub passes: u32,
}

impl Ctx {
    /// How many passes before this one have ended with this contradiction, in a row.
    fn doubted(&self, code: Code) -> u32 {
        self.doubt
            .filter(|d| d.code == code)
            .map_or(0, |d| d.passes)
    }

    /// Why nothing may be posted, if nothing may: asking goes on all the same.
    fn held(&self, saga: &Saga) -> Option<String> {
        if self.mode == Mode::ObserveOnly {
            return Some(mode::observing());
        }
        let parked = saga.parked.as_ref();
        parked.map(|_| "parked: nothing is posted until it is resumed or resolved".to_owned())
    }
}

/// What to do after the events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// Look at the new state.
    Next,
    /// Do this at once: it follows from the evidence just seen.
    Do(Step),
    /// End the pass and come back later, for this reason.
    Later(String),
    /// The same, because what was seen contradicts itself in this way.
    Doubt(Code, String),
}

/// New facts, and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// To be appended, in order.
    pub entries: Vec<Entry>,
    /// And then.
    pub then: Then,
}

impl Decision {
    pub(super) fn events(entries: impl IntoIterator<Item = Entry>) -> Self {
        Decision {
            entries: entries.into_iter().collect(),
            then: Then::Next,
        }
    }

    pub(super) fn event(event: Event) -> Self {
        Decision::events([event.into()])
    }

    pub(super) fn later(why: impl Into<String>) -> Self {
        Decision {
            entries: Vec::new(),
            then: Then::Later(why.into()),
        }
    }

    pub(super) fn doubt(code: Code, what: &str) -> Self {
        Decision {
            entries: Vec::new(),
            then: Then::Doubt(code, format!("{code}: {what}")),
        }
    }

    pub(super) fn go(step: Step) -> Self {
        Decision {
            entries: Vec::new(),
            then: Then::Do(step),
        }
    }

    pub(super) fn next() -> Self {
        Decision {
            entries: Vec::new(),
            then: Then::Next,
        }
    }
}

/// What the answer to a step makes of a saga.
pub fn decide(saga: &Saga, step: &Step, seen: Seen, ctx: &Ctx) -> Decision {
    let decision = table(saga, step, seen, ctx);
    let decision = desk::park_idle(saga, decision, ctx);
    desk::end_criticals(saga, decision)
}

fn table(saga: &Saga, step: &Step, seen: Seen, ctx: &Ctx) -> Decision {
    match (step, seen) {
        (Step::Accept, Seen::Done) if saga.kind() == Kind::Reconcile => reconcile::accept(saga),
        (Step::Accept, Seen::Done) => melt::accept(saga),
        (Step::ReleaseRest, Seen::Done) => melt::release_rest(saga, ctx),
        (_, Seen::MeltQuote(answer)) => melt::quoted(saga, answer, ctx),
        (_, Seen::Preflight(answer)) => preflight::checked(answer, saga, ctx),
        (_, Seen::MeltPrepared(range)) => melt::prepared(saga, range, ctx),
        (_, Seen::Melted(answer)) => melt::posted(saga, answer),
        (_, Seen::SwapPrepared(outputs)) => swap::prepared(saga, outputs, ctx),
        (_, Seen::FencePrepared(answer)) => swap::fence_prepared(answer, ctx),
        (Step::PostSwap(swap), Seen::Swapped(answer)) => swap::posted(saga, swap, answer),
        (_, Seen::ReceivePrepared(answer)) => fund::receive_prepared(saga, answer, ctx),
        (_, Seen::MintQuote(answer)) => fund::quoted(saga, answer, ctx),
        (_, Seen::MintPrepared(answer)) => fund::mint_prepared(saga, answer, ctx),
        (_, Seen::Minted(answer)) => fund::minted(saga, answer),
        (_, Seen::Truth(answer)) => reconcile::told(saga, answer),
        (_, Seen::NoCounters(trouble)) => reconcile::no_counters(saga, &trouble, ctx),
        (Step::Inquire(inquiry), Seen::Evidence(evidence)) => {
            told(saga, inquiry, whole(inquiry, evidence), ctx)
        }
        (step, _) => Decision::later(format!("an answer that does not belong to {}", step.name())),
    }
}

/// What the answers to an inquiry make of a saga.
fn told(saga: &Saga, inquiry: &Inquiry, evidence: Evidence, ctx: &Ctx) -> Decision {
    match saga.state {
        State::Sent | State::Paid => melt::evidence(saga, evidence, ctx),
        State::Fencing => melt::fence_evidence(saga, inquiry, evidence, ctx),
        State::Swapping => swap::evidence(saga, inquiry, evidence, ctx),
        State::Owing => commit::collect(saga, evidence, ctx),
        State::Issuing => fund::evidence(saga, inquiry, evidence, ctx),
        other => Decision::later(format!("nothing is asked in state {}", other.as_str())),
    }
}

/// The evidence with every question answered: one state an input, and of each range all outputs or
/// none. A shorter or longer answer decides nothing, so it is made unknown.
fn whole(inquiry: &Inquiry, evidence: Evidence) -> Evidence {
    let unknown = || Trouble::Unknown {
        code: Code::MintNonsense,
        detail: "the mint answered another number of questions than it was asked".to_owned(),
    };
    let states = evidence.states.and_then(|states| {
        let is_whole = states.len() == inquiry.ys.len();
        is_whole.then_some(states).ok_or_else(unknown)
    });
    let mut restored = evidence.restored.into_iter();
    let restored = inquiry.outputs.iter().map(|outputs| {
        let coins = restored.next().unwrap_or_else(|| Err(unknown()))?;
        let is_whole = coins.is_empty() || coins.len() == outputs.amounts.len();
        is_whole.then_some(coins).ok_or_else(unknown)
    });
    Evidence {
        states,
        restored: restored.collect(),
        ..evidence
    }
}

/// The inputs' states, as one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inputs {
    /// The mint did not say.
    Unknown,
    /// All free.
    Unspent,
    /// At least one is in a payment.
    Pending,
    /// All gone.
    Spent,
    /// Some gone, the rest free: a melt is all or nothing, so it was not the melt.
    Mixed,
}

impl Inputs {
    pub(super) fn of(evidence: &Evidence) -> Self {
        let Ok(states) = &evidence.states else {
            return Inputs::Unknown;
        };
        let all = |state: MintState| states.iter().all(|s| *s == state);
        if states.is_empty() {
            Inputs::Unknown
        } else if states.contains(&MintState::Pending) {
            Inputs::Pending
        } else if all(MintState::Unspent) {
            Inputs::Unspent
        } else if all(MintState::Spent) {
            Inputs::Spent
        } else {
            Inputs::Mixed
        }
    }
}

/// True when no new attempt may start: the command's deadline, or the invoice's expiry, is over.
pub(super) fn is_over(saga: &Saga, now: DateTime<Utc>) -> bool {
    match &saga.adoption.command {
        Command::Melt(c) => now >= c.deadline.min(c.invoice_expires_at),
        Command::Mint(c) => now >= c.deadline,
        Command::Receive(c) => now >= c.deadline,
        Command::Reconcile(_) => false,
    }
}

/// Evidence that contradicts itself: look again a few times, then put it on the desk. Asking goes
/// on there; nothing that moves money does.
pub(super) fn contradiction(saga: &Saga, code: Code, evidence: &str, ctx: &Ctx) -> Decision {
    let is_held = ctx.held(saga).is_some();
    if is_held || ctx.doubted(code) < ctx.limits.contradictions_max {
        return Decision::doubt(code, evidence);
    }
    let raised = CriticalRaised {
        code: Code::CriticalMeltFailure,
        reason: evidence.to_owned(),
        requires_manual_intervention: true,
    };
    let parked = Parked {
        code,
        evidence: evidence.to_owned(),
        by: "meltd".to_owned(),
    };
    Decision {
        entries: vec![
            Event::CriticalRaised(raised).into(),
            Event::Parked(parked).into(),
        ],
        ..Decision::doubt(code, evidence)
    }
}
