//! Mints that are not what they should be: every request gets the same treatment.

use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::json;
use tokio::net::TcpListener;

/// How a fake mint answers everything.
#[derive(Clone, Debug)]
pub(crate) enum Fake {
    /// Not at all, for longer than anybody waits.
    Slow,
    /// That there were too many requests.
    RateLimited,
    /// With something that is no JSON.
    Garbage,
    /// With a melt quote for another amount.
    OtherAmount(String),
    /// With a melt quote for another invoice.
    OtherInvoice,
}

/// Starts it on a port of its own; it ends with the test's runtime.
pub(crate) async fn start(fake: Fake) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(move || answer(fake.clone()));
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

async fn answer(fake: Fake) -> axum::response::Response {
    let quote = |amount: u64, request: &str| {
        json!({
            "quote": "q", "amount": amount, "fee_reserve": 2, "unit": "sat", "state": "UNPAID",
            "expiry": 4_000_000_000u64, "request": request, "paid": false,
        })
        .to_string()
    };
    match fake {
        Fake::Slow => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            StatusCode::OK.into_response()
        }
        Fake::RateLimited => StatusCode::TOO_MANY_REQUESTS.into_response(),
        Fake::Garbage => "<html>welcome</html>".into_response(),
        Fake::OtherAmount(invoice) => quote(101, &invoice).into_response(),
        Fake::OtherInvoice => quote(100, "lnbc1other").into_response(),
    }
}
