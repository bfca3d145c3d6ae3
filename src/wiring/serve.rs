//! `meltd serve` on the store and the bus that are named.

use std::sync::Arc;
use std::time::Duration;

use meltd::bus::memory::MemoryBus;
use meltd::bus::nats::NatsBus;
use meltd::cli;
use meltd::cli::exit::{Exit, Failure};
use meltd::cli::serve::ServeArgs;
use meltd::config::{self, BusAddress, Config, StoreAddress};
use meltd::driver::Tuning;
use meltd::intake::Caps;
use meltd::ports::{Access, Outbox, Store};
use meltd::saga::code::Code;
use meltd::serve::Settings;
use meltd::serve::signals::Signals;
use meltd::store::mongo::MongoStore;
use meltd::store::sqlite::SqliteStore;
use meltd::stream::compare::compare_heads;

use super::parts::{driver, heads_key, mint_urls};

/// Serves on the store and the bus that are named; neither has a default, because what serves
/// others is set up on purpose.
pub(crate) async fn serve(config: Config, args: ServeArgs) -> Result<Exit, Failure> {
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

pub(crate) async fn serve_on<S: Store + Outbox + Access>(
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
