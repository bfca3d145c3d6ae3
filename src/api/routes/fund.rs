//! What brings value in: mint quotes and received tokens.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::melt::named;
use super::one::owned;
use crate::api::Api;
use crate::api::answer::{Answer, Failure, status_of};
use crate::api::bodies::fund::{FundBody, MintAsk, ReceiveAsk};
use crate::api::bodies::problem::Problem;
use crate::api::caller::Caller;
use crate::api::extract::Body;
use crate::api::openapi::Refusals;
use crate::api::run::{Patience, run};
use crate::api::view;
use crate::driver::fold;
use crate::intake::{Origin, Refused, Target};
use crate::ports::{Access, Clock, Loaded, Mint, Scope, Store};
use crate::saga::code::Code;
use crate::saga::command::{Command, Kind};
use crate::saga::ids::{Amount, SagaId, sum};
use crate::saga::state::{Saga, State as At, Status};

/// How long a mint may take for an invoice before the answer is 202.
const QUOTE_WAIT: Duration = Duration::from_secs(15);

/// How long a caller waits for a token to be taken in who does not say.
const WAIT: Duration = Duration::from_secs(30);

/// How long new attempts are started.
const NEW_ATTEMPTS: Duration = Duration::from_secs(60);

/// How long a look at a funding waits for the mint's word.
const LOOK: Duration = Duration::from_secs(3);

/// Ask for an invoice that funds the wallet
///
/// Pay its invoice; the ecash is taken by itself when it is paid.
#[utoipa::path(post, path = "/api/wallet/{npub}/mint", tag = "wallet",
    params(("npub" = String, Path, description = "The owner, npub1…")), request_body = MintAsk,
    responses((status = 200, description = "It is paid, and taken, already", body = FundBody,
            headers(("Location" = String, description = "Where it is"))),
        (status = 201, description = "An invoice to pay", body = FundBody,
            headers(("Location" = String, description = "Where to look for the outcome"))),
        (status = 202, description = "The mint has not given one yet", body = FundBody,
            headers(("Location" = String, description = "Where to look for the outcome"))),
        Refusals))]
pub(crate) async fn mint<S: Store + Access, M: Mint, C: Clock>(
    State(api): State<Api<S, M, C>>,
    caller: Caller,
    Path(npub): Path<String>,
    Body(ask): Body<MintAsk>,
) -> Answer<Response> {
    let npub = caller.enter(&npub, Scope::Melt)?;
    let origin = Origin {
        command_id: named("commandId", ask.command_id.as_deref())?,
        ..Origin::new(caller.producer(&npub), NEW_ATTEMPTS)
    };
    let target = target(&api, &npub, ask.mint.as_deref())?;
    let driver = api.pool.driver.clone();
    let submit = async move {
        let submitted = driver.submit_mint(&origin, &target, ask.amount).await;
        submitted.map_err(Failure::from)
    };
    // One pass gives the invoice; recovery waits for its payment.
    let patience = Patience {
        wait: QUOTE_WAIT,
        drive: Duration::ZERO,
    };
    let place = api.melts.take(&npub)?;
    match run(&api, place, patience, submit).await {
        Ok(saga) => Ok(created(body(&api.load(&saga).await?)?)),
        Err(failure) => doubtful(failure, &npub, (Kind::Mint, ask.amount)).map(created),
    }
}

/// Take a token in
#[utoipa::path(post, path = "/api/wallet/{npub}/receive", tag = "wallet",
    params(("npub" = String, Path, description = "The owner, npub1…")), request_body = ReceiveAsk,
    responses((status = 200, description = "The wallet has its value", body = FundBody,
            headers(("Location" = String, description = "Where it is"))),
        (status = 202, description = "Not decided yet", body = FundBody,
            headers(("Location" = String, description = "Where to look for the outcome"))),
        Refusals))]
pub(crate) async fn receive<S: Store + Access, M: Mint, C: Clock>(
    State(api): State<Api<S, M, C>>,
    caller: Caller,
    Path(npub): Path<String>,
    Body(ask): Body<ReceiveAsk>,
) -> Answer<Response> {
    let npub = caller.enter(&npub, Scope::Melt)?;
    let origin = Origin::new(caller.producer(&npub), NEW_ATTEMPTS);
    let target = target(&api, &npub, ask.mint.as_deref())?;
    let max = Duration::from_secs(api.options.wait_max_s);
    let wait = ask.wait.map_or(WAIT, Duration::from_secs).min(max);
    let driver = api.pool.driver.clone();
    let submit = async move {
        let submitted = driver.submit_token(&origin, &target, &ask.token).await;
        submitted.map_err(Failure::from)
    };
    let patience = Patience {
        wait,
        drive: wait.max(WAIT),
    };
    let place = api.melts.take(&npub)?;
    match run(&api, place, patience, submit).await {
        Ok(saga) => Ok(created(body(&api.load(&saga).await?)?)),
        // What it is worth is in the token, which nobody has opened here.
        Err(failure) => doubtful(failure, &npub, (Kind::Receive, 0)).map(created),
    }
}

/// A funding
///
/// Looking at one that waits for its payment also asks the mint.
#[utoipa::path(get, path = "/api/wallet/{npub}/mint/{id}", tag = "wallet",
    params(("npub" = String, Path, description = "The owner, npub1…"),
        ("id" = String, Path, description = "Its id")),
    responses((status = 200, description = "It as it stands", body = FundBody), Refusals))]
pub(crate) async fn minted<S: Store + Access, M: Mint, C: Clock>(
    State(api): State<Api<S, M, C>>,
    caller: Caller,
    Path((npub, id)): Path<(String, String)>,
) -> Answer<Json<FundBody>> {
    look(&api, &caller, (&npub, &id), Kind::Mint).await
}

/// A received token
#[utoipa::path(get, path = "/api/wallet/{npub}/receive/{id}", tag = "wallet",
    params(("npub" = String, Path, description = "The owner, npub1…"),
        ("id" = String, Path, description = "Its id")),
    responses((status = 200, description = "It as it stands", body = FundBody), Refusals))]
pub(crate) async fn received<S: Store + Access, M: Mint, C: Clock>(
    State(api): State<Api<S, M, C>>,
    caller: Caller,
    Path((npub, id)): Path<(String, String)>,
) -> Answer<Json<FundBody>> {
    look(&api, &caller, (&npub, &id), Kind::Receive).await
}

async fn look<S: Store + Access, M: Mint, C: Clock>(
    api: &Api<S, M, C>,
    caller: &Caller,
    (npub, id): (&str, &str),
    kind: Kind,
) -> Answer<Json<FundBody>> {
    let npub = caller.enter(npub, Scope::Read)?;
    let mut loaded = owned(api, caller, id, kind).await?;
    if loaded.head.new.wallet.npub != npub {
        return Err(Failure::of(Code::NotFound));
    }
    if loaded.head.state == At::Quoted.as_str() {
        let saga = loaded.head.new.id.clone();
        let pass = api.pool.drive(saga.clone(), None, Duration::ZERO);
        if tokio::time::timeout(LOOK, pass).await.is_ok() {
            loaded = api.load(&saga).await?;
        }
    }
    body(&loaded).map(Json)
}

fn target<S, M, C>(api: &Api<S, M, C>, npub: &str, mint: Option<&str>) -> Answer<Target> {
    Ok(Target {
        npub: npub.to_owned(),
        mint_url: named("mint", mint)?,
        unit: api.unit.to_string(),
    })
}

fn body(loaded: &Loaded) -> Answer<FundBody> {
    let (saga, _) = fold(loaded).map_err(|_| Failure::of(Code::StoreUnusable))?;
    let amount = match &saga.adoption.command {
        Command::Mint(mint) => mint.amount,
        Command::Receive(receive) => receive.amount,
        Command::Melt(melt) => melt.amount(),
        Command::Reconcile(_) => 0,
    };
    let success = match saga.state {
        At::Settled | At::Owing => Some(true),
        state if state.is_terminal() => Some(false),
        _ => None,
    };
    let kind = saga.kind().as_str();
    let (npub, id) = (&saga.adoption.npub, &saga.adoption.id);
    let quote = saga.quote.as_ref();
    Ok(FundBody {
        success,
        transaction_id: id.to_string(),
        kind: kind.to_owned(),
        state: saga.state.as_str().to_owned(),
        status: saga.status().as_str().to_owned(),
        amount,
        gained: sum(saga.gained.iter().map(|c| c.amount)).unwrap_or(0),
        fee: saga.swap_fees,
        invoice: quote.and_then(|quote| quote.invoice.clone()),
        quote_id: quote.and_then(|quote| quote.id.clone()),
        expires_at: quote.and_then(|quote| quote.expires_at),
        location: location(npub, kind, id),
        problem: problem(&saga, loaded),
    })
}

/// The body of what the store may have taken.
///
/// # Errors
/// Every other failure, as it is.
fn doubtful(failure: Failure, npub: &str, (kind, amount): (Kind, Amount)) -> Answer<FundBody> {
    let Some(saga) = failure.in_doubt() else {
        return Err(failure);
    };
    let kind = kind.as_str();
    Ok(FundBody {
        success: None,
        transaction_id: saga.to_string(),
        kind: kind.to_owned(),
        state: view::UNKNOWN.to_owned(),
        status: Status::Active.as_str().to_owned(),
        amount,
        gained: 0,
        fee: 0,
        invoice: None,
        quote_id: None,
        expires_at: None,
        location: location(npub, kind, &saga),
        problem: Some(Problem {
            error: "Not finished".to_owned(),
            support_id: Some(saga.to_string()),
            ..*failure.problem
        }),
    })
}

fn location(npub: &str, kind: &str, id: &SagaId) -> String {
    format!("/api/wallet/{npub}/{kind}/{id}")
}

fn problem(saga: &Saga, loaded: &Loaded) -> Option<Problem> {
    let about = |error: &str, code: Code, seen: &str| {
        let mut problem = Problem::new(error, code, Refused::new(code, seen).reason);
        let id = saga.adoption.id.to_string();
        problem.transaction_id = Some(id.clone());
        problem.support_id = Some(id);
        problem
    };
    if let Some(ended) = &saga.ended {
        return Some(about("Failed", ended.code, &ended.reason));
    }
    if let Some(parked) = &saga.parked {
        return Some(about(
            "Waits for the operator",
            parked.code,
            &parked.evidence,
        ));
    }
    let waits = loaded.head.last_error.as_deref();
    let waits = waits.filter(|_| !saga.state.is_terminal());
    waits.map(|waits| about("Not finished", Code::NotFinished, waits))
}

/// The answer to who has just asked for a funding. One that has failed for good has the one body of
/// every error, and is never a 5xx, because sending it again would change nothing.
fn created(body: FundBody) -> Response {
    if let (Some(false), Some(problem)) = (body.success, &body.problem) {
        let status = match status_of(problem.code) {
            status if status.is_server_error() => StatusCode::UNPROCESSABLE_ENTITY,
            status => status,
        };
        return (status, Json(problem)).into_response();
    }
    let status = match body.success {
        Some(_) => StatusCode::OK,
        None if body.invoice.is_some() => StatusCode::CREATED,
        None => StatusCode::ACCEPTED,
    };
    let location = HeaderValue::try_from(body.location.as_str());
    let mut response = (status, Json(body)).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}
