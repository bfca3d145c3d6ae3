//! The durability barrier: what a pass has decided becomes one append.

use std::time::Duration;

use tracing::debug;

use super::{DriveError, Driver, Run, counted, reply};
use crate::failpoint;
use crate::metrics::metrics;
use crate::ports::{Append, Clock, HeadAfter, Mint, Store, StoreError};
use crate::saga::chain::{self, Tail};
use crate::saga::command::Kind;
use crate::saga::event::{Entry, Event};
use crate::saga::evolve::evolve;
use crate::saga::proofs::project_proofs;

impl<S: Store, M: Mint, C: Clock> Driver<S, M, C> {
    /// Makes everything decided so far durable, in one transaction.
    pub(super) async fn flush(&self, run: &mut Run) -> Result<(), FlushError> {
        let Some(last) = run.buffer.last() else {
            return Ok(());
        };
        let name = last.event.name();
        failpoint::hit(&format!("append.before.{name}"));
        let paid = run
            .buffer
            .iter()
            .any(|e| matches!(e.event, Event::MeltPaid(_)));
        if paid {
            self.unrecorded.note(run)?;
        }
        let began = tokio::time::Instant::now();
        let mut pause = Duration::from_millis(50);
        loop {
            let (append, tail) = self.append_of(run)?;
            match self.offer(run, append, paid).await {
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
                    self.raise_unrecorded(run, &source);
                    self.unrecorded.note(run)?;
                    if began.elapsed() >= self.tuning.critical_retry {
                        return Err(DriveError::Store { paid, source }.into());
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
                Err(StoreError::Reload) => {
                    // Another worker, or the first try of this very append, has written it.
                    self.unrecorded.forget(&run.tail.saga);
                    return Err(DriveError::Lost.into());
                }
                Err(source) => return Err(DriveError::Store { paid, source }.into()),
            }
        }
        failpoint::hit(&format!("append.after.{name}"));
        if paid {
            self.unrecorded.forget(&run.tail.saga);
        }
        metrics().appends.observe(began.elapsed().as_secs_f64());
        counted::appended(&run.durable, &run.saga, &run.buffer);
        run.buffer.clear();
        run.tries = 0;
        run.doubt = None;
        run.durable = run.saga.clone();
        self.claims.release(&run.tail.saga);
        Ok(())
    }

    /// Offers an append to the store. A settlement that is not taken soon is CRITICAL while it is
    /// still on its way: a store may take long to find out that it is away.
    async fn offer(&self, run: &Run, append: Append, paid: bool) -> Result<(), StoreError> {
        let offered = self.store.append(append);
        tokio::pin!(offered);
        if paid {
            tokio::select! {
                taken = &mut offered => return taken,
                () = tokio::time::sleep(self.tuning.critical_after) => {
                    let late = StoreError::Unavailable("no answer yet".to_owned());
                    self.raise_unrecorded(run, &late);
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
}

/// Why nothing became durable.
pub(super) enum FlushError {
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
