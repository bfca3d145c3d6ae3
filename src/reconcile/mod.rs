//! Reconciliation: a whole wallet held against its mint, coin by coin, with the seeds' five
//! discrepancies. What differs is corrected by a saga of its own, because every change of a coin
//! is an event; looking changes nothing.

mod job;
mod look;
mod settle;

pub use job::{Rounds, run};
pub use look::{Difference, Look, Scope};
pub use settle::Settled;

use crate::driver::{DriveError, Driver};
use crate::ports::{Clock, Mint, Store, StoreError, Wallet};
use crate::saga::code::Code;
use crate::saga::command::Cause;
use crate::saga::step::Trouble;

/// Why a wallet could not be looked at, or corrected, to the end. What was done until then stands.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// The store.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The mint did not answer, or refused.
    #[error("{0}: {1}")]
    Mint(Code, String),
    /// A saga that was to correct something could not be driven.
    #[error("{0}")]
    Drive(#[from] DriveError),
}

impl From<Trouble> for Stopped {
    fn from(trouble: Trouble) -> Self {
        let (code, why) = trouble.explain();
        Stopped::Mint(code, why)
    }
}

/// What a reconciliation found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// What was found.
    #[serde(flatten)]
    pub look: Look,
    /// What was done about it.
    #[serde(flatten)]
    pub settled: Settled,
}

impl<S: Store, M: Mint, C: Clock> Driver<S, M, C> {
    /// Looks at a wallet and corrects what differs, as far as that is certain: coins that are spent
    /// at the mint, and coins that the mint has signed for us and the store does not have. The
    /// rest is for a person. What is found and done is in `report` as it happens.
    ///
    /// # Errors
    /// [`Stopped`]; what was corrected until then stands.
    pub async fn reconcile(
        &self,
        wallet: &Wallet,
        scope: &Scope,
        report: &mut Report,
    ) -> Result<(), Stopped> {
        let Report { look, settled } = report;
        self.look_at(wallet, scope, look).await?;
        let (suspects, ranges) = (look.suspects(), look.ranges.clone());
        self.settle_differences(wallet, Cause::Reconcile, suspects, ranges, settled)
            .await
    }
}
