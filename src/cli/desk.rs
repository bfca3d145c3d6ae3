//! `meltd saga park|resume|resolve`: an operator's order, recorded with who and why, and carried
//! out by the same loop as always.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::Act;
use super::exit::{Exit, Failure, inside};
use super::follow::{Followed, stored};
use super::output::{Answer, fields};
use super::progress::Waiting;
use super::sagas::outcome;
use super::values::duration;
use crate::driver::{Desk, DriveError, OrderError};
use crate::ports::{Clock, Mint, Store};
use crate::recovery::describe;
use crate::saga::code::Code;
use crate::saga::decide::Order;
use crate::saga::event::Resolution;
use crate::saga::ids::{SagaId, Seq};
use crate::saga::state::Status;

/// Who decides, and why: both are recorded in the saga's log for ever.
#[derive(Clone, Debug, Args)]
pub struct Who {
    /// Why, for whoever reads the log
    #[arg(long, value_name = "TEXT", value_parser = said)]
    pub reason: String,
    /// Who decides
    #[arg(long, value_name = "NAME", value_parser = said)]
    pub by: String,
}

/// `meltd saga park`, `meltd saga resume`
#[derive(Clone, Debug, Args)]
pub struct DeskArgs {
    /// The saga's id
    pub id: String,
    /// Who and why.
    #[command(flatten)]
    pub who: Who,
    /// Only if the saga is at this version: see `meltd saga show`
    #[arg(long, value_name = "N")]
    pub expect_version: Option<Seq>,
    /// How long to wait for a process that is driving the saga
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub wait: Duration,
}

/// `meltd saga resolve`
#[derive(Clone, Debug, Args)]
pub struct ResolveArgs {
    /// The saga's id
    pub id: String,
    /// What was found out, or is decided
    #[arg(long = "as", value_name = "RESOLUTION")]
    pub resolution: ResolutionArg,
    /// Who and why.
    #[command(flatten)]
    pub who: Who,
    /// The version that you looked at with `meltd saga show`; at any other one nothing is done
    //
    // Required: a decision about money is made about something that was seen.
    #[arg(long, value_name = "N")]
    pub expect_version: Seq,
    /// How long to wait for a process that is driving the saga, and for what follows
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub wait: Duration,
}

/// [`Resolution`] as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ResolutionArg {
    /// The payment happened: settle with whatever change can be collected
    Paid,
    /// Let the coins go: by the fence, if they were sent
    Released,
    /// Give up what the mint holds and will not give back
    WrittenOff,
}

impl From<ResolutionArg> for Resolution {
    fn from(arg: ResolutionArg) -> Self {
        match arg {
            ResolutionArg::Paid => Resolution::Paid,
            ResolutionArg::Released => Resolution::Released,
            ResolutionArg::WrittenOff => Resolution::WrittenOff,
        }
    }
}

/// A name or a reason: something, on one line, and short enough for an event.
fn said(text: &str) -> Result<String, String> {
    let text = text.trim();
    let is_line = !text.chars().any(char::is_control);
    match text.chars().count() {
        1..=500 if is_line => Ok(text.to_owned()),
        _ => Err("say it in 1 to 500 characters on one line".to_owned()),
    }
}

/// What was ordered, and where the saga stands after it.
#[derive(Debug, Serialize)]
pub(super) struct DeskAnswer {
    saga: SagaId,
    ordered: &'static str,
    version: Seq,
    state: &'static str,
    status: Status,
    outcome: String,
    waiting_for: Option<String>,
    next: Option<String>,
    #[serde(flatten, serialize_with = "inside")]
    failure: Option<Failure>,
}

/// Puts it on the desk, or takes it off.
pub(super) async fn order<S: Store, M: Mint, C: Clock>(
    act: &Act<S, M, C>,
    args: DeskArgs,
    order: Order,
) -> Result<DeskAnswer, Failure> {
    let desk = Desk {
        order,
        by: args.who.by,
        reason: args.who.reason,
        expect_version: args.expect_version,
        patience: args.wait,
    };
    // Resumed, it is driven by whoever recovers; parked, there is nothing to wait for.
    give(act, &args.id, desk, Duration::ZERO).await
}

/// Decides it, and follows what comes of it.
pub(super) async fn resolve<S: Store, M: Mint, C: Clock>(
    act: &Act<S, M, C>,
    args: ResolveArgs,
) -> Result<DeskAnswer, Failure> {
    let desk = Desk {
        order: Order::Resolve(args.resolution.into()),
        by: args.who.by,
        reason: args.who.reason,
        expect_version: Some(args.expect_version),
        patience: args.wait,
    };
    give(act, &args.id, desk, args.wait).await
}

async fn give<S: Store, M: Mint, C: Clock>(
    act: &Act<S, M, C>,
    id: &str,
    desk: Desk,
    wait: Duration,
) -> Result<DeskAnswer, Failure> {
    let id = SagaId::new(id.trim());
    let ordered = match &desk.order {
        Order::Park => "parked",
        Order::Resume => "resumed",
        Order::Resolve(resolution) => resolution.as_str(),
    };
    let waiting = Waiting::new(act.out);
    let stopped = || Failure {
        exit: Exit::Unfinished,
        code: Code::NotFinished,
        message: "stopped by a signal; look with `meltd saga show` what was recorded".to_owned(),
        saga: Some(id.clone()),
    };
    let recorded = waiting.on(act.driver.order(&id, &desk)).await;
    recorded
        .ok_or_else(stopped)?
        .map_err(|error| refused(error, &id))?;
    let is_park = desk.order == Order::Park;
    if !is_park {
        let driven = act
            .driver
            .drive_watched(&id, None, wait, |why| waiting.says(why));
        if let Some(Err(error)) = waiting.on(driven).await {
            let is_others = matches!(error, DriveError::Lost);
            if !is_others {
                return Err(Failure::of_drive(&error, &id));
            }
        }
    }
    let after = stored(&*act.driver.store, &id).await?;
    let is_open = matches!(desk.order, Order::Resolve(_)) && !after.saga.state.is_terminal();
    let failure = is_open.then(|| unfinished(&after)).flatten();
    let saga = &after.saga;
    Ok(DeskAnswer {
        saga: id,
        ordered,
        version: saga.seq,
        state: saga.state.as_str(),
        status: saga.status(),
        outcome: outcome(saga),
        next: (!saga.state.is_terminal()).then(|| describe(saga)),
        waiting_for: after.waits.clone(),
        failure,
    })
}

/// A resolution that is recorded and not carried out yet: the mint has to answer first.
fn unfinished(after: &Followed) -> Option<Failure> {
    after
        .failure()
        .filter(|failure| failure.exit == Exit::Unfinished || failure.exit == Exit::Critical)
}

fn refused(error: OrderError, id: &SagaId) -> Failure {
    match error {
        OrderError::Refused(refused) => Failure::from(refused).about(id),
        OrderError::Drive(DriveError::Lost) => Failure {
            exit: Exit::Unfinished,
            code: Code::VersionMoved,
            message: "another process is driving this saga; nothing was recorded. Look again with \
                      `meltd saga show`, then decide again"
                .to_owned(),
            saga: Some(id.clone()),
        },
        OrderError::Drive(error) => Failure::of_drive(&error, id),
    }
}

impl Answer for DeskAnswer {
    fn human(&self) -> String {
        fields(&[
            ("saga", self.saga.to_string()),
            ("recorded", self.ordered.to_owned()),
            ("version", self.version.to_string()),
            (
                "state",
                format!("{} ({})", self.state, self.status.as_str()),
            ),
            ("outcome", self.outcome.clone()),
            ("next", self.next.clone().unwrap_or_default()),
            ("waits for", self.waiting_for.clone().unwrap_or_default()),
        ])
    }

    fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }
}
