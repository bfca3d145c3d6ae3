//! Recovery: find what is due, lease it, and drive it with the same loop as a first run. It keeps
//! nothing between passes, and one saga's error stays with that saga.

use std::time::Duration;

use futures::StreamExt;
use tracing::warn;

use crate::driver::{DriveError, Driver, fold};
use crate::ports::{Clock, HeadFilter, Mint, Store, StoreError};
use crate::saga::ids::SagaId;
use crate::saga::state::{Saga, Status};
use crate::saga::step::{Step, next_step};

/// Sagas driven at once by one recovery pass: enough to keep a mint busy, few enough to stay flat.
const CONCURRENCY: usize = 16;

/// Sagas looked at in one scan; the next scan takes the rest.
const SCAN: u32 = 1000;

/// What a pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Driven to an end.
    pub ended: Vec<SagaId>,
    /// Driven, and still waiting for something: the saga and what for.
    pub waiting: Vec<(SagaId, String)>,
    /// Left to another worker.
    pub busy: Vec<SagaId>,
    /// Could not be driven: the saga and why.
    pub failed: Vec<(SagaId, String)>,
}

/// What recovery would do with one saga, and why.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Intention {
    /// The saga.
    pub saga: SagaId,
    /// Where it stands.
    pub state: String,
    /// The next step.
    pub step: String,
    /// What the last pass waited for, if it waited.
    pub why: Option<String>,
}

impl<S: Store, M: Mint, C: Clock> Driver<S, M, C> {
    /// Drives everything that is due now.
    ///
    /// # Errors
    /// Only if the store cannot be scanned.
    pub async fn recover_due(&self) -> Result<Report, StoreError> {
        let due = self.store.due(SCAN).await?;
        Ok(self.recover_these(due, Duration::ZERO).await)
    }

    /// Drives every unfinished saga, due or not, for at most `patience` each.
    ///
    /// # Errors
    /// Only if the store cannot be scanned.
    pub async fn recover_all(&self, patience: Duration) -> Result<Report, StoreError> {
        let unfinished = self.unfinished().await?;
        let ids = unfinished.into_iter().map(|head| head.new.id).collect();
        Ok(self.recover_these(ids, patience).await)
    }

    /// What [`Driver::recover_all`] would begin with, without doing it.
    ///
    /// # Errors
    /// Only if the store cannot be read.
    pub async fn recover_dry_run(&self) -> Result<Vec<Intention>, StoreError> {
        let mut intentions = Vec::new();
        for head in self.unfinished().await? {
            let Some(loaded) = self.store.load(&head.new.id).await? else {
                continue;
            };
            let step = match fold(&loaded) {
                Ok((saga, _)) => describe(&saga),
                Err(error) => format!("nothing: {error}"),
            };
            let (saga, state) = (head.new.id, head.state);
            intentions.push(Intention {
                saga,
                state,
                step,
                why: head.last_error,
            });
        }
        Ok(intentions)
    }

    async fn unfinished(&self) -> Result<Vec<crate::ports::Head>, StoreError> {
        let statuses = vec![Status::Active, Status::Owing, Status::Parked];
        let mut heads = Vec::new();
        let mut after = None;
        loop {
            let filter = HeadFilter {
                statuses: statuses.clone(),
                after,
                limit: SCAN,
                ..HeadFilter::default()
            };
            let page = self.store.heads(filter).await?;
            after = page.last().map(|head| head.new.id.clone());
            heads.extend(page);
            if after.is_none() {
                return Ok(heads);
            }
        }
    }

    async fn recover_these(&self, ids: Vec<SagaId>, patience: Duration) -> Report {
        let driven = futures::stream::iter(ids).map(|id| async move {
            let result = self.drive_until(&id, None, patience).await;
            (id, result)
        });
        let mut report = Report::default();
        let mut driven = driven.buffer_unordered(CONCURRENCY);
        while let Some((id, result)) = driven.next().await {
            match result {
                Ok(Some(pass)) => match pass.later {
                    Some((_, why)) => report.waiting.push((id, why)),
                    None => report.ended.push(id),
                },
                Ok(None) | Err(DriveError::Lost) => report.busy.push(id),
                Err(error) => {
                    warn!(saga_id = %id, %error, "recovery could not drive this saga");
                    report.failed.push((id, error.to_string()));
                }
            }
        }
        report
    }
}

fn describe(saga: &Saga) -> String {
    match next_step(saga, false) {
        Step::Inquire(inquiry) => format!(
            "ask the mint for {} input state(s){} and {} range(s)",
            inquiry.ys.len(),
            if inquiry.quote.is_some() {
                ", the quote"
            } else {
                ""
            },
            inquiry.outputs.len() + usize::from(inquiry.blanks.is_some()),
        ),
        step => step.name().to_owned(),
    }
}
