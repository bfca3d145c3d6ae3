//! Wiring: options in, adapters chosen, the command line called. Nothing is decided here.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use meltd::bus::memory::MemoryBus;
use meltd::bus::nats::{self, NatsBus};
use meltd::cli::args::{AuditCommand, Cli, Command};
use meltd::cli::dlq::DlqArgs;
use meltd::cli::doctor::DoctorArgs;
use meltd::cli::exit::{Exit, Failure};
use meltd::cli::output::{Out, print};
use meltd::cli::relay::RelayArgs;
use meltd::cli::serve::ServeArgs;
use meltd::cli::streams::{self, EventsCommand, Source, TailArgs, VerifyArgs};
use meltd::cli::{self, Act, LOOK_AGAIN};
use meltd::clock::SystemClock;
use meltd::config::{self, BusAddress, BusConfig, Config, LogFormat, StoreAddress};
use meltd::doctor::{self, Line};
use meltd::driver::{Driver, Tuning};
use meltd::intake::Caps;
use meltd::mint::cdk::{CdkMint, Timeouts};
use meltd::mint::keychain::{HeadsKey, Keychain, check_heads_signature};
use meltd::ports::{Access, Notary, Outbox, Store};
use meltd::saga::code::Code;
use meltd::serve::Settings;
use meltd::serve::signals::Signals;
use meltd::store::mongo::MongoStore;
use meltd::store::sqlite::SqliteStore;
use meltd::stream::compare::compare_heads;
use meltd::stream::verify::Signers;
use tracing_subscriber::EnvFilter;

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

/// Nothing to say where no bus is named, and of one that lives in a process.
async fn examine_bus(args: &DoctorArgs) -> Result<Vec<Line>, Failure> {
    match args.bus.address()? {
        Some(BusAddress::Nats(options)) => Ok(match NatsBus::connect(&options).await {
            Ok(bus) => doctor::examine_bus(&bus).await,
            Err(why) => vec![doctor::bus_is_away(&why)],
        }),
        Some(BusAddress::Memory) | None => Ok(Vec::new()),
    }
}

async fn dlq(args: DlqArgs, out: Out) -> Result<Exit, Failure> {
    let bus = NatsBus::connect(&server(&args.bus)?).await?;
    Ok(cli::dlq::dlq(&bus, args.command, out).await)
}

/// A bus outside of this process.
fn server(options: &BusConfig) -> Result<nats::Settings, Failure> {
    match options.address()? {
        Some(BusAddress::Nats(settings)) => Ok(*settings),
        Some(BusAddress::Memory) | None => {
            let why = "a stream outlives its process only on a server: set --bus (MELTD_BUS) to \
                       nats://… or tls://…";
            Err(Failure::new(Code::BusInvalid, why))
        }
    }
}

/// Shows the stream, or the store's own log where there is none.
async fn tail(config: Config, args: TailArgs, out: Out) -> Result<Exit, Failure> {
    if let Some(BusAddress::Nats(settings)) = args.bus.address()? {
        let bus = NatsBus::connect(&settings).await?;
        return streams::tail(Source::<SqliteStore, _>::Bus(bus), &args, out).await;
    }
    match config.store_address()? {
        StoreAddress::Sqlite(file) => {
            config::make_folder_of(&file)?;
            let store = SqliteStore::open(file)?;
            streams::tail(Source::<_, NatsBus>::Store(store), &args, out).await
        }
        StoreAddress::Mongo(uri) => {
            let store = MongoStore::connect(&uri).await?;
            streams::tail(Source::<_, NatsBus>::Store(store), &args, out).await
        }
    }
}

/// The stream alone, or beside the store if one is named.
async fn audit_stream(config: Config, args: VerifyArgs, out: Out) -> Result<Exit, Failure> {
    let bus = NatsBus::connect(&server(&args.bus)?).await?;
    let address = config.store_address()?;
    // An auditor has no seed; none is made for him.
    let ours = match config.seed_path(&address)?.exists() {
        true => Some(heads_key(&config, &address)?.key()),
        false => None,
    };
    let key = args.key.or(ours);
    let (key, check) = (key.as_deref(), check_heads_signature);
    let found = match (&config.store, &address) {
        (None, _) => streams::audit(&bus, None::<&SqliteStore>, key, check).await,
        (Some(_), StoreAddress::Sqlite(file)) => {
            let store = SqliteStore::open(file)?;
            streams::audit(&bus, Some(&store), key, check).await
        }
        (Some(_), StoreAddress::Mongo(uri)) => {
            let store = MongoStore::connect(uri).await?;
            streams::audit(&bus, Some(&store), key, check).await
        }
    };
    Ok(out.end(found))
}

/// The master seed, made at the first start.
fn keychain(config: &Config, address: &StoreAddress) -> Result<Keychain, Failure> {
    let seed = config.seed_path(address)?;
    config::make_folder_of(&seed)?;
    Keychain::load_or_create(&seed).map_err(|error| Failure::new(error.code, error.message))
}

/// What signs the heads.
fn heads_key(config: &Config, address: &StoreAddress) -> Result<HeadsKey, Failure> {
    let key = keychain(config, address)?.heads_key();
    key.ok_or_else(|| {
        Failure::new(
            Code::SeedFileInvalid,
            "this seed gives no key for the heads",
        )
    })
}

/// Serves on the store and the bus that are named; neither has a default, because what serves
/// others is set up on purpose.
async fn serve(config: Config, args: ServeArgs) -> Result<Exit, Failure> {
    let settings = args.settings(&config.unit)?;
    let heads_every = args.heads.every;
    let bus = args.bus.address()?.ok_or_else(|| {
        let why = "serve wants its bus named: set --bus (MELTD_BUS)";
        Failure::new(Code::BusInvalid, why)
    })?;
    if config.store.is_none() {
        let why = "serve wants its store named: set --store (MELTD_STORE)";
        return Err(Failure::new(Code::StoreInvalid, why));
    }
    let caps = args.limits.caps();
    let address = config.store_address()?;
    match &address {
        StoreAddress::Sqlite(file) => {
            config::make_folder_of(file)?;
            let store = SqliteStore::open(file)?;
            serve_on(
                store,
                &config,
                &address,
                (caps, heads_every),
                &bus,
                settings,
            )
            .await
        }
        StoreAddress::Mongo(uri) => {
            let store = MongoStore::connect(uri).await?;
            serve_on(
                store,
                &config,
                &address,
                (caps, heads_every),
                &bus,
                settings,
            )
            .await
        }
    }
}

async fn serve_on<S: Store + Outbox + Access>(
    store: S,
    config: &Config,
    address: &StoreAddress,
    (caps, heads_every): (Caps, Duration),
    bus: &BusAddress,
    mut settings: Settings,
) -> Result<Exit, Failure> {
    let signals = Signals::listen()
        .map_err(|why| Failure::new(Code::ConfigInvalid, format!("no signals: {why}")))?;
    let (urls, _mint) = mint_urls(config, address).await?;
    let mut driver = driver(store, config, address, &urls).await?;
    driver.tuning.backoff_max = Tuning::default().backoff_max;
    driver.tuning.caps = caps;
    match bus {
        BusAddress::Memory => {
            let bus = MemoryBus::new();
            cli::serve::serve(driver, bus, settings, signals).await
        }
        BusAddress::Nats(options) => {
            let bus = NatsBus::connect(options).await?;
            // A database that was restored from an old backup must drive nothing: its counters, its
            // coins and its payments are behind.
            settings.heads = Some((Arc::new(heads_key(config, address)?), heads_every));
            let standing = compare_heads(&*driver.store, &bus).await?;
            if let Some((code, why)) = standing.refusal() {
                return Err(Failure::new(code, why));
            }
            cli::serve::serve(driver, bus, settings, signals).await
        }
    }
}
/// The name under which a store keeps the fingerprint of its seed.
const SEED_STAMP: &str = "seed";

/// Looks at the relay of a store, and at the stream if the bus is named.
async fn relay(config: Config, args: RelayArgs, out: Out) -> Result<Exit, Failure> {
    let bus = match args.bus.address()? {
        Some(BusAddress::Nats(options)) => Some(NatsBus::connect(&options).await),
        // That of another process cannot be seen.
        Some(BusAddress::Memory) | None => None,
    };
    match config.store_address()? {
        StoreAddress::Sqlite(file) => {
            let store = SqliteStore::open(file)?;
            Ok(cli::relay::relay(&store, bus, args.command, out).await)
        }
        StoreAddress::Mongo(uri) => {
            let store = MongoStore::connect(&uri).await?;
            Ok(cli::relay::relay(&store, bus, args.command, out).await)
        }
    }
}

/// The loop over these adapters, for a person who waits.
async fn driver<S: Store>(
    store: S,
    config: &Config,
    address: &StoreAddress,
    mint_urls: &[String],
) -> Result<Driver<S, CdkMint, SystemClock>, Failure> {
    let keychain = keychain(config, address)?;
    let fingerprint = keychain.fingerprint();
    if store.stamp(SEED_STAMP, &fingerprint).await? != fingerprint {
        let (file, code) = (config.seed_path(address)?, Code::SeedOther);
        let message = format!("the seed file is {}. {}", file.display(), code.advice());
        return Err(Failure::new(code, message));
    }
    let post = Duration::from_millis(config.post_timeout_ms);
    let timeouts = Timeouts {
        ask: Duration::from_millis(config.ask_timeout_ms),
        sign: post,
        pay: post,
    };
    let mint = CdkMint::new(keychain, mint_urls, timeouts)
        .map_err(|error| Failure::new(error.code, error.message))?;
    let owner = uuid::Uuid::new_v4().to_string();
    let mut driver = Driver::new(
        Arc::new(store),
        Arc::new(mint),
        Arc::new(SystemClock),
        &owner,
    );
    driver.tuning.lease_ttl = config.lease_ttl();
    driver.tuning.backoff_max = LOOK_AGAIN;
    Ok(driver)
}

#[cfg(feature = "embedded-mint")]
type Embedded = Option<meltd::mint::embedded::EmbeddedMint>;

/// The mints' URLs, with the one in this process started if it is asked for. It ends with what is
/// returned beside them.
#[cfg(feature = "embedded-mint")]
async fn mint_urls(
    config: &Config,
    address: &StoreAddress,
) -> Result<(Vec<String>, Embedded), Failure> {
    let mut urls = config.mint_urls.clone();
    let mut embedded = None;
    for url in urls.iter_mut().filter(|url| *url == config::EMBEDDED) {
        let folder = config.seed_path(address)?.with_extension("mint");
        let mint = meltd::mint::embedded::start_in(&folder).await;
        let mint = mint.map_err(|why| Failure::new(Code::ConfigInvalid, why.to_string()))?;
        *url = mint.url().to_string();
        embedded = Some(mint);
    }
    Ok((urls, embedded))
}

/// The mints' URLs. This build has no mint of its own.
#[cfg(not(feature = "embedded-mint"))]
async fn mint_urls(config: &Config, _: &StoreAddress) -> Result<(Vec<String>, ()), Failure> {
    if config.mint_urls.iter().any(|url| url == config::EMBEDDED) {
        return Err(no_mint_inside("melt ..."));
    }
    Ok((config.mint_urls.clone(), ()))
}

#[cfg(not(feature = "embedded-mint"))]
fn no_mint_inside(command: &str) -> Failure {
    let build = config::BUILD_WITH_MINT;
    Failure::new(
        Code::ConfigInvalid,
        format!("this meltd was built without a mint inside. Use: {build}{command}"),
    )
}

#[cfg(not(feature = "embedded-mint"))]
async fn demo(_: Config, _: cli::args::DemoArgs, _: Out) -> Result<Exit, Failure> {
    Err(no_mint_inside("demo"))
}

/// How long the demo's recovery waits for the process that it kills.
#[cfg(feature = "embedded-mint")]
const DEMO_LEASE_TTL_MS: u64 = 1500;

/// A mint answers a post only when the payment is decided; the demo shows what comes after that
/// wait without waiting for long.
#[cfg(feature = "embedded-mint")]
const DEMO_POST_TIMEOUT_MS: u64 = 2000;

/// A mint in memory, a store and a seed in a folder that is removed if all went well.
#[cfg(feature = "embedded-mint")]
async fn demo(mut config: Config, args: cli::args::DemoArgs, out: Out) -> Result<Exit, Failure> {
    use meltd::mint::embedded::{EmbeddedMint, Settings};
    let broken = |why: String| Failure::new(Code::ConfigInvalid, why);
    let folder = match &args.dir {
        Some(folder) => folder.clone(),
        None => std::env::temp_dir().join(format!("meltd-demo-{}", uuid::Uuid::now_v7())),
    };
    let file = folder.join("meltd.db");
    config::make_folder_of(&file)?;
    if file.exists() {
        let folder = folder.display();
        return Err(broken(format!(
            "{folder} holds a store already: name an empty folder"
        )));
    }
    let settings = Settings {
        fee_ppk: 100,
        ..Settings::default()
    };
    let mint = EmbeddedMint::start(settings).await;
    let mint = mint.map_err(|why| broken(why.to_string()))?;
    config.lease_ttl_ms = DEMO_LEASE_TTL_MS;
    config.post_timeout_ms = DEMO_POST_TIMEOUT_MS;
    config.seed_file = None;
    let address = StoreAddress::Sqlite(file.clone());
    let urls = vec![mint.url().to_string()];
    let act = Act {
        driver: driver(SqliteStore::open(&file)?, &config, &address, &urls).await?,
        out,
        unit: "sat".to_owned(),
    };
    let environment = vec![
        ("MELTD_STORE", format!("sqlite:{}", file.display())),
        (
            "MELTD_SEED_FILE",
            config.seed_path(&address)?.display().to_string(),
        ),
        ("MELTD_MINT_URL", urls.join(",")),
        ("MELTD_LEASE_TTL_MS", DEMO_LEASE_TTL_MS.to_string()),
        ("MELTD_UNIT", act.unit.clone()),
    ];
    let stage = cli::demo::Stage::new(act, mint, folder.clone(), environment);
    let exit = stage.run().await;
    if args.dir.is_none() {
        if exit == Exit::Done {
            drop(std::fs::remove_dir_all(&folder));
        } else {
            cli::output::note(&format!("the data is kept in {}", folder.display()));
        }
    }
    Ok(exit)
}
