//! Lists of melts, from the newest to the oldest, in pages.

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::Api;
use crate::api::answer::Answer;
use crate::api::bodies::log::{MeltRow, MeltsBody};
use crate::api::caller::Caller;
use crate::api::extract::{Params, invalid};
use crate::api::openapi::Refusals;
use crate::ports::{Access, Clock, Head, HeadFilter, Mint, Scope, Store};
use crate::saga::command::{Command, Kind};
use crate::saga::ids::{SagaId, WalletId};
use crate::saga::state::Status;

/// Rows in a page that names no limit, and the most that one may have.
const PAGE: u32 = 50;
const PAGE_MAX: u32 = 200;

/// Which part of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// The `nextCursor` of the page before.
    pub(super) cursor: Option<String>,
    /// At most so many, 1 to 200.
    #[param(minimum = 1, maximum = 200)]
    pub(super) limit: Option<u32>,
    /// Only these statuses, separated by commas: active, owing, parked, done.
    pub(super) status: Option<String>,
}

impl Page {
    /// The filter of this page.
    pub(super) fn filter(&self) -> Answer<HeadFilter> {
        let limit = self.limit.unwrap_or(PAGE);
        if !(1..=PAGE_MAX).contains(&limit) {
            return Err(invalid("limit must be 1 to 200"));
        }
        let after = self
            .cursor
            .as_deref()
            .map(uuid::Uuid::try_parse)
            .transpose();
        let after = after.map_err(|_| invalid("cursor must be a nextCursor of this list"))?;
        let all = [Status::Active, Status::Owing, Status::Parked, Status::Done];
        let words = self.status.as_deref().unwrap_or_default();
        let mut statuses = Vec::new();
        for word in words
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
        {
            let status = all.iter().find(|status| status.as_str() == word);
            let unknown = || invalid("status must be active, owing, parked or done");
            statuses.push(*status.ok_or_else(unknown)?);
        }
        Ok(HeadFilter {
            statuses,
            after: after.map(|id| SagaId::new(id.to_string())),
            limit,
            newest_first: true,
            ..HeadFilter::default()
        })
    }
}

/// An owner's melts
#[utoipa::path(get, path = "/api/wallet/{npub}/melts", tag = "melts",
    params(("npub" = String, Path, description = "The owner, npub1…"), Page),
    responses((status = 200, description = "A page of them", body = MeltsBody), Refusals))]
pub(crate) async fn of_wallet<S: Store + Access, M: Mint, C: Clock>(
    State(api): State<Api<S, M, C>>,
    caller: Caller,
    Path(npub): Path<String>,
    Params(page): Params<Page>,
) -> Answer<Json<MeltsBody>> {
    let npub = caller.enter(&npub, Scope::Read)?;
    let filter = HeadFilter {
        kind: Some(Kind::Melt),
        ..page.filter()?
    };
    let heads = of_owner(&*api.pool.driver.store, &npub, filter.clone()).await?;
    Ok(Json(body(heads, filter.limit)))
}

/// Everybody's melts, for the operator
#[utoipa::path(get, path = "/api/melts", tag = "operator", params(Page),
    responses((status = 200, description = "A page of them", body = MeltsBody), Refusals))]
pub(crate) async fn of_all<S: Store + Access, M: Mint, C: Clock>(
    State(api): State<Api<S, M, C>>,
    caller: Caller,
    Params(page): Params<Page>,
) -> Answer<Json<MeltsBody>> {
    caller.needs(Scope::Operate)?;
    let filter = HeadFilter {
        kind: Some(Kind::Melt),
        ..page.filter()?
    };
    let limit = filter.limit;
    let heads = heads(&*api.pool.driver.store, &caller, filter).await?;
    Ok(Json(body(heads, limit)))
}

/// The newest heads of all wallets that an operator sees.
pub(super) async fn heads<S: Store>(
    store: &S,
    caller: &Caller,
    filter: HeadFilter,
) -> Answer<Vec<Head>> {
    let Some(owners) = caller.owners() else {
        return Ok(store.heads(filter).await?);
    };
    let limit = filter.limit;
    let mut heads = Vec::new();
    for owner in owners {
        heads.extend(of_owner(store, owner, filter.clone()).await?);
    }
    Ok(newest(heads, limit))
}

/// The newest heads of all wallets of an owner.
pub(super) async fn of_owner<S: Store>(
    store: &S,
    npub: &str,
    filter: HeadFilter,
) -> Answer<Vec<Head>> {
    let limit = filter.limit;
    let mut heads = Vec::new();
    for wallet in store.wallets(Some(npub)).await? {
        let wallet: Option<WalletId> = Some(wallet.id);
        let filter = HeadFilter {
            wallet,
            ..filter.clone()
        };
        heads.extend(store.heads(filter).await?);
    }
    Ok(newest(heads, limit))
}

fn newest(mut heads: Vec<Head>, limit: u32) -> Vec<Head> {
    heads.sort_by(|a, b| b.new.id.cmp(&a.new.id));
    heads.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    heads
}

/// What to ask for next: nothing after a page that is not full.
pub(super) fn next_cursor(heads: &[Head], limit: u32) -> Option<String> {
    let full = u32::try_from(heads.len()).is_ok_and(|n| n >= limit);
    let last = heads.last().filter(|_| full);
    last.map(|head| head.new.id.to_string())
}

fn body(heads: Vec<Head>, limit: u32) -> MeltsBody {
    let next_cursor = next_cursor(&heads, limit);
    let rows = heads.into_iter().filter_map(|head| {
        let Command::Melt(melt) = &head.new.command else {
            return None;
        };
        Some(MeltRow {
            transaction_id: head.new.id.to_string(),
            amount: melt.amount(),
            payment_hash: melt.payment_hash.clone(),
            npub: head.new.wallet.npub,
            mint_url: head.new.wallet.mint_url,
            unit: head.new.wallet.unit,
            state: head.state,
            status: head.status.as_str().to_owned(),
            attempts: head.attempts,
            events: head.version,
            command_id: head.new.command_id,
            created_at: head.created_at,
            updated_at: head.updated_at,
        })
    });
    MeltsBody {
        melts: rows.collect(),
        next_cursor,
    }
}
