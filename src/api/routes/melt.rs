//! `POST /api/wallet/{npub}/melt`: the route that the service is for.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::one::body;
use crate::api::Api;
use crate::api::answer::{Answer, Failure};
use crate::api::bodies::melt::{MeltAsk, MeltOpenBody, MeltPaidBody};
use crate::api::caller::Caller;
use crate::api::extract::{Body, invalid};
use crate::api::openapi::Refusals;
use crate::api::run::{Patience, run};
use crate::api::view;
use crate::intake::{MeltRequest, Origin, Submitted, Target};
use crate::ports::{Access, Clock, Mint, Scope, Store};

/// How long a caller waits who does not say: most payments have ended by then.
const WAIT: Duration = Duration::from_secs(30);

/// How long new attempts are started; then the melt is finished or made impossible.
const NEW_ATTEMPTS: Duration = Duration::from_secs(60);

/// How long an answer waits for the log of its melt. A store in trouble would take longer, and the
/// caller has a place to look at.
const LAST_LOOK: Duration = Duration::from_secs(5);

/// Much more than any invoice, id or URL that is meant.
const INVOICE_CHARS_MAX: usize = 4096;
const NAME_CHARS_MAX: usize = 200;

/// Pay a Lightning invoice
///
/// 200 says that it is paid and settled. 202 says that it is, or may be, paid: look at `Location`
/// and do not pay again. Anything else says that it was not paid and never will be, or, with 503,
/// that the identical request may be sent again: it is the same payment.
#[utoipa::path(post, path = "/api/wallet/{npub}/melt", tag = "melts",
    params(("npub" = String, Path, description = "The owner, npub1…"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same as commandId"),
        ("Prefer" = Option<String>, Header, description = "respond-async, wait=SECONDS")),
    request_body = MeltAsk,
    responses((status = 200, description = "Paid and settled", body = MeltPaidBody),
        (status = 202, description = "Not decided yet, or waits for a person", body = MeltOpenBody,
            headers(("Location" = String, description = "Where to look for the outcome"))),
        Refusals))]
pub(crate) async fn melt<S: Store + Access, M: Mint, C: Clock>(
    State(api): State<Api<S, M, C>>,
    caller: Caller,
    Path(npub): Path<String>,
    headers: HeaderMap,
    Body(ask): Body<MeltAsk>,
) -> Answer<Response> {
    let npub = caller.enter(&npub, Scope::Melt)?;
    let wait = patience(&api, &headers, ask.wait)?;
    let origin = Origin {
        command_id: command_id(&headers, ask.command_id.as_deref())?,
        intent_key: named("intentKey", ask.intent_key.as_deref())?,
        ..Origin::new(caller.producer(&npub), NEW_ATTEMPTS)
    };
    let request = MeltRequest {
        target: Target {
            npub: npub.clone(),
            mint_url: named("mint", ask.mint.as_deref())?,
            unit: api.unit.to_string(),
        },
        invoice: plain(&ask.invoice)?,
        amount: ask.amount,
        fee_limit: ask.fee_limit,
        policy: ask.policy.unwrap_or_default(),
    };
    let place = api.melts.take(&npub)?;
    let patience = Patience {
        wait,
        drive: wait.max(WAIT),
    };
    let submit = submit(api.clone(), origin, request);
    let body = match run(&api, place, patience, submit).await {
        // A store that has not taken a settlement may still be read, or not answer for long.
        Ok(saga) => {
            let loaded = tokio::time::timeout(LAST_LOOK, api.load(&saga)).await;
            body(&api, &saga, loaded.ok().and_then(Result::ok).as_ref())
        }
        Err(failure) => view::doubtful(failure)?,
    };
    Ok(body.into_answer())
}

async fn submit<S: Store + Access, M: Mint, C: Clock>(
    api: Api<S, M, C>,
    origin: Origin,
    request: MeltRequest,
) -> Answer<Submitted> {
    let driver = &api.pool.driver;
    // What cannot be read is refused by the intake, in its words.
    let admitted = match driver.mint.read_invoice(&request.invoice) {
        Ok(invoice) => {
            let amount = invoice.amount_msat.map(|msat| msat.div_ceil(1000));
            let amount = amount.or(request.amount).unwrap_or(0);
            let melt = (amount, invoice.payment_hash.as_str());
            let (npub, now) = (&request.target.npub, driver.clock.now());
            api.day.admit(&*driver.store, npub, melt, now).await?
        }
        Err(_) => None,
    };
    let submitted = driver.submit_melt(&origin, &request).await;
    drop(admitted);
    submitted.map_err(Failure::of_melt)
}

/// How long the caller waits: by the body, or by `Prefer` (RFC 7240).
fn patience<S, M, C>(
    api: &Api<S, M, C>,
    headers: &HeaderMap,
    asked: Option<u64>,
) -> Answer<Duration> {
    let mut wait = asked;
    for prefer in headers.get_all("prefer") {
        let prefer = prefer
            .to_str()
            .map_err(|_| invalid("Prefer cannot be read"))?;
        for wish in prefer.split(',').map(str::trim) {
            if wish.eq_ignore_ascii_case("respond-async") {
                wait = Some(0);
            } else if let Some(seconds) = wish.strip_prefix("wait=") {
                let seconds: Option<u64> = seconds.trim().parse().ok();
                wait = wait.or(seconds);
            }
        }
    }
    let max = Duration::from_secs(api.options.wait_max_s);
    Ok(wait.map_or(WAIT, Duration::from_secs).min(max))
}

/// The caller's id of the command: the header and the field mean the same.
fn command_id(headers: &HeaderMap, field: Option<&str>) -> Answer<Option<String>> {
    let header = headers.get("idempotency-key");
    let header = header.map(|value| value.to_str()).transpose();
    let header = header.map_err(|_| invalid("Idempotency-Key must be plain ASCII"))?;
    match (header, field) {
        (Some(header), Some(field)) if header != field => Err(invalid(
            "Idempotency-Key and commandId differ: send one of them",
        )),
        (header, field) => named("commandId", header.or(field)),
    }
}

/// A name that a caller gives: not empty, not endless, no control characters.
pub(super) fn named(what: &str, text: Option<&str>) -> Answer<Option<String>> {
    let Some(text) = text else { return Ok(None) };
    let usable = !text.trim().is_empty()
        && text.chars().count() <= NAME_CHARS_MAX
        && !text.chars().any(char::is_control);
    if usable {
        return Ok(Some(text.to_owned()));
    }
    Err(invalid(&format!(
        "{what} must have 1 to {NAME_CHARS_MAX} characters, none of them a control character"
    )))
}

/// An invoice as wallets copy it, without the scheme of a link.
fn plain(invoice: &str) -> Answer<String> {
    let text = invoice.trim();
    if text.len() > INVOICE_CHARS_MAX {
        return Err(invalid("this is longer than any invoice"));
    }
    Ok(match text.split_once(':') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("lightning") => rest.to_owned(),
        _ => text.to_owned(),
    })
}
