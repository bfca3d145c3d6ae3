//! A wallet: its balance, its transactions, its events.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::list::{Page, next_cursor, of_owner};
use crate::api::answer::{Answer, Failure};
use crate::api::bodies::wallet::{
    BalanceBody, TokenBody, TransactionBody, TransactionsBody, Value, WalletBody,
};
use crate::api::caller::Caller;
use crate::api::extract::Params;
use crate::api::openapi::Refusals;
use crate::api::{Api, stream};
use crate::balance;
use crate::driver::read;
use crate::ports::{Access, Clock, Loaded, Mint, Scope, Store};
use crate::saga::code::Code;
use crate::saga::command::Command;
use crate::saga::ids::sum;
use crate::saga::proofs::{ProofWrite, Token, project_proofs};
use crate::saga::state::Saga;

/// What an owner has
#[utoipa::path(get, path = "/api/wallet/{npub}/balance", tag = "wallet",
    params(("npub" = String, Path, description = "The owner, npub1…")),
    responses((status = 200, description = "The balance", body = BalanceBody), Refusals))]
pub(crate) async fn balance<S: Store + Access, M: Mint, C: Clock>(
    State(api): State<Api<S, M, C>>,
    caller: Caller,
    Path(npub): Path<String>,
) -> Answer<Json<BalanceBody>> {
    let npub = caller.enter(&npub, Scope::Read)?;
    let store = &*api.pool.driver.store;
    let mut total = balance::Value::default();
    let mut wallets = Vec::new();
    for wallet in store.wallets(Some(&npub)).await? {
        let value = balance::value(store, &wallet).await?;
        total = total.plus(value);
        wallets.push(WalletBody {
            wallet: wallet.id.to_string(),
            mint_url: wallet.mint_url,
            unit: wallet.unit,
            value: value.into(),
        });
    }
    Ok(Json(BalanceBody {
        npub,
        total: total.into(),
        wallets,
    }))
}

impl From<balance::Value> for Value {
    fn from(value: balance::Value) -> Self {
        Value {
            available: value.available,
            reserved: value.reserved,
            in_flight: value.in_flight,
            owed: value.owed,
        }
    }
}

/// An owner's melts, mints and receives
#[utoipa::path(get, path = "/api/wallet/{npub}/transactions", tag = "wallet",
    params(("npub" = String, Path, description = "The owner, npub1…"), Page),
    responses((status = 200, description = "A page of them", body = TransactionsBody), Refusals))]
pub(crate) async fn transactions<S: Store + Access, M: Mint, C: Clock>(
    State(api): State<Api<S, M, C>>,
    caller: Caller,
    Path(npub): Path<String>,
    Params(page): Params<Page>,
) -> Answer<Json<TransactionsBody>> {
    let npub = caller.enter(&npub, Scope::Read)?;
    let filter = page.filter()?;
    let limit = filter.limit;
    let heads = of_owner(&*api.pool.driver.store, &npub, filter).await?;
    let next_cursor = next_cursor(&heads, limit);
    let mut transactions = Vec::with_capacity(heads.len());
    for head in heads {
        let loaded = api.load(&head.new.id).await?;
        transactions.push(transaction(&loaded)?);
    }
    Ok(Json(TransactionsBody {
        transactions,
        next_cursor,
    }))
}

fn transaction(loaded: &Loaded) -> Answer<TransactionBody> {
    let damaged = |_| Failure::of(Code::StoreUnusable);
    let (saga, _, entries) = read(loaded).map_err(damaged)?;
    let writes = project_proofs(&saga.adoption.id, &entries);
    let head = &loaded.head;
    let amount = match &saga.adoption.command {
        Command::Melt(melt) => melt.amount(),
        Command::Mint(mint) => mint.amount,
        Command::Receive(receive) => receive.amount,
        Command::Reconcile(_) => 0,
    };
    Ok(TransactionBody {
        transaction_id: saga.adoption.id.to_string(),
        kind: saga.kind().as_str().to_owned(),
        state: saga.state.as_str().to_owned(),
        status: saga.status().as_str().to_owned(),
        amount,
        fees: fees(&saga),
        mint_url: saga.adoption.mint_url.clone(),
        unit: saga.adoption.unit.clone(),
        created_at: head.created_at,
        updated_at: head.updated_at,
        code: saga.ended.as_ref().map(|ended| ended.code.to_string()),
        tokens: tokens(writes),
    })
}

fn fees(saga: &Saga) -> u64 {
    let input = saga.committed.as_ref().map_or(0, |c| c.input_fee);
    sum([saga.fee_paid, saga.swap_fees, input]).unwrap_or(u64::MAX)
}

/// The new proofs of a log, by their sets, in the order in which they came.
fn tokens(writes: Vec<ProofWrite>) -> Vec<TokenBody> {
    let mut tokens: Vec<TokenBody> = Vec::new();
    for write in writes {
        let ProofWrite::Insert { coin, token, .. } = write else {
            continue;
        };
        let known = tokens
            .iter_mut()
            .find(|known| known.token_id == token.token_id);
        let body = match known {
            Some(known) => known,
            None => {
                tokens.push(empty(token));
                let Some(new) = tokens.last_mut() else {
                    continue;
                };
                new
            }
        };
        body.amount = body.amount.saturating_add(coin.amount);
        body.proof_count = body.proof_count.saturating_add(1);
    }
    tokens
}

fn empty(token: Token) -> TokenBody {
    TokenBody {
        transaction_type: token.transaction_type.as_str().to_owned(),
        token_id: token.token_id,
        transaction_id: token.transaction_id,
        parent_transaction_id: token.parent_transaction_id,
        amount: 0,
        proof_count: 0,
    }
}

/// An owner's events, as they happen
///
/// At least once, in order for each melt: drop what has a position that you know. `Last-Event-ID`
/// goes on behind an event; what changed since is then sent whole.
#[utoipa::path(get, path = "/api/wallet/{npub}/events", tag = "wallet",
    params(("npub" = String, Path, description = "The owner, npub1…"),
        ("Last-Event-ID" = Option<String>, Header, description = "The last event that is known")),
    responses((status = 200, description = "Server-sent events",
            body = String, content_type = "text/event-stream"), Refusals))]
pub(crate) async fn events<S: Store + Access, M: Mint, C: Clock>(
    State(api): State<Api<S, M, C>>,
    caller: Caller,
    Path(npub): Path<String>,
    headers: HeaderMap,
) -> Answer<Response> {
    let npub = caller.enter(&npub, Scope::Read)?;
    stream::of_owner(&api, npub, &headers).await
}
