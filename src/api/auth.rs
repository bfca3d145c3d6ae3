//! Finds out who asks, before anything else looks at a request. The body is read here, whole and
//! within its limits, because a signature covers it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use nostr::types::Url;

use super::answer::{Answer, Failure};
use super::caller::Caller;
use super::{Api, nip98, tokens};
use crate::ports::{Access, Clock, Mint, Store};
use crate::saga::code::Code;

/// The other end of the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// What was found out: the caller, or why the request is refused. It is refused after it was
/// counted, so that guessing is slow.
#[derive(Clone, Debug)]
pub(super) struct Known(pub(super) Answer<Caller>);

/// Reads the body, finds the caller, and passes both on.
pub(super) async fn identify<S: Store + Access, M: Mint, C: Clock>(
    State(api): State<Api<S, M, C>>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let body = match read(&api, &parts, body).await {
        Ok(body) => body,
        Err(failure) => return failure.into_response(),
    };
    let known = caller(&api, &parts, &body).await;
    parts.extensions.insert(Known(known));
    next.run(Request::from_parts(parts, Body::from(body))).await
}

async fn read<S, M, C>(api: &Api<S, M, C>, parts: &Parts, body: Body) -> Answer<Bytes> {
    let max = api.options.body_bytes_max;
    let said = parts.headers.get(axum::http::header::CONTENT_LENGTH);
    let said = said.and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    let too_large = || {
        let seen = format!("a request may have {max} bytes");
        Failure::new(Code::RequestTooLarge, seen)
    };
    if said.is_some_and(|bytes| bytes > max) {
        return Err(too_large());
    }
    let patience = Duration::from_millis(api.options.read_timeout_ms);
    match tokio::time::timeout(patience, to_bytes(body, max)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(why)) if is_too_large(&why) => Err(too_large()),
        Ok(Err(_)) => {
            let seen = "the body ended before it was complete";
            Err(Failure::new(Code::RequestInvalid, seen))
        }
        Err(_) => Err(Failure::of(Code::RequestTooSlow)),
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    let source = std::error::Error::source(error);
    source.is_some_and(|why| why.to_string().contains("length limit exceeded"))
}

/// The caller by the header, or by its absence.
async fn caller<S: Store + Access, M: Mint, C: Clock>(
    api: &Api<S, M, C>,
    parts: &Parts,
    body: &[u8],
) -> Answer<Caller> {
    let Some(header) = parts.headers.get(AUTHORIZATION) else {
        return match api.options.public_url {
            Some(_) => Err(Failure::of(Code::AuthRequired)),
            None => local(parts),
        };
    };
    let invalid = || Failure::of(Code::AuthInvalid);
    let header = header.to_str().map_err(|_| invalid())?;
    let store = &*api.pool.driver.store;
    let (scheme, rest) = header.split_once(' ').ok_or_else(invalid)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        let token = tokens::bearer(store, rest.trim()).await?;
        return Ok(Caller::Service(Box::new(token)));
    }
    let Some(base) = &api.options.public_url else {
        let seen = "this service has no public URL to check a signature against";
        return Err(Failure::new(Code::AuthInvalid, seen));
    };
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let url = Url::parse(&format!("{}{path}", base.trim_end_matches('/')));
    let signed = nip98::Signed {
        header,
        url: url.map_err(|_| invalid())?,
        method: parts.method.as_str(),
        body,
        now_s: u64::try_from(api.pool.driver.clock.now().timestamp()).unwrap_or(0),
    };
    Ok(Caller::Owner(nip98::owner(store, signed).await?))
}

/// Without authentication a request must name this machine: a web page that a browser on this
/// machine shows could otherwise reach us under a name of its own.
fn local(parts: &Parts) -> Answer<Caller> {
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| parts.uri.host()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let is_ours = name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if is_ours {
        return Ok(Caller::Local);
    }
    let seen = "without authentication only requests to 127.0.0.1 or localhost are taken";
    Err(Failure::new(Code::AuthRequired, seen))
}

impl<A: Send + Sync> FromRequestParts<A> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &A) -> Answer<Self> {
        match parts.extensions.get::<Known>() {
            Some(Known(known)) => known.clone(),
            None => Err(Failure::of(Code::AuthRequired)),
        }
    }
}
