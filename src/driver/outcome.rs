//! How a pass ends: with the saga as it is now, or with a reason why nothing is known of it.

use std::time::Duration;

use crate::ports::StoreError;
use crate::saga::decide::Doubt;
use crate::saga::evolve::IllegalTransition;
use crate::saga::ids::SagaId;
use crate::saga::state::Saga;

/// How a pass ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    /// The saga as it is in the log now.
    pub saga: Saga,
    /// `None`: there is nothing left to do. Otherwise the wait, and what is waited for.
    pub later: Option<(Duration, String)>,
    /// The contradiction that was seen, and in how many passes in a row.
    pub doubt: Option<Doubt>,
}

/// Why a pass ended without a word on the saga.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// Another worker has it: nothing to do here.
    #[error("another worker drives this saga")]
    Lost,
    /// This process is ending and begins no further pass: the saga is free for another one.
    #[error("this process is ending; another one, or the next start, goes on with the saga")]
    Closed,
    /// The store does not answer. If `paid`, the mint has said PAID and the log does not say so
    /// yet: the payment must not be made again; recovery completes it.
    #[error("the store does not take the saga's events: {source}")]
    Store {
        /// The mint has said PAID.
        paid: bool,
        /// Why.
        source: StoreError,
    },
    /// There is no such saga.
    #[error("there is no saga {0}")]
    Missing(SagaId),
    /// The log does not fold: it is damaged, or written by another program.
    #[error("the saga's log cannot be used: {0}")]
    Damaged(String),
}

impl From<StoreError> for DriveError {
    fn from(source: StoreError) -> Self {
        match source {
            StoreError::Reload => DriveError::Lost,
            source => DriveError::Store {
                paid: false,
                source,
            },
        }
    }
}

impl From<IllegalTransition> for DriveError {
    fn from(illegal: IllegalTransition) -> Self {
        DriveError::Damaged(illegal.to_string())
    }
}
