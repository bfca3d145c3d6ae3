//! Wiring: options in, adapters chosen, the command line called. Nothing is decided here.

mod wiring;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use meltd::bus::nats::NatsBus;
use meltd::cli::args::{AuditCommand, Cli, Command};
use meltd::cli::exit::{Exit, Failure};
use meltd::cli::output::{Out, print};
use meltd::cli::streams::{self, EventsCommand};
use meltd::cli::{self, Act};
use meltd::config::{self, Config, LogFormat, StoreAddress};
use meltd::mint::keychain::check_heads_signature;
use meltd::ports::{Access, Notary, Store};
use meltd::saga::code::Code;
use meltd::store::mongo::MongoStore;
use meltd::store::sqlite::SqliteStore;
use meltd::stream::verify::Signers;
use tracing_subscriber::EnvFilter;
use wiring::bus::{audit_stream, dlq, examine_bus, relay, tail};
use wiring::demo::demo;
use wiring::parts::{driver, heads_key, mint_urls, server};
use wiring::serve::serve;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(usage(&error).number()),
    };
    let out = Out::new(cli.config.json, cli.config.verbose);
    let done = log_to_stderr(&cli.config).and_then(|()| {
        let runtime = tokio::runtime::Runtime::new().map_err(|why| {
            Failure::new(
                Code::ConfigInvalid,
                format!("no threads can be made: {why}"),
            )
        })?;
        let exit = runtime.block_on(run(cli, out));
        // A blocked thread, such as a read of a file system that hangs, must not keep the process.
        runtime.shutdown_timeout(Duration::from_secs(1));
        exit
    });
    ExitCode::from(done.unwrap_or_else(|failure| out.fail(&failure)).number())
}

/// Help and version go to standard output; a wrong command line ends as clap has it, or as JSON.
fn usage(error: &clap::Error) -> Exit {
    if error.use_stderr() && std::env::args().any(|arg| arg == "--json") {
        let text = error.render().to_string();
        let line = text.lines().next().unwrap_or_default();
        let line = line.strip_prefix("error: ").unwrap_or(line).to_owned();
        return Out::new(true, false).fail(&Failure::new(Code::ConfigInvalid, line));
    }
    let shown = error.print();
    if shown.is_ok() && !error.use_stderr() {
        Exit::Done
    } else {
        Exit::Usage
    }
}

fn log_to_stderr(config: &Config) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&config.log)
        .map_err(|why| Failure::new(Code::ConfigInvalid, format!("--log cannot be used: {why}")))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Human => log.with_target(false).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

async fn run(cli: Cli, out: Out) -> Result<Exit, Failure> {
    let is_doctor = matches!(cli.command, Command::Doctor(_));
    match on_store(cli, out).await {
        // What keeps meltd from starting is what the doctor was asked for.
        Err(failure) if is_doctor => Ok(out.end(Ok(cli::doctor::cannot_start(failure)))),
        result => result,
    }
}

async fn on_store(cli: Cli, out: Out) -> Result<Exit, Failure> {
    let Cli { config, command } = cli;
    if let Command::Demo(args) = command {
        return demo(config, args, out).await;
    }
    if let Command::Serve(args) = command {
        return serve(config, *args).await;
    }
    let command = match command {
        Command::Dlq(args) => return dlq(*args, out).await,
        Command::Relay(args) => return relay(config, *args, out).await,
        Command::Events(EventsCommand::Tail(args)) => return tail(config, *args, out).await,
        Command::Audit(AuditCommand::Verify(args)) if args.stream => {
            return audit_stream(config, *args, out).await;
        }
        Command::Audit(AuditCommand::Key) => {
            let key = heads_key(&config, &config.store_address()?)?;
            print(&format!("{}\n", key.key()));
            return Ok(Exit::Done);
        }
        other => other,
    };
    let address = config.store_address()?;
    match &address {
        StoreAddress::Sqlite(file) => {
            config::make_folder_of(file)?;
            let store = SqliteStore::open(file)?;
            with_store(store, &config, &address, command, out).await
        }
        StoreAddress::Mongo(uri) => {
            let store = MongoStore::connect(uri).await?;
            with_store(store, &config, &address, command, out).await
        }
    }
}

async fn with_store<S: Store + Access>(
    store: S,
    config: &Config,
    address: &StoreAddress,
    command: Command,
    out: Out,
) -> Result<Exit, Failure> {
    if !cli::acts(&command) {
        return Ok(cli::look(&store, command, out).await);
    }
    let (urls, _mint) = mint_urls(config, address).await?;
    let driver = driver(store, config, address, &urls).await?;
    if let Command::Recover(args) = &command
        && args.stream.from_stream
    {
        let bus = NatsBus::connect(&server(&args.stream.bus)?).await?;
        let key = heads_key(config, address)?.key();
        let signers = Signers {
            key: Some(&key),
            check: check_heads_signature,
        };
        let brought = streams::bring(driver, bus, &args.stream.npub, signers).await;
        return Ok(out.end(brought));
    }
    let act = Act {
        driver,
        out,
        unit: config.unit.clone(),
    };
    match command {
        Command::Doctor(args) => {
            let bus = examine_bus(&args).await?;
            Ok(cli::doctor::doctor(&act, &args, bus).await)
        }
        command => Ok(act.run(command).await),
    }
}
