//! How many requests a second: counted for each authenticated caller, and for each address where
//! nobody is authenticated, refused requests included.

use std::net::IpAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio_util::sync::CancellationToken;
use tower_governor::governor::GovernorConfigBuilder;
use tower_governor::key_extractor::KeyExtractor;
use tower_governor::{GovernorError, GovernorLayer};

use super::answer::Failure;
use super::auth::{Known, Peer};
use crate::config::Invalid;
use crate::config::api::ApiArgs;
use crate::saga::code::Code;

/// Between two sweeps of callers that have not been seen for a while.
const SWEEP: Duration = Duration::from_secs(60);

/// By whom a request is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Caller(String),
    Address(Option<IpAddr>),
}

/// Finds the key of a request that passed authentication, well or not.
#[derive(Clone, Debug)]
pub(super) struct ByCaller;

impl KeyExtractor for ByCaller {
    type Key = Key;

    fn extract<T>(&self, request: &axum::http::Request<T>) -> Result<Key, GovernorError> {
        let known = request.extensions().get::<Known>();
        let caller = known.and_then(|Known(known)| known.as_ref().ok()?.key());
        Ok(match caller {
            Some(caller) => Key::Caller(caller),
            None => {
                let peer = request.extensions().get::<Peer>();
                Key::Address(peer.map(|Peer(address)| address.ip()))
            }
        })
    }
}

/// These routes, with their requests counted.
///
/// # Errors
/// A rate or burst of nothing.
pub(super) fn counted<A: Clone + Send + Sync + 'static>(
    routes: Router<A>,
    options: &ApiArgs,
    stop: &CancellationToken,
) -> Result<Router<A>, Invalid> {
    let period = Duration::from_secs(1) / options.rate_per_s.max(1);
    let config = GovernorConfigBuilder::default()
        .period(period)
        .burst_size(options.burst)
        .key_extractor(ByCaller)
        .finish();
    let nothing = || Invalid::option("MELTD_API_RATE and MELTD_API_BURST must be at least 1");
    let config = std::sync::Arc::new(config.ok_or_else(nothing)?);
    let (limiter, stop) = (config.limiter().clone(), stop.clone());
    tokio::spawn(async move {
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(SWEEP) => limiter.retain_recent(),
            }
        }
    });
    let refusal = |error| {
        let mut failure = Failure::of(Code::RateLimited);
        if let GovernorError::TooManyRequests { wait_time, .. } = error {
            failure.retry_after_s = Some(wait_time.saturating_add(1));
        }
        failure.into_response()
    };
    Ok(routes.layer(GovernorLayer::new(config).error_handler(refusal)))
}

/// Refuses what authentication refused, after it was counted.
pub(super) async fn admit(request: Request, next: Next) -> Response {
    match request.extensions().get::<Known>() {
        Some(Known(Ok(_))) => next.run(request).await,
        Some(Known(Err(failure))) => failure.clone().into_response(),
        None => Failure::of(Code::AuthRequired).into_response(),
    }
}
