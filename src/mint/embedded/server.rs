//! The mint itself: cdk's, on a runtime of its own, behind HTTP on 127.0.0.1.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use cdk::Amount;
use cdk::mint::Mint;
use cdk::mint::MintBuilder;
use cdk::mint::MintMeltLimits;
use cdk::mint::UnitConfig;
use cdk::mint_url::MintUrl;
use cdk::nuts::CurrencyUnit;
use cdk::nuts::Id;
use cdk::nuts::PaymentMethod;
use cdk::nuts::nut00::KnownMethod;
use cdk::nuts::nut02::KeySetVersion;
use cdk::nuts::nut19;
use cdk::types::QuoteTTL;
use cdk_sqlite::mint::MintSqliteDatabase;
use tokio::net::TcpListener;

use super::Error;
use super::Lightning;
use super::threads::Threads;

/// How long cdk keeps an answer for repetition, in seconds; it cannot be told otherwise.
const REPLAY_TTL_S: u64 = 60;

/// How a mint is to be run. A clone means the same Lightning node and the same seed.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The input fee of new keysets, in parts per thousand of a sat per input.
    pub fee_ppk: u64,
    /// The TCP port on 127.0.0.1, or 0 for any free one.
    pub port: u16,
    /// The database file, or none for a database in memory that ends with the mint.
    pub database: Option<PathBuf>,
    /// The seed of the mint's keys, or none for a random one. A database file belongs to one seed.
    pub seed: Option<[u8; 64]>,
    /// The largest amount of one mint quote or melt quote, in sat.
    pub amount_max_sat: u64,
    /// How long quotes are valid, in seconds. cdk's mint does not enforce it on a melt.
    pub quote_ttl_s: u64,
    /// Whether the mint says that it repeats its answers (NUT-19). It always does, for 60 seconds,
    /// but cdk's client repeats requests by itself only if the mint says so.
    pub advertise_replay: bool,
    /// The Lightning node behind the mint.
    pub lightning: Lightning,
}

impl Default for Settings {
    /// A mint without fees in memory, on any port, with fresh keys and an obliging Lightning node.
    fn default() -> Self {
        Self {
            fee_ppk: 0,
            port: 0,
            database: None,
            seed: None,
            amount_max_sat: 1_000_000,
            quote_ttl_s: 10_000,
            advertise_replay: false,
            lightning: Lightning::default(),
        }
    }
}

/// A running mint. Dropping it ends it without waiting.
#[derive(Debug)]
pub struct EmbeddedMint {
    url: MintUrl,
    settings: Settings,
    mint: Arc<Mint>,
    threads: Threads,
}

impl EmbeddedMint {
    /// Starts a mint and returns once it answers requests.
    ///
    /// If the database file knows melts that were never finished, the mint first asks its Lightning
    /// node what became of them.
    pub async fn start(mut settings: Settings) -> Result<Self, Error> {
        let seed = match settings.seed {
            Some(seed) => seed,
            None => random_seed()?,
        };
        settings.seed = Some(seed);
        let threads = Threads::start()?;
        let started = threads.run(serve(settings.clone(), seed)).await?;
        let (mint, port) = started?;
        settings.port = port;
        let url = format!("http://{}:{port}", Ipv4Addr::LOCALHOST).parse()?;
        Ok(Self {
            url,
            settings,
            mint,
            threads,
        })
    }

    /// Where clients reach the mint.
    pub fn url(&self) -> &MintUrl {
        &self.url
    }

    /// The port it listens on.
    pub(super) fn port(&self) -> u16 {
        self.settings.port
    }

    /// The Lightning node behind the mint.
    pub fn lightning(&self) -> &Lightning {
        &self.settings.lightning
    }

    /// Retires the active keyset and activates a new one with the same fee.
    pub async fn rotate_keyset(&self) -> Result<Id, Error> {
        self.rotate_keyset_to(self.settings.fee_ppk).await
    }

    /// Retires the active keyset and activates a new one with this input fee. A mint that is
    /// restarted with another `fee_ppk` in its settings rotates once more.
    pub async fn rotate_keyset_to(&self, fee_ppk: u64) -> Result<Id, Error> {
        let mint = Arc::clone(&self.mint);
        let amounts = UnitConfig::default().amounts;
        let rotated = self.threads.run(async move {
            let version_2 = true;
            mint.rotate_keyset(CurrencyUnit::Sat, amounts, fee_ppk, version_2, None)
                .await
        });
        let keyset = rotated.await??;
        debug_assert_eq!(keyset.id.get_version(), KeySetVersion::Version01);
        Ok(keyset.id)
    }

    /// What the mint has signed and not taken back, in sat: what its clients must have, together.
    pub async fn outstanding_sat(&self) -> Result<u64, Error> {
        let mint = Arc::clone(&self.mint);
        let both = self
            .threads
            .run(async move { Ok((mint.total_issued().await?, mint.total_redeemed().await?)) });
        let (issued, redeemed) = both.await?.map_err(Error::Mint)?;
        let sum = |of: HashMap<Id, Amount>| of.values().map(|a| a.to_u64()).sum::<u64>();
        Ok(sum(issued).saturating_sub(sum(redeemed)))
    }

    /// Ends the mint the way the end of its process would: whatever it is doing breaks off where it
    /// stands, and its connections close. Its Lightning node carries on.
    ///
    /// The settings it returns start the same mint again: same port, keys, database and node. With
    /// a database in memory only the keys come back.
    pub async fn stop(self) -> Settings {
        self.threads.stop().await;
        self.settings
    }
}

/// Builds the mint, starts it, and serves it; returns it with the port it listens on.
async fn serve(settings: Settings, seed: [u8; 64]) -> Result<(Arc<Mint>, u16), Error> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, settings.port)).await?;
    let port = listener.local_addr()?.port();
    let mint = Arc::new(build(&settings, seed).await?);
    mint.start().await?;
    let router = cdk_axum::create_mint_router(Arc::clone(&mint), vec!["bolt11".to_owned()])
        .await
        .map_err(|error| Error::Routes(error.to_string()))?;
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the embedded mint no longer listens");
        }
    });
    Ok((mint, port))
}

/// Builds the mint on its database.
async fn build(settings: &Settings, seed: [u8; 64]) -> Result<Mint, Error> {
    let database = Arc::new(match &settings.database {
        Some(path) => MintSqliteDatabase::new(path.clone()).await?,
        None => cdk_sqlite::mint::memory::empty().await?,
    });
    let bolt11 = PaymentMethod::Known(KnownMethod::Bolt11);
    let limits = MintMeltLimits::new(1, settings.amount_max_sat);
    let keysets = UnitConfig {
        input_fee_ppk: settings.fee_ppk,
        ..UnitConfig::default()
    };
    let mut builder =
        MintBuilder::new(database.clone()).with_name("meltd embedded mint".to_owned());
    builder.configure_unit(CurrencyUnit::Sat, keysets)?;
    let lightning = Arc::new(settings.lightning.clone());
    builder
        .add_payment_processor(CurrencyUnit::Sat, bolt11, limits, lightning)
        .await?;
    if settings.advertise_replay {
        builder = builder.with_cache(Some(REPLAY_TTL_S), replayed_endpoints());
    }
    let mint = builder.build_with_seed(database, &seed).await?;
    mint.set_quote_ttl(QuoteTTL::new(settings.quote_ttl_s, settings.quote_ttl_s))
        .await?;
    Ok(mint)
}

/// The requests whose answers the mint keeps for repetition.
fn replayed_endpoints() -> Vec<nut19::CachedEndpoint> {
    let mint = nut19::Path::Custom("/v1/mint/bolt11".to_owned());
    let melt = nut19::Path::Custom("/v1/melt/bolt11".to_owned());
    [nut19::Path::Swap, mint, melt]
        .map(|path| nut19::CachedEndpoint::new(nut19::Method::Post, path))
        .into()
}

/// A seed nobody else has: two mints with one seed would accept each other's ecash.
pub(super) fn random_seed() -> Result<[u8; 64], Error> {
    let mut seed = [0; 64];
    getrandom::fill(&mut seed).map_err(Error::Random)?;
    Ok(seed)
}
