//! `meltd serve`: the roles of one process, started together and stopped together. A role that ends
//! with an error ends the process, so that a supervisor starts it again: it never lives on half
//! dead.
//!
//! | file | holds |
//! |---|---|
//! | `mod.rs` | start, stop |
//! | `roles.rs` | the roles |
//! | `probe.rs` | the parts that no role speaks for: store and bus; alerts |
//! | `signals.rs` | how a process is asked to end |

mod probe;
mod roles;
pub mod signals;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::driver::{Alerts, Driver};
use crate::pool::Pool;
use crate::ports::{Bus, BusError, Clock, Mint, Store};
use crate::queue::{Intake, Producers};
use crate::readiness::{Part, Readiness};
use crate::saga::code::Code;

pub use roles::Role;
use signals::Signals;

/// What a process is to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which roles.
    pub roles: Vec<Role>,
    /// At most so many passes at once.
    pub places: usize,
    /// Who may send commands; needed by [`Role::Intake`].
    pub producers: Arc<Producers>,
    /// The unit of the wallets.
    pub unit: Arc<str>,
    /// How long a stop waits for what is under way.
    pub stop_timeout: Duration,
}

/// Why a process that serves has ended before it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{role}: {why}")]
pub struct Broken {
    /// Which role.
    pub role: Role,
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

type Roles = JoinSet<(Role, Result<(), Broken>)>;

/// Runs the roles until somebody asks to stop, or one of them breaks.
///
/// # Errors
/// [`Broken`]: of the role that ended first.
pub async fn run<S: Store, M: Mint, C: Clock, B: Bus>(
    mut driver: Driver<S, M, C>,
    bus: B,
    settings: Settings,
    mut signals: Signals,
) -> Result<Stopped, Broken> {
    let (alerts, raised) = Alerts::new();
    driver.alerts = alerts;
    let parts: Vec<Part> = settings.roles.iter().map(|role| role.part()).collect();
    let serve = Serve {
        pool: Pool::new(driver, settings.places),
        bus: Arc::new(bus),
        readiness: Readiness::new(&[&[Part::Store, Part::Bus], parts.as_slice()].concat()),
        settings,
    };
    serve.prepare().await?;
    let stop = CancellationToken::new();
    // They go on while the roles end: passes still publish nothing, but may still raise alerts.
    let beside = CancellationToken::new();
    let _ends_with_this = beside.clone().drop_guard();
    tokio::spawn(probe::watch(serve.clone(), beside.clone()));
    tokio::spawn(probe::alerts(serve.bus.clone(), raised, beside));
    let mut roles = serve.start(&stop);
    serve.announce();
    let broken = tokio::select! {
        () = signals.next() => None,
        done = roles.join_next() => Some(ended(done)),
    };
    stop.cancel();
    let stopped = tokio::select! {
        stopped = serve.stop(&mut roles) => stopped,
        () = signals.next() => {
            warn!("asked a second time: ends at once");
            Stopped::Early
        }
    };
    match broken {
        Some(broken) => {
            error!(role = %broken.role, code = %broken.code, "{}", broken.why);
            Err(broken)
        }
        None => Ok(stopped),
    }
}

impl<S: Store, M: Mint, C: Clock, B: Bus> Serve<S, M, C, B> {
    /// The streams that these roles use are there and are what they must be.
    async fn prepare(&self) -> Result<(), Broken> {
        for role in &self.settings.roles {
            let prepared = self.bus.prepare(role.streams()).await;
            prepared.map_err(|error| Broken::of_bus(*role, &error))?;
        }
        Ok(())
    }

    fn start(&self, stop: &CancellationToken) -> Roles {
        let mut roles = Roles::new();
        for role in self.settings.roles.iter().copied() {
            let (serve, stop) = (self.clone(), stop.clone());
            roles.spawn(async move {
                let result = serve.play(role, stop).await;
                (role, result)
            });
        }
        roles
    }

    /// Plays one role until it is stopped.
    async fn play(&self, role: Role, stop: CancellationToken) -> Result<(), Broken> {
        match role {
            Role::Intake => self.intake(stop).await,
            Role::Recovery => self.recovery(stop).await,
        }
    }

    async fn intake(&self, stop: CancellationToken) -> Result<(), Broken> {
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
            producers = self.settings.producers.count(),
            lease_ttl_ms = self.pool.driver.tuning.lease_ttl.as_millis(),
            "meltd serves"
        );
    }

    /// The roles take nothing more on; what is under way may end until the deadline.
    async fn stop(&self, roles: &mut Roles) -> Stopped {
        let within = self.settings.stop_timeout;
        info!(within_s = within.as_secs(), "stopping");
        let deadline = Instant::now() + within;
        let in_hand = async { while roles.join_next().await.is_some() {} };
        // The roles first: a command in hand may still begin its drive.
        let ended = timeout_at(deadline, in_hand).await.is_ok();
        let left = deadline.saturating_duration_since(Instant::now());
        if self.pool.close(left).await && ended {
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
        Broken { role, code, why }
    }
}

/// A role never ends by itself: without an error, that is one.
fn ended(done: Option<Result<(Role, Result<(), Broken>), JoinError>>) -> Broken {
    let broken = |role, why: String| Broken {
        role,
        code: Code::ServeBroken,
        why,
    };
    match done {
        Some(Ok((_, Err(why)))) => why,
        Some(Ok((role, Ok(())))) => broken(role, "ended by itself".to_owned()),
        Some(Err(why)) => broken(Role::Recovery, why.to_string()),
        None => broken(Role::Recovery, "no role is left".to_owned()),
    }
}
