//! `meltd serve`: the arguments, and how it ends.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::exit::{Exit, Failure};
use super::streams::HeadsArgs;
use super::values::{age, duration};
use crate::config::api::ApiArgs;
use crate::config::{BusAddress, BusConfig, LimitArgs};
use crate::driver::Driver;
use crate::ports::{Access, Bus, Clock, Mint, Outbox, Store};
use crate::queue::Producers;
use crate::reconcile::Rounds;
use crate::relay;
use crate::saga::code::Code;
use crate::serve::signals::Signals;
use crate::serve::{self, Broken, Role, Settings, Stopped};

/// `meltd serve`
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// What this process does, separated by commas [default: everything]
    #[arg(long, env = "MELTD_ROLES", value_delimiter = ',', value_name = "ROLES")]
    pub roles: Vec<Role>,

    /// The file that names the producers and what each of them may move; the intake role needs it
    //
    // No default: who may spend is the owner's decision alone.
    #[arg(long, env = "MELTD_PRODUCERS", value_name = "FILE")]
    pub producers: Option<PathBuf>,

    /// At most so many sagas driven at once; those that wait for their mint do not count
    //
    // 64: a mint that takes a second for a payment is kept busy, and memory stays flat.
    #[arg(
        long,
        env = "MELTD_PLACES",
        default_value_t = 64,
        value_parser = clap::value_parser!(u32).range(1..=10_000),
        value_name = "N"
    )]
    pub places: u32,

    /// How long a stop waits for what is under way
    //
    // 40 s: longer than a mint may take for a payment, shorter than supervisors wait (90 s).
    #[arg(
        long,
        env = "MELTD_STOP_TIMEOUT",
        default_value = "40s",
        value_parser = duration,
        value_name = "TIME"
    )]
    pub stop_timeout: Duration,

    /// How often the store is counted for the metrics
    //
    // 30 s: a count reads every unfinished saga and every held coin, and nobody looks at a graph
    // more often.
    #[arg(
        long,
        env = "MELTD_SURVEY_EVERY",
        default_value = "30s",
        value_parser = duration,
        value_name = "TIME"
    )]
    pub survey_every: Duration,

    /// How often each wallet is held against its mint, by one of the processes with the recovery
    /// role
    //
    // Twice a day: what differs is found at the next melt anyway, by its pre-flight check.
    #[arg(
        long,
        env = "MELTD_RECONCILE_EVERY",
        default_value = "12h",
        value_parser = age,
        value_name = "TIME"
    )]
    pub reconcile_every: Duration,

    /// Only look: ask mints, record what they say, and move no money; new commands are refused
    //
    // Off: for the first start on a store of which nobody knows how old it is.
    #[arg(long, env = "MELTD_OBSERVE_ONLY")]
    pub observe_only: bool,

    /// Where the bus is.
    #[command(flatten)]
    pub bus: BusConfig,

    /// How the HTTP API is served.
    #[command(flatten)]
    pub api: ApiArgs,

    /// What anybody may move.
    #[command(flatten)]
    pub limits: LimitArgs,

    /// How often the heads are signed.
    #[command(flatten)]
    pub heads: HeadsArgs,
}

impl ServeArgs {
    /// What the process is to do, checked before anything is connected.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn settings(&self, unit: &str) -> Result<Settings, Failure> {
        if self.reconcile_every < Duration::from_secs(1) {
            let why = "--reconcile-every (MELTD_RECONCILE_EVERY) must be a second or more";
            return Err(Failure::new(Code::ConfigInvalid, why));
        }
        let mut roles = self.roles.clone();
        if roles.is_empty() {
            roles.extend(Role::ALL);
        }
        roles.sort_unstable();
        roles.dedup();
        if roles.contains(&Role::Api) {
            self.api.check()?;
        }
        let producers = match &self.producers {
            Some(file) => {
                let read = Producers::read(file);
                read.map_err(|why| Failure::new(Code::ConfigInvalid, why))?
            }
            None if roles.contains(&Role::Intake) => {
                let why = "the intake role needs to know who may send commands: name the file \
                           with --producers (MELTD_PRODUCERS), or leave the role out of --roles";
                return Err(Failure::new(Code::ConfigInvalid, why));
            }
            None => Producers::default(),
        };
        Ok(Settings {
            roles,
            api: self.api.clone(),
            places: usize::try_from(self.places).unwrap_or(1),
            observe_only: self.observe_only,
            rounds: Rounds {
                every: self.reconcile_every,
                ..Rounds::default()
            },
            producers: Arc::new(producers),
            unit: Arc::from(unit),
            relay: relay::Tuning {
                // What a bus in this process has lost, it lost with the process.
                repair: !matches!(self.bus.address(), Ok(Some(BusAddress::Memory))),
                ..relay::Tuning::default()
            },
            heads: None,
            survey_every: self.survey_every,
            stop_timeout: self.stop_timeout,
        })
    }
}

/// Serves until it is asked to end.
///
/// # Errors
/// Of the role that broke.
pub async fn serve<S: Store + Outbox + Access, M: Mint, C: Clock, B: Bus>(
    driver: Driver<S, M, C>,
    bus: B,
    settings: Settings,
    signals: Signals,
) -> Result<Exit, Failure> {
    match serve::run(driver, bus, settings, signals).await? {
        Stopped::Clean | Stopped::Early => Ok(Exit::Done),
    }
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        let message = broken.to_string();
        Failure::new(broken.code, message)
    }
}
