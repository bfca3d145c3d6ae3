//! `meltd saga list`, and what became of a saga in a few words.

use std::collections::VecDeque;

use chrono::Utc;

use serde::Serialize;

use super::args::ListArgs;
use super::exit::Failure;
use super::output::{Answer, table};
use super::timeline;
use crate::driver::fold;
use crate::intake::Refused;
use crate::npub;
use crate::ports::{Head, HeadFilter, Store, StoreError};
use crate::saga::code::Code;
use crate::saga::command::{Command, Kind};
use crate::saga::ids::{Amount, SagaId, sum};
use crate::saga::state::{Saga, State, Status};

/// Heads read at a time.
const PAGE: u32 = 500;

/// One saga of a list.
#[derive(Debug, Serialize)]
pub(super) struct Row {
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
pub(super) struct ListAnswer {
    sagas: Vec<Row>,
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
            ..HeadFilter::default()
        };
        loop {
            let page = store.heads(filter.clone()).await?;
            let Some(last) = page.last() else { break };
            filter.after = Some(last.new.id.clone());
            for head in page.into_iter().filter(|head| args.fits(head)) {
                if is_because(store, &head, args.reason).await? {
                    newest.push_back(head);
                }
            }
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

impl ListArgs {
    /// The filters that the store does not know of.
    fn fits(&self, head: &Head) -> bool {
        let state = self.state.is_empty() || self.state.iter().any(|s| s.as_str() == head.state);
        let age = Utc::now().signed_duration_since(head.created_at);
        let age = age.to_std().unwrap_or_default();
        let value = amount(&head.new.command);
        let mint = self.mint.as_deref().map(|url| url.trim_end_matches('/'));
        let is_mint = |url: &str| url == head.new.wallet.mint_url.trim_end_matches('/');
        state
            && self.older_than.is_none_or(|old| age >= old)
            && self.min_value.is_none_or(|least| value >= least)
            && mint.is_none_or(is_mint)
    }
}

/// True if the last pass has ended with this code, or if the log says that the saga is parked,
/// raised or ended for it.
async fn is_because<S: Store>(
    store: &S,
    head: &Head,
    code: Option<Code>,
) -> Result<bool, StoreError> {
    let Some(code) = code else {
        return Ok(true);
    };
    let why = head.last_error.as_deref();
    let word = why.and_then(|why| why.split(':').next());
    if head.doubt.is_some_and(|d| d.code == code) || word == Some(code.as_str()) {
        return Ok(true);
    }
    let loaded = store.load(&head.new.id).await?;
    let Some(Ok((saga, _))) = loaded.as_ref().map(fold) else {
        return Ok(false);
    };
    let parked = saga.parked.as_ref().map(|p| p.code);
    let ended = saga.ended.as_ref().map(|e| e.code);
    Ok(parked == Some(code) || ended == Some(code) || saga.criticals.contains(&code))
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

pub(super) fn amount(command: &Command) -> Amount {
    match command {
        Command::Melt(melt) => melt.amount(),
        Command::Mint(mint) => mint.amount,
        Command::Receive(receive) => receive.amount,
        Command::Reconcile(_) => 0,
    }
}

/// What became of a saga, in a few words.
pub(super) fn outcome(saga: &Saga) -> String {
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
        (Kind::Reconcile, State::Settled) => format!("reconciled, {gained} {unit} found"),
        (Kind::Reconcile, State::Rejected) => "nothing differed any more".to_owned(),
        (Kind::Reconcile, _) => "being compared with the mint".to_owned(),
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
pub(super) fn short(npub: &str) -> String {
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
