//! What an operator watches.

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use crate::api::answer::Answer;
use crate::api::caller::Caller;
use crate::api::openapi::Refusals;
use crate::metrics;
use crate::ports::Scope;

/// The text that Prometheus reads, with its version.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// This process's metrics, for Prometheus
///
/// Sums over all wallets, and the mints' URLs; nothing of any one wallet, melt or caller.
#[utoipa::path(get, path = "/metrics", tag = "service",
    responses((status = 200, description = "OpenMetrics text", body = String,
            content_type = "application/openmetrics-text"), Refusals))]
pub(crate) async fn metrics(caller: Caller) -> Answer<impl IntoResponse> {
    caller.needs(Scope::Metrics)?;
    Ok(([(CONTENT_TYPE, OPEN_METRICS)], metrics::metrics().render()))
}
