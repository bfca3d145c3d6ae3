//! From a command to its outcome. Adoption and drive run in a task of their own: a caller that
//! goes away leaves nothing half done.

use std::future::Future;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Api;
use super::answer::{Answer, Failure};
use super::places::Place;
use crate::driver::{fold, is_answer};
use crate::intake::Submitted;
use crate::ports::{Access, Clock, Loaded, Mint, Store};
use crate::saga::code::Code;
use crate::saga::ids::SagaId;

/// How long to wait, and how long to go on after the caller has stopped waiting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// The caller's.
    pub(super) wait: Duration,
    /// The drive's. Afterwards recovery looks after the saga.
    pub(super) drive: Duration,
}

/// Adopts a command, drives it, and waits for as long as the caller does.
///
/// # Errors
/// It was not adopted.
pub(super) async fn run<S: Store + Access, M: Mint, C: Clock>(
    api: &Api<S, M, C>,
    place: Place,
    patience: Patience,
    submit: impl Future<Output = Answer<Submitted>> + Send + 'static,
) -> Answer<SagaId> {
    let (tell, told) = oneshot::channel();
    let at_work = api.clone();
    let task = tokio::spawn(async move {
        let submitted = submit.await;
        let saga = submitted
            .as_ref()
            .map(|s| s.saga.clone())
            .map_err(Clone::clone);
        // Nobody may be there any more to be told.
        drop(tell.send(saga));
        if let Ok(submitted) = submitted {
            at_work.drive(submitted, patience.drive).await;
        }
        drop(place);
    });
    let saga = told.await.map_err(|_| Failure::of(Code::Internal))??;
    // However it ends, the log says what came of it.
    drop(tokio::time::timeout(patience.wait, task).await);
    Ok(saga)
}

impl<S: Store + Access, M: Mint, C: Clock> Api<S, M, C> {
    /// Drives what was adopted; a repeat that has its answer is left alone.
    async fn drive(&self, submitted: Submitted, patience: Duration) {
        let Submitted { saga, lease, .. } = submitted;
        if lease.is_none() && self.is_answered(&saga).await {
            return;
        }
        self.feed.wake();
        // The loop has logged why it could not go on; recovery does.
        drop(self.pool.drive(saga, lease, patience).await);
        self.feed.wake();
    }

    async fn is_answered(&self, saga: &SagaId) -> bool {
        let loaded = self.pool.driver.store.load(saga).await;
        let loaded = loaded.ok().flatten();
        let folded = loaded.and_then(|loaded| fold(&loaded).ok());
        folded.is_some_and(|(saga, _)| is_answer(&saga))
    }

    /// A saga's log.
    ///
    /// # Errors
    /// There is none, or the store cannot be read.
    pub(super) async fn load(&self, saga: &SagaId) -> Answer<Loaded> {
        let loaded = self.pool.driver.store.load(saga).await?;
        loaded.ok_or_else(|| Failure::of(Code::NotFound))
    }
}
