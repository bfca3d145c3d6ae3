//! `meltd mint` and `meltd receive`: how value gets into a wallet.

use std::io::Read;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::args::{MintArgs, ReceiveArgs};
use super::exit::{Exit, Failure, inside};
use super::follow::{Followed, follow, go_on};
use super::output::{Answer, fields, note, print};
use super::{Act, LOOK_AGAIN};
use crate::driver::is_answer;
use crate::ports::{Clock, Mint, Store};
use crate::saga::code::Code;
use crate::saga::command::Command;
use crate::saga::ids::{Amount, SagaId, sum};
use crate::saga::state::Status;

/// How long a mint may take to give an invoice, or to take a token, before the saga gives up.
const NEW_ATTEMPTS: Duration = Duration::from_secs(60);

/// Much more than any token; a file that was piped in by mistake is not read to its end.
const TOKEN_BYTES_MAX: u64 = 1024 * 1024;

/// The answer to a mint or a receive.
#[derive(Debug, Serialize)]
pub(super) struct FundAnswer {
    success: bool,
    saga: SagaId,
    state: &'static str,
    status: Status,
    /// What was asked for, or what the token says.
    amount: Amount,
    /// What the wallet has got.
    gained: Amount,
    fee: Amount,
    /// The invoice to pay, for a mint.
    #[serde(skip_serializing_if = "Option::is_none")]
    invoice: Option<String>,
    waiting_for: Option<String>,
    #[serde(skip)]
    unit: String,
    #[serde(flatten, serialize_with = "inside")]
    failure: Option<Failure>,
}

/// Asks for an invoice, shows it, and takes the ecash when it is paid.
pub(super) async fn mint<S: Store, M: Mint, C: Clock>(
    act: &Act<S, M, C>,
    args: MintArgs,
) -> Result<FundAnswer, Failure> {
    let timeout = NEW_ATTEMPTS.min(args.wait.max(LOOK_AGAIN));
    let origin = act.origin(args.command_id, None, timeout);
    let target = act.target(args.npub, args.mint);
    act.fit(&target).await?;
    let submitted = act
        .driver
        .submit_mint(&origin, &target, args.amount)
        .await?;
    let end = Instant::now() + args.wait;
    let mut shown = false;
    let mut followed = follow(act, submitted, Duration::ZERO).await?;
    loop {
        if !shown && let Some(invoice) = invoice(&followed) {
            show(act, &invoice);
            shown = true;
        }
        let left = end.saturating_duration_since(Instant::now());
        if is_answer(&followed.saga) || left.is_zero() || followed.stopped {
            return Ok(FundAnswer::of(&followed));
        }
        // Until there is an invoice to show, look in short steps.
        let step = if shown { left } else { left.min(LOOK_AGAIN) };
        let id = followed.saga.adoption.id.clone();
        followed = go_on(act, &id, None, step).await?;
    }
}

fn invoice(followed: &Followed) -> Option<String> {
    let quote = followed.saga.quote.as_ref()?;
    quote.invoice.clone()
}

/// The invoice is what the command is for, so it is shown whether or not somebody watches; in JSON
/// mode beside the document, which comes at the end.
fn show<S, M, C>(act: &Act<S, M, C>, invoice: &str) {
    if act.out.is_json() {
        note(&format!("invoice  {invoice}"));
    } else {
        print(&format!("invoice  {invoice}\n"));
    }
}

/// Swaps a token into the wallet.
pub(super) async fn receive<S: Store, M: Mint, C: Clock>(
    act: &Act<S, M, C>,
    args: ReceiveArgs,
) -> Result<FundAnswer, Failure> {
    let origin = act.origin(None, None, NEW_ATTEMPTS);
    let target = act.target(args.npub, args.mint);
    let token = match args.token.as_str() {
        "-" => from_stdin()?,
        given => given.to_owned(),
    };
    act.fit(&target).await?;
    let submitted = act.driver.submit_token(&origin, &target, &token).await?;
    let followed = follow(act, submitted, args.wait).await?;
    Ok(FundAnswer::of(&followed))
}

fn from_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin()
        .take(TOKEN_BYTES_MAX)
        .read_to_string(&mut text);
    read.map_err(|_| Failure::new(Code::TokenInvalid, Code::TokenInvalid.advice()))?;
    Ok(text)
}

impl FundAnswer {
    fn of(followed: &Followed) -> Self {
        let saga = &followed.saga;
        let amount = match &saga.adoption.command {
            Command::Mint(mint) => mint.amount,
            Command::Receive(receive) => receive.amount,
            Command::Melt(melt) => melt.amount(),
            Command::Reconcile(_) => 0,
        };
        let failure = followed.failure();
        FundAnswer {
            success: failure.is_none(),
            saga: saga.adoption.id.clone(),
            state: saga.state.as_str(),
            status: saga.status(),
            amount,
            gained: sum(saga.gained.iter().map(|c| c.amount)).unwrap_or(0),
            fee: saga.swap_fees,
            invoice: invoice(followed),
            waiting_for: followed.waits.clone(),
            unit: saga.adoption.unit.clone(),
            failure: failure.map(|f| reworded(f, followed)),
        }
    }
}

/// Nothing can be paid twice here, so a person is told to wait rather than not to pay again.
fn reworded(failure: Failure, followed: &Followed) -> Failure {
    if failure.exit != Exit::Unfinished {
        return failure;
    }
    let waits = followed.waits.as_deref();
    let waits = waits.unwrap_or("the mint has not answered");
    let id = &followed.saga.adoption.id;
    let message = format!(
        "{waits}. Nothing is lost: `meltd recover` takes it on, `meltd saga show {id}` shows it"
    );
    Failure { message, ..failure }
}

impl Answer for FundAnswer {
    fn human(&self) -> String {
        let unit = &self.unit;
        let mut rows = vec![("saga", self.saga.to_string())];
        if self.success {
            rows.push(("gained", format!("{} {unit}", self.gained)));
            if self.fee > 0 {
                rows.push(("fee", format!("{} {unit}", self.fee)));
            }
        } else {
            rows.push(("state", self.state.to_owned()));
        }
        fields(&rows)
    }

    fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }
}
