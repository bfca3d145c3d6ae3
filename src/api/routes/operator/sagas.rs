//! Sagas of every kind, and one with its events and its mint's fresh word.

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::Api;
use crate::api::answer::{Answer, Failure};
use crate::api::bodies::operator::{
    EvidenceBody, InputBody, RangeBody, SagaBody, SagaRow, SagasBody,
};
use crate::api::caller::Caller;
use crate::api::extract::{Params, invalid};
use crate::api::openapi::Refusals;
use crate::api::routes::list::{Page, heads, next_cursor};
use crate::api::routes::one::event;
use crate::desk::Fresh;
use crate::driver::fold;
use crate::ports::{Access, Clock, Head, HeadFilter, Loaded, Mint, Scope, Store};
use crate::recovery::{Intention, mode_of};
use crate::saga::code::Code;
use crate::saga::command::{Command, Kind};
use crate::saga::ids::SagaId;
use crate::saga::state::Status;

/// Which part of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SagaPage {
    /// The `nextCursor` of the page before.
    cursor: Option<String>,
    /// At most so many, 1 to 200.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// Only these statuses, separated by commas: active, owing, parked, done.
    status: Option<String>,
    /// Only this kind: melt, mint, receive, reconcile.
    kind: Option<String>,
}

impl SagaPage {
    fn filter(self) -> Answer<HeadFilter> {
        let kinds = [Kind::Melt, Kind::Mint, Kind::Receive, Kind::Reconcile];
        let known = |word: String| {
            let kind = kinds.into_iter().find(|kind| kind.as_str() == word);
            kind.ok_or_else(|| invalid("kind must be melt, mint, receive or reconcile"))
        };
        let kind = self.kind.map(known).transpose()?;
        let page = Page {
            cursor: self.cursor,
            limit: self.limit,
            status: self.status,
        };
        Ok(HeadFilter {
            kind,
            ..page.filter()?
        })
    }
}

/// Sagas of every kind
#[utoipa::path(get, path = "/api/operator/sagas", tag = "operator", params(SagaPage),
    responses((status = 200, description = "A page of them", body = SagasBody), Refusals))]
pub(crate) async fn list<S: Store + Access, M: Mint, C: Clock>(
    State(api): State<Api<S, M, C>>,
    caller: Caller,
    Params(page): Params<SagaPage>,
) -> Answer<Json<SagasBody>> {
    caller.needs(Scope::Operate)?;
    let filter = page.filter()?;
    let limit = filter.limit;
    let heads = heads(&*api.pool.driver.store, &caller, filter).await?;
    let next_cursor = next_cursor(&heads, limit);
    let sagas = heads.iter().map(row).collect();
    Ok(Json(SagasBody { sagas, next_cursor }))
}

/// What to show of a saga.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct What {
    /// True: ask its mint now. That changes nothing, and takes as long as the mint does.
    #[serde(default)]
    evidence: bool,
}

/// One saga
///
/// Its events, what comes next and why, and what its mint says now.
#[utoipa::path(get, path = "/api/operator/sagas/{id}", tag = "operator",
    params(("id" = String, Path, description = "The saga's id"), What),
    responses((status = 200, description = "The saga as it stands", body = SagaBody), Refusals))]
pub(crate) async fn show<S: Store + Access, M: Mint, C: Clock>(
    State(api): State<Api<S, M, C>>,
    caller: Caller,
    Path(id): Path<String>,
    Params(what): Params<What>,
) -> Answer<Json<SagaBody>> {
    let loaded = seen(&api, &caller, &id).await?;
    let mut body = body(&api, &loaded).await?;
    if what.evidence {
        let evidence = api.pool.driver.evidence(&loaded).await?;
        body.evidence = evidence.map(fresh);
    }
    Ok(Json(body))
}

/// A saga that exists for this operator.
pub(super) async fn seen<S: Store + Access, M: Mint, C: Clock>(
    api: &Api<S, M, C>,
    caller: &Caller,
    id: &str,
) -> Answer<Loaded> {
    caller.needs(Scope::Operate)?;
    let missing = || Failure::of(Code::NotFound);
    let id = uuid::Uuid::try_parse(id).map_err(|_| missing())?;
    let loaded = api.load(&SagaId::new(id.to_string())).await?;
    match caller.sees(&loaded.head.new.wallet.npub) {
        true => Ok(loaded),
        false => Err(missing()),
    }
}

/// A saga as it stands.
pub(super) async fn body<S: Store + Access, M: Mint, C: Clock>(
    api: &Api<S, M, C>,
    loaded: &Loaded,
) -> Answer<SagaBody> {
    let (saga, _) = fold(loaded).map_err(|_| Failure::of(Code::StoreUnusable))?;
    let is_open = !saga.state.is_terminal();
    let driver = &api.pool.driver;
    let mode = mode_of(&driver.store.pauses().await?, &saga);
    let intention = Intention::of(&loaded.head, &saga, mode, driver.clock.now());
    Ok(SagaBody {
        row: row(&loaded.head),
        next: is_open.then_some(intention.step),
        why: intention.why.filter(|_| is_open),
        location: location(&loaded.head.new.id),
        events: loaded.records.iter().map(event).collect(),
        evidence: None,
    })
}

/// Where an operator looks at a saga.
pub(super) fn location(saga: &SagaId) -> String {
    format!("/api/operator/sagas/{saga}")
}

fn row(head: &Head) -> SagaRow {
    let new = &head.new;
    let amount = match &new.command {
        Command::Melt(melt) => melt.amount(),
        Command::Mint(mint) => mint.amount,
        Command::Receive(receive) => receive.amount,
        Command::Reconcile(_) => 0,
    };
    let is_open = head.status != Status::Done;
    SagaRow {
        saga: new.id.to_string(),
        kind: new.command.kind().as_str().to_owned(),
        state: head.state.clone(),
        status: head.status.as_str().to_owned(),
        version: head.version,
        amount,
        unit: new.wallet.unit.clone(),
        npub: new.wallet.npub.clone(),
        mint_url: new.wallet.mint_url.clone(),
        producer: new.producer.to_string(),
        command_id: new.command_id.clone(),
        attempts: head.attempts,
        waiting_for: head.last_error.clone().filter(|_| is_open),
        created_at: head.created_at,
        updated_at: head.updated_at,
    }
}

fn fresh(fresh: Fresh) -> EvidenceBody {
    let inputs = fresh.inputs.into_iter().map(|input| InputBody {
        y: input.y.to_string(),
        amount: input.amount,
        state: input.state.to_owned(),
    });
    let ranges = fresh.ranges.into_iter().map(|range| RangeBody {
        keyset: range.keyset,
        first: range.first,
        asked: u64::try_from(range.asked).unwrap_or(u64::MAX),
        found: range.found,
    });
    EvidenceBody {
        inputs: inputs.collect(),
        inputs_unknown: fresh.inputs_unknown,
        quote: fresh.quote,
        change: fresh.change,
        bad_signatures: fresh.bad_signatures,
        ranges: ranges.collect(),
        would: fresh.would,
    }
}
