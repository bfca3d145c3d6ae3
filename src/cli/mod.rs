//! The command line: arguments in, one answer and one exit code out. It decides nothing about a
//! saga; it submits, waits and shows.
//!
//! | file | holds |
//! |---|---|
//! | `args.rs`, `values.rs` | the commands, their arguments and values |
//! | `exit.rs` | exit codes and errors: the one place that maps codes to numbers |
//! | `output.rs`, `progress.rs` | answers as text or JSON; waiting with somebody watching |
//! | `follow.rs` | an adopted saga, followed to its answer |
//! | `serve.rs` | the process that serves |
//! | `dlq.rs` | commands that were put aside |
//! | `melt.rs`, `fund.rs`, `recover.rs` | what moves money |
//! | `desk.rs`, `evidence.rs`, `mints.rs` | the operator's desk |
//! | `reconcile.rs`, `restore.rs`, `doctor.rs` | what holds the store against the mint |
//! | `balance.rs`, `sagas.rs`, `show.rs`, `timeline.rs`, `facts.rs`, `audit.rs` | what only looks |
//! | `streams.rs` | what reads the event stream: tail, audit, recovery from it |
//! | `token.rs` | the tokens of services |
//! | `relay.rs` | publishing: how far it is, and publishing again |
//! | `demo/` | the tour on a mint in this process |

pub mod args;
mod audit;
mod balance;
#[cfg(feature = "embedded-mint")]
pub mod demo;
pub mod desk;
pub mod dlq;
pub mod doctor;
mod evidence;
pub mod exit;
mod facts;
mod follow;
mod fund;
mod melt;
pub mod mints;
pub mod output;
mod progress;
mod reconcile;
mod recover;
pub mod relay;
mod restore;
mod sagas;
pub mod serve;
mod show;
pub mod streams;
mod timeline;
pub mod token;
mod values;

use std::time::Duration;

use crate::driver::Driver;
use crate::intake::{Origin, Target};
use crate::ports::{Access, Clock, Mint, Store};
use crate::saga::code::Code;
use crate::saga::decide::Order;
use crate::saga::ids::Producer;
use crate::saga::step::Trouble;
use args::{Command, SagaCommand};
use exit::{Exit, Failure};
use mints::MintsCommand;
use output::Out;
use token::TokenCommand;

/// The scope of command ids and intents that are given on the command line.
const PRODUCER: &str = "cli";

/// Longest wait between two looks at a mint while a person waits: they expect to see a payment
/// within seconds. Recovery in the background waits longer.
pub const LOOK_AGAIN: Duration = Duration::from_secs(3);

/// How long a mint may take to show that the counters are behind, before a command is adopted.
const FIT: Duration = Duration::from_secs(2);

/// What a command that moves money needs.
pub struct Act<S, M, C> {
    /// The loop.
    pub driver: Driver<S, M, C>,
    /// Where words go.
    pub out: Out,
    /// The unit of the wallets.
    pub unit: String,
}

impl<S: Store, M: Mint, C: Clock> Act<S, M, C> {
    fn target(&self, npub: String, mint_url: Option<String>) -> Target {
        let unit = self.unit.clone();
        Target {
            npub,
            mint_url,
            unit,
        }
    }

    /// Refuses to begin anything new in a wallet whose counters are behind: told at once, rather
    /// than by a saga that waits. A mint that does not answer is the saga's to wait for.
    async fn fit(&self, target: &Target) -> Result<(), Failure> {
        let wallet = self.driver.wallet(target).await?;
        let look = self.driver.check_counters(&wallet);
        match tokio::time::timeout(FIT, look).await {
            Ok(Ok(Err(Trouble::Unknown {
                code: Code::CountersBehind,
                detail,
            }))) => Err(Failure::new(Code::CountersBehind, detail)),
            Ok(Err(error)) => Err(error.into()),
            Ok(Ok(_)) | Err(_) => Ok(()),
        }
    }

    fn origin(
        &self,
        command_id: Option<String>,
        intent_key: Option<String>,
        timeout: Duration,
    ) -> Origin {
        Origin {
            command_id,
            intent_key,
            ..Origin::new(Producer::new(PRODUCER), timeout)
        }
    }
}

impl<S: Store + Access, M: Mint, C: Clock> Act<S, M, C> {
    /// Does a command that may ask a mint. Those that only look are left to [`look`].
    pub async fn run(&self, command: Command) -> Exit {
        let out = self.out;
        match command {
            Command::Melt(args) => out.end(melt::melt(self, args).await),
            Command::Mint(args) => out.end(fund::mint(self, args).await),
            Command::Receive(args) => out.end(fund::receive(self, args).await),
            Command::Recover(args) if !args.dry_run => out.end(recover::recover(self, *args).await),
            Command::Saga(command) => self.at_the_desk(command).await,
            Command::Mints(MintsCommand::Pause(args)) => out.end(mints::pause(self, args).await),
            Command::Mints(MintsCommand::Resume(args)) => out.end(mints::resume(self, args).await),
            Command::Wallet(args::WalletCommand::Reconcile(args)) => {
                out.end(reconcile::reconcile(self, args).await)
            }
            Command::Restore(args) => out.end(restore::restore(self, args).await),
            looking @ (Command::Mints(MintsCommand::List)
            | Command::Demo(_)
            | Command::Doctor(_)
            | Command::Serve(_)
            | Command::Dlq(_)
            | Command::Relay(_)
            | Command::Balance(_)
            | Command::Wallet(args::WalletCommand::List)
            | Command::Recover(_)
            | Command::Events(_)
            | Command::Token(_)
            | Command::Audit(_)) => look(&*self.driver.store, looking, out).await,
        }
    }
}

impl<S: Store + Access, M: Mint, C: Clock> Act<S, M, C> {
    /// Does what an operator does about one saga.
    async fn at_the_desk(&self, command: SagaCommand) -> Exit {
        let out = self.out;
        match command {
            SagaCommand::Show(args) if args.evidence => {
                out.end(evidence::show(self, &args.id).await)
            }
            SagaCommand::Park(args) => out.end(desk::order(self, args, Order::Park).await),
            SagaCommand::Resume(args) => out.end(desk::order(self, args, Order::Resume).await),
            SagaCommand::Resolve(args) => out.end(desk::resolve(self, args).await),
            looking => look(&*self.driver.store, Command::Saga(looking), out).await,
        }
    }
}

/// Does a command that only reads the store.
pub async fn look<S: Store + Access>(store: &S, command: Command, out: Out) -> Exit {
    match command {
        Command::Balance(args) => out.end(balance::balance(store, &args.npub).await),
        Command::Wallet(args::WalletCommand::List) => out.end(balance::wallets(store).await),
        Command::Saga(SagaCommand::List(args)) => out.end(sagas::list(store, args).await),
        Command::Saga(SagaCommand::Show(args)) => out.end(show::show(store, &args.id).await),
        Command::Saga(SagaCommand::Verify(args)) => out.end(show::verify(store, &args.id).await),
        Command::Audit(args::AuditCommand::Verify(_)) => out.end(audit::verify(store).await),
        Command::Recover(_) => out.end(recover::dry_run(store).await),
        Command::Mints(_) => out.end(mints::list(store).await),
        Command::Token(TokenCommand::Create(args)) => out.end(token::create(store, args).await),
        Command::Token(TokenCommand::List) => out.end(token::list(store).await),
        Command::Token(TokenCommand::Revoke(args)) => out.end(token::revoke(store, args).await),
        Command::Demo(_)
        | Command::Serve(_)
        | Command::Dlq(_)
        | Command::Relay(_)
        | Command::Melt(_)
        | Command::Mint(_)
        | Command::Receive(_)
        | Command::Saga(SagaCommand::Park(_) | SagaCommand::Resume(_) | SagaCommand::Resolve(_))
        | Command::Wallet(args::WalletCommand::Reconcile(_))
        | Command::Restore(_)
        | Command::Doctor(_)
        | Command::Events(_)
        | Command::Audit(args::AuditCommand::Key) => Exit::Usage,
    }
}

/// True if a command asks mints, and so needs the seed.
pub fn acts(command: &Command) -> bool {
    match command {
        Command::Melt(_)
        | Command::Mint(_)
        | Command::Receive(_)
        | Command::Restore(_)
        | Command::Doctor(_)
        | Command::Wallet(args::WalletCommand::Reconcile(_)) => true,
        Command::Recover(args) => !args.dry_run,
        Command::Mints(command) => !matches!(command, MintsCommand::List),
        Command::Saga(command) => match command {
            SagaCommand::Show(args) => args.evidence,
            SagaCommand::Park(_) | SagaCommand::Resume(_) | SagaCommand::Resolve(_) => true,
            SagaCommand::List(_) | SagaCommand::Verify(_) => false,
        },
        Command::Demo(_)
        | Command::Serve(_)
        | Command::Dlq(_)
        | Command::Relay(_)
        | Command::Balance(_)
        | Command::Wallet(args::WalletCommand::List)
        | Command::Events(_)
        | Command::Token(_)
        | Command::Audit(_) => false,
    }
}
