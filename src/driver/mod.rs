//! The one loop: load → fold → next step → do it → decide → append. A first run and a recovery are
//! the same call. There is no resume code.
//!
//! Harmless events are collected and appended before the next irreversible step (ARCHITECTURE.md,
//! "Durability barriers"), so that the happy path of a melt is two transactions.

mod alert;
mod counted;
mod critical;
mod desk;
mod flush;
mod gate;
mod log;
mod outcome;
mod patience;
mod reply;
mod tuning;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tracing::{debug, info, warn};

use crate::breaker::Breaker;
use crate::failpoint;
use crate::metrics::{StepLabel, metrics};
use crate::perform::{Claims, Probes, Round, is_heard};
use crate::ports::{Clock, Later, Lease, Mint, NewSaga, Store, StoreError};
use crate::saga::chain::Tail;
use crate::saga::decide::{Ctx, Decision, Doubt, Mode, Then, decide, hold};
use crate::saga::event::{Entry, Refusal};
use crate::saga::evolve::evolve;
use crate::saga::ids::SagaId;
use crate::saga::state::{Saga, State, Status};
use crate::saga::step::{Seen, Step, Trouble, has_coins_at_mint, next_step};

use critical::Unrecorded;
use flush::FlushError;

pub use alert::{Alert, Alerts};
pub use desk::{Desk, OrderError};
pub use gate::Gate;
pub use log::{fold, read};
pub use outcome::{DriveError, Pass};
pub use reply::reply;
pub use tuning::Tuning;

/// The loop with what it needs. Cheap to clone; one per process.
pub struct Driver<S, M, C> {
    /// The record.
    pub store: Arc<S>,
    /// The mints.
    pub mint: Arc<M>,
    /// The time.
    pub clock: Arc<C>,
    /// The numbers.
    pub tuning: Tuning,
    /// This process, named at random at its start: leases of an earlier life are not its own.
    pub owner: Arc<str>,
    /// Which mints may be given something new.
    pub breaker: Arc<Breaker>,
    /// How many passes at once.
    pub gate: Gate,
    /// Who is told when the store cannot take what the mint has done.
    pub alerts: Alerts,
    pub(crate) claims: Arc<Claims>,
    unrecorded: Arc<Unrecorded>,
    pub(crate) probes: Arc<Probes>,
}

impl<S, M, C> Clone for Driver<S, M, C> {
    fn clone(&self) -> Self {
        Driver {
            store: self.store.clone(),
            mint: self.mint.clone(),
            clock: self.clock.clone(),
            tuning: self.tuning,
            owner: self.owner.clone(),
            breaker: self.breaker.clone(),
            gate: self.gate.clone(),
            alerts: self.alerts.clone(),
            claims: self.claims.clone(),
            unrecorded: self.unrecorded.clone(),
            probes: self.probes.clone(),
        }
    }
}

/// A saga under way: what is durable, and what waits for the next barrier.
struct Run {
    new: NewSaga,
    durable: Saga,
    saga: Saga,
    tail: Tail,
    buffer: Vec<Entry>,
    fence: u64,
    tries: u32,
    doubt: Option<Doubt>,
    mode: Mode,
    fresh: bool,
    refused: Option<Refusal>,
    round: u32,
    noted: bool,
}

impl<S: Store, M: Mint, C: Clock> Driver<S, M, C> {
    /// A driver with default numbers.
    pub fn new(store: Arc<S>, mint: Arc<M>, clock: Arc<C>, owner: &str) -> Self {
        Driver {
            store,
            mint,
            clock,
            tuning: Tuning::default(),
            owner: Arc::from(owner),
            breaker: Arc::default(),
            gate: Gate::default(),
            alerts: Alerts::default(),
            claims: Arc::default(),
            unrecorded: Arc::default(),
            probes: Arc::default(),
        }
    }

    /// Takes the saga as far as it goes now, under a lease of ours, and gives the lease back.
    ///
    /// # Errors
    /// [`DriveError`]; whatever it says, nothing durable is lost and a later pass goes on.
    pub async fn drive(&self, lease: &Lease) -> Result<Pass, DriveError> {
        let tries = AtomicU32::new(0);
        let result = self.pass_while_renewing(lease, &tries).await;
        self.claims.release(&lease.saga);
        let later = match &result {
            Ok(Pass { later, doubt, .. }) => later.clone().map(|(wait, why)| {
                let doubt = *doubt;
                Later { wait, why, doubt }
            }),
            Err(DriveError::Missing(_)) => return result,
            // If the lease is another's by now, the store leaves it alone.
            // Nothing was tried when the gate is closed: it is due at once, for the next process.
            Err(DriveError::Lost | DriveError::Closed) => None,
            Err(error) => {
                let tries = tries.load(Ordering::Relaxed);
                let wait = self.backoff(&lease.saga, tries);
                Some(Later::from((wait, error.to_string())))
            }
        };
        if let Err(why) = self.store.release(lease, &self.owner, later).await {
            // The lease ends by itself; until then the saga waits.
            warn!(saga_id = %lease.saga, %why, "the lease could not be given back");
        }
        result
    }

    /// The pass, with the lease renewed beside it: a worker that lives keeps its saga, and one that
    /// is dead or frozen loses it within `lease_ttl`. It keeps it while it waits for a place, too.
    /// The pass never waits for a renewal: a store that is away must not keep it from saying so.
    async fn pass_while_renewing(
        &self,
        lease: &Lease,
        tries: &AtomicU32,
    ) -> Result<Pass, DriveError> {
        let pass = async {
            let _place = self.gate.enter().await.ok_or(DriveError::Closed)?;
            self.pass(lease, tries).await
        };
        let renewing = async {
            loop {
                tokio::time::sleep(self.tuning.lease_ttl / 3).await;
                let ttl = self.tuning.lease_ttl;
                if let Err(why) = self.store.renew(lease, &self.owner, ttl).await {
                    // Safety is the fence's: the pass finds out at its next append.
                    warn!(saga_id = %lease.saga, %why, "the lease was not renewed");
                }
            }
        };
        tokio::select! {
            result = pass => result,
            () = renewing => Err(DriveError::Lost),
        }
    }

    /// The saga as it is in the log, under a lease that is still ours.
    async fn begin(&self, lease: &Lease, tries: &AtomicU32) -> Result<Run, DriveError> {
        let loaded = self.store.load(&lease.saga).await?;
        let loaded = loaded.ok_or_else(|| DriveError::Missing(lease.saga.clone()))?;
        tries.store(loaded.head.attempts, Ordering::Relaxed);
        if loaded.head.fence != lease.fence {
            return Err(DriveError::Lost);
        }
        let (saga, tail) = fold(&loaded)?;
        Ok(Run {
            mode: self.mode(&saga).await?,
            new: loaded.head.new,
            durable: saga.clone(),
            saga,
            tail,
            buffer: Vec::new(),
            fence: lease.fence,
            tries: loaded.head.attempts,
            doubt: loaded.head.doubt,
            fresh: false,
            refused: None,
            round: 0,
            noted: false,
        })
    }

    /// What may be done for this saga now.
    async fn mode(&self, saga: &Saga) -> Result<Mode, StoreError> {
        let mint_url = saga.adoption.mint_url.as_str();
        if self.tuning.observe_only {
            return Ok(Mode::ObserveOnly);
        }
        if self.breaker.is_paused(&*self.store, mint_url).await? {
            return Ok(Mode::Paused);
        }
        // Only who wants to begin something new uses up the one probe.
        let is_open = match has_coins_at_mint(saga) {
            true => self.breaker.is_open(mint_url),
            false => !self.breaker.admits(mint_url),
        };
        Ok(if is_open { Mode::Paused } else { Mode::Normal })
    }

    async fn pass(&self, lease: &Lease, tries: &AtomicU32) -> Result<Pass, DriveError> {
        let mut run = self.begin(lease, tries).await?;
        let mut step = next_step(&run.saga, false);
        loop {
            if let Some(held) = hold(&run.saga, &step, &self.ctx(&run)) {
                match self.settle(&mut run, held)? {
                    Then::Next => step = next_step(&run.saga, run.fresh),
                    Then::Do(next) => step = next,
                    then => return self.put_off(run, then).await,
                }
                continue;
            }
            let stops = step == Step::Stop;
            if stops || step.is_irreversible() {
                match self.flush(&mut run).await {
                    Ok(()) if stops => return Ok(self.ended(run)),
                    Ok(()) => {}
                    Err(FlushError::ChooseAgain) => {
                        step = next_step(&run.saga, false);
                        continue;
                    }
                    Err(FlushError::Drive(error)) => return Err(error),
                }
                self.store
                    .renew(lease, &self.owner, self.tuning.lease_ttl)
                    .await?;
            }
            let decision = self.take(&mut run, &step).await?;
            match decision {
                Then::Next => step = next_step(&run.saga, run.fresh),
                Then::Do(next) => step = next,
                then => return self.put_off(run, then).await,
            }
        }
    }

    /// Ends the pass; a contradiction is counted.
    async fn put_off(&self, mut run: Run, then: Then) -> Result<Pass, DriveError> {
        let (why, doubt) = match then {
            Then::Doubt(code, why) => {
                let before = run.doubt.filter(|d| d.code == code).map_or(0, |d| d.passes);
                let passes = before.saturating_add(1);
                (why, Some(Doubt { code, passes }))
            }
            Then::Later(why) => (why, None),
            Then::Next | Then::Do(_) => (String::new(), None),
        };
        self.flush(&mut run).await?;
        Ok(self.waits(run, why, doubt))
    }

    /// Does one step and takes in what it brought.
    async fn take(&self, run: &mut Run, step: &Step) -> Result<Then, DriveError> {
        let (saga_id, seq) = (&run.saga.adoption.id, run.saga.seq);
        failpoint::hit(&format!("step.before.{}", step.name()));
        let round = Round {
            number: run.round,
            tries: run.tries,
        };
        let began = tokio::time::Instant::now();
        let seen = self.perform(&run.saga, step, &round).await;
        let label = StepLabel { step: step.name() };
        let times = metrics().steps.get_or_create(&label);
        times.observe(began.elapsed().as_secs_f64());
        let seen = seen.map_err(|source| DriveError::Store {
            paid: false,
            source,
        })?;
        failpoint::hit(&format!("step.after.{}", step.name()));
        if let Some(is_answer) = is_heard(&seen) {
            let mint_url = &run.saga.adoption.mint_url;
            self.breaker.heard(mint_url, is_answer);
        }
        run.fresh = false;
        run.refused = refusal_of(&seen).or(run.refused.take());
        let decision = decide(&run.saga, step, seen, &self.ctx(run));
        let (events, then) = (decision.entries.len(), &decision.then);
        debug!(%saga_id, seq, step = step.name(), events, ?then, "step");
        self.settle(run, decision)
    }

    fn ctx(&self, run: &Run) -> Ctx {
        Ctx {
            now: self.clock.now(),
            tries: run.tries,
            doubt: run.doubt,
            refused: run.refused.clone(),
            mode: run.mode,
            limits: self.tuning.limits,
        }
    }

    /// Takes a decision in: its events wait for the next barrier.
    fn settle(&self, run: &mut Run, decision: Decision) -> Result<Then, DriveError> {
        for entry in decision.entries {
            run.saga = evolve(run.saga.clone(), &entry)?;
            // Looks of the state before do not count for the state that comes of it.
            run.tries = 0;
            run.doubt = None;
            run.fresh = entry.event.is_intent();
            if run.fresh {
                run.refused = None;
            }
            run.buffer.push(entry);
        }
        Ok(decision.then)
    }

    fn ended(&self, run: Run) -> Pass {
        let saga = run.saga;
        let (saga_id, state) = (&saga.adoption.id, saga.state.as_str());
        info!(%saga_id, state, seq = saga.seq, "pass ended");
        // A parked saga with nothing at the mint waits for a person, and is looked at rarely.
        let later = (saga.status() == Status::Parked)
            .then(|| (self.tuning.backoff_max, "parked".to_owned()));
        let doubt = None;
        Pass { saga, later, doubt }
    }

    fn waits(&self, run: Run, why: String, doubt: Option<Doubt>) -> Pass {
        let delay = self.backoff(&run.saga.adoption.id, run.tries);
        info!(saga_id = %run.saga.adoption.id, state = run.saga.state.as_str(), why, "later");
        Pass {
            saga: run.saga,
            later: Some((delay, why)),
            doubt,
        }
    }

    /// Doubles from pass to pass up to the cap, spread by the saga's id so that many sagas that
    /// wait for one mint do not all ask at once.
    fn backoff(&self, saga: &SagaId, tries: u32) -> Duration {
        let doubled = self.tuning.backoff_first.saturating_mul(1 << tries.min(12));
        let capped = doubled.min(self.tuning.backoff_max);
        let id = saga.as_str().as_bytes();
        let spread = id
            .iter()
            .fold(tries, |h, b| h.wrapping_mul(31).wrapping_add((*b).into()));
        capped.mul_f64(0.75 + f64::from(spread % 512) / 1024.0)
    }
}

fn refusal_of(seen: &Seen) -> Option<Refusal> {
    match seen {
        Seen::Swapped(Err(Trouble::Refused(r)))
        | Seen::Minted(Err(Trouble::Refused(r)))
        | Seen::Melted(Err(Trouble::Refused(r))) => Some(r.clone()),
        _ => None,
    }
}

/// True when a caller may take the saga's present state for its answer.
pub fn is_answer(saga: &Saga) -> bool {
    saga.state.is_terminal() || saga.state == State::Owing
}
