//! `meltd relay`: how far publishing has come, what is put aside, and publishing again.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::exit::{Exit, Failure};
use super::output::{Answer, Out, fields, table};
use crate::config::BusConfig;
use crate::ports::{Again, Bus, BusError, Outbox, OutboxRow, Stream};
use crate::relay::{LEASE, matches, put_back};
use crate::saga::code::Code;
use crate::saga::ids::SagaId;

/// Parked rows that are shown; the depth says how many there are.
const SHOWN: u32 = 100;

/// `meltd relay …`
#[derive(Debug, Args)]
pub struct RelayArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: RelayCommand,
    /// The stream is compared with what was published if it is named.
    #[command(flatten)]
    pub bus: BusConfig,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum RelayCommand {
    /// Who publishes, what is left, what was put aside and why, and whether the stream still has
    /// what was published
    Status,
    /// Put events back into the outbox, to be published again; consumers drop what they have seen
    Rewind(RewindArgs),
    /// Let a message go on that was put aside
    Unpark(UnparkArgs),
}

/// `meltd relay rewind`
#[derive(Debug, Args)]
pub struct RewindArgs {
    /// begin, a time (2026-11-21T10:00:00Z: every saga that was written since), or a saga's id.
    /// A saga is always published from its first event
    #[arg(long, value_name = "FROM", value_parser = from)]
    pub to: From,
}

/// `meltd relay unpark`
#[derive(Debug, Args)]
pub struct UnparkArgs {
    /// The row's id, as `meltd relay status` shows it
    pub row: String,
}

/// From where to publish again.
#[derive(Clone, Debug)]
pub enum From {
    /// Many sagas.
    Many(Again),
    /// One.
    Saga(SagaId),
}

fn from(text: &str) -> Result<From, String> {
    if text == "begin" {
        return Ok(From::Many(Again::All));
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(From::Many(Again::Since(time.to_utc())));
    }
    match uuid::Uuid::try_parse(text) {
        Ok(id) => Ok(From::Saga(SagaId::new(id.to_string()))),
        Err(_) => Err("give begin, a time like 2026-11-21T10:00:00Z, or a saga's id".to_owned()),
    }
}

/// Does it. `bus` is there if it was named; its error is part of the answer.
pub async fn relay<S: Outbox, B: Bus>(
    store: &S,
    bus: Option<Result<B, BusError>>,
    command: RelayCommand,
    out: Out,
) -> Exit {
    match command {
        RelayCommand::Status => out.end(status(store, bus).await),
        RelayCommand::Rewind(args) => out.end(rewind(store, args.to).await),
        RelayCommand::Unpark(args) => out.end(unpark(store, args.row).await),
    }
}

#[derive(Debug, Serialize)]
struct StatusAnswer {
    holder: Option<HolderLine>,
    outbox: Depth,
    parked: Vec<ParkedLine>,
    mark: Option<MarkLine>,
    checkpoints: usize,
    stream: Stand,
}

#[derive(Debug, Serialize)]
struct HolderLine {
    owner: String,
    epoch: u64,
    until: DateTime<Utc>,
    live: bool,
}

#[derive(Debug, Serialize)]
struct Depth {
    rows: u64,
    parked: u64,
    to_publish_again: u64,
    oldest: Option<DateTime<Utc>>,
    oldest_seconds: Option<i64>,
}

#[derive(Debug, Serialize)]
struct ParkedLine {
    row: String,
    subject: String,
    attempts: u32,
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
struct MarkLine {
    stream_created: DateTime<Utc>,
    sequence: u64,
    message: String,
}

/// The stream, compared with the mark.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "why")]
enum Stand {
    /// What was published last is there.
    Matches,
    /// It is not: a relay publishes again from the last checkpoint that matches.
    Differs,
    /// Nothing was published yet.
    Nothing,
    /// Not looked at: why.
    Unknown(String),
}

async fn status<S: Outbox, B: Bus>(
    store: &S,
    bus: Option<Result<B, BusError>>,
) -> Result<StatusAnswer, Failure> {
    let depth = store.outbox_depth().await?;
    let holder = store.lease_holder(LEASE).await?;
    let parked = store.outbox_parked(SHOWN).await?;
    let mark = store.relay_mark().await?;
    let stream = match (bus, &mark) {
        (None, _) => Stand::Unknown("name the bus to compare: --bus (MELTD_BUS)".to_owned()),
        (Some(Err(why)), _) => Stand::Unknown(why.to_string()),
        (Some(Ok(_)), None) => Stand::Nothing,
        (Some(Ok(bus)), Some(mark)) => match bus.facts(Stream::Events).await {
            Ok(None) => Stand::Differs,
            Ok(Some(facts)) => match matches(&bus, &facts, mark).await {
                Ok(true) => Stand::Matches,
                Ok(false) => Stand::Differs,
                Err(why) => Stand::Unknown(why.to_string()),
            },
            Err(why) => Stand::Unknown(why.to_string()),
        },
    };
    let age = |at: DateTime<Utc>| depth.now.signed_duration_since(at).num_seconds().max(0);
    Ok(StatusAnswer {
        holder: holder.map(|holder| HolderLine {
            owner: holder.owner,
            epoch: holder.epoch,
            until: holder.until,
            live: holder.live,
        }),
        outbox: Depth {
            rows: depth.rows,
            parked: depth.parked,
            to_publish_again: depth.again,
            oldest: depth.oldest,
            oldest_seconds: depth.oldest.map(age),
        },
        parked: parked.into_iter().map(ParkedLine::of).collect(),
        mark: mark.map(|mark| MarkLine {
            stream_created: mark.created,
            sequence: mark.sequence,
            message: mark.id,
        }),
        checkpoints: store.relay_checkpoints().await?.len(),
        stream,
    })
}

impl ParkedLine {
    fn of(row: OutboxRow) -> Self {
        ParkedLine {
            row: row.id,
            subject: row.subject,
            attempts: row.attempts,
            reason: row.last_error,
        }
    }
}

impl Answer for StatusAnswer {
    fn human(&self) -> String {
        let relay = match &self.holder {
            Some(held) if held.live => format!("{} (turn {})", held.owner, held.epoch),
            Some(_) | None => "nobody publishes".to_owned(),
        };
        let depth = &self.outbox;
        let oldest = depth.oldest_seconds.map(|s| format!(", the oldest {s} s"));
        let again = match depth.to_publish_again {
            0 => String::new(),
            n => format!(", {n} of them once more"),
        };
        let left = format!(
            "{} to publish{again}{}",
            depth.rows,
            oldest.unwrap_or_default()
        );
        let mark = self.mark.as_ref().filter(|mark| mark.sequence > 0);
        let stream = match &self.stream {
            Stand::Matches => "has what was published".to_owned(),
            Stand::Differs => "has lost messages: a relay publishes them again".to_owned(),
            Stand::Nothing => "nothing was published yet".to_owned(),
            Stand::Unknown(why) => format!("not compared: {why}"),
        };
        let mut text = fields(&[
            ("relay", relay),
            ("outbox", left),
            (
                "last",
                mark.map_or(String::new(), |m| {
                    format!("{} at {}", m.message, m.sequence)
                }),
            ),
            ("checkpoints", self.checkpoints.to_string()),
            ("stream", stream),
        ]);
        if !self.parked.is_empty() {
            let rows = self.parked.iter().map(|line| {
                let reason = line.reason.clone().unwrap_or_default();
                vec![line.row.clone(), line.attempts.to_string(), reason]
            });
            let rows: Vec<_> = rows.collect();
            text += "\n";
            text += &table(&["put aside", "tries", "because"], &rows);
        }
        text
    }
}

#[derive(Debug, Serialize)]
struct RewindAnswer {
    events: u64,
}

async fn rewind<S: Outbox>(store: &S, to: From) -> Result<RewindAnswer, Failure> {
    let events = match to {
        From::Many(again) => put_back(store, &again).await?,
        From::Saga(saga) => match store.outbox_refill_saga(&saga).await? {
            0 => return Err(Failure::new(Code::NotFound, Code::NotFound.advice())),
            events => events,
        },
    };
    Ok(RewindAnswer { events })
}

impl Answer for RewindAnswer {
    fn human(&self) -> String {
        format!(
            "{} event(s) are to be published again; whoever serves the relay does it\n",
            self.events
        )
    }
}

#[derive(Debug, Serialize)]
struct UnparkAnswer {
    row: String,
}

async fn unpark<S: Outbox>(store: &S, row: String) -> Result<UnparkAnswer, Failure> {
    if store.outbox_unpark(&row).await? {
        return Ok(UnparkAnswer { row });
    }
    let why = "no message with this id was put aside: `meltd relay status` lists them";
    Err(Failure::new(Code::NotFound, why))
}

impl Answer for UnparkAnswer {
    fn human(&self) -> String {
        format!("{} goes on\n", self.row)
    }
}
