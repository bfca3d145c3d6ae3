//! A melt's log as its answer: pure, so that a repeat of a request gets the same body.

use axum::Json;
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};

use super::answer::{Answer, Failure, MELT_FAILED, status_of};
use super::bodies::melt::{AtomicBody, MeltBody, MeltOpenBody, MeltPaidBody, PaymentResult};
use super::bodies::problem::Problem;
use crate::driver::{DriveError, read};
use crate::intake::Refused;
use crate::ports::Loaded;
use crate::saga::code::{Code, Severity};
use crate::saga::event::AtomicCommitted;
use crate::saga::ids::{SagaId, sum};
use crate::saga::state::{Saga, State};

/// The seeds' titles.
const BLOCKED: &str = "Proof state validation failed";
const CRITICAL: &str = "Critical melt operation failure";
const OPEN: &str = "Melt not finished";

/// The state of what may not exist.
pub(super) const UNKNOWN: &str = "unknown";

/// Where a melt is looked at.
pub(super) fn location(saga: &SagaId) -> String {
    format!("/api/melts/{saga}")
}

/// The melt's body, from its log alone.
///
/// # Errors
/// The log is damaged.
pub(super) fn melt(loaded: &Loaded) -> Result<MeltBody, DriveError> {
    let (saga, _, _) = read(loaded)?;
    Ok(match saga.state {
        State::Settled | State::Owing => match &saga.committed {
            Some(committed) => MeltBody::Paid(Box::new(paid(&saga, committed, loaded))),
            None => open(&saga, waiting(&saga, loaded)),
        },
        State::Rejected | State::Blocked | State::Released => {
            MeltBody::Failed(Box::new(failed(&saga)))
        }
        _ => open(&saga, waiting(&saga, loaded)),
    })
}

/// The body of a melt whose log cannot be read now, or not at all.
pub(super) fn unknown(saga: &SagaId, is_damaged: bool) -> MeltBody {
    let code = match is_damaged {
        true => Code::CriticalMeltFailure,
        false => Code::NotFinished,
    };
    let message = code.advice().to_owned();
    MeltBody::Open(Box::new(MeltOpenBody {
        problem: open_problem(saga, None, code, message, is_damaged),
        payment_result: PaymentResult::Pending,
        state: State::Adopted.as_str().to_owned(),
        location: location(saga),
    }))
}

/// The body of a melt that the mint has paid and the store has not taken yet, which only this
/// process knows; its quote, if what there is of its log can be read.
pub(super) fn unrecorded(id: &SagaId, loaded: Option<&Loaded>) -> MeltBody {
    let known = loaded.and_then(|loaded| read(loaded).ok());
    let quote = known.and_then(|(saga, _, _)| quote_id(&saga));
    let code = Code::CriticalDbFailureAfterMintSuccess;
    MeltBody::Open(Box::new(MeltOpenBody {
        problem: open_problem(id, quote, code, code.advice().to_owned(), false),
        payment_result: PaymentResult::Paid,
        state: State::Paid.as_str().to_owned(),
        location: location(id),
    }))
}

/// The body of a melt of which the store did not say whether it took it: no refusal, because then
/// it is driven.
///
/// # Errors
/// Every other failure, as it is.
pub(super) fn doubtful(failure: Failure) -> Answer<MeltBody> {
    let Some(saga) = failure.in_doubt() else {
        return Err(failure);
    };
    Ok(MeltBody::Open(Box::new(MeltOpenBody {
        problem: Problem {
            error: OPEN.to_owned(),
            requires_manual_intervention: Some(false),
            support_id: Some(saga.to_string()),
            ..*failure.problem
        },
        payment_result: PaymentResult::Pending,
        state: UNKNOWN.to_owned(),
        location: location(&saga),
    })))
}

fn paid(saga: &Saga, committed: &AtomicCommitted, loaded: &Loaded) -> MeltPaidBody {
    let id = saga.adoption.id.to_string();
    let result = &committed.atomic_result;
    let change = sum(saga.change.iter().map(|c| c.amount)).unwrap_or(0);
    let took = settled_at(loaded).map_or(0, |at| {
        (at - loaded.head.created_at)
            .num_milliseconds()
            .max(0)
            .unsigned_abs()
    });
    MeltPaidBody {
        success: true,
        payment_result: PaymentResult::Paid,
        paid_amount: committed.amount,
        fees_paid: saga.fee_paid,
        change_amount: change.saturating_add(result.keep_amount),
        quote_id: quote_id(saga),
        atomic_result: AtomicBody {
            success: true,
            transaction_id: id.clone(),
            source_tokens_spent: result.source_proofs_spent,
            keep_token_id: result.keep_token_id.clone(),
            keep_amount: result.keep_amount,
            melt_change_token_id: result.melt_change_token_id.clone(),
            melt_change_amount: result.melt_change_amount,
            operations: result.operations.clone(),
        },
        operation_duration: took,
        state: saga.state.as_str().to_owned(),
        change_owed: saga.change_owed,
        input_fees: saga.swap_fees.saturating_add(committed.input_fee),
        proven: saga.paid.as_ref().is_some_and(|p| p.proven),
        preimage: saga.paid.as_ref().and_then(|p| p.preimage.clone()),
        violations: committed.violations.clone(),
        transaction_id: id,
    }
}

/// When the settlement was recorded.
pub(super) fn settled_at(loaded: &Loaded) -> Option<DateTime<Utc>> {
    #[derive(serde::Deserialize)]
    struct At {
        at: DateTime<Utc>,
    }
    let committed = |name: &str| name == "AtomicCommitted";
    let record = loaded.records.iter().find(|r| committed(&r.name))?;
    let at: At = serde_json::from_str(&record.body).ok()?;
    Some(at.at)
}

fn quote_id(saga: &Saga) -> Option<String> {
    saga.quote.as_ref().and_then(|quote| quote.id.clone())
}

fn failed(saga: &Saga) -> Problem {
    let id = &saga.adoption.id;
    let ended = saga.ended.as_ref();
    let code = ended.map_or(Code::PaymentFailed, |e| e.code);
    let seen = ended.map_or("", |e| e.reason.as_str());
    let blocked = matches!(
        code,
        Code::ProofStateInconsistency
            | Code::HighSeverityDiscrepancies
            | Code::MeltBlockedByReconciliation
    );
    let title = if blocked { BLOCKED } else { MELT_FAILED };
    let mut problem = Problem::new(title, code, Refused::new(code, seen).reason);
    problem.transaction_id = Some(id.to_string());
    problem.quote_id = quote_id(saga);
    problem.operation_blocked = blocked.then_some(true);
    problem.support_id = Some(id.to_string());
    problem.recommendation = Some(format!(
        "{} Send a new melt with a new command id; this one has ended for good.",
        code.advice()
    ));
    problem
}

fn open(saga: &Saga, problem: Problem) -> MeltBody {
    let payment_result = match saga.state {
        State::Paid | State::Owing | State::Settled => PaymentResult::Paid,
        _ => PaymentResult::Pending,
    };
    MeltBody::Open(Box::new(MeltOpenBody {
        problem,
        payment_result,
        state: saga.state.as_str().to_owned(),
        location: location(&saga.adoption.id),
    }))
}

/// Why there is no answer yet.
fn waiting(saga: &Saga, loaded: &Loaded) -> Problem {
    let id = &saga.adoption.id;
    let quote = quote_id(saga);
    if let Some(parked) = &saga.parked {
        let critical = parked.code.severity() == Severity::Critical;
        let message = Refused::new(parked.code, &parked.evidence).reason;
        return open_problem(id, quote, parked.code, message, critical);
    }
    match saga.state {
        State::WrittenOff => {
            let code = Code::WrittenOff;
            open_problem(id, quote, code, code.advice().to_owned(), true)
        }
        State::Paid => {
            let code = Code::CriticalDbFailureAfterMintSuccess;
            open_problem(id, quote, code, code.advice().to_owned(), false)
        }
        _ => {
            let seen = loaded.head.last_error.as_deref().unwrap_or_default();
            let message = Refused::new(Code::NotFinished, seen).reason;
            open_problem(id, quote, Code::NotFinished, message, false)
        }
    }
}

/// The seeds' CRITICAL body; the same fields with the code's own severity where it only waits.
fn open_problem(
    id: &SagaId,
    quote: Option<String>,
    code: Code,
    message: String,
    manual: bool,
) -> Problem {
    let critical = code.severity() == Severity::Critical;
    let mut problem = Problem::new(if critical { CRITICAL } else { OPEN }, code, message);
    problem.requires_manual_intervention = Some(manual);
    problem.quote_id = quote;
    problem.transaction_id = Some(id.to_string());
    problem.support_id = Some(id.to_string());
    problem.recommendation = Some("Do not pay again. Look at the location given.".to_owned());
    problem
}

impl MeltBody {
    /// Names whom to ask in critical answers.
    pub(super) fn with_contact(mut self, contact: Option<&str>) -> Self {
        let problem = match &mut self {
            MeltBody::Paid(_) => return self,
            MeltBody::Open(open) => &mut open.problem,
            MeltBody::Failed(problem) => problem,
        };
        if problem.severity == Severity::Critical {
            problem.support_contact = contact.map(str::to_owned);
        }
        self
    }

    /// The status that a `POST` answers with. One that is, or may be, paid is 200 or 202. One that
    /// has failed for good is never a 5xx, because sending it again would change nothing.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            MeltBody::Paid(_) => StatusCode::OK,
            MeltBody::Open(_) => StatusCode::ACCEPTED,
            MeltBody::Failed(problem) => match status_of(problem.code) {
                status if status.is_server_error() => StatusCode::UNPROCESSABLE_ENTITY,
                status => status,
            },
        }
    }

    /// The answer to a `POST`.
    pub(super) fn into_answer(self) -> Response {
        let status = self.status();
        let location = match &self {
            MeltBody::Open(open) => HeaderValue::try_from(open.location.as_str()).ok(),
            MeltBody::Paid(_) | MeltBody::Failed(_) => None,
        };
        let mut response = (status, Json(self)).into_response();
        if let Some(location) = location {
            response.headers_mut().insert(LOCATION, location);
        }
        response
    }
}
