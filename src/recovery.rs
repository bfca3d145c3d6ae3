//! Recovery: find what is due, lease it, and drive it with the same loop as a first run. It keeps
//! nothing between passes, and one saga's error stays with that saga.

use std::time::Duration;

use futures::StreamExt;
use tracing::warn;

use crate::driver::{DriveError, Driver, fold};
use crate::ports::{Clock, Head, HeadFilter, Mint, Store, StoreError};
use crate::saga::ids::SagaId;
use crate::saga::state::{Saga, Status};
use crate::saga::step::{Inquiry, Step, next_step};

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
        let due = due.into_iter().map(|id| (id, Duration::ZERO)).collect();
        Ok(self.recover_these(due, |_, _| {}).await)
    }

    /// What driving [`Driver::unfinished`] would begin with, without doing it.
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

/// The next step in words.
pub fn describe(saga: &Saga) -> String {
    match next_step(saga, false) {
        Step::Inquire(inquiry) => ask(&inquiry),
        step => step.name().to_owned(),
    }
}

/// Everything that an inquiry asks for.
fn ask(inquiry: &Inquiry) -> String {
    let ranges = inquiry.outputs.len() + usize::from(inquiry.blanks.is_some());
    let count = |n: usize, what: &str| match n {
        0 => None,
        1 => Some(format!("1 {what}")),
        n => Some(format!("{n} {what}s")),
    };
    let asked = [
        count(inquiry.ys.len(), "input state"),
        inquiry.quote.as_ref().map(|_| "the quote".to_owned()),
        count(ranges, "counter range"),
    ];
    let asked: Vec<String> = asked.into_iter().flatten().collect();
    format!("ask the mint for {}", asked.join(", "))
}
