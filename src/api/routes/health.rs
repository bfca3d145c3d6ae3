//! How the service is, and what it offers.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use crate::api::Api;
use crate::api::bodies::log::HealthBody;
use crate::ports::{Access, Clock, Mint, Store};

fn body(status: &str, reasons: Vec<String>) -> Json<HealthBody> {
    Json(HealthBody {
        status: status.to_owned(),
        reasons,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// The process lives
#[utoipa::path(get, path = "/health", tag = "service", security(()),
    responses((status = 200, description = "It lives", body = HealthBody)))]
pub(crate) async fn health() -> Json<HealthBody> {
    body("ok", Vec::new())
}

/// Requests can be served
#[utoipa::path(get, path = "/ready", tag = "service", security(()), responses(
    (status = 200, description = "They can", body = HealthBody),
    (status = 503, description = "Something is missing", body = HealthBody)))]
pub(crate) async fn ready<S: Store + Access, M: Mint, C: Clock>(
    State(api): State<Api<S, M, C>>,
) -> impl IntoResponse {
    let reasons = (api.ready)();
    if reasons.is_empty() {
        (StatusCode::OK, body("ok", reasons))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, body("not ready", reasons))
    }
}

/// This document
#[utoipa::path(get, path = "/openapi.json", tag = "service", security(()),
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json")))]
pub(crate) async fn document() -> impl IntoResponse {
    let json = [(CONTENT_TYPE, "application/json")];
    (json, crate::api::openapi::text())
}
