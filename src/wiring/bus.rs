//! Commands that ask a bus, and those that look at what waits for one.

use meltd::bus::nats::NatsBus;
use meltd::cli;
use meltd::cli::dlq::DlqArgs;
use meltd::cli::doctor::DoctorArgs;
use meltd::cli::exit::{Exit, Failure};
use meltd::cli::output::Out;
use meltd::cli::relay::RelayArgs;
use meltd::cli::streams::{self, Source, TailArgs, VerifyArgs};
use meltd::config::{self, BusAddress, Config, StoreAddress};
use meltd::doctor::{self, Line};
use meltd::mint::keychain::check_heads_signature;
use meltd::ports::Notary;
use meltd::store::mongo::MongoStore;
use meltd::store::sqlite::SqliteStore;

use super::parts::{heads_key, server};

/// Shows the stream, or the store's own log where there is none.
pub(crate) async fn tail(config: Config, args: TailArgs, out: Out) -> Result<Exit, Failure> {
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
pub(crate) async fn audit_stream(
    config: Config,
    args: VerifyArgs,
    out: Out,
) -> Result<Exit, Failure> {
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

/// Looks at the relay of a store, and at the stream if the bus is named.
pub(crate) async fn relay(config: Config, args: RelayArgs, out: Out) -> Result<Exit, Failure> {
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

pub(crate) async fn dlq(args: DlqArgs, out: Out) -> Result<Exit, Failure> {
    let bus = NatsBus::connect(&server(&args.bus)?).await?;
    Ok(cli::dlq::dlq(&bus, args.command, out).await)
}

/// Nothing to say where no bus is named, and of one that lives in a process.
pub(crate) async fn examine_bus(args: &DoctorArgs) -> Result<Vec<Line>, Failure> {
    match args.bus.address()? {
        Some(BusAddress::Nats(options)) => Ok(match NatsBus::connect(&options).await {
            Ok(bus) => doctor::examine_bus(&bus).await,
            Err(why) => vec![doctor::bus_is_away(&why)],
        }),
        Some(BusAddress::Memory) | None => Ok(Vec::new()),
    }
}
