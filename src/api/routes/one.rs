//! One melt: where it stands, and its events.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use axum::response::{IntoResponse, Response};

use crate::api::Api;
use crate::api::answer::{Answer, Failure};
use crate::api::bodies::log::{EventBody, EventsBody};
use crate::api::bodies::melt::MeltBody;
use crate::api::caller::Caller;
use crate::api::openapi::Refusals;
use crate::api::{stream, view};
use crate::ports::{Access, Clock, Loaded, Mint, Scope, Store};
use crate::saga::chain::Record;
use crate::saga::code::Code;
use crate::saga::command::Kind;
use crate::saga::ids::SagaId;

/// One melt
///
/// The same body as its `POST` has, always with 200.
#[utoipa::path(get, path = "/api/melts/{id}", tag = "melts",
    params(("id" = String, Path, description = "The melt's id")),
    responses((status = 200, description = "The melt as it stands", body = MeltBody), Refusals))]
pub(crate) async fn melt<S: Store + Access, M: Mint, C: Clock>(
    State(api): State<Api<S, M, C>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Answer<Json<MeltBody>> {
    let loaded = seen(&api, &caller, &id).await?;
    Ok(Json(body(&api, &loaded.head.new.id, Some(&loaded))))
}

/// A melt as it stands, by its log and by what this process knows beyond it. Whatever goes wrong
/// here, it may be paid.
pub(super) fn body<S: Store + Access, M: Mint, C: Clock>(
    api: &Api<S, M, C>,
    saga: &SagaId,
    loaded: Option<&Loaded>,
) -> MeltBody {
    let body = match loaded.map(view::melt) {
        Some(Ok(decided @ (MeltBody::Paid(_) | MeltBody::Failed(_)))) => decided,
        _ if api.pool.driver.is_unrecorded(saga) => view::unrecorded(saga, loaded),
        Some(Ok(open)) => open,
        Some(Err(_)) => view::unknown(saga, true),
        None => view::unknown(saga, false),
    };
    body.with_contact(api.options.support_contact.as_deref())
}

/// A melt's events
///
/// The public halves, exactly as they are hashed and published. With `Accept: text/event-stream`
/// they are sent as they happen; `Last-Event-ID` goes on behind an event that is known.
#[utoipa::path(get, path = "/api/melts/{id}/events", tag = "melts",
    params(("id" = String, Path, description = "The melt's id"),
        ("Last-Event-ID" = Option<String>, Header, description = "The last event that is known")),
    responses((status = 200, description = "Its events", content(
            (EventsBody = "application/json"), (String = "text/event-stream"))),
        (status = 204, description = "It has ended, and its last event is known"), Refusals))]
pub(crate) async fn events<S: Store + Access, M: Mint, C: Clock>(
    State(api): State<Api<S, M, C>>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer<Response> {
    let loaded = seen(&api, &caller, &id).await?;
    let accepts = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    if accepts.is_some_and(|accepts| accepts.contains("text/event-stream")) {
        return stream::of_melt(&api, loaded.head.new.id, &headers).await;
    }
    let events = loaded.records.iter().map(event).collect();
    let transaction_id = loaded.head.new.id.to_string();
    Ok(Json(EventsBody {
        transaction_id,
        events,
    })
    .into_response())
}

/// An event as it goes over the wire.
pub(super) fn event(record: &Record) -> EventBody {
    EventBody {
        id: record.id(),
        seq: record.seq,
        name: record.name.clone(),
        body: record.body.clone(),
        hash: record.hash.clone(),
        prev_hash: record.prev_hash.clone(),
    }
}

/// A melt that exists for this caller.
async fn seen<S: Store + Access, M: Mint, C: Clock>(
    api: &Api<S, M, C>,
    caller: &Caller,
    id: &str,
) -> Answer<Loaded> {
    owned(api, caller, id, Kind::Melt).await
}

/// A saga of this kind that exists for this caller.
pub(super) async fn owned<S: Store + Access, M: Mint, C: Clock>(
    api: &Api<S, M, C>,
    caller: &Caller,
    id: &str,
    kind: Kind,
) -> Answer<Loaded> {
    let missing = || Failure::of(Code::NotFound);
    let id = uuid::Uuid::try_parse(id).map_err(|_| missing())?;
    let loaded = api.load(&SagaId::new(id.to_string())).await?;
    let new = &loaded.head.new;
    if new.command.kind() != kind || !caller.sees(&new.wallet.npub) {
        return Err(missing());
    }
    caller.needs(Scope::Read)?;
    Ok(loaded)
}
