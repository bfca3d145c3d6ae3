//! What every answer has: a request id, security headers, errors in one shape, and an end to
//! waiting.

use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY,
    RETRY_AFTER, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::answer::Failure;
use super::bodies::problem::Problem;
use super::count::Count;
use crate::config::Invalid;
use crate::config::api::ApiArgs;
use crate::saga::code::Code;

/// The id of a request, also in the log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What an answer may take beyond the time that its caller asked to wait: the store's own
/// deadlines, twice.
const BEYOND: Duration = Duration::from_secs(25);

/// What the frame needs of the options.
#[derive(Clone)]
pub(super) struct Frame {
    is_https: bool,
    patience: Duration,
}

impl Frame {
    pub(super) fn of(options: &ApiArgs) -> Self {
        let url = options.public_url.as_deref().unwrap_or_default();
        Frame {
            is_https: url.starts_with("https://"),
            patience: Duration::from_secs(options.wait_max_s) + BEYOND,
        }
    }
}

/// Runs a request and dresses its answer.
pub(super) async fn frame(State(frame): State<Frame>, request: Request, next: Next) -> Response {
    let id = uuid::Uuid::now_v7().to_string();
    let count = Count::begin(&request);
    let answered = tokio::time::timeout(frame.patience, next.run(request)).await;
    let response = answered.unwrap_or_else(|_| {
        Failure::new(Code::NotReady, "this took too long inside").into_response()
    });
    count.end(response.status());
    let mut response = with_support_id(response, &id);
    let headers = response.headers_mut();
    let fixed = [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if frame.is_https {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(STRICT_TRANSPORT_SECURITY, year);
    }
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

/// Writes the request's id into an error that belongs to no melt.
fn with_support_id(mut response: Response, id: &str) -> Response {
    let Some(mut problem) = response.extensions_mut().remove::<Problem>() else {
        return response;
    };
    let status = response.status();
    if status.is_server_error() {
        tracing::warn!(request_id = id, code = %problem.code, %status, "request failed");
    }
    problem.support_id.get_or_insert_with(|| id.to_owned());
    let (parts, _) = response.into_parts();
    let mut written = Json(problem).into_response();
    *written.status_mut() = parts.status;
    for (name, value) in &parts.headers {
        if name != CONTENT_TYPE && name != axum::http::header::CONTENT_LENGTH {
            written.headers_mut().append(name, value.clone());
        }
    }
    written
}

/// Lets the pages of these origins in; `None` = nobody's.
///
/// # Errors
/// An origin that cannot be one.
pub(super) fn cors(options: &ApiArgs) -> Result<Option<CorsLayer>, Invalid> {
    if options.cors.is_empty() {
        return Ok(None);
    }
    let origins = options.cors.iter().map(|origin| {
        let plain = origin.starts_with("https://") || origin.starts_with("http://");
        let value = HeaderValue::try_from(origin.as_str()).ok();
        value
            .filter(|_| plain && !origin.ends_with('/'))
            .ok_or_else(|| {
                Invalid::option("MELTD_API_CORS must be origins such as https://wallet.example")
            })
    });
    let origins = origins.collect::<Result<Vec<_>, _>>()?;
    let headers = ["idempotency-key", "last-event-id", "prefer"].map(HeaderName::from_static);
    let headers = headers.into_iter().chain([AUTHORIZATION, CONTENT_TYPE]);
    Ok(Some(
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([Method::GET, Method::POST])
            .allow_headers(headers.collect::<Vec<_>>())
            .expose_headers([LOCATION, RETRY_AFTER, REQUEST_ID]),
    ))
}
