//! Orders about one saga: recorded with who and why, carried out by the loop. A caller that goes
//! away leaves no order half given.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::sagas::{body, location, seen};
use super::{by, reason};
use crate::api::Api;
use crate::api::answer::{Answer, Failure};
use crate::api::bodies::operator::{OrderAsk, ResolveAsk, SagaBody};
use crate::api::caller::Caller;
use crate::api::extract::Body;
use crate::api::openapi::Refusals;
use crate::driver::{Desk, DriveError, OrderError};
use crate::intake::Refused;
use crate::ports::{Access, Clock, Mint, Store, StoreError};
use crate::saga::code::Code;
use crate::saga::decide::Order;
use crate::saga::ids::SagaId;

/// How long an order waits for a worker that drives the saga: a pass takes milliseconds, or as long
/// as a post.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long an operator waits for what follows who does not say.
const WAIT: Duration = Duration::from_secs(20);

/// Put a saga on the desk
///
/// Nothing that moves money happens to it from then on; its mint is asked all the same.
#[utoipa::path(post, path = "/api/operator/sagas/{id}/park", tag = "operator",
    params(("id" = String, Path, description = "The saga's id")), request_body = OrderAsk,
    responses((status = 200, description = "The saga after it", body = SagaBody), Refusals))]
pub(crate) async fn park<S: Store + Access, M: Mint, C: Clock>(
    State(api): State<Api<S, M, C>>,
    caller: Caller,
    Path(id): Path<String>,
    Body(ask): Body<OrderAsk>,
) -> Answer<Json<SagaBody>> {
    let saga = seen(&api, &caller, &id).await?.head.new.id;
    let desk = plain(&caller, Order::Park, &ask)?;
    give(&api, &saga, desk, None).await?;
    body(&api, &api.load(&saga).await?).await.map(Json)
}

/// Take a saga off the desk
///
/// It goes on where it was.
#[utoipa::path(post, path = "/api/operator/sagas/{id}/resume", tag = "operator",
    params(("id" = String, Path, description = "The saga's id")), request_body = OrderAsk,
    responses((status = 200, description = "The saga after it", body = SagaBody), Refusals))]
pub(crate) async fn resume<S: Store + Access, M: Mint, C: Clock>(
    State(api): State<Api<S, M, C>>,
    caller: Caller,
    Path(id): Path<String>,
    Body(ask): Body<OrderAsk>,
) -> Answer<Json<SagaBody>> {
    let saga = seen(&api, &caller, &id).await?.head.new.id;
    let desk = plain(&caller, Order::Resume, &ask)?;
    // One pass; recovery does the rest.
    give(&api, &saga, desk, Some(Duration::ZERO)).await?;
    body(&api, &api.load(&saga).await?).await.map(Json)
}

/// Decide a saga
///
/// Held against the version that was seen and against what the mint says now. `released` runs the
/// fence where anything was sent: nothing goes around it.
#[utoipa::path(post, path = "/api/operator/sagas/{id}/resolve", tag = "operator",
    params(("id" = String, Path, description = "The saga's id")), request_body = ResolveAsk,
    responses((status = 200, description = "It is recorded, and carried out", body = SagaBody),
        (status = 202, description = "It is recorded; the mint has to answer first",
            body = SagaBody,
            headers(("Location" = String, description = "Where to look for the outcome"))),
        Refusals))]
pub(crate) async fn resolve<S: Store + Access, M: Mint, C: Clock>(
    State(api): State<Api<S, M, C>>,
    caller: Caller,
    Path(id): Path<String>,
    Body(ask): Body<ResolveAsk>,
) -> Answer<Response> {
    let saga = seen(&api, &caller, &id).await?.head.new.id;
    let desk = Desk {
        order: Order::Resolve(ask.resolution),
        by: by(&caller, ask.by.as_deref())?,
        reason: reason(&ask.reason)?,
        expect_version: Some(ask.expect_version),
        patience: PATIENCE,
    };
    let max = Duration::from_secs(api.options.wait_max_s);
    let wait = ask.wait.map_or(WAIT, Duration::from_secs).min(max);
    give(&api, &saga, desk, Some(wait)).await?;
    let body = body(&api, &api.load(&saga).await?).await?;
    if body.next.is_none() {
        return Ok(Json(body).into_response());
    }
    let mut response = (StatusCode::ACCEPTED, Json(body)).into_response();
    if let Ok(location) = HeaderValue::try_from(location(&saga)) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

fn plain(caller: &Caller, order: Order, ask: &OrderAsk) -> Answer<Desk> {
    Ok(Desk {
        order,
        by: by(caller, ask.by.as_deref())?,
        reason: reason(&ask.reason)?,
        expect_version: ask.expect_version,
        patience: PATIENCE,
    })
}

/// Records an order, in a task of its own, and drives the saga for this long if it is to be driven.
async fn give<S: Store + Access, M: Mint, C: Clock>(
    api: &Api<S, M, C>,
    saga: &SagaId,
    desk: Desk,
    drive: Option<Duration>,
) -> Answer<()> {
    let (at_work, id) = (api.clone(), saga.clone());
    let task = tokio::spawn(async move {
        let recorded = at_work.pool.driver.order(&id, &desk).await;
        at_work.feed.wake();
        recorded.map(drop)
    });
    let recorded = task.await.map_err(|_| Failure::of(Code::Internal))?;
    recorded.map_err(refused)?;
    if let Some(patience) = drive {
        // What it could not do is in the log, and is recovery's.
        drop(api.pool.drive(saga.clone(), None, patience).await);
        api.feed.wake();
    }
    Ok(())
}

fn refused(error: OrderError) -> Failure {
    match error {
        OrderError::Refused(refused) => refused.into(),
        OrderError::Drive(DriveError::Lost) => {
            let seen = "another worker drives this saga; nothing was recorded";
            Refused::new(Code::VersionMoved, seen).into()
        }
        OrderError::Drive(DriveError::Missing(_)) => Failure::of(Code::NotFound),
        OrderError::Drive(DriveError::Closed) => Failure::of(Code::NotReady),
        OrderError::Drive(DriveError::Store { source, .. }) => source.into(),
        OrderError::Drive(DriveError::Damaged(why)) => StoreError::Unusable(why).into(),
    }
}
