//! The commands and their arguments.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::desk::{DeskArgs, ResolveArgs};
use super::dlq::DlqArgs;
use super::doctor::DoctorArgs;
use super::exit;
use super::mints::MintsCommand;
use super::reconcile::ReconcileArgs;
use super::relay::RelayArgs;
use super::restore::RestoreArgs;
use super::serve::ServeArgs;
use super::streams::{EventsCommand, FromStreamArgs, VerifyArgs};
use super::token::TokenCommand;
use super::values::{KindArg, PolicyArg, StatusArg, age, code, duration, state};
use crate::config::{Config, LimitArgs};
use crate::saga::code::Code;
use crate::saga::ids::Amount;
use crate::saga::state::State;

/// Pays Lightning invoices out of Cashu ecash, and never loses, strands or doubles a sat.
#[derive(Debug, Parser)]
#[command(name = "meltd", version, about, after_help = exit::HELP)]
#[command(disable_help_subcommand = true)]
pub struct Cli {
    /// What every command reads.
    #[command(flatten)]
    pub config: Config,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the whole thing on a mint inside this process, with a crash and its recovery
    Demo(DemoArgs),
    /// Serve: take commands from the queue and finish what was left unfinished
    Serve(Box<ServeArgs>),
    /// Pay a Lightning invoice
    Melt(MeltArgs),
    /// Fund a wallet: prints an invoice, waits until it is paid, and takes the ecash
    Mint(MintArgs),
    /// Take a Cashu token into a wallet
    Receive(ReceiveArgs),
    /// What an owner has, per mint
    Balance(BalanceArgs),
    /// Look at wallets, and hold them against their mints
    #[command(subcommand)]
    Wallet(WalletCommand),
    /// Look at sagas: every melt, mint and receive is one
    #[command(subcommand)]
    Saga(SagaCommand),
    /// Look at mints, and stop new payments through one
    #[command(subcommand)]
    Mints(MintsCommand),
    /// Watch the events
    #[command(subcommand)]
    Events(EventsCommand),
    /// Prove that the store agrees with its own history
    #[command(subcommand)]
    Audit(AuditCommand),
    /// The tokens of services that call the HTTP API
    #[command(subcommand)]
    Token(TokenCommand),
    /// Look at commands that were put aside, send them again, or drop them
    Dlq(Box<DlqArgs>),
    /// Finish what a crash or a slow mint has left unfinished
    Recover(Box<RecoverArgs>),
    /// Look at the publishing of events, publish again, let go on what was put aside
    Relay(Box<RelayArgs>),
    /// Find coins again from the seed file, the mint and the owners' npubs alone
    Restore(RestoreArgs),
    /// Check everything that meltd stands on, and say what to do
    Doctor(DoctorArgs),
}

/// `meltd demo`
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Keep the data in this folder; it must be empty [default: a temporary one, removed if all
    /// went well]
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
}

/// `meltd melt`
#[derive(Debug, Args)]
pub struct MeltArgs {
    /// Whose coins pay
    #[arg(long, value_name = "NPUB")]
    pub npub: String,
    /// The BOLT11 invoice
    pub invoice: String,
    /// How much to pay, in the wallet's unit, if the invoice names no amount
    #[arg(long, value_name = "SAT")]
    pub amount: Option<Amount>,
    /// The largest Lightning fee reserve to accept [default: whatever the mint asks for]
    #[arg(long, value_name = "SAT")]
    pub max_fee: Option<Amount>,
    /// Your id of this command: the same id is the same payment, however often it is sent
    #[arg(long, value_name = "ID")]
    pub command_id: Option<String>,
    /// The debt that this pays: no second invoice is paid for it
    #[arg(long, value_name = "KEY")]
    pub intent: Option<String>,
    /// What to do if a chosen coin turns out to be spent at the mint
    #[arg(long, value_name = "POLICY", default_value = "block")]
    pub policy: PolicyArg,
    /// How long new attempts may be started; then the payment is finished or made impossible
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub timeout: Duration,
    /// How long to wait for the outcome; an answer under way is waited for
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub wait: Duration,
    /// One of the configured mints [default: the first]
    #[arg(long, value_name = "URL")]
    pub mint: Option<String>,
    /// What anybody may move.
    #[command(flatten)]
    pub limits: LimitArgs,
}

/// `meltd mint`
#[derive(Debug, Args)]
pub struct MintArgs {
    /// Whose wallet is funded
    #[arg(long, value_name = "NPUB")]
    pub npub: String,
    /// How much, in the wallet's unit
    pub amount: Amount,
    /// Your id of this command: the same id is the same invoice
    #[arg(long, value_name = "ID")]
    pub command_id: Option<String>,
    /// How long to wait for the payment; 0 prints the invoice and ends
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration)]
    pub wait: Duration,
    /// One of the configured mints [default: the first]
    #[arg(long, value_name = "URL")]
    pub mint: Option<String>,
}

/// `meltd receive`
#[derive(Debug, Args)]
pub struct ReceiveArgs {
    /// Whose wallet takes it
    #[arg(long, value_name = "NPUB")]
    pub npub: String,
    /// The token, or - to read it from standard input, where no other process sees it
    pub token: String,
    /// How long to wait for the outcome
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub wait: Duration,
    /// Only if the token is of this mint
    #[arg(long, value_name = "URL")]
    pub mint: Option<String>,
}

/// `meltd balance`
#[derive(Debug, Args)]
pub struct BalanceArgs {
    /// Whose
    #[arg(long, value_name = "NPUB")]
    pub npub: String,
}

/// `meltd wallet …`
#[derive(Debug, Subcommand)]
pub enum WalletCommand {
    /// All wallets with their balances
    List,
    /// Hold every coin against the mint, and correct what differs
    Reconcile(ReconcileArgs),
}

/// `meltd saga …`
#[derive(Debug, Subcommand)]
pub enum SagaCommand {
    /// The newest sagas, oldest of them first
    List(ListArgs),
    /// One saga: its timeline, where it stands, what comes next
    Show(ShowArgs),
    /// Compute one saga's hash chain and state again
    Verify(SagaArgs),
    /// Put one saga on the desk: nothing that moves money is done; asking goes on
    Park(DeskArgs),
    /// Take one saga off the desk
    Resume(DeskArgs),
    /// Decide one saga, on evidence that is asked for now
    Resolve(ResolveArgs),
}

/// `meltd saga show`
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The saga's id
    pub id: String,
    /// Ask the mint what it says now, and say what recovery would make of it; changes nothing
    #[arg(long)]
    pub evidence: bool,
}

/// `meltd saga list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only these statuses: active, owing, parked, done
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    pub status: Vec<StatusArg>,
    /// Only this kind
    #[arg(long, value_name = "KIND")]
    pub kind: Option<KindArg>,
    /// Only this owner's
    #[arg(long, value_name = "NPUB")]
    pub npub: Option<String>,
    /// Only in these states, such as sent or fencing
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = state)]
    pub state: Vec<State>,
    /// Only those that were adopted longer ago than this
    #[arg(long, value_name = "TIME", value_parser = age)]
    pub older_than: Option<Duration>,
    /// Only those about at least this much, in the wallet's unit
    #[arg(long, value_name = "SAT")]
    pub min_value: Option<Amount>,
    /// Only at this mint
    #[arg(long, value_name = "URL")]
    pub mint: Option<String>,
    /// Only parked, raised or waiting for this reason, such as SPENT_BUT_UNPAID
    #[arg(long, value_name = "CODE", value_parser = code)]
    pub reason: Option<Code>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
}

/// A saga's id.
#[derive(Debug, Args)]
pub struct SagaArgs {
    /// The saga's id
    pub id: String,
}

/// `meltd audit …`
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Compute every hash chain, state, coin and balance again from the events
    Verify(Box<VerifyArgs>),
    /// Print the public key that signs the heads of this seed
    Key,
}

/// `meltd recover`
#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// Say what would be done and why, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How long to stay with each saga that has to wait for its mint
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub wait: Duration,
    /// From the stream instead.
    #[command(flatten)]
    pub stream: FromStreamArgs,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
