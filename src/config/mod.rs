//! Every option that all commands share, as a flag and as a `MELTD_*` variable, with the reason for
//! its default; beside it the options that only some commands have. There is no configuration file.

mod bus;
mod limits;
mod secret;

pub mod api;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use bus::{BusAddress, BusConfig};
pub use limits::LimitArgs;
pub use secret::Secret;

use crate::saga::code::Code;

/// The value of `MELTD_MINT_URL` that means: a mint inside this process.
pub const EMBEDDED: &str = "embedded";

/// The command that builds meltd with a mint inside; without it `embedded` and `demo` cannot work.
pub const BUILD_WITH_MINT: &str = "cargo run --features embedded-mint,failpoints -- ";

/// What every command reads.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Config {
    /// Where sagas and coins are kept: sqlite:FILE or mongodb://HOST/DATABASE?replicaSet=NAME
    /// [default: sqlite:$XDG_DATA_HOME/meltd/meltd.db, that is ~/.local/share/meltd/meltd.db]
    //
    // Not the current directory: money has to be found again from any directory.
    #[arg(
        long,
        global = true,
        env = "MELTD_STORE",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub store: Option<String>,

    /// A mint that may be called; repeat it, or separate several by commas. The first is used
    /// where a command names none. "embedded" is a mint inside this process, for trying things out
    //
    // No default: whose ecash to trust is the owner's decision alone.
    #[arg(
        long = "mint-url",
        global = true,
        env = "MELTD_MINT_URL",
        value_delimiter = ',',
        value_name = "URL"
    )]
    pub mint_urls: Vec<String>,

    /// The file with the master seed; made, with mode 0600, if there is none
    /// [default: beside the data, with the ending .seed]
    //
    // Beside the data, so that two stores never share a seed by accident: their counters differ.
    #[arg(
        long,
        global = true,
        env = "MELTD_SEED_FILE",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub seed_file: Option<PathBuf>,

    /// The unit of the wallets
    //
    // The only one that BOLT11 invoices and every mint have in common.
    #[arg(
        long,
        global = true,
        env = "MELTD_UNIT",
        default_value = "sat",
        value_name = "UNIT"
    )]
    pub unit: String,

    /// One JSON document on standard output, also for errors
    //
    // Off: a person types commands, a script can type one word more.
    #[arg(long, global = true, env = "MELTD_JSON")]
    pub json: bool,

    /// Progress on standard error even if that is no terminal
    //
    // Off: a log file has no use for "still waiting".
    #[arg(short, long, global = true)]
    pub verbose: bool,

    /// What to log to standard error: error, warn, info, debug, or a tracing filter
    //
    // meltd's own warnings: a command prints its answer; what libraries say is for looking into
    // something, and may tell more than belongs into a log.
    #[arg(
        long,
        global = true,
        env = "MELTD_LOG",
        default_value = "meltd=warn",
        value_name = "FILTER"
    )]
    pub log: String,

    /// How log lines look
    //
    // human: json is for whoever collects logs, and they set it once.
    #[arg(
        long,
        global = true,
        env = "MELTD_LOG_FORMAT",
        default_value = "human",
        value_name = "FORMAT"
    )]
    pub log_format: LogFormat,

    /// How long a saga stays with a process that died, in milliseconds; then others may take it
    //
    // 15 s: renewed every 5 s, so that two renewals may fail, and a person can wait for it.
    #[arg(
        long,
        global = true,
        env = "MELTD_LEASE_TTL_MS",
        default_value_t = 15_000,
        value_parser = clap::value_parser!(u64).range(300..=600_000),
        value_name = "MS"
    )]
    pub lease_ttl_ms: u64,

    /// How long a mint may take for quotes, states and keys, in milliseconds
    //
    // 10 s: a mint answers them from its database; a slower one is in trouble.
    #[arg(
        long,
        global = true,
        env = "MELTD_ASK_TIMEOUT_MS",
        default_value_t = 10_000,
        value_parser = clap::value_parser!(u64).range(50..=120_000),
        value_name = "MS"
    )]
    pub ask_timeout_ms: u64,

    /// How long a melt, swap or minting may take at the mint, in milliseconds; after that it is
    /// asked for, never given up
    //
    // 30 s: most Lightning payments have ended by then, and asking is cheap.
    #[arg(
        long,
        global = true,
        env = "MELTD_POST_TIMEOUT_MS",
        default_value_t = 30_000,
        value_parser = clap::value_parser!(u64).range(50..=300_000),
        value_name = "MS"
    )]
    pub post_timeout_ms: u64,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Where the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreAddress {
    /// A file.
    Sqlite(PathBuf),
    /// A replica set.
    Mongo(String),
}

/// An option that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// [`Code::ConfigInvalid`], [`Code::StoreInvalid`] or [`Code::BusInvalid`].
    pub code: Code,
    /// Which, and what to do.
    pub message: String,
}

impl Invalid {
    /// An option whose value cannot be used.
    pub fn option(message: impl Into<String>) -> Self {
        let message = message.into();
        let code = Code::ConfigInvalid;
        Invalid { code, message }
    }
}

impl Config {
    /// Where the store is, with the default filled in.
    ///
    /// # Errors
    /// [`Invalid`] for anything but a SQLite file or a MongoDB address.
    pub fn store_address(&self) -> Result<StoreAddress, Invalid> {
        let Some(text) = self.store.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(StoreAddress::Sqlite(data_dir()?.join("meltd.db")));
        };
        match text.split_once(':') {
            Some(("sqlite", file)) if !file.trim_start_matches('/').is_empty() => {
                // sqlite://relative and sqlite:///absolute are how other programs write it.
                let file = file.strip_prefix("//").unwrap_or(file);
                Ok(StoreAddress::Sqlite(PathBuf::from(file)))
            }
            Some(("mongodb" | "mongodb+srv", _)) => Ok(StoreAddress::Mongo(text.to_owned())),
            // The value is not repeated: it may be an address with a password in it.
            _ => Err(Invalid {
                code: Code::StoreInvalid,
                message: Code::StoreInvalid.advice().to_owned(),
            }),
        }
    }

    /// The seed's file, with the default filled in.
    ///
    /// # Errors
    /// [`Invalid`] if there is no home directory to keep it in.
    pub fn seed_path(&self, store: &StoreAddress) -> Result<PathBuf, Invalid> {
        match (&self.seed_file, store) {
            (Some(path), _) => Ok(path.clone()),
            (None, StoreAddress::Sqlite(file)) => Ok(file.with_extension("seed")),
            (None, StoreAddress::Mongo(_)) => Ok(data_dir()?.join("meltd.seed")),
        }
    }

    /// How long a lease lives.
    pub fn lease_ttl(&self) -> Duration {
        Duration::from_millis(self.lease_ttl_ms)
    }
}

/// Makes the folder of a file that is to be created; only its owner can look into it.
///
/// # Errors
/// [`Invalid`], naming the folder.
pub fn make_folder_of(file: &Path) -> Result<(), Invalid> {
    use std::os::unix::fs::DirBuilderExt;
    let Some(folder) = file.parent().filter(|f| !f.as_os_str().is_empty()) else {
        return Ok(());
    };
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder);
    made.map_err(|why| {
        let folder = folder.display();
        Invalid::option(format!("the folder {folder} cannot be made: {why}"))
    })
}

/// Where a user's data belongs, by the XDG rules.
fn data_dir() -> Result<PathBuf, Invalid> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let base = set("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".local/share")));
    base.map(|base| base.join("meltd")).ok_or_else(|| {
        Invalid::option("neither XDG_DATA_HOME nor HOME is set: name the file with --store")
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        config: Config,
    }

    fn with(store: &str) -> Result<StoreAddress, Invalid> {
        Only::parse_from(["meltd", "--store", store])
            .config
            .store_address()
    }

    #[test]
    fn stores_are_named_by_their_scheme() {
        let sqlite = |path: &str| Ok(StoreAddress::Sqlite(PathBuf::from(path)));
        assert_eq!(with("sqlite:a/b.db"), sqlite("a/b.db"));
        assert_eq!(with("sqlite:/a/b.db"), sqlite("/a/b.db"));
        assert_eq!(with("sqlite:///a/b.db"), sqlite("/a/b.db"));
        let mongo = "mongodb://h/?replicaSet=rs0";
        assert_eq!(with(mongo), Ok(StoreAddress::Mongo(mongo.to_owned())));
        for bad in ["x.db", "postgres://user:secret@h/", "sqlite:", "sqlite:///"] {
            let invalid = with(bad).unwrap_err();
            assert_eq!(invalid.code, Code::StoreInvalid);
            assert!(!invalid.message.contains("secret"));
        }
    }

    #[test]
    fn the_seed_lies_beside_the_data() {
        let config = Only::parse_from(["meltd", "--store", "sqlite:/x/y.db"]).config;
        let address = config.store_address().unwrap();
        assert_eq!(config.seed_path(&address), Ok(PathBuf::from("/x/y.seed")));
    }
}
