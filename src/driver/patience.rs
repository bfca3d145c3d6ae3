//! Passes in a row, for a caller who waits for the answer.

use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::{DriveError, Driver, Pass, is_answer};
use crate::ports::{Clock, Lease, Mint, Store, StoreError};
use crate::saga::ids::SagaId;
use crate::saga::state::Saga;

/// Between two looks at a saga that another worker holds.
const BUSY: Duration = Duration::from_millis(100);

impl<S: Store, M: Mint, C: Clock> Driver<S, M, C> {
    /// Drives until there is an answer, until a person has to decide, or until `patience` is over;
    /// between passes the saga is free for other workers. `None` = another worker has it.
    ///
    /// # Errors
    /// [`DriveError`], as of the last pass.
    pub async fn drive_until(
        &self,
        saga: &SagaId,
        lease: Option<Lease>,
        patience: Duration,
    ) -> Result<Option<Pass>, DriveError> {
        self.drive_watched(saga, lease, patience, |_| {}).await
    }

    /// [`Driver::drive_until`] that says what it waits for, each time that it begins to wait.
    ///
    /// # Errors
    /// [`DriveError`], as of the last pass. A store that is away is asked again while there is
    /// patience; that the mint has paid is not forgotten over it.
    pub async fn drive_watched(
        &self,
        saga: &SagaId,
        lease: Option<Lease>,
        patience: Duration,
        waits: impl Fn(&str),
    ) -> Result<Option<Pass>, DriveError> {
        let end = Instant::now() + patience;
        let mut lease = lease;
        let mut paid = false;
        loop {
            let result = self.once(saga, lease.take()).await;
            let left = end.saturating_duration_since(Instant::now());
            let wait = match result {
                Err(error) if left.is_zero() || !is_away(&error) => return Err(told(error, paid)),
                Err(error) => {
                    paid |= matches!(error, DriveError::Store { paid: true, .. });
                    warn!(saga_id = %saga, %error, "asked again: somebody waits for it");
                    waits("the store is away");
                    self.tuning.backoff_first
                }
                Ok(None) if left.is_zero() => return Ok(None),
                Ok(None) => {
                    waits("another worker holds it, or died with it");
                    BUSY
                }
                Ok(Some(pass)) => match &pass.later {
                    Some((wait, why)) if !left.is_zero() && !is_told(&pass.saga) => {
                        waits(why);
                        tokio::select! {
                            () = tokio::time::sleep((*wait).min(left)) => continue,
                            () = self.gate.closed() => return Ok(Some(pass)),
                        }
                    }
                    _ => return Ok(Some(pass)),
                },
            };
            tokio::select! {
                () = tokio::time::sleep(wait.min(left)) => {}
                () = self.gate.closed() => return Err(told(DriveError::Closed, paid)),
            }
        }
    }

    /// One pass; `None` = another worker has it.
    async fn once(&self, saga: &SagaId, held: Option<Lease>) -> Result<Option<Pass>, DriveError> {
        let lease = match held {
            Some(lease) => Some(lease),
            None => {
                let ttl = self.tuning.lease_ttl;
                self.store.lease(saga, &self.owner, ttl).await?
            }
        };
        match lease {
            Some(lease) => self.drive(&lease).await.map(Some),
            None => Ok(None),
        }
    }
}

/// True when waiting longer brings nothing: there is an answer, or a person has to decide, which
/// nobody waits for on the line.
fn is_told(saga: &Saga) -> bool {
    is_answer(saga) || saga.parked.is_some()
}

/// True while the store may come back by itself.
fn is_away(error: &DriveError) -> bool {
    let source = match error {
        DriveError::Store { source, .. } => source,
        _ => return false,
    };
    matches!(source, StoreError::Unavailable(_))
}

/// The last error, with what an earlier one knew.
fn told(error: DriveError, was_paid: bool) -> DriveError {
    match error {
        DriveError::Store { paid, source } => DriveError::Store {
            paid: paid || was_paid,
            source,
        },
        DriveError::Closed if was_paid => DriveError::Store {
            paid: true,
            source: StoreError::Unavailable("the process is ending".to_owned()),
        },
        error => error,
    }
}
