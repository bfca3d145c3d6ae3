//! Mints: whether new payments are paused there. A pause is everybody's, so a token that is bound
//! to some owners cannot make one.

use axum::Json;
use axum::extract::State;

use super::{by, reason};
use crate::api::Api;
use crate::api::answer::{Answer, Failure};
use crate::api::bodies::operator::{MintBody, MintsBody, PauseAsk, ResumeAsk};
use crate::api::caller::Caller;
use crate::api::extract::Body;
use crate::api::openapi::Refusals;
use crate::desk::{self, Standing};
use crate::ports::{Access, Clock, Mint, Scope, Store};
use crate::saga::code::Code;

/// Every mint
#[utoipa::path(get, path = "/api/operator/mints", tag = "operator",
    responses((status = 200, description = "Every mint", body = MintsBody), Refusals))]
pub(crate) async fn list<S: Store + Access, M: Mint, C: Clock>(
    State(api): State<Api<S, M, C>>,
    caller: Caller,
) -> Answer<Json<MintsBody>> {
    everybodys(&caller)?;
    all(&api).await
}

/// Begin nothing new at a mint
///
/// For every process that uses the store. What is at the mint already is asked for, finished and
/// fenced.
#[utoipa::path(post, path = "/api/operator/mints/pause", tag = "operator",
    request_body = PauseAsk,
    responses((status = 200, description = "Every mint", body = MintsBody), Refusals))]
pub(crate) async fn pause<S: Store + Access, M: Mint, C: Clock>(
    State(api): State<Api<S, M, C>>,
    caller: Caller,
    Body(ask): Body<PauseAsk>,
) -> Answer<Json<MintsBody>> {
    everybodys(&caller)?;
    let (by, reason) = (by(&caller, ask.by.as_deref())?, reason(&ask.reason)?);
    let url = known(&api, &ask.mint)?;
    api.pool.driver.store.pause_mint(&url, &by, &reason).await?;
    api.pool.driver.breaker.pauses_changed();
    all(&api).await
}

/// End a pause
#[utoipa::path(post, path = "/api/operator/mints/resume", tag = "operator",
    request_body = ResumeAsk,
    responses((status = 200, description = "Every mint", body = MintsBody), Refusals))]
pub(crate) async fn resume<S: Store + Access, M: Mint, C: Clock>(
    State(api): State<Api<S, M, C>>,
    caller: Caller,
    Body(ask): Body<ResumeAsk>,
) -> Answer<Json<MintsBody>> {
    everybodys(&caller)?;
    let url = known(&api, &ask.mint)?;
    if !api.pool.driver.store.resume_mint(&url).await? {
        return Err(Failure::new(Code::NotFound, "this mint is not paused"));
    }
    api.pool.driver.breaker.pauses_changed();
    all(&api).await
}

fn everybodys(caller: &Caller) -> Answer<()> {
    caller.needs(Scope::Operate)?;
    match caller.owners() {
        None => Ok(()),
        Some(_) => {
            let seen = "mints are everybody's: this needs a token for all wallets";
            Err(Failure::new(Code::Forbidden, seen))
        }
    }
}

/// The URL as wallets have it.
fn known<S: Store, M: Mint, C: Clock>(api: &Api<S, M, C>, url: &str) -> Answer<String> {
    let canonical = api.pool.driver.mint.canonical(Some(url));
    canonical.ok_or_else(|| Failure::new(Code::MintUnknown, "this mint is not configured"))
}

async fn all<S: Store, M: Mint, C: Clock>(api: &Api<S, M, C>) -> Answer<Json<MintsBody>> {
    let mints = desk::mints(&*api.pool.driver.store).await?;
    let mints = mints.into_iter().map(row).collect();
    Ok(Json(MintsBody { mints }))
}

fn row(standing: Standing) -> MintBody {
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let (wallets, open_sagas) = (count(standing.wallets), count(standing.open_sagas));
    let pause = standing.pause;
    MintBody {
        mint_url: standing.mint_url,
        paused: pause.is_some(),
        paused_at: pause.as_ref().map(|pause| pause.at),
        paused_by: pause.as_ref().map(|pause| pause.by.clone()),
        reason: pause.map(|pause| pause.reason),
        wallets,
        open_sagas,
    }
}
