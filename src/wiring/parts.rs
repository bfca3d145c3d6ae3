//! The parts that several commands need.

use std::sync::Arc;
use std::time::Duration;

use meltd::bus::nats;
use meltd::cli::LOOK_AGAIN;
use meltd::cli::exit::Failure;
use meltd::clock::SystemClock;
use meltd::config::{self, BusAddress, BusConfig, Config, StoreAddress};
use meltd::driver::Driver;
use meltd::mint::cdk::{CdkMint, Timeouts};
use meltd::mint::keychain::{HeadsKey, Keychain};
use meltd::ports::Store;
use meltd::saga::code::Code;

/// The name under which a store keeps the fingerprint of its seed.
pub(crate) const SEED_STAMP: &str = "seed";

/// A bus outside of this process.
pub(crate) fn server(options: &BusConfig) -> Result<nats::Settings, Failure> {
    match options.address()? {
        Some(BusAddress::Nats(settings)) => Ok(*settings),
        Some(BusAddress::Memory) | None => {
            let why = "a stream outlives its process only on a server: set --bus (MELTD_BUS) to \
                       nats://… or tls://…";
            Err(Failure::new(Code::BusInvalid, why))
        }
    }
}

/// The master seed, made at the first start.
pub(crate) fn keychain(config: &Config, address: &StoreAddress) -> Result<Keychain, Failure> {
    let seed = config.seed_path(address)?;
    config::make_folder_of(&seed)?;
    Keychain::load_or_create(&seed).map_err(|error| Failure::new(error.code, error.message))
}

/// What signs the heads.
pub(crate) fn heads_key(config: &Config, address: &StoreAddress) -> Result<HeadsKey, Failure> {
    let key = keychain(config, address)?.heads_key();
    key.ok_or_else(|| {
        Failure::new(
            Code::SeedFileInvalid,
            "this seed gives no key for the heads",
        )
    })
}

/// The loop over these adapters, for a person who waits.
pub(crate) async fn driver<S: Store>(
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
pub(crate) type Embedded = Option<meltd::mint::embedded::EmbeddedMint>;

/// The mints' URLs, with the one in this process started if it is asked for. It ends with what is
/// returned beside them.
#[cfg(feature = "embedded-mint")]
pub(crate) async fn mint_urls(
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
pub(crate) async fn mint_urls(
    config: &Config,
    _: &StoreAddress,
) -> Result<(Vec<String>, ()), Failure> {
    if config.mint_urls.iter().any(|url| url == config::EMBEDDED) {
        return Err(no_mint_inside("melt ..."));
    }
    Ok((config.mint_urls.clone(), ()))
}

#[cfg(not(feature = "embedded-mint"))]
pub(crate) fn no_mint_inside(command: &str) -> Failure {
    let build = config::BUILD_WITH_MINT;
    Failure::new(
        Code::ConfigInvalid,
        format!("this meltd was built without a mint inside. Use: {build}{command}"),
    )
}
