//! The roles that a process can have. Several processes may have the same ones.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Broken, Serve};
use crate::metrics::metrics;
use crate::ports::{Access, Bus, Clock, Mint, Outbox, Store, StoreError, Stream};
use crate::readiness::Part;
use crate::reconcile;
use crate::recovery::plan::Rules;
use crate::recovery::{self, Scan};
use crate::relay::{Phase, Relay, RelayError};
use crate::stream::checkpoint::Checkpoints;

/// Between two looks at how the relay is doing.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long the reconciliation of a wallet may go on after the process was asked to stop.
const LOOK_GRACE: Duration = Duration::from_secs(2);

/// One of the things that a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Serves the HTTP API.
    Api,
    /// Takes commands from the queue.
    Intake,
    /// Publishes events and replies.
    Relay,
    /// Finishes what was left unfinished.
    Recovery,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 4] = [Role::Api, Role::Intake, Role::Relay, Role::Recovery];

    /// The word on the command line and in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Api => "api",
            Role::Intake => "intake",
            Role::Relay => "relay",
            Role::Recovery => "recovery",
        }
    }

    /// The streams that it uses.
    pub fn streams(self) -> &'static [Stream] {
        match self {
            Role::Intake => &[Stream::Commands, Stream::Replies, Stream::DeadLetters],
            Role::Relay => &[Stream::Events, Stream::Replies, Stream::Heads],
            Role::Api | Role::Recovery => &[],
        }
    }

    /// What speaks for it in the readiness.
    pub fn part(self) -> Part {
        match self {
            Role::Api => Part::Api,
            Role::Intake => Part::Intake,
            Role::Relay => Part::Relay,
            Role::Recovery => Part::Recovery,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Role::ALL.into_iter().find(|role| role.as_str() == text);
        known.ok_or_else(|| {
            let all: Vec<_> = Role::ALL.iter().map(|role| role.as_str()).collect();
            format!("the roles are {}", all.join(", "))
        })
    }
}

impl<S: Store + Outbox + Access, M: Mint, C: Clock, B: Bus> Serve<S, M, C, B> {
    /// Publishes the outbox, or stands by while another process does.
    pub(super) async fn relay(&self, stop: CancellationToken) -> Result<(), Broken> {
        let driver = &self.pool.driver;
        let tuning = self.settings.relay;
        let relay = Relay::new(
            driver.store.clone(),
            self.bus.clone(),
            &driver.owner,
            tuning,
        );
        let phase = relay.phase();
        let says = async {
            loop {
                match &*phase.borrow() {
                    Phase::Standby | Phase::Leading => self.readiness.well(Part::Relay),
                    Phase::Troubled(why) | Phase::Failed(why) => {
                        self.readiness.trouble(Part::Relay, why.clone());
                    }
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let ended = tokio::select! {
            ended = relay.run(stop.cancelled_owned()) => ended,
            () = says => Ok(()),
            () = self.heads(|| *phase.borrow() == Phase::Leading) => Ok(()),
        };
        ended.map_err(|error| match error {
            RelayError::Bus(error) => Broken::of_bus(Role::Relay, &error),
            RelayError::Store(error) => Broken::of_store(Role::Relay, error),
        })
    }

    /// Signs the heads now and then; the one relay that publishes does it.
    async fn heads(&self, is_leader: impl Fn() -> bool) {
        let Some((notary, every)) = self.settings.heads.clone() else {
            return std::future::pending().await;
        };
        let driver = &self.pool.driver;
        let (store, bus) = (driver.store.clone(), self.bus.clone());
        let checkpoints = Checkpoints::new(store, bus, driver.clock.clone(), notary);
        checkpoints.run(every, is_leader).await;
    }

    /// Drives what is due, and holds wallets against their mints, again and again.
    pub(super) async fn recovery(&self, stop: CancellationToken) -> Result<(), Broken> {
        let rounds = self.settings.rounds;
        let looks = reconcile::run(&self.pool.driver, rounds, stop.clone());
        let (driven, ()) = tokio::join!(self.drive_due(stop.clone()), async {
            tokio::select! {
                () = looks => {}
                // A look at a large wallet must not keep the process.
                () = async {
                    stop.cancelled().await;
                    tokio::time::sleep(LOOK_GRACE).await;
                } => {}
            }
        });
        driven
    }

    async fn drive_due(&self, stop: CancellationToken) -> Result<(), Broken> {
        let rules = Rules::within(self.settings.places);
        let told = |scan: &Result<Scan, StoreError>| match scan {
            Ok(_) => {
                metrics().recovery_passes.inc();
                let now = self.pool.driver.clock.now().timestamp();
                metrics().recovery_last.set(now);
                self.readiness.well(Part::Recovery);
            }
            Err(why) => self.readiness.trouble(Part::Recovery, why.to_string()),
        };
        let ended = recovery::run(&self.pool.driver, rules, stop, told).await;
        ended.map_err(|error| Broken::of_store(Role::Recovery, error))
    }
}
