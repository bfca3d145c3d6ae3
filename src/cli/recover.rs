//! `meltd recover`: finishes what a crash or a slow mint has left, and says what it did.

use std::time::Duration;

use chrono::Utc;
use serde::Serialize;

use super::Act;
use super::args::RecoverArgs;
use super::exit::{Exit, Failure, inside};
use super::follow::{let_go, stored};
use super::output::{Answer, table};
use super::progress::Waiting;
use super::sagas::outcome;
use crate::driver::fold;
use crate::ports::{Clock, Head, HeadFilter, Mint, Store};
use crate::recovery::{Fate, Intention, Report, mode_of};
use crate::saga::code::Code;
use crate::saga::command::Kind;
use crate::saga::ids::SagaId;
use crate::saga::state::{State, Status};

/// On top of a lease's life: the store's clock and this one need not tick together.
const LEASE_MARGIN: Duration = Duration::from_millis(300);

/// Heads read at a time.
const PAGE: u32 = 500;

const NOTHING: &str = "nothing to recover\n";

/// What was done with one saga.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    saga: SagaId,
    kind: Kind,
    before: String,
    after: String,
    events_added: u32,
    status: Status,
    outcome: String,
}

impl Line {
    /// A funding invoice that nobody has paid: nothing waits for meltd.
    fn is_unpaid_funding(&self) -> bool {
        self.kind == Kind::Mint && self.after == State::Quoted.as_str()
    }
}

/// What was done.
#[derive(Debug, Serialize)]
pub(super) struct RecoverAnswer {
    sagas: Vec<Line>,
    #[serde(flatten, serialize_with = "inside")]
    failure: Option<Failure>,
}

/// What would be done.
#[derive(Debug, Serialize)]
pub(super) struct DryRunAnswer {
    sagas: Vec<Intention>,
}

/// Drives everything that is not done. Sagas of a process that died are taken over when their
/// leases have run out.
pub(super) async fn recover<S: Store, M: Mint, C: Clock>(
    act: &Act<S, M, C>,
    args: RecoverArgs,
) -> Result<RecoverAnswer, Failure> {
    let before = act.driver.unfinished().await?;
    let waiting = Waiting::new(act.out);
    let done = waiting.on(pass(act, &before, args.wait, &waiting)).await;
    if done.is_none() {
        for head in &before {
            let_go(act, &head.new.id).await;
        }
    }
    let mut lines = Vec::new();
    for head in before {
        let told = done.as_ref().and_then(|report| told(report, &head.new.id));
        lines.push(line(act, head, told).await?);
    }
    let failure = verdict(&lines, done.as_ref());
    Ok(RecoverAnswer {
        sagas: lines,
        failure,
    })
}

/// Two rounds: all that can be leased; then those that somebody held, for as long as a dead
/// process can hold them.
async fn pass<S: Store, M: Mint, C: Clock>(
    act: &Act<S, M, C>,
    heads: &[Head],
    wait: Duration,
    waiting: &Waiting,
) -> Report {
    let patience = |head: &Head| match (head.status, head.new.command.kind()) {
        // A look is all that helps: a person has to decide, or to pay the funding invoice.
        (Status::Parked, _) | (_, Kind::Mint) => Duration::ZERO,
        _ => wait,
    };
    let sagas: Vec<_> = heads
        .iter()
        .map(|head| (head.new.id.clone(), patience(head)))
        .collect();
    if !sagas.is_empty() {
        waiting.says(&format!("{} unfinished saga(s)", sagas.len()));
    }
    let tell = |id: &SagaId, fate: &Fate| match fate {
        Fate::Ended => act.out.progress(&format!("{id}  ended")),
        Fate::Waits(why) => act.out.progress(&format!("{id}  waits: {why}")),
        Fate::Busy => {}
        Fate::Failed(why) => act.out.progress(&format!("{id}  failed: {why}")),
    };
    let mut report = act.driver.recover_these(sagas, tell).await;
    if report.busy.is_empty() {
        return report;
    }
    let ttl = act.driver.tuning.lease_ttl + LEASE_MARGIN;
    waiting.says(&format!(
        "{} saga(s) are held by another process; if it died, they are free within {} s",
        report.busy.len(),
        ttl.as_secs()
    ));
    let held = report.busy.drain(..).map(|id| (id, ttl)).collect();
    let second = act.driver.recover_these(held, tell).await;
    report.ended.extend(second.ended);
    report.waiting.extend(second.waiting);
    report.busy.extend(second.busy);
    report.failed.extend(second.failed);
    report
}

/// What a report says of one saga, if it did not end.
fn told(report: &Report, id: &SagaId) -> Option<String> {
    let waits = report.waiting.iter().chain(&report.failed);
    let mut waits = waits.filter(|(saga, _)| saga == id);
    match waits.next() {
        Some((_, why)) => Some(why.clone()),
        None if report.busy.contains(id) => Some("a living process drives it".to_owned()),
        None => None,
    }
}

async fn line<S: Store, M: Mint, C: Clock>(
    act: &Act<S, M, C>,
    before: Head,
    told: Option<String>,
) -> Result<Line, Failure> {
    let id = before.new.id;
    let kind = before.new.command.kind();
    let followed = match stored(&*act.driver.store, &id).await {
        Ok(followed) => followed,
        // A damaged log is this saga's own trouble; the others are told all the same.
        Err(failure) if failure.exit == Exit::Critical => {
            return Ok(Line {
                saga: id,
                kind,
                after: before.state.clone(),
                before: before.state,
                events_added: 0,
                status: before.status,
                outcome: failure.message,
            });
        }
        Err(failure) => return Err(failure),
    };
    let saga = followed.saga;
    let mut text = outcome(&saga);
    if let Some(why) = told.filter(|_| saga.status() != Status::Done) {
        text += &format!(": {why}");
    }
    Ok(Line {
        saga: id,
        kind,
        before: before.state,
        after: saga.state.as_str().to_owned(),
        events_added: saga.seq.saturating_sub(before.version),
        status: saga.status(),
        outcome: text,
    })
}

/// Done if nothing is left but funding invoices that nobody has paid, and change that is owed.
fn verdict(lines: &[Line], report: Option<&Report>) -> Option<Failure> {
    let fail = |exit, message: String| Failure {
        exit,
        code: Code::NotFinished,
        message,
        saga: None,
    };
    let count = |wanted: &dyn Fn(&Line) -> bool| lines.iter().filter(|line| wanted(line)).count();
    let parked = count(&|line| line.status == Status::Parked);
    let broken = report.map_or(0, |report| report.failed.len());
    let open = count(&|line| line.status == Status::Active && !line.is_unpaid_funding());
    if report.is_none() {
        let message = "stopped by a signal; `meltd recover` goes on where this left off";
        return Some(fail(Exit::Unfinished, message.to_owned()));
    }
    if parked + broken > 0 {
        let message =
            format!("{parked} saga(s) are parked for a person, {broken} could not be driven");
        return Some(fail(Exit::Critical, message));
    }
    if open > 0 {
        let message = format!("{open} saga(s) still wait for their mint; run it again later");
        return Some(fail(Exit::Unfinished, message));
    }
    None
}

/// What the next pass would begin with, and why. It asks no mint.
pub(super) async fn dry_run<S: Store>(store: &S) -> Result<DryRunAnswer, Failure> {
    let mut filter = HeadFilter {
        statuses: vec![Status::Active, Status::Owing, Status::Parked],
        limit: PAGE,
        ..HeadFilter::default()
    };
    let pauses = store.pauses().await?;
    let mut sagas = Vec::new();
    loop {
        let heads = store.heads(filter.clone()).await?;
        let Some(last) = heads.last() else { break };
        filter.after = Some(last.new.id.clone());
        for head in heads {
            let Some(loaded) = store.load(&head.new.id).await? else {
                continue;
            };
            sagas.push(match fold(&loaded) {
                Ok((saga, _)) => {
                    let mode = mode_of(&pauses, &saga);
                    Intention::of(&loaded.head, &saga, mode, Utc::now())
                }
                Err(error) => Intention {
                    saga: head.new.id,
                    state: head.state,
                    step: "nothing".to_owned(),
                    why: Some(error.to_string()),
                },
            });
        }
    }
    Ok(DryRunAnswer { sagas })
}

impl Answer for RecoverAnswer {
    fn human(&self) -> String {
        if self.sagas.is_empty() {
            return NOTHING.to_owned();
        }
        let rows = self.sagas.iter().map(|line| {
            let change = match line.events_added {
                0 => line.before.clone(),
                n => format!("{} -> {} (+{n})", line.before, line.after),
            };
            let kind = line.kind.as_str().to_owned();
            vec![line.saga.to_string(), kind, change, line.outcome.clone()]
        });
        table(
            &["saga", "kind", "state", "outcome"],
            &rows.collect::<Vec<_>>(),
        )
    }

    fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }
}

impl Answer for DryRunAnswer {
    fn human(&self) -> String {
        if self.sagas.is_empty() {
            return NOTHING.to_owned();
        }
        let rows = self.sagas.iter().map(|intention| {
            let Intention {
                saga,
                state,
                step,
                why,
            } = intention;
            let why = why.clone().unwrap_or_default();
            vec![saga.to_string(), state.clone(), step.clone(), why]
        });
        let head = ["saga", "state", "would", "because"];
        table(&head, &rows.collect::<Vec<_>>())
    }
}
