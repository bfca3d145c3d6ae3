//! `meltd serve`: the roles of one process, started together and stopped together. A role that ends
//! with an error ends the process, so that a supervisor starts it again: it never lives on half
//! dead.
//!
//! | file | holds |
//! |---|---|
//! | `mod.rs` | start, stop |
//! | `roles.rs` | the roles |
//! | `probe.rs` | the parts that no role speaks for: store and bus; alerts |
//! | `survey.rs` | what is in the store, counted for the metrics |
//! | `signals.rs` | how a process is asked to end |

mod probe;
mod roles;
pub mod signals;
mod survey;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::api::Api;
use crate::config::api::ApiArgs;
use crate::driver::{Alerts, Driver};
use crate::intake::Refused;
use crate::pool::Pool;
use crate::ports::{Access, Bus, BusError, Clock, Mint, Notary, Outbox, Store, StoreError};
use crate::queue::{Intake, Producers};
use crate::readiness::{Part, Readiness};
use crate::reconcile::Rounds;
use crate::relay;
use crate::saga::code::Code;

pub use roles::Role;
use signals::Signals;

/// How long a stop waits for the answers of the last passes to be published: a relay needs some
/// tenths of a second, unless it is in trouble.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Between two looks at the outbox.
const LOOK: Duration = Duration::from_millis(50);

/// What a process is to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which roles.
    pub roles: Vec<Role>,
    /// At most so many passes at once.
    pub places: usize,
    /// Look, and move no money.
    pub observe_only: bool,
    /// How often wallets are held against their mints; by [`Role::Recovery`].
    pub rounds: Rounds,
    /// The options of the HTTP API.
    pub api: ApiArgs,
    /// Who may send commands; needed by [`Role::Intake`].
    pub producers: Arc<Producers>,
    /// The unit of the wallets.
    pub unit: Arc<str>,
    /// The numbers of the relay.
    pub relay: relay::Tuning,
    /// Who signs the checkpoints of all heads, and how often the relay makes one; `None` on a bus
    /// that nobody else reads.
    pub heads: Option<(Arc<dyn Notary>, Duration)>,
    /// How often the store is counted for the metrics.
    pub survey_every: Duration,
    /// How long a stop waits for what is under way.
    pub stop_timeout: Duration,
}

/// Why a process that serves has ended before it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", role.map_or("a role", Role::as_str))]
pub struct Broken {
    /// Which role, if that is known.
    pub role: Option<Role>,
    /// The machine-readable reason.
    pub code: Code,
    /// The sentence.
    pub why: String,
}

/// How a process that was asked to end has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Everything that was under way has ended.
    Clean,
    /// The deadline was over, or somebody asked a second time: sagas under way are free for others
    /// when their leases are over.
    Early,
}

/// One process at work.
pub struct Serve<S, M, C, B> {
    pool: Pool<S, M, C>,
    bus: Arc<B>,
    settings: Settings,
    readiness: Readiness,
}

impl<S, M, C, B> Clone for Serve<S, M, C, B> {
    fn clone(&self) -> Self {
        Serve {
            pool: self.pool.clone(),
            bus: self.bus.clone(),
            settings: self.settings.clone(),
            readiness: self.readiness.clone(),
        }
    }
}

type Playing = JoinSet<(Role, Result<(), Broken>)>;

/// The roles at work.
#[derive(Default)]
struct Roles {
    /// Those that begin something.
    first: Playing,
    /// The relay, which goes on until the last pass has ended.
    last: Playing,
    stop_first: CancellationToken,
    stop_last: CancellationToken,
}

impl Roles {
    /// Resolves when one of them ends.
    async fn broken(&mut self) -> Broken {
        tokio::select! {
            Some(done) = self.first.join_next() => ended(done),
            Some(done) = self.last.join_next() => ended(done),
            // Nobody asks for a process without roles.
            else => std::future::pending().await,
        }
    }
}

/// Runs the roles until somebody asks to stop, or one of them breaks.
///
/// # Errors
/// [`Broken`]: of the role that ended first.
pub async fn run<S: Store + Outbox + Access, M: Mint, C: Clock, B: Bus>(
    mut driver: Driver<S, M, C>,
    bus: B,
    settings: Settings,
    mut signals: Signals,
) -> Result<Stopped, Broken> {
    let (alerts, raised) = Alerts::new();
    driver.alerts = alerts;
    driver.tuning.observe_only = settings.observe_only;
    let parts: Vec<Part> = settings.roles.iter().map(|role| role.part()).collect();
    let serve = Serve {
        pool: Pool::new(driver, settings.places),
        bus: Arc::new(bus),
        readiness: Readiness::new(&[&[Part::Store, Part::Bus], parts.as_slice()].concat()),
        settings,
    };
    serve.prepare().await?;
    // They go on while the roles end: passes still publish nothing, but may still raise alerts.
    let beside = CancellationToken::new();
    let _ends_with_this = beside.clone().drop_guard();
    tokio::spawn(probe::watch(serve.clone(), beside.clone()));
    let driver = serve.pool.driver.clone();
    let every = serve.settings.survey_every;
    tokio::spawn(survey::watch(driver, every, beside.clone()));
    tokio::spawn(probe::alerts(serve.bus.clone(), raised, beside));
    let mut roles = serve.start();
    serve.announce();
    let broken = tokio::select! {
        () = signals.next() => None,
        broken = roles.broken() => Some(broken),
    };
    let stopped = tokio::select! {
        stopped = serve.stop(&mut roles) => stopped,
        () = signals.next() => {
            warn!("asked a second time: ends at once");
            Stopped::Early
        }
    };
    match broken {
        Some(broken) => {
            error!(code = %broken.code, "{broken}");
            Err(broken)
        }
        None => Ok(stopped),
    }
}

impl<S: Store + Outbox + Access, M: Mint, C: Clock, B: Bus> Serve<S, M, C, B> {
    /// The streams that these roles use are there and are what they must be.
    async fn prepare(&self) -> Result<(), Broken> {
        for role in &self.settings.roles {
            let prepared = self.bus.prepare(role.streams()).await;
            prepared.map_err(|error| Broken::of_bus(*role, &error))?;
        }
        Ok(())
    }

    fn start(&self) -> Roles {
        let mut roles = Roles::default();
        for role in self.settings.roles.iter().copied() {
            let serve = self.clone();
            let (playing, stop) = match role {
                Role::Relay => (&mut roles.last, roles.stop_last.clone()),
                Role::Api | Role::Intake | Role::Recovery => {
                    (&mut roles.first, roles.stop_first.clone())
                }
            };
            playing.spawn(async move {
                let result = serve.play(role, stop).await;
                (role, result)
            });
        }
        roles
    }

    /// Plays one role until it is stopped.
    async fn play(&self, role: Role, stop: CancellationToken) -> Result<(), Broken> {
        match role {
            Role::Api => self.api(stop).await,
            Role::Intake => self.intake(stop).await,
            Role::Relay => self.relay(stop).await,
            Role::Recovery => self.recovery(stop).await,
        }
    }

    async fn api(&self, stop: CancellationToken) -> Result<(), Broken> {
        let broken = |code: Code, why: String| Broken {
            role: Some(Role::Api),
            code,
            why,
        };
        let options = self.settings.api.clone();
        let address = options.listen;
        let readiness = self.readiness.clone();
        let missing = Arc::new(move || {
            let conditions = readiness.conditions().into_iter();
            let missing = conditions.filter(|condition| !condition.ready);
            missing
                .map(|c| format!("{}: {}", c.part.as_str(), c.why))
                .collect()
        });
        let authenticated = options.public_url.is_some();
        let unit = &self.settings.unit;
        let api = Api::new(self.pool.clone(), options, unit, missing, stop);
        let api = api.map_err(|invalid| broken(invalid.code, invalid.message))?;
        let taken = |why: std::io::Error| {
            let why = format!("{address} cannot be listened on: {why}");
            broken(Code::ConfigInvalid, why)
        };
        let listener = TcpListener::bind(address).await.map_err(taken)?;
        let address = listener.local_addr().unwrap_or(address);
        if authenticated {
            info!(%address, "the API listens");
        } else {
            warn!(%address, "the API listens to this machine, WITHOUT authentication");
        }
        self.readiness.well(Part::Api);
        let served = api.serve(listener).await;
        served.map_err(|why| broken(Code::ConfigInvalid, why.to_string()))
    }

    async fn intake(&self, stop: CancellationToken) -> Result<(), Broken> {
        if self.settings.observe_only {
            // A refusal would be the producer's to mend. They wait for a process that may act.
            info!("takes no commands while it only looks: they stay in the queue");
            self.readiness.well(Part::Intake);
            stop.cancelled().await;
            return Ok(());
        }
        let intake = Intake {
            pool: self.pool.clone(),
            bus: self.bus.clone(),
            producers: self.settings.producers.clone(),
            unit: self.settings.unit.clone(),
            readiness: self.readiness.clone(),
        };
        let ended = intake.run(stop).await;
        ended.map_err(|error| Broken::of_bus(Role::Intake, &error))
    }

    /// What is where, once, for whoever reads the log.
    fn announce(&self) {
        let roles: Vec<_> = self.settings.roles.iter().map(|r| r.as_str()).collect();
        info!(
            version = env!("CARGO_PKG_VERSION"),
            owner = %self.pool.driver.owner,
            roles = roles.join(","),
            places = self.settings.places,
            observe_only = self.settings.observe_only,
            producers = self.settings.producers.count(),
            lease_ttl_ms = self.pool.driver.tuning.lease_ttl.as_millis(),
            "meltd serves"
        );
    }

    /// Resolves when nothing waits to be published.
    async fn published(&self) {
        let outbox = &self.pool.driver.store;
        while !matches!(outbox.outbox(None, 1).await, Ok(rows) if rows.is_empty()) {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The roles take nothing more on; what is under way may end until the deadline.
    async fn stop(&self, roles: &mut Roles) -> Stopped {
        let within = self.settings.stop_timeout;
        info!(within_s = within.as_secs(), "stopping");
        let deadline = Instant::now() + within;
        roles.stop_first.cancel();
        // A command in hand may still begin its drive; a wait between two passes ends at once.
        let first = timeout_at(deadline, all(&mut roles.first)).await.is_ok();
        let left = deadline.saturating_duration_since(Instant::now());
        let idle = self.pool.close(left).await;
        if !roles.last.is_empty() {
            // Whatever is left is published by another process, or after the next start.
            let until = deadline.min(Instant::now() + LAST_WORDS);
            let _ = timeout_at(until, self.published()).await;
        }
        roles.stop_last.cancel();
        let last = timeout_at(deadline, all(&mut roles.last)).await.is_ok();
        if first && idle && last {
            info!("stopped");
            Stopped::Clean
        } else {
            Stopped::Early
        }
    }
}

impl Broken {
    fn of_bus(role: Role, error: &BusError) -> Self {
        let code = match error {
            BusError::Away(_) => Code::BusUnreachable,
            BusError::Never(_) | BusError::Unusable(_) => Code::BusUnusable,
        };
        let why = error.to_string();
        let role = Some(role);
        Broken { role, code, why }
    }

    fn of_store(role: Role, error: StoreError) -> Self {
        let Refused {
            code, reason: why, ..
        } = Refused::from(error);
        let role = Some(role);
        Broken { role, code, why }
    }
}

async fn all(playing: &mut Playing) {
    while playing.join_next().await.is_some() {}
}

/// A role never ends by itself: without an error, that is one.
fn ended(done: Result<(Role, Result<(), Broken>), JoinError>) -> Broken {
    let broken = |role, why: String| Broken {
        role,
        code: Code::ServeBroken,
        why,
    };
    match done {
        Ok((_, Err(why))) => why,
        Ok((role, Ok(()))) => broken(Some(role), "ended by itself".to_owned()),
        Err(why) => broken(None, why.to_string()),
    }
}
