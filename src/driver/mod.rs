//! The one loop: load → fold → next step → do it → decide → append. A first run and a recovery are
//! the same call. There is no resume code.
//!
//! Harmless events are collected and appended before the next irreversible step (ARCHITECTURE.md,
//! "Durability barriers"), so that the happy path of a melt is two transactions.

mod alert;
mod counted;
mod critical;
mod gate;
mod log;
mod outcome;
mod patience;
mod reply;
mod tuning;

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, error, info, warn};

use crate::failpoint;
use crate::metrics::{StepLabel, metrics};
use crate::perform::{Claims, Probes, Round};
use crate::ports::{Append, Clock, HeadAfter, Lease, Mint, NewSaga, Store, StoreError};
use crate::saga::chain::{self, Tail};
use crate::saga::code::Code;
use crate::saga::command::Kind;
use crate::saga::decide::{Ctx, Decision, Then, decide};
use crate::saga::event::{Entry, Event, Refusal};
use crate::saga::evolve::evolve;
use crate::saga::proofs::project_proofs;
use crate::saga::state::{Saga, State, Status};
use crate::saga::step::{Seen, Step, Trouble, next_step};

use critical::Unrecorded;

pub use alert::{Alert, Alerts};
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
    /// How many passes at once.
    pub gate: Gate,
    /// Who is told when the store cannot take what the mint has done.
    pub alerts: Alerts,
    pub(crate) claims: Arc<Claims>,
    pub(crate) probes: Arc<Probes>,
    unrecorded: Arc<Unrecorded>,
}

impl<S, M, C> Clone for Driver<S, M, C> {
    fn clone(&self) -> Self {
        Driver {
            store: self.store.clone(),
            mint: self.mint.clone(),
            clock: self.clock.clone(),
            tuning: self.tuning,
            owner: self.owner.clone(),
            gate: self.gate.clone(),
            alerts: self.alerts.clone(),
            claims: self.claims.clone(),
            probes: self.probes.clone(),
            unrecorded: self.unrecorded.clone(),
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
    fresh: bool,
    refused: Option<Refusal>,
    round: u32,
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
            gate: Gate::default(),
            alerts: Alerts::default(),
            claims: Arc::default(),
            probes: Arc::default(),
            unrecorded: Arc::default(),
        }
    }

    /// Takes the saga as far as it goes now, under a lease of ours, and gives the lease back.
    ///
    /// # Errors
    /// [`DriveError`]; whatever it says, nothing durable is lost and a later pass goes on.
    pub async fn drive(&self, lease: &Lease) -> Result<Pass, DriveError> {
        let result = self.pass_while_renewing(lease).await;
        self.claims.release(&lease.saga);
        let later = match &result {
            Ok(pass) => pass.later.clone(),
            Err(DriveError::Missing(_)) => return result,
            // If the lease is another's by now, the store leaves it alone.
            // Nothing was tried when the gate is closed: it is due at once, for the next process.
            Err(DriveError::Lost | DriveError::Closed) => None,
            Err(error) => Some((self.tuning.backoff_first, error.to_string())),
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
    async fn pass_while_renewing(&self, lease: &Lease) -> Result<Pass, DriveError> {
        let pass = async {
            let _place = self.gate.enter().await.ok_or(DriveError::Closed)?;
            self.pass(lease).await
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

    async fn pass(&self, lease: &Lease) -> Result<Pass, DriveError> {
        let loaded = self.store.load(&lease.saga).await?;
        let loaded = loaded.ok_or_else(|| DriveError::Missing(lease.saga.clone()))?;
        if loaded.head.fence != lease.fence {
            return Err(DriveError::Lost);
        }
        let (saga, tail) = fold(&loaded)?;
        let mut run = Run {
            new: loaded.head.new,
            durable: saga.clone(),
            saga,
            tail,
            buffer: Vec::new(),
            fence: lease.fence,
            tries: loaded.head.attempts,
            fresh: false,
            refused: None,
            round: 0,
        };
        let mut step = next_step(&run.saga, false);
        loop {
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
                Then::Later(why) => {
                    self.flush(&mut run).await?;
                    return Ok(self.waits(run, why));
                }
            }
        }
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
        run.fresh = false;
        run.refused = refusal_of(&seen).or(run.refused.take());
        let ctx = Ctx {
            now: self.clock.now(),
            tries: run.tries,
            refused: run.refused.clone(),
            limits: self.tuning.limits,
        };
        let Decision { entries, then } = decide(&run.saga, step, seen, &ctx);
        debug!(%saga_id, seq, step = step.name(), events = entries.len(), ?then, "step");
        for entry in entries {
            run.saga = evolve(run.saga.clone(), &entry)?;
            // Looks of the state before do not count for the state that comes of it.
            run.tries = 0;
            run.fresh = entry.event.is_intent();
            if run.fresh {
                run.refused = None;
            }
            run.buffer.push(entry);
        }
        Ok(then)
    }

    /// Makes everything decided so far durable, in one transaction.
    async fn flush(&self, run: &mut Run) -> Result<(), FlushError> {
        let Some(last) = run.buffer.last() else {
            return Ok(());
        };
        let name = last.event.name();
        failpoint::hit(&format!("append.before.{name}"));
        let paid = run
            .buffer
            .iter()
            .any(|e| matches!(e.event, Event::MeltPaid(_)));
        let began = tokio::time::Instant::now();
        let mut pause = Duration::from_millis(50);
        let mut alerted = false;
        loop {
            let (append, tail) = self.append_of(run)?;
            match self.offer(run, append, paid.then_some(&mut alerted)).await {
                Ok(()) => {
                    run.tail = tail;
                    break;
                }
                Err(StoreError::ChooseAgain(ys)) if self.choose_again(run) => {
                    let saga_id = &run.tail.saga;
                    debug!(%saga_id, coins = ys.len(), "coins were taken meanwhile");
                    return Err(FlushError::ChooseAgain);
                }
                // The mint has paid and the store is away: said at once, and offered again.
                Err(source @ StoreError::Unavailable(_)) if paid => {
                    self.raise_critical(run, &source, std::mem::replace(&mut alerted, true));
                    if began.elapsed() >= self.tuning.critical_retry {
                        return Err(DriveError::Store { paid, source }.into());
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
                Err(StoreError::Reload) => {
                    // The log says more than this pass knows, or its next pass finds out again.
                    self.unrecorded.forget(&run.tail.saga);
                    return Err(DriveError::Lost.into());
                }
                Err(source) => return Err(DriveError::Store { paid, source }.into()),
            }
        }
        failpoint::hit(&format!("append.after.{name}"));
        metrics().appends.observe(began.elapsed().as_secs_f64());
        self.unrecorded.forget(&run.tail.saga);
        counted::appended(&run.durable, &run.saga, &run.buffer);
        run.buffer.clear();
        run.tries = 0;
        run.durable = run.saga.clone();
        self.claims.release(&run.tail.saga);
        Ok(())
    }

    /// Offers an append to the store. A settlement that is not taken soon is CRITICAL while it is
    /// still on its way: a store may take long to find out that it is away.
    async fn offer(
        &self,
        run: &Run,
        append: Append,
        paid: Option<&mut bool>,
    ) -> Result<(), StoreError> {
        let offered = self.store.append(append);
        tokio::pin!(offered);
        if let Some(alerted) = paid {
            tokio::select! {
                taken = &mut offered => return taken,
                () = tokio::time::sleep(self.tuning.critical_after) => {
                    let late = StoreError::Unavailable("no answer yet".to_owned());
                    self.raise_critical(run, &late, std::mem::replace(alerted, true));
                }
            }
        }
        offered.await
    }

    fn append_of(&self, run: &Run) -> Result<(Append, Tail), FlushError> {
        let mut tail = run.tail.clone();
        let at = self.clock.now();
        let records: Result<Vec<_>, _> = run
            .buffer
            .iter()
            .map(|entry| {
                let salt = uuid::Uuid::new_v4().simple().to_string();
                chain::seal(&mut tail, entry, at, &salt)
            })
            .collect();
        let records = records.map_err(|e| DriveError::Damaged(e.to_string()))?;
        let saga = &run.saga;
        let append = Append {
            saga: saga.adoption.id.clone(),
            wallet: saga.adoption.wallet.clone(),
            expected_version: run.tail.seq,
            fence: run.fence,
            proofs: project_proofs(&saga.adoption.id, &run.buffer),
            head: HeadAfter {
                head_hash: tail.hash.to_hex(),
                state: saga.state.as_str().to_owned(),
                status: saga.status(),
                holds_claims: saga.holds_claims(),
                erase_sealed: saga.state.is_terminal(),
            },
            records,
            reply: reply(&run.new, &run.durable, saga),
        };
        Ok((append, tail))
    }

    /// The chosen coins were taken: everything before the choice is kept, the choice is dropped.
    /// False if the conflict is not about a choice.
    fn choose_again(&self, run: &mut Run) -> bool {
        let choices = |e: &Entry| match e.event {
            Event::PreflightPassed(_) => true,
            Event::ProofCorrected(_) | Event::Restored(_) => run.saga.kind() == Kind::Reconcile,
            _ => false,
        };
        let Some(at) = run.buffer.iter().position(choices) else {
            return false;
        };
        run.buffer.truncate(at);
        let refolded = run.buffer.iter().try_fold(run.durable.clone(), evolve);
        let Ok(saga) = refolded else { return false };
        run.saga = saga;
        run.round = run.round.saturating_add(1);
        run.fresh = false;
        self.claims.release(&run.tail.saga);
        true
    }

    /// Said each time in the log, and to the alerts' listener once.
    fn raise_critical(&self, run: &Run, source: &StoreError, again: bool) {
        let code = Code::CriticalDbFailureAfterMintSuccess;
        self.unrecorded.raise(&run.tail.saga);
        error!(saga_id = %run.tail.saga, %code, %source, "{}", code.advice());
        if !again {
            metrics().criticals.get_or_create(&code.into()).inc();
            self.alerts.raise(Alert {
                saga: Some(run.tail.saga.clone()),
                wallet: Some(run.saga.adoption.wallet.clone()),
                code,
                at: self.clock.now(),
            });
        }
    }

    fn ended(&self, run: Run) -> Pass {
        let saga = run.saga;
        let (saga_id, state) = (&saga.adoption.id, saga.state.as_str());
        info!(%saga_id, state, seq = saga.seq, "pass ended");
        // A parked saga with nothing at the mint waits for a person, and is looked at rarely.
        let later = (saga.status() == Status::Parked)
            .then(|| (self.tuning.backoff_max, "parked".to_owned()));
        Pass { saga, later }
    }

    fn waits(&self, run: Run, why: String) -> Pass {
        let delay = self.delay(&run);
        info!(saga_id = %run.saga.adoption.id, state = run.saga.state.as_str(), why, "later");
        Pass {
            saga: run.saga,
            later: Some((delay, why)),
        }
    }

    /// Doubles from pass to pass up to the cap, spread by the saga's id so that many sagas that
    /// wait for one mint do not all ask at once.
    fn delay(&self, run: &Run) -> Duration {
        let doubled = self
            .tuning
            .backoff_first
            .saturating_mul(1 << run.tries.min(12));
        let capped = doubled.min(self.tuning.backoff_max);
        let id = run.saga.adoption.id.as_str().as_bytes();
        let spread = id.iter().fold(run.tries, |h, b| {
            h.wrapping_mul(31).wrapping_add((*b).into())
        });
        capped.mul_f64(0.75 + f64::from(spread % 512) / 1024.0)
    }
}

enum FlushError {
    ChooseAgain,
    Drive(DriveError),
}

impl From<DriveError> for FlushError {
    fn from(error: DriveError) -> Self {
        FlushError::Drive(error)
    }
}

impl From<FlushError> for DriveError {
    fn from(error: FlushError) -> Self {
        match error {
            // Only a choice that is followed by its intent can conflict; the next pass chooses.
            FlushError::ChooseAgain => DriveError::Lost,
            FlushError::Drive(error) => error,
        }
    }
}

fn refusal_of(seen: &Seen) -> Option<Refusal> {
    match seen {
        Seen::Swapped(Err(Trouble::Refused(r))) | Seen::Minted(Err(Trouble::Refused(r))) => {
            Some(r.clone())
        }
        _ => None,
    }
}

/// True when a caller may take the saga's present state for its answer.
pub fn is_answer(saga: &Saga) -> bool {
    saga.state.is_terminal() || saga.state == State::Owing
}
