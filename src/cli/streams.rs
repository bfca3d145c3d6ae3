//! What reads the event stream: `events tail`, `audit verify --stream`, `recover --from-stream`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};

use super::audit::conservation;
use super::exit::{Exit, Failure, inside};
use super::output::{Answer, Out, note, print};
use super::values::duration;
use crate::config::BusConfig;
use crate::driver::Driver;
use crate::ports::{Bus, CheckSignature, Clock, Mint, Store};
use crate::saga::code::Code;
use crate::saga::event::Event;
use crate::saga::ids::SagaId;
use crate::stream::bring::{Bringer, Brought};
use crate::stream::message::Published;
use crate::stream::tail::{Line, Tailing, Wanted};
use crate::stream::verify::{AuditError, Signers, StreamAudit, verify};

/// `meltd events …`
#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// Show the events, and check their order and their hashes on the way
    Tail(Box<TailArgs>),
}

/// `meltd events tail`
#[derive(Debug, Args)]
pub struct TailArgs {
    /// Only what was stored then or later, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub since: Option<DateTime<Utc>>,
    /// Only this saga's
    #[arg(long, value_name = "ID")]
    pub saga: Option<String>,
    /// Only events of these names, separated by commas
    #[arg(long = "type", value_name = "NAME", value_delimiter = ',')]
    pub types: Vec<String>,
    /// Go on with what comes, until a signal
    #[arg(short, long)]
    pub follow: bool,
    /// Where the bus is; the store's own log is read if it is in memory or not named.
    #[command(flatten)]
    pub bus: BusConfig,
}

/// `meltd audit verify`
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Read the event stream: against itself, against its signed heads and, if --store is given,
    /// against the store
    #[arg(long)]
    pub stream: bool,
    /// The key that signs the heads, as `meltd audit key` prints it
    /// [default: that of the seed file, or whichever signed the first]
    #[arg(long, value_name = "HEX", requires = "stream")]
    pub key: Option<String>,
    /// Where the bus is.
    #[command(flatten)]
    pub bus: BusConfig,
}

/// The part of `meltd recover` that reads the stream.
#[derive(Debug, Args)]
pub struct FromStreamArgs {
    /// Bring a store that was restored from an old backup forward from the event stream; stop every
    /// other meltd on it first
    #[arg(long, conflicts_with_all = ["dry_run", "wait"])]
    pub from_stream: bool,
    /// An owner whose wallet the backup may not have; repeat it, or separate several by commas
    #[arg(
        long,
        value_name = "NPUB",
        value_delimiter = ',',
        requires = "from_stream"
    )]
    pub npub: Vec<String>,
    /// Where the bus is.
    #[command(flatten)]
    pub bus: BusConfig,
}

/// How often the relay signs the heads.
#[derive(Clone, Debug, Args)]
pub struct HeadsArgs {
    /// How often a signed checkpoint of all saga heads is published
    //
    // 10 min: how long a cut tail can stay unseen, against one walk over all heads each time.
    #[arg(
        long = "heads-every",
        env = "MELTD_HEADS_EVERY",
        default_value = "10m",
        value_parser = duration,
        value_name = "TIME"
    )]
    pub every: Duration,
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::Bus(error) => error.into(),
            AuditError::Store(error) => error.into(),
        }
    }
}

/// Where a tail reads.
pub enum Source<S, B> {
    /// The log of a store.
    Store(S),
    /// The stream.
    Bus(B),
}

/// Shows events until there are no more, or until a signal.
///
/// # Errors
/// Store or bus cannot be read, or what was read is not in order.
pub async fn tail<S: Store, B: Bus>(
    source: Source<S, B>,
    args: &TailArgs,
    out: Out,
) -> Result<Exit, Failure> {
    let wanted = Wanted {
        since: args.since,
        saga: args.saga.as_deref().map(SagaId::new),
        types: args.types.clone(),
    };
    let mut tailing = Tailing::new(wanted, |line| show(&line, out));
    let reading = async {
        match &source {
            Source::Store(store) => tailing.store(store, args.follow).await,
            Source::Bus(bus) => tailing.bus(bus, args.follow).await,
        }
    };
    tokio::select! {
        read = reading => read?,
        _ = tokio::signal::ctrl_c() => {}
    }
    match tailing.counts().faults {
        0 => Ok(Exit::Done),
        faults => Err(broken(faults)),
    }
}

fn broken(faults: u64) -> Failure {
    let code = Code::StreamBroken;
    Failure::new(code, format!("{faults} fault(s). {}", code.advice()))
}

fn show(line: &Line<'_>, out: Out) {
    match (line, out.is_json()) {
        (Line::Event(event), true) => {
            let body: Value = serde_json::from_str(&event.record.body).unwrap_or_default();
            let (sequence, hash) = (event.sequence, &event.record.hash);
            let line = json!({ "sequence": sequence, "hash": hash, "event": body });
            print(&format!("{line}\n"));
        }
        (Line::Event(event), false) => print(&format!("{}\n", human(event))),
        (Line::Fault(why), true) => print(&format!("{}\n", json!({ "fault": why }))),
        (Line::Fault(why), false) => note(&format!("FAULT: {why}")),
    }
}

fn human(event: &Published) -> String {
    let envelope = &event.envelope;
    let at = envelope.at.format("%F %T%.3f");
    let (saga, seq, name) = (&event.record.saga, event.record.seq, &event.record.name);
    let more = match &envelope.event {
        Event::MeltRequested(e) => format!("{} msat", e.amount_msat),
        Event::QuoteCreated(e) => format!("{} + at most {} fee", e.amount, e.fee_reserve),
        Event::AtomicCommitted(e) => format!("{} for a fee of {}", e.amount, e.fee_paid),
        Event::ProofsReleased(e) => e.code.to_string(),
        Event::PreflightBlocked(e) => e.code.to_string(),
        Event::Rejected(e) => e.code.to_string(),
        Event::CriticalRaised(e) => e.code.to_string(),
        Event::Parked(e) => e.code.to_string(),
        _ => String::new(),
    };
    format!("{at}  {saga}  {seq:>3}  {name}  {more}")
        .trim_end()
        .to_owned()
}

/// What the audit of a stream found.
#[derive(Debug, Serialize)]
pub struct StreamAnswer {
    clean: bool,
    #[serde(flatten)]
    audit: StreamAudit,
    #[serde(flatten, serialize_with = "inside")]
    failure: Option<Failure>,
}

/// Audits the stream, and the store beside it if there is one.
///
/// # Errors
/// Stream or store cannot be read.
pub async fn audit<S: Store, B: Bus>(
    bus: &B,
    store: Option<&S>,
    key: Option<&str>,
    check: CheckSignature,
) -> Result<StreamAnswer, Failure> {
    let audit = verify(bus, store, Signers { key, check }).await?;
    let wrong = audit.problems.len();
    let failure = (wrong > 0).then(|| broken(wrong as u64));
    Ok(StreamAnswer {
        clean: failure.is_none(),
        audit,
        failure,
    })
}

impl Answer for StreamAnswer {
    fn human(&self) -> String {
        let audit = &self.audit;
        let mut text = String::new();
        if !audit.wallets.is_empty() {
            text += &conservation(&audit.wallets, super::sagas::short);
            text.push('\n');
        }
        for problem in &audit.problems {
            text += &format!("problem: {problem}\n");
        }
        let heads = &audit.heads;
        text += &match heads.last_at {
            Some(at) => format!(
                "heads of {} saga(s) signed by {}, last at {}\n",
                heads.sagas,
                heads.key.as_deref().unwrap_or_default(),
                at.format("%F %T UTC")
            ),
            None => "no signed heads: a cut tail or a missing saga cannot be seen\n".to_owned(),
        };
        if let Some(beside) = &audit.database {
            let ahead = beside.database_ahead.len();
            let equal = beside.equal;
            text += &format!(
                "beside the store: {equal} events equal, {ahead} saga(s) not yet published whole\n"
            );
        }
        let verdict = if self.clean { "clean" } else { "NOT CLEAN" };
        let (sagas, events, repeats) = (audit.sagas, audit.events, audit.repeats);
        text + &format!("{verdict}: checked sagas {sagas}, events {events}, repeats {repeats}\n")
    }

    fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }
}

/// What was brought forward.
#[derive(Debug, Serialize)]
pub struct BroughtAnswer {
    #[serde(flatten)]
    brought: Brought,
    #[serde(flatten, serialize_with = "inside")]
    failure: Option<Failure>,
}

/// Brings the driver's store forward.
///
/// # Errors
/// Stream or store cannot be read.
pub async fn bring<S: Store, M: Mint, C: Clock, B: Bus>(
    driver: Driver<S, M, C>,
    bus: B,
    npubs: &[String],
    signers: Signers<'_>,
) -> Result<BroughtAnswer, Failure> {
    let bringer = Bringer {
        store: driver.store,
        bus: bus.into(),
        mint: driver.mint,
        clock: driver.clock,
        owner: driver.owner,
        lease_ttl: driver.tuning.lease_ttl,
    };
    let brought = bringer.bring(npubs, signers).await?;
    let (left, parked, wrong) = (
        brought.left.len(),
        brought.parked.len(),
        brought.problems.len(),
    );
    let failure = (left + parked + wrong > 0).then(|| Failure {
        exit: Exit::Critical,
        code: if left > 0 {
            Code::StreamAhead
        } else {
            Code::PrivateHalfLost
        },
        message: format!(
            "{left} saga(s) are not brought forward, {parked} are parked for a person, and {wrong} \
             problem(s) were found in the stream"
        ),
        saga: None,
    });
    Ok(BroughtAnswer { brought, failure })
}

impl Answer for BroughtAnswer {
    fn human(&self) -> String {
        let brought = &self.brought;
        let mut text = String::new();
        for (saga, why) in &brought.left {
            text += &format!("left: saga {saga}: {why}\n");
        }
        for saga in &brought.parked {
            text += &format!("parked: look with `meltd saga show {saga}`\n");
        }
        for problem in &brought.problems {
            text += &format!("problem: {problem}\n");
        }
        let (events, sagas) = (brought.events, brought.sagas.len());
        let (new, counters) = (brought.new.len(), brought.counters.len());
        text + &format!(
            "{events} event(s) of {sagas} saga(s) brought forward, {new} of them unknown here; \
             {counters} counter(s) raised\nnow run `meltd audit verify`, then `meltd recover`\n"
        )
    }

    fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }
}
