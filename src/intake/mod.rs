//! From a request to an adopted saga: validation, then the head insert that is also the inbox.
//! A refusal here leaves nothing behind. An adopted command survives any crash.
//!
//! A command that is known gets its answer whatever has changed since: an invoice that expired, a
//! limit that was lowered. So every refusal looks first whether the command is a repeat.
//!
//! | file | holds |
//! |---|---|
//! | `mod.rs` | who asks, what a refusal is, adoption |
//! | `melt.rs`, `fund.rs` | what is asked for: a melt; a funding, a token |
//! | `limits.rs` | how much value one melt, and one wallet's open melts, may move |
//! | `window.rs` | the name of a command that came without one |

mod fund;
pub mod limits;
mod melt;
mod window;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::driver::Driver;
use crate::failpoint;
use crate::npub;
use crate::ports::{Adopted, Clock, Lease, Mint, NewSaga, Store, StoreError, Wallet};
use crate::saga::chain::Hash;
use crate::saga::code::Code;
use crate::saga::command::{Command, Kind};
use crate::saga::ids::{Producer, SagaId};

pub use limits::{Caps, Scope};
pub use melt::MeltRequest;

/// Whose wallet: the mint is the first configured one if none is named.
#[derive(Clone, Debug)]
pub struct Target {
    /// The owner, `npub1…`.
    pub npub: String,
    /// One of the configured mints.
    pub mint_url: Option<String>,
    /// The unit.
    pub unit: String,
}

/// Who asks, and under which names.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Scope of the two names below.
    pub producer: Producer,
    /// The caller's id of this command; without one, one is made.
    pub command_id: Option<String>,
    /// When the command was given, if equal commands without an id are to be one command for five
    /// minutes; `None` = each is a new one.
    pub window: Option<DateTime<Utc>>,
    /// The debt that this pays: a second invoice for it is refused while the first is live.
    pub intent_key: Option<String>,
    /// How long new attempts may be started.
    pub timeout: Duration,
    /// The subject that its answer goes to, if somebody waits for it on the bus.
    pub reply_to: Option<String>,
    /// Whose wallets this caller may act on, and how much it may move.
    pub scope: Scope,
}

impl Origin {
    /// A caller without names for its command, and without limits of its own.
    pub fn new(producer: Producer, timeout: Duration) -> Self {
        Origin {
            producer,
            command_id: None,
            window: None,
            intent_key: None,
            timeout,
            reply_to: None,
            scope: Scope::default(),
        }
    }
}

/// Why a request was refused, or could not be adopted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {reason}")]
pub struct Refused {
    /// The machine-readable reason.
    pub code: Code,
    /// A sentence that says what is wrong and what to do.
    pub reason: String,
    /// With [`Code::AdoptionUnknown`]: the saga, if the command was taken after all.
    pub saga: Option<SagaId>,
}

impl Refused {
    /// A refusal whose sentence is what was seen, then the code's advice.
    pub fn new(code: Code, seen: impl AsRef<str>) -> Self {
        let seen = seen.as_ref().trim_end_matches('.');
        let reason = if seen.is_empty() {
            code.advice().to_owned()
        } else {
            format!("{seen}. {}", code.advice())
        };
        Refused {
            code,
            reason,
            saga: None,
        }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refuse(code) => Refused::new(code, ""),
            StoreError::Unusable(why) => match coded(&why) {
                // The store has named the reason and said what to do already.
                Some((code, why)) => {
                    let (reason, saga) = (why.to_owned(), None);
                    Refused { code, reason, saga }
                }
                None => Refused::new(Code::StoreUnusable, why),
            },
            StoreError::Unavailable(why) => Refused::new(Code::StoreUnreachable, why),
            other
            @ (StoreError::Reload | StoreError::ChooseAgain(_) | StoreError::YConflict(_)) => {
                Refused::new(Code::StoreUnreachable, other.to_string())
            }
        }
    }
}

/// A head whose insert got no answer may be there, and recovery would drive it: that is no refusal.
fn doubtful(error: StoreError, id: &SagaId) -> Refused {
    match error {
        StoreError::Unavailable(why) => {
            let seen = format!("if the command was taken, it is saga {id}: {why}");
            Refused {
                saga: Some(id.clone()),
                ..Refused::new(Code::AdoptionUnknown, seen)
            }
        }
        other => other.into(),
    }
}

/// The code that a store's sentence begins with, and the rest of it.
fn coded(why: &str) -> Option<(Code, &str)> {
    let (word, rest) = why.split_once(": ")?;
    let code = Code::ALL.iter().find(|code| code.as_str() == word)?;
    Some((*code, rest))
}

/// An adopted command: the lease is ours if the saga is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The saga.
    pub saga: SagaId,
    /// The command's id: the caller's, or the one that was made for it.
    pub command_id: String,
    /// The right to drive it at once; `None` for a repeat of a known command.
    pub lease: Option<Lease>,
}

impl Submitted {
    /// What a command repeats.
    fn known(saga: SagaId, command_id: String) -> Self {
        let lease = None;
        Submitted {
            saga,
            command_id,
            lease,
        }
    }
}

/// A command that passed validation.
struct Valid {
    id: SagaId,
    wallet: Wallet,
    command: Command,
    /// The parameters that make it what it is: same id and other parameters is a conflict.
    digest: Value,
}

impl<S: Store, M: Mint, C: Clock> Driver<S, M, C> {
    /// The wallet of a target, created on first sight.
    ///
    /// # Errors
    /// [`Refused`] for an npub, mint or store that cannot be used.
    pub async fn wallet(&self, target: &Target) -> Result<Wallet, Refused> {
        let npub = npub::check(&target.npub).map_err(|why| Refused::new(Code::InvalidNpub, why))?;
        let mint_url = self.canonical(target.mint_url.as_deref())?;
        if target.unit != "sat" {
            let seen = format!("the unit {} is not served here, only sat", target.unit);
            return Err(Refused::new(Code::UnitUnknown, seen));
        }
        Ok(self.store.wallet(&npub, &mint_url, &target.unit).await?)
    }

    fn canonical(&self, mint_url: Option<&str>) -> Result<String, Refused> {
        self.mint.canonical(mint_url).ok_or_else(|| {
            let seen = match mint_url {
                Some(url) => format!("the mint {url} is not configured"),
                None => "no mint is configured".to_owned(),
            };
            Refused::new(Code::MintUnknown, seen)
        })
    }

    /// The head insert; a repeat gets the saga that it repeats.
    async fn adopt(&self, origin: &Origin, valid: Valid) -> Result<Submitted, Refused> {
        let (new, earlier) = self.head(origin, valid);
        let (id, command_id) = (new.id.clone(), new.command_id.clone());
        if let Some(earlier) = earlier
            && let Some(known) = self.within_the_window(earlier, origin).await?
        {
            return Ok(known);
        }
        if let Err(refused) = self.acceptable(&new, &origin.scope).await {
            let known = self.store.known(&new).await?;
            let known = known.ok_or(refused)?;
            return Ok(Submitted::known(known.new.id, command_id));
        }
        let adopted = self
            .store
            .adopt(new, &self.owner, self.tuning.lease_ttl)
            .await
            .map_err(|error| doubtful(error, &id))?;
        failpoint::hit("adopt.after");
        Ok(match adopted {
            Adopted::New(lease) => Submitted {
                saga: id,
                command_id,
                lease: Some(lease),
            },
            Adopted::Existing(head) => Submitted::known(head.new.id, command_id),
        })
    }

    /// The head, and the one that an equal command would have had in the window before.
    fn head(&self, origin: &Origin, valid: Valid) -> (NewSaga, Option<NewSaga>) {
        let request_hash = Hash::of(valid.digest.to_string().as_bytes()).to_hex();
        let (command_id, earlier) = match (&origin.command_id, origin.window) {
            (Some(given), _) => (given.clone(), None),
            (None, Some(at)) => window::names(&request_hash, at),
            (None, None) => (valid.id.to_string(), None),
        };
        let new = NewSaga {
            id: valid.id,
            wallet: valid.wallet,
            producer: origin.producer.clone(),
            command_id,
            intent_key: origin.intent_key.clone(),
            request_hash,
            command: valid.command,
            reply_to: origin.reply_to.clone(),
        };
        let earlier = earlier.map(|command_id| NewSaga {
            command_id,
            ..new.clone()
        });
        (new, earlier)
    }

    /// The saga of an equal command that was given less than a window ago.
    async fn within_the_window(
        &self,
        earlier: NewSaga,
        origin: &Origin,
    ) -> Result<Option<Submitted>, Refused> {
        let Some(head) = self.store.known(&earlier).await? else {
            return Ok(None);
        };
        let at = origin.window.unwrap_or_else(|| self.clock.now());
        let is_repeat =
            head.new.command_id != earlier.command_id || window::covers(head.created_at, at);
        Ok(is_repeat.then(|| Submitted::known(head.new.id, head.new.command_id)))
    }

    /// What can be wrong with a command that is new.
    async fn acceptable(&self, new: &NewSaga, scope: &Scope) -> Result<(), Refused> {
        scope.covers(&new.wallet)?;
        // To look at a wallet's coins begins nothing.
        if new.command.kind() != Kind::Reconcile {
            self.admits(&new.wallet.mint_url).await?;
        }
        if self.is_known_behind(&new.wallet)
            && let Err(trouble) = self.check_counters(&new.wallet).await?
        {
            let (code, why) = trouble.explain();
            return Err(Refused::new(code, why));
        }
        let Command::Melt(melt) = &new.command else {
            return Ok(());
        };
        if melt.invoice_expires_at <= self.clock.now() {
            let at = melt.invoice_expires_at.format("%F %T UTC");
            return Err(Refused::new(
                Code::InvoiceExpired,
                format!("it expired at {at}"),
            ));
        }
        let caps = self.tuning.caps.and(&scope.caps);
        limits::check(&*self.store, &new.wallet, melt.amount(), &caps).await
    }
}

impl<S: Store, M: Mint, C: Clock> Driver<S, M, C> {
    /// Refuses what would begin something new where nothing new may be begun.
    async fn admits(&self, mint_url: &str) -> Result<(), Refused> {
        if self.tuning.observe_only {
            return Err(Refused::new(Code::ObserveOnly, ""));
        }
        if self.breaker.is_paused(&*self.store, mint_url).await? {
            let seen = format!("an operator has paused the mint {mint_url}");
            return Err(Refused::new(Code::MintPaused, seen));
        }
        if self.breaker.is_open(mint_url) {
            let seen = format!("the mint {mint_url} has not answered for a while");
            return Err(Refused::new(Code::MintPaused, seen));
        }
        Ok(())
    }
}

fn time_delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::days(365))
}

fn new_id() -> SagaId {
    SagaId::new(uuid::Uuid::now_v7().to_string())
}
