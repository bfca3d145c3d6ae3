//! Paid at the mint while the store is away: remembered in this process, so that whoever asks here
//! is told so before the log can say it.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Driver;
use crate::saga::ids::SagaId;

impl<S, M, C> Driver<S, M, C> {
    /// True if this process knows that the mint has paid, and the store has not taken it yet.
    pub fn is_unrecorded(&self, saga: &SagaId) -> bool {
        self.unrecorded.sagas().contains(saga)
    }
}

/// Sagas whose payment this process knows of and the log may not. A process that dies meanwhile
/// takes the note with it, never the payment: recovery finds that at the mint.
#[derive(Debug, Default)]
pub(super) struct Unrecorded(Mutex<HashSet<SagaId>>);

impl Unrecorded {
    fn sagas(&self) -> MutexGuard<'_, HashSet<SagaId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The mint has paid, and the store did not take it.
    pub(super) fn raise(&self, saga: &SagaId) {
        self.sagas().insert(saga.clone());
    }

    /// It is written down, or it turned out that the settlement was.
    pub(super) fn forget(&self, saga: &SagaId) {
        self.sagas().remove(saga);
    }
}
