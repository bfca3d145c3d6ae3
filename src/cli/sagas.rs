//! `meltd saga list`, `show` and `verify`: what happened, where it stands, and whether the record
//! of it is whole.

use std::collections::VecDeque;

use serde::Serialize;

use super::args::ListArgs;
use super::exit::{Exit, Failure};
use super::output::{Answer, fields, table};
use super::timeline::{self, Moment};
use crate::driver::fold;
use crate::intake::Refused;
use crate::npub;
use crate::ports::{Head, HeadFilter, Loaded, Store};
use crate::recovery::describe;
use crate::saga::code::Code;
use crate::saga::command::{Command, Kind};
use crate::saga::ids::{Amount, SagaId, sum};
use crate::saga::state::{Saga, State, Status};

/// Heads read at a time.
const PAGE: u32 = 500;

/// One saga of a list.
#[derive(Debug, Serialize)]
pub struct Row {
    saga: SagaId,
    kind: Kind,
    state: String,
    status: Status,
    amount: Amount,
    unit: String,
    npub: String,
    created_at: String,
    events: u32,
    attempts: u32,
    waiting_for: Option<String>,
}

/// `meltd saga list`
#[derive(Debug, Serialize)]
pub struct ListAnswer {
    sagas: Vec<Row>,
}

/// `meltd saga show`
#[derive(Debug, Serialize)]
pub struct ShowAnswer {
    pub(super) saga: SagaId,
    pub(super) kind: Kind,
    state: &'static str,
    status: Status,
    pub(super) outcome: String,
    amount: Amount,
    unit: String,
    npub: String,
    mint_url: String,
    producer: String,
    command_id: String,
    intent_key: Option<String>,
    attempts: u32,
    waiting_for: Option<String>,
    preimage: Option<String>,
    next: Option<String>,
    head_hash: String,
    pub(super) timeline: Vec<Moment>,
}

/// `meltd saga verify`
#[derive(Debug, Serialize)]
pub struct VerifyAnswer {
    saga: SagaId,
    verified: bool,
    events: u32,
    state: &'static str,
    head_hash: String,
}

/// The newest heads that match, oldest of them first.
pub(super) async fn list<S: Store>(store: &S, args: ListArgs) -> Result<ListAnswer, Failure> {
    let wallets = match &args.npub {
        None => vec![None],
        Some(npub) => {
            let npub = npub::check(npub).map_err(|why| Refused::new(Code::InvalidNpub, why))?;
            let wallets = store.wallets(Some(&npub)).await?.into_iter();
            wallets.map(|wallet| Some(wallet.id)).collect()
        }
    };
    let mut newest: VecDeque<Head> = VecDeque::new();
    for wallet in wallets {
        let mut filter = HeadFilter {
            statuses: args.status.iter().map(|s| (*s).into()).collect(),
            kind: args.kind.map(Into::into),
            wallet,
            after: None,
            limit: PAGE,
        };
        loop {
            let page = store.heads(filter.clone()).await?;
            let Some(last) = page.last() else { break };
            filter.after = Some(last.new.id.clone());
            newest.extend(page);
            newest
                .make_contiguous()
                .sort_by(|a, b| a.new.id.cmp(&b.new.id));
            let excess = newest.len().saturating_sub(args.limit);
            newest.drain(..excess);
        }
    }
    let sagas = newest.into_iter().map(row).collect();
    Ok(ListAnswer { sagas })
}

fn row(head: Head) -> Row {
    Row {
        kind: head.new.command.kind(),
        state: head.state,
        status: head.status,
        amount: amount(&head.new.command),
        unit: head.new.wallet.unit,
        npub: head.new.wallet.npub,
        created_at: timeline::moment(head.created_at),
        events: head.version,
        attempts: head.attempts,
        waiting_for: head.last_error.filter(|_| head.status != Status::Done),
        saga: head.new.id,
    }
}

fn amount(command: &Command) -> Amount {
    match command {
        Command::Melt(melt) => melt.amount(),
        Command::Mint(mint) => mint.amount,
        Command::Receive(receive) => receive.amount,
    }
}

/// A saga's log, or that there is none.
pub(super) async fn load<S: Store>(store: &S, id: &str) -> Result<Loaded, Failure> {
    let loaded = store.load(&SagaId::new(id.trim())).await?;
    let missing = || Failure::from(Refused::new(Code::NotFound, ""));
    loaded.ok_or_else(missing)
}

/// Folds a log that was loaded, or says where it is broken.
fn folded(loaded: &Loaded) -> Result<Saga, Failure> {
    let folded = fold(loaded).map_err(|error| Failure {
        exit: Exit::Critical,
        code: Code::StoreUnusable,
        message: format!("{error}. Stop writing to this store and compare it with a backup"),
        saga: Some(loaded.head.new.id.clone()),
    });
    folded.map(|(saga, _)| saga)
}

/// Everything about one saga that a person may see.
pub(super) async fn show<S: Store>(store: &S, id: &str) -> Result<ShowAnswer, Failure> {
    let loaded = load(store, id).await?;
    let saga = folded(&loaded)?;
    let head = &loaded.head;
    let next = (!saga.state.is_terminal()).then(|| describe(&saga));
    Ok(ShowAnswer {
        saga: head.new.id.clone(),
        kind: saga.kind(),
        state: saga.state.as_str(),
        status: saga.status(),
        outcome: outcome(&saga),
        amount: amount(&head.new.command),
        unit: head.new.wallet.unit.clone(),
        npub: head.new.wallet.npub.clone(),
        mint_url: head.new.wallet.mint_url.clone(),
        producer: head.new.producer.to_string(),
        command_id: head.new.command_id.clone(),
        intent_key: head.new.intent_key.clone(),
        attempts: head.attempts,
        waiting_for: head.last_error.clone().filter(|_| next.is_some()),
        preimage: saga.paid.as_ref().and_then(|p| p.preimage.clone()),
        next,
        head_hash: head.head_hash.clone(),
        timeline: timeline::of(&loaded),
    })
}

/// Computes the chain and the state again.
pub(super) async fn verify<S: Store>(store: &S, id: &str) -> Result<VerifyAnswer, Failure> {
    let loaded = load(store, id).await?;
    let saga = folded(&loaded)?;
    let head = loaded.head;
    if saga.state.as_str() != head.state || saga.status() != head.status {
        return Err(Failure {
            exit: Exit::Critical,
            code: Code::StoreUnusable,
            message: format!(
                "the head says {}, but the events make it {}",
                head.state,
                saga.state.as_str()
            ),
            saga: Some(head.new.id),
        });
    }
    Ok(VerifyAnswer {
        saga: head.new.id,
        verified: true,
        events: saga.seq,
        state: saga.state.as_str(),
        head_hash: head.head_hash,
    })
}

/// What became of a saga, in a few words.
pub fn outcome(saga: &Saga) -> String {
    let unit = &saga.adoption.unit;
    let asked = amount(&saga.adoption.command);
    let gained = sum(saga.gained.iter().map(|c| c.amount)).unwrap_or(0);
    let ended = saga.ended.as_ref();
    let why = ended.map_or_else(String::new, |e| format!(" ({})", e.code));
    match (saga.kind(), saga.state) {
        (Kind::Melt, State::Settled | State::Owing) => {
            let owed = match saga.change_owed {
                0 => String::new(),
                owed => format!(", {owed} {unit} change owed by the mint"),
            };
            format!("paid {asked} {unit}, fee {} {unit}{owed}", saga.fee_paid)
        }
        (Kind::Mint, State::Settled | State::Owing) => format!("minted {gained} {unit}"),
        (Kind::Receive, State::Settled | State::Owing) => {
            format!("received {gained} {unit} of {asked} {unit}")
        }
        (_, State::Released) => format!("not paid, coins are back{why}"),
        (_, State::Rejected | State::Blocked) => format!("refused, nothing was reserved{why}"),
        (_, State::WrittenOff) => "written off by an operator".to_owned(),
        (_, State::Paid) => format!("paid {asked} {unit}, settlement follows"),
        (Kind::Mint, State::Quoted) => format!("its invoice over {asked} {unit} is not paid yet"),
        (Kind::Melt, State::Sent) => format!("{asked} {unit} may be paid"),
        (_, State::Fencing) => "being made impossible, so that its coins come back".to_owned(),
        (
            _,
            State::Adopted
            | State::Requested
            | State::Quoted
            | State::Planned
            | State::Ready
            | State::Swapping
            | State::Sent
            | State::Issuing,
        ) => format!("{asked} {unit} under way"),
    }
}

/// An npub that fits into a table: its beginning and its end.
pub fn short(npub: &str) -> String {
    match (npub.get(..9), npub.get(npub.len().saturating_sub(4)..)) {
        (Some(begin), Some(end)) if npub.len() > 20 => format!("{begin}..{end}"),
        _ => npub.to_owned(),
    }
}

impl Answer for ListAnswer {
    fn human(&self) -> String {
        let rows = self.sagas.iter().map(|row| {
            vec![
                row.saga.to_string(),
                row.created_at.clone(),
                row.kind.as_str().to_owned(),
                row.amount.to_string(),
                row.state.clone(),
                row.status.as_str().to_owned(),
                short(&row.npub),
                row.waiting_for.clone().unwrap_or_default(),
            ]
        });
        let head = [
            "saga",
            "created",
            "kind",
            "amount",
            "state",
            "status",
            "npub",
            "waits for",
        ];
        table(&head, &rows.collect::<Vec<_>>())
    }
}

impl Answer for ShowAnswer {
    fn human(&self) -> String {
        let state = match self.status {
            Status::Done => self.state.to_owned(),
            status => format!("{} ({})", self.state, status.as_str()),
        };
        let tries = match self.attempts {
            0 => String::new(),
            n => format!("{n} since the last event"),
        };
        let text = fields(&[
            ("saga", self.saga.to_string()),
            ("kind", self.kind.as_str().to_owned()),
            ("state", state),
            ("outcome", self.outcome.clone()),
            ("next", self.next.clone().unwrap_or_default()),
            ("waits for", self.waiting_for.clone().unwrap_or_default()),
            ("looks", tries),
            ("owner", self.npub.clone()),
            ("mint", self.mint_url.clone()),
            (
                "command",
                format!("{} of {}", self.command_id, self.producer),
            ),
            ("intent", self.intent_key.clone().unwrap_or_default()),
            ("preimage", self.preimage.clone().unwrap_or_default()),
            ("head hash", self.head_hash.clone()),
        ]);
        format!("{text}\n{}", timeline::human(&self.timeline))
    }
}

impl Answer for VerifyAnswer {
    fn human(&self) -> String {
        fields(&[
            ("saga", self.saga.to_string()),
            (
                "verified",
                format!("{} events, chain and state", self.events),
            ),
            ("state", self.state.to_owned()),
            ("head hash", self.head_hash.clone()),
        ])
    }
}
