//! The routes. `guarded` ones want to know who asks; `open` ones tell nobody anything.

pub(super) mod fund;
pub(super) mod health;
pub(super) mod list;
pub(super) mod melt;
pub(super) mod metrics;
pub(super) mod one;
pub(super) mod operator;
pub(super) mod wallet;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};

use super::Api;
use super::answer::Failure;
use crate::ports::{Access, Clock, Mint, Store};
use crate::saga::code::Code;

/// Routes with authentication.
pub(super) fn guarded<S: Store + Access, M: Mint, C: Clock>() -> Router<Api<S, M, C>> {
    Router::new()
        .route("/api/wallet/{npub}/melt", post(melt::melt::<S, M, C>))
        .route(
            "/api/wallet/{npub}/balance",
            get(wallet::balance::<S, M, C>),
        )
        .route(
            "/api/wallet/{npub}/transactions",
            get(wallet::transactions::<S, M, C>),
        )
        .route("/api/wallet/{npub}/melts", get(list::of_wallet::<S, M, C>))
        .route("/api/wallet/{npub}/events", get(wallet::events::<S, M, C>))
        .route("/api/wallet/{npub}/mint", post(fund::mint::<S, M, C>))
        .route("/api/wallet/{npub}/mint/{id}", get(fund::minted::<S, M, C>))
        .route("/api/wallet/{npub}/receive", post(fund::receive::<S, M, C>))
        .route(
            "/api/wallet/{npub}/receive/{id}",
            get(fund::received::<S, M, C>),
        )
        .route("/api/melts", get(list::of_all::<S, M, C>))
        .route("/api/melts/{id}", get(one::melt::<S, M, C>))
        .route("/api/melts/{id}/events", get(one::events::<S, M, C>))
        .route("/metrics", get(metrics::metrics))
        .merge(operators())
}

/// The operator's routes, with authentication.
fn operators<S: Store + Access, M: Mint, C: Clock>() -> Router<Api<S, M, C>> {
    use operator::{mints, orders, sagas};
    let sagas = Router::new()
        .route("/", get(sagas::list::<S, M, C>))
        .route("/{id}", get(sagas::show::<S, M, C>))
        .route("/{id}/park", post(orders::park::<S, M, C>))
        .route("/{id}/resume", post(orders::resume::<S, M, C>))
        .route("/{id}/resolve", post(orders::resolve::<S, M, C>));
    let mints = Router::new()
        .route("/", get(mints::list::<S, M, C>))
        .route("/pause", post(mints::pause::<S, M, C>))
        .route("/resume", post(mints::resume::<S, M, C>));
    Router::new()
        .nest("/api/operator/sagas", sagas)
        .nest("/api/operator/mints", mints)
}

/// Routes without authentication: they show nothing of any wallet.
pub(super) fn open<S: Store + Access, M: Mint, C: Clock>() -> Router<Api<S, M, C>> {
    Router::new()
        .route("/health", get(health::health))
        .route("/ready", get(health::ready::<S, M, C>))
        .route("/openapi.json", get(health::document))
}

/// Anything else.
pub(super) async fn unknown() -> Failure {
    Failure::of(Code::RouteUnknown)
}

/// A route that exists, with another method.
pub(super) async fn wrong_method() -> Failure {
    let mut failure = Failure::of(Code::RouteUnknown);
    failure.status = StatusCode::METHOD_NOT_ALLOWED;
    failure.problem.error = "Method not allowed".to_owned();
    failure
}
