//! What melt, mint and receive have in common: an adopted saga is followed to its answer.

use std::time::Duration;

use super::Act;
use super::exit::{Exit, Failure, unfinished_advice};
use super::progress::Waiting;
use crate::driver::{DriveError, fold, is_answer};
use crate::intake::{Refused, Submitted};
use crate::ports::{Clock, Lease, Mint, Store};
use crate::saga::code::Code;
use crate::saga::ids::SagaId;
use crate::saga::state::{Ended, Saga, State, Status};

/// A saga as far as it was followed.
pub(super) struct Followed {
    /// Where it stands in the log.
    pub(super) saga: Saga,
    /// What it waits for, if it has not ended.
    pub(super) waits: Option<String>,
    /// A person or the system asked this process to end.
    pub(super) stopped: bool,
}

/// Drives an adopted saga until it has an answer, the time is over, or somebody stops it.
pub(super) async fn follow<S: Store, M: Mint, C: Clock>(
    act: &Act<S, M, C>,
    submitted: Submitted,
    patience: Duration,
) -> Result<Followed, Failure> {
    let id = submitted.saga;
    if submitted.lease.is_none() {
        act.out.progress(&format!("known already: saga {id}"));
        let known = stored(&*act.driver.store, &id).await?;
        if is_answer(&known.saga) {
            return Ok(known);
        }
    } else {
        act.out.progress(&format!("saga {id}"));
    }
    go_on(act, &id, submitted.lease, patience).await
}

/// The same for a saga that was announced already.
pub(super) async fn go_on<S: Store, M: Mint, C: Clock>(
    act: &Act<S, M, C>,
    id: &SagaId,
    lease: Option<Lease>,
    patience: Duration,
) -> Result<Followed, Failure> {
    let waiting = Waiting::new(act.out);
    let driven = act
        .driver
        .drive_watched(id, lease, patience, |why| waiting.says(why));
    match waiting.on(driven).await {
        Some(Ok(Some(pass))) => Ok(Followed {
            saga: pass.saga,
            waits: pass.later.map(|(_, why)| why),
            stopped: false,
        }),
        Some(Ok(None) | Err(DriveError::Lost)) => {
            let known = stored(&*act.driver.store, id).await?;
            let waits = known
                .waits
                .or_else(|| Some("another worker drives it".to_owned()));
            let waits = waits.filter(|_| !is_answer(&known.saga));
            Ok(Followed { waits, ..known })
        }
        Some(Err(error)) => Err(Failure::of_drive(&error, id)),
        None => {
            let_go(act, id).await;
            let known = stored(&*act.driver.store, id).await?;
            let waits = (!is_answer(&known.saga)).then(|| "stopped by a signal".to_owned());
            let stopped = true;
            Ok(Followed {
                waits,
                stopped,
                ..known
            })
        }
    }
}

/// Gives back what this process still holds, because it was stopped.
pub(super) async fn let_go<S: Store, M: Mint, C: Clock>(act: &Act<S, M, C>, id: &SagaId) {
    if let Err(why) = act.driver.let_go(id).await {
        // It ends by itself, a little later.
        tracing::warn!(saga_id = %id, %why, "the lease could not be given back");
    }
}

/// A saga as the store has it.
pub(super) async fn stored<S: Store>(store: &S, id: &SagaId) -> Result<Followed, Failure> {
    let loaded = store.load(id).await;
    let loaded = loaded.map_err(|source| {
        let paid = false;
        Failure::of_drive(&DriveError::Store { paid, source }, id)
    })?;
    let missing = || Failure::of_drive(&DriveError::Missing(id.clone()), id);
    let loaded = loaded.ok_or_else(missing)?;
    let (saga, _) = fold(&loaded).map_err(|error| Failure::of_drive(&error, id))?;
    let waits = loaded.head.last_error.filter(|_| !is_answer(&saga));
    let stopped = false;
    Ok(Followed {
        saga,
        waits,
        stopped,
    })
}

impl Followed {
    /// Why the saga is not what was asked for: how it ended, or that it has not ended.
    pub(super) fn failure(&self) -> Option<Failure> {
        let id = &self.saga.adoption.id;
        if let Some(Ended { code, reason }) = &self.saga.ended {
            let refused = Refused::new(*code, reason);
            let mut failure = Failure::from(refused).about(id);
            if self.saga.state == State::Released {
                // Coins were reserved, and came back: more than a refusal.
                failure.exit = Exit::Failed;
            }
            return Some(failure);
        }
        if let Some(parked) = &self.saga.parked {
            let message = format!(
                "parked for a person: {}. {}",
                parked.evidence.trim_end_matches('.'),
                parked.code.advice()
            );
            let failure = Failure::new(parked.code, message).about(id);
            let exit = Exit::Critical;
            return Some(Failure { exit, ..failure });
        }
        if self.saga.state == State::WrittenOff {
            let code = Code::WrittenOff;
            return Some(Failure::new(code, code.advice()).about(id));
        }
        if is_answer(&self.saga) {
            return None;
        }
        let waits = self.waits.as_deref().unwrap_or("its outcome is not known");
        let (code, why) = waiting_code(waits);
        let failure = Failure::new(code, format!("{why}. {}", unfinished_advice(id))).about(id);
        let exit = Exit::Unfinished;
        Some(Failure { exit, ..failure })
    }

    /// The status word for answers.
    pub(super) fn status(&self) -> Status {
        self.saga.status()
    }
}

/// The code that the sentence of a wait begins with, if it does.
fn waiting_code(waits: &str) -> (Code, &str) {
    let coded = waits.split_once(": ").and_then(|(word, rest)| {
        let code = Code::ALL.iter().find(|code| code.as_str() == word)?;
        Some((*code, rest))
    });
    coded.unwrap_or((Code::NotFinished, waits))
}
