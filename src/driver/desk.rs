//! An operator's order: taken under the saga's lease, held against evidence that was asked for just
//! now, and appended like any other event. It moves no money by itself: the next pass does what
//! follows from it, by the same rules as always.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use super::{DriveError, Driver, FlushError};
use crate::intake::Refused;
use crate::perform::wallet_of;
use crate::ports::{Clock, Head, Lease, Loaded, Mint, Store, StoreError};
use crate::recovery::foresee;
use crate::saga::code::Code;
use crate::saga::decide::{Ctx, Decision, Order, Then, order};
use crate::saga::event::Resolution;
use crate::saga::ids::{SagaId, Seq};
use crate::saga::state::Saga;
use crate::saga::step::{Evidence, Inquiry};

/// Between two tries to get a saga that another worker drives; a pass takes milliseconds, or as
/// long as a post.
const AGAIN: Duration = Duration::from_millis(100);

/// An order with all that is recorded of it.
#[derive(Clone, Debug)]
pub struct Desk {
    /// What is to be done.
    pub order: Order,
    /// Who says so.
    pub by: String,
    /// Why.
    pub reason: String,
    /// The version that was looked at; at any other one the order is refused.
    pub expect_version: Option<Seq>,
    /// How long to wait for a worker that drives the saga.
    pub patience: Duration,
}

/// Why an order was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The saga or the evidence is against it; nothing was changed.
    #[error("{0}")]
    Refused(Refused),
    /// The store, or another worker.
    #[error("{0}")]
    Drive(#[from] DriveError),
}

impl<S: Store, M: Mint, C: Clock> Driver<S, M, C> {
    /// Records an order; the saga as it is after it.
    ///
    /// # Errors
    /// [`OrderError`]; [`DriveError::Lost`] if another worker did not let go of it in time.
    pub async fn order(&self, saga: &SagaId, desk: &Desk) -> Result<Saga, OrderError> {
        let end = tokio::time::Instant::now() + desk.patience;
        let lease = loop {
            let ttl = self.tuning.lease_ttl;
            let lease = self.store.lease(saga, &self.owner, ttl).await;
            match lease.map_err(DriveError::from)? {
                Some(lease) => break lease,
                None if self.is_missing(saga).await? => {
                    return Err(DriveError::Missing(saga.clone()).into());
                }
                None if tokio::time::Instant::now() >= end => return Err(DriveError::Lost.into()),
                None => tokio::time::sleep(AGAIN).await,
            }
        };
        let result = self.give(&lease, desk).await;
        if let Err(why) = self.store.release(&lease, &self.owner, None).await {
            tracing::warn!(saga_id = %saga, %why, "the lease could not be given back");
        }
        result
    }

    /// What the mint says about a saga now, and what recovery would make of it; `None` if there is
    /// nothing of it at the mint. Nothing is changed.
    ///
    /// # Errors
    /// Only if the store cannot be read.
    pub async fn foresee(
        &self,
        head: &Head,
        saga: &Saga,
    ) -> Result<Option<(Inquiry, Evidence, String)>, StoreError> {
        let Some((inquiry, evidence)) = self.look(saga).await else {
            return Ok(None);
        };
        let ctx = Ctx {
            now: self.clock.now(),
            tries: head.attempts,
            doubt: head.doubt,
            refused: None,
            mode: self.mode(saga).await?,
            limits: self.tuning.limits,
        };
        let would = foresee(saga, &inquiry, &evidence, &ctx);
        Ok(Some((inquiry, evidence, would)))
    }

    /// Gives back a lease that a pass of this process has left behind, because it was stopped: the
    /// next process need not wait until it is over. A lease of another is left alone.
    ///
    /// # Errors
    /// Only if the store cannot be reached; then the lease ends by itself.
    pub async fn let_go(&self, saga: &SagaId) -> Result<(), StoreError> {
        let Some(Loaded { head, .. }) = self.store.load(saga).await? else {
            return Ok(());
        };
        let lease = Lease {
            saga: saga.clone(),
            fence: head.fence,
        };
        self.store.release(&lease, &self.owner, None).await
    }

    async fn is_missing(&self, saga: &SagaId) -> Result<bool, DriveError> {
        Ok(self.store.load(saga).await?.is_none())
    }

    async fn give(&self, lease: &Lease, desk: &Desk) -> Result<Saga, OrderError> {
        let mut run = self.begin(lease, &AtomicU32::new(0)).await?;
        if desk.expect_version.is_some_and(|seen| seen != run.saga.seq) {
            let seen = format!("it is at version {}", run.saga.seq);
            return Err(OrderError::Refused(Refused::new(Code::VersionMoved, seen)));
        }
        let mut evidence = Evidence::default();
        let mut keysets = None;
        if let Order::Resolve(resolution) = &desk.order {
            // The mint's answers may take longer than the lease: it is renewed by the next pass,
            // and whoever takes it meanwhile makes the append below fail by version and fence.
            if let Some((_, told)) = self.look(&run.saga).await {
                evidence = told;
            }
            if *resolution == Resolution::WrittenOff {
                keysets = self.mint.keysets(&wallet_of(&run.saga)).await.ok();
            }
        }
        let who = (desk.by.as_str(), desk.reason.as_str());
        let entries = order(&run.saga, &desk.order, who, &evidence, keysets.as_deref());
        let entries =
            entries.map_err(|(code, why)| OrderError::Refused(Refused::new(code, why)))?;
        let then = Then::Next;
        self.settle(&mut run, Decision { entries, then })?;
        match self.flush(&mut run).await {
            Ok(()) => Ok(run.saga),
            Err(FlushError::ChooseAgain) => Err(DriveError::Lost.into()),
            Err(FlushError::Drive(error)) => Err(error.into()),
        }
    }
}
