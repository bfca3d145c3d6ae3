//! One time for a person: everything that is not done, each saga with its own patience.

use std::time::Duration;

use futures::StreamExt;
use tracing::warn;

use crate::driver::{DriveError, Driver};
use crate::ports::{Clock, Head, HeadFilter, Mint, Store, StoreError};
use crate::saga::ids::SagaId;
use crate::saga::state::Status;

/// Sagas driven at once by one recovery pass: enough to keep a mint busy, few enough to stay flat.
const CONCURRENCY: usize = 16;

/// Heads read at a time.
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

/// What became of one saga in a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It came to its end.
    Ended,
    /// It waits for this.
    Waits(String),
    /// Another worker has it.
    Busy,
    /// It could not be driven, for this reason.
    Failed(String),
}

impl Report {
    fn note(&mut self, saga: SagaId, fate: Fate) {
        match fate {
            Fate::Ended => self.ended.push(saga),
            Fate::Waits(why) => self.waiting.push((saga, why)),
            Fate::Busy => self.busy.push(saga),
            Fate::Failed(why) => self.failed.push((saga, why)),
        }
    }
}

impl<S: Store, M: Mint, C: Clock> Driver<S, M, C> {
    /// The heads of all sagas that are not done, oldest first.
    ///
    /// # Errors
    /// Only if the store cannot be scanned.
    pub async fn unfinished(&self) -> Result<Vec<Head>, StoreError> {
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

    /// Drives these sagas, each for at most so long, and tells what became of each as it happens.
    pub async fn recover_these(
        &self,
        sagas: Vec<(SagaId, Duration)>,
        told: impl Fn(&SagaId, &Fate),
    ) -> Report {
        let driven = futures::stream::iter(sagas).map(|(id, patience)| async move {
            let result = self.drive_until(&id, None, patience).await;
            (id, result)
        });
        let mut report = Report::default();
        let mut driven = driven.buffer_unordered(CONCURRENCY);
        while let Some((id, result)) = driven.next().await {
            let fate = match result {
                Ok(Some(pass)) => match pass.later {
                    Some((_, why)) => Fate::Waits(why),
                    None => Fate::Ended,
                },
                Ok(None) | Err(DriveError::Lost | DriveError::Closed) => Fate::Busy,
                Err(error) => {
                    warn!(saga_id = %id, %error, "recovery could not drive this saga");
                    Fate::Failed(error.to_string())
                }
            };
            told(&id, &fate);
            report.note(id, fate);
        }
        report
    }
}
