//! The document of the API, made from the code: `/openapi.json`, and `schemas/openapi.json`.

use std::sync::OnceLock;

use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{IntoResponses, Modify, OpenApi};

use super::bodies::melt::OperationBody;
use super::bodies::problem::Problem;
use super::routes::{fund, health, list, melt, metrics, one, operator, wallet};

/// What any route may answer instead.
#[derive(IntoResponses)]
#[allow(dead_code)]
pub(super) enum Refusals {
    /// The request is not what the route takes, or cannot be done as it is
    #[response(status = 400)]
    BadRequest(Problem),
    /// Nobody is authenticated
    #[response(status = 401)]
    Unauthorized(Problem),
    /// The token does not allow this
    #[response(status = 403)]
    Forbidden(Problem),
    /// There is none, or none of the caller's
    #[response(status = 404)]
    NotFound(Problem),
    /// The body did not arrive in time
    #[response(status = 408)]
    TooSlow(Problem),
    /// The command id, the invoice, the intent or the coins are in use
    #[response(status = 409)]
    Conflict(Problem),
    /// The body is too large
    #[response(status = 413)]
    TooLarge(Problem),
    /// It was understood and cannot be done
    #[response(status = 422)]
    CannotBeDone(Problem),
    /// Too many requests, or melts under way: see Retry-After
    #[response(status = 429)]
    TooMany(Problem),
    /// Store or mint are away; nothing was sent. The identical request may be sent again
    #[response(status = 503)]
    NotAvailable(Problem),
}

#[derive(OpenApi)]
#[openapi(
    info(title = "meltd", description = "Pays Lightning invoices out of Cashu ecash"),
    paths(
        melt::melt,
        one::melt,
        one::events,
        list::of_wallet,
        list::of_all,
        wallet::balance,
        wallet::transactions,
        wallet::events,
        fund::mint,
        fund::minted,
        fund::receive,
        fund::received,
        operator::sagas::list,
        operator::sagas::show,
        operator::orders::park,
        operator::orders::resume,
        operator::orders::resolve,
        operator::mints::list,
        operator::mints::pause,
        operator::mints::resume,
        health::health,
        health::ready,
        health::document,
        metrics::metrics,
    ),
    components(schemas(OperationBody)),
    modifiers(&Ways),
    security(("bearer" = []), ("nostr" = []))
)]
struct Document;

/// The two ways to authenticate.
struct Ways;

impl Modify for Ways {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A service's token, made by `meltd token create`"));
        let signed = "`Nostr <base64 event>`, NIP-98: the request, signed by the wallet's owner";
        let nostr = ApiKeyValue::with_description("Authorization", signed);
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
        components.add_security_scheme("nostr", SecurityScheme::ApiKey(ApiKey::Header(nostr)));
    }
}

/// OpenAPI 3.1.
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// The document as it is served.
pub(super) fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| document().to_json().unwrap_or_default())
}
