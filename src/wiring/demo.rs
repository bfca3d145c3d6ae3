//! `meltd demo`: a mint in memory, a store and a seed in a folder of their own.

#[cfg(feature = "embedded-mint")]
use meltd::cli::Act;
use meltd::cli::args::DemoArgs;
use meltd::cli::exit::{Exit, Failure};
use meltd::cli::output::Out;
use meltd::config::Config;
#[cfg(feature = "embedded-mint")]
use meltd::config::{self, StoreAddress};
#[cfg(feature = "embedded-mint")]
use meltd::saga::code::Code;
#[cfg(feature = "embedded-mint")]
use meltd::store::sqlite::SqliteStore;

#[cfg(feature = "embedded-mint")]
use super::parts::driver;
#[cfg(not(feature = "embedded-mint"))]
use super::parts::no_mint_inside;

#[cfg(not(feature = "embedded-mint"))]
pub(crate) async fn demo(_: Config, _: DemoArgs, _: Out) -> Result<Exit, Failure> {
    Err(no_mint_inside("demo"))
}

/// How long the demo's recovery waits for the process that it kills.
#[cfg(feature = "embedded-mint")]
pub(crate) const DEMO_LEASE_TTL_MS: u64 = 1500;

/// A mint answers a post only when the payment is decided; the demo shows what comes after that
/// wait without waiting for long.
#[cfg(feature = "embedded-mint")]
pub(crate) const DEMO_POST_TIMEOUT_MS: u64 = 2000;

/// A mint in memory, a store and a seed in a folder that is removed if all went well.
#[cfg(feature = "embedded-mint")]
pub(crate) async fn demo(mut config: Config, args: DemoArgs, out: Out) -> Result<Exit, Failure> {
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
    let stage = meltd::cli::demo::Stage::new(act, mint, folder.clone(), environment);
    let exit = stage.run().await;
    if args.dir.is_none() {
        if exit == Exit::Done {
            drop(std::fs::remove_dir_all(&folder));
        } else {
            meltd::cli::output::note(&format!("the data is kept in {}", folder.display()));
        }
    }
    Ok(exit)
}
