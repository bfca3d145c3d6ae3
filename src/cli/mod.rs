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
//! | `balance.rs`, `sagas.rs`, `show.rs`, `timeline.rs`, `facts.rs`, `audit.rs` | what only looks |
//! | `token.rs` | the tokens of services |
//! | `relay.rs` | publishing: how far it is, and publishing again |
//! | `demo/` | the tour on a mint in this process |

pub mod args;
mod audit;
mod balance;
#[cfg(feature = "embedded-mint")]
pub mod demo;
pub mod dlq;
pub mod exit;
mod facts;
mod follow;
mod fund;
mod melt;
pub mod output;
mod progress;
mod recover;
pub mod relay;
mod sagas;
pub mod serve;
mod show;
mod timeline;
pub mod token;
mod values;

use std::time::Duration;

use crate::driver::Driver;
use crate::intake::{Origin, Target};
use crate::ports::{Access, Clock, Mint, Store};
use crate::saga::ids::Producer;
use args::{Command, SagaCommand};
use exit::Exit;
use output::Out;
use token::TokenCommand;

/// The scope of command ids and intents that are given on the command line.
const PRODUCER: &str = "cli";

/// Longest wait between two looks at a mint while a person waits: they expect to see a payment
/// within seconds. Recovery in the background waits longer.
pub const LOOK_AGAIN: Duration = Duration::from_secs(3);

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
            Command::Recover(args) if args.dry_run => out.end(recover::dry_run(self).await),
            Command::Recover(args) => out.end(recover::recover(self, args).await),
            looking @ (Command::Demo(_)
            | Command::Serve(_)
            | Command::Dlq(_)
            | Command::Relay(_)
            | Command::Balance(_)
            | Command::Wallet(_)
            | Command::Saga(_)
            | Command::Token(_)
            | Command::Audit(_)) => look(&*self.driver.store, looking, out).await,
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
        Command::Token(TokenCommand::Create(args)) => out.end(token::create(store, args).await),
        Command::Token(TokenCommand::List) => out.end(token::list(store).await),
        Command::Token(TokenCommand::Revoke(args)) => out.end(token::revoke(store, args).await),
        Command::Audit(args::AuditCommand::Verify) => out.end(audit::verify(store).await),
        Command::Demo(_)
        | Command::Serve(_)
        | Command::Dlq(_)
        | Command::Relay(_)
        | Command::Melt(_)
        | Command::Mint(_)
        | Command::Receive(_)
        | Command::Recover(_) => Exit::Usage,
    }
}

/// True if a command asks mints, and so needs the seed.
pub fn acts(command: &Command) -> bool {
    match command {
        Command::Melt(_) | Command::Mint(_) | Command::Receive(_) | Command::Recover(_) => true,
        Command::Demo(_)
        | Command::Serve(_)
        | Command::Dlq(_)
        | Command::Relay(_)
        | Command::Balance(_)
        | Command::Wallet(_)
        | Command::Saga(_)
        | Command::Token(_)
        | Command::Audit(_) => false,
    }
}
