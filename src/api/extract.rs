//! What a request carries, as types; what cannot be read becomes the one error body. No error
//! repeats a value: it may be a token.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::answer::{Answer, Failure};
use crate::saga::code::Code;

/// The JSON body.
pub(super) struct Body<T>(pub(super) T);

/// The query.
pub(super) struct Params<T>(pub(super) T);

impl<A: Send + Sync, T: DeserializeOwned> FromRequest<A> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &A) -> Answer<Self> {
        let kind = request.headers().get(CONTENT_TYPE);
        let kind = kind.and_then(|v| v.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        // A browser lets a foreign page send other types without asking first.
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(invalid("send the body as Content-Type: application/json"));
        }
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|_| invalid("the body cannot be read"))?;
        let parsed = serde_json::from_slice(&bytes);
        parsed.map(Body).map_err(|why| {
            let (line, column) = (why.line(), why.column());
            let message = why.to_string();
            let what = shape(&message).unwrap_or("it is not the JSON that is wanted");
            invalid(&format!("the body, line {line}, column {column}: {what}"))
        })
    }
}

impl<A: Send + Sync, T: DeserializeOwned> FromRequestParts<A> for Params<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &A) -> Answer<Self> {
        let parsed = Query::try_from_uri(&parts.uri);
        parsed.map(|Query(params)| Params(params)).map_err(|_| {
            invalid("the query has a parameter that is unknown, or a value of the wrong kind")
        })
    }
}

pub(super) fn invalid(seen: &str) -> Failure {
    Failure::new(Code::RequestInvalid, seen)
}

/// The part of serde's message that names fields and no values.
fn shape(message: &str) -> Option<&str> {
    let names_fields = ["missing field", "duplicate field", "unknown field"];
    let known = names_fields.iter().any(|start| message.starts_with(start));
    let short = message.split(" at line ").next()?;
    (known && short.len() <= 300).then_some(short)
}
