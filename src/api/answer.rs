//! From a reason to an HTTP answer. The one place that decides which status a code becomes.

use axum::http::header::{LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::bodies::problem::Problem;
use crate::intake::Refused;
use crate::ports::StoreError;
use crate::saga::code::{Code, Severity};
use crate::saga::ids::SagaId;

/// An error answer.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// Its status.
    pub(super) status: StatusCode,
    /// Its body; boxed, because it is the rare case.
    pub(super) problem: Box<Problem>,
    /// When to come back, in seconds.
    pub(super) retry_after_s: Option<u64>,
    /// Where to look instead.
    pub(super) location: Option<String>,
}

/// What a handler returns.
pub(super) type Answer<T> = Result<T, Failure>;

/// How long to stay away when something is busy or away.
const COME_BACK_S: u64 = 2;

impl Failure {
    /// A refusal: status and title follow from the code.
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        let status = status_of(code);
        let problem = Problem::new(title(status), code, message);
        let comes_back = matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        ) || code == Code::CoinsBusy;
        Failure {
            status,
            problem: Box::new(problem),
            retry_after_s: comes_back.then_some(COME_BACK_S),
            location: None,
        }
    }

    /// A refusal in the code's own words.
    pub(super) fn of(code: Code) -> Self {
        let mut failure = Failure::new(code, code.advice());
        failure.problem.recommendation = None;
        failure
    }

    /// The saga of a command of which the store did not say whether it took it.
    pub(super) fn in_doubt(&self) -> Option<SagaId> {
        let saga = self.problem.transaction_id.as_ref();
        let saga = saga.filter(|_| self.problem.code == Code::AdoptionUnknown);
        saga.map(|saga| SagaId::new(saga.clone()))
    }

    /// The same, titled as the seeds title a melt that was not made.
    pub(super) fn of_melt(refused: Refused) -> Self {
        let mut failure = Failure::from(refused);
        if failure.status != StatusCode::SERVICE_UNAVAILABLE {
            failure.problem.error = MELT_FAILED.to_owned();
        }
        failure
    }
}

/// The seeds' title of a melt that was not made.
pub(super) const MELT_FAILED: &str = "Failed to melt tokens";

/// The status of a refusal. It holds only where nothing was sent: a melt that is, or may be, paid
/// is answered by its own module, with 202.
pub(super) fn status_of(code: Code) -> StatusCode {
    match code {
        Code::AuthRequired | Code::AuthInvalid | Code::AuthReplayed => StatusCode::UNAUTHORIZED,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::NotFound | Code::RouteUnknown => StatusCode::NOT_FOUND,
        Code::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::RequestTooSlow => StatusCode::REQUEST_TIMEOUT,
        Code::RateLimited | Code::TooManyMelts => StatusCode::TOO_MANY_REQUESTS,
        Code::InvoiceInUse
        | Code::IntentInUse
        | Code::CommandIdReused
        | Code::CoinsBusy
        | Code::VersionMoved => StatusCode::CONFLICT,
        Code::StoreUnreachable
        | Code::StoreUnusable
        | Code::StoreNoReplicaSet
        | Code::NotReady
        | Code::MintUnreachable
        | Code::MintSlow
        | Code::MintRateLimited
        | Code::MintPaused
        | Code::ObserveOnly => StatusCode::SERVICE_UNAVAILABLE,
        // It may have been taken, and then it is driven: nothing that invites paying otherwise. The
        // routes give it the body of what is not decided, with the place to look at.
        Code::AdoptionUnknown => StatusCode::ACCEPTED,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Code::InsufficientBalance
        | Code::FeeOverLimit
        | Code::ExposureLimit
        | Code::AmountOverLimit
        | Code::UnresolvedOverLimit
        | Code::DayLimit
        | Code::PaymentFailed
        | Code::MintRefused
        | Code::MintNonsense
        | Code::QuoteMismatch
        | Code::ResolutionRefused
        | Code::QuoteExpired => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::BAD_REQUEST,
    }
}

fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "Not authenticated",
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::CONFLICT => "In use",
        StatusCode::TOO_MANY_REQUESTS => "Too many requests",
        StatusCode::SERVICE_UNAVAILABLE => "Not available",
        StatusCode::INTERNAL_SERVER_ERROR => "Internal error",
        StatusCode::UNPROCESSABLE_ENTITY => "Cannot be done",
        _ => "Bad request",
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let mut failure = Failure::new(refused.code, refused.reason);
        failure.problem.transaction_id = refused.saga.map(|saga| saga.to_string());
        if refused.code.severity() >= Severity::High {
            // What a store says of itself is for the operator, not for a caller.
            tracing::error!(code = %refused.code, why = failure.problem.message, "request failed");
            return Failure {
                problem: Box::new(Problem {
                    message: refused.code.advice().to_owned(),
                    ..*failure.problem
                }),
                ..failure
            };
        }
        failure
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Refused::from(error).into()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let unauthorized = self.status == StatusCode::UNAUTHORIZED;
        // The frame writes the body, because it knows the request's id.
        let mut response = self.status.into_response();
        response.extensions_mut().insert(*self.problem);
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if unauthorized {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Nostr"));
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(location) = self.location.and_then(|l| HeaderValue::try_from(l).ok()) {
            headers.insert(LOCATION, location);
        }
        response
    }
}
