//! Paid at the mint while the store is away: said at once, remembered in this process, and written
//! into the log beside the settlement when the store is back.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::error;

use super::{Alert, DriveError, Driver, Run};
use crate::metrics::metrics;
use crate::ports::{Clock, Mint, Store, StoreError};
use crate::saga::code::Code;
use crate::saga::event::{CriticalRaised, CriticalResolved, Event};
use crate::saga::evolve::evolve;
use crate::saga::ids::SagaId;

impl<S, M, C> Driver<S, M, C> {
    /// True if this process knows that the mint has paid, and the store has not taken it yet.
    pub fn is_unrecorded(&self, saga: &SagaId) -> bool {
        self.unrecorded.sagas().contains(saga)
    }
}

impl<S: Store, M: Mint, C: Clock> Driver<S, M, C> {
    /// A payment that the store has not taken: said each time in the log, once to the alerts'
    /// listener, and remembered for the settlement.
    pub(super) fn raise_unrecorded(&self, run: &Run, source: &StoreError) {
        if !self.unrecorded.raise(&run.tail.saga, source) {
            return;
        }
        metrics().criticals.get_or_create(&CODE.into()).inc();
        self.alerts.raise(Alert {
            saga: Some(run.tail.saga.clone()),
            wallet: Some(run.saga.adoption.wallet.clone()),
            code: CODE,
            at: self.clock.now(),
        });
    }
}

const CODE: Code = Code::CriticalDbFailureAfterMintSuccess;

/// Sagas whose payment this process knows of and the log may not. A process that dies meanwhile
/// takes the note with it, never the payment: recovery finds that at the mint.
#[derive(Debug, Default)]
pub(crate) struct Unrecorded(Mutex<HashSet<SagaId>>);

impl Unrecorded {
    fn sagas(&self) -> MutexGuard<'_, HashSet<SagaId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says it in the log each time, and remembers to write it down. True the first time.
    fn raise(&self, saga_id: &SagaId, source: &StoreError) -> bool {
        error!(%saga_id, code = %CODE, %source, "{}", CODE.advice());
        self.sagas().insert(saga_id.clone())
    }

    /// It is written down, or it turned out that the settlement was.
    pub(super) fn forget(&self, saga: &SagaId) {
        self.sagas().remove(saga);
    }

    /// Adds the CRITICAL and its end to a settlement that is about to become durable.
    pub(super) fn note(&self, run: &mut Run) -> Result<(), DriveError> {
        if !self.sagas().contains(&run.tail.saga) || run.noted {
            return Ok(());
        }
        let raised = Event::CriticalRaised(CriticalRaised {
            code: CODE,
            reason: "the mint had paid and the store did not answer".to_owned(),
            requires_manual_intervention: false,
        });
        let resolved = Event::CriticalResolved(CriticalResolved {
            code: CODE,
            how: "the store is back, and the settlement is in the log".to_owned(),
        });
        for event in [raised, resolved] {
            let entry = event.into();
            run.saga = evolve(run.saga.clone(), &entry)?;
            run.buffer.push(entry);
        }
        run.noted = true;
        Ok(())
    }
}
