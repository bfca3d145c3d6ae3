//! `GET /metrics` of a process that serves the API: bounded, and alive when the store is not well.

use meltd::mint::embedded::Script;
use reqwest::{Client, Method, StatusCode};
use rusqlite::Connection;
use serde_json::json;

use super::scene::{Owner, eventually};
use super::served::{Served, serve};
use crate::cli::scene::{ALICE, Scene, paid};
use crate::metrics::{Series, read, sum};

fn token(scene: &Scene, scope: &str) -> String {
    let create = ["token", "create", "shop", "--scope", scope, "--all"];
    let token = scene.json(&create).exits(0);
    token["secret"].as_str().unwrap().to_owned()
}

async fn scrape(served: &Served, secret: &str) -> Series {
    let client = Client::builder().no_proxy().build().unwrap();
    let request = client.get(format!("{}/metrics", served.url));
    let response = request.bearer_auth(secret).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    read(&response.text().await.unwrap())
}

/// Asks for all kinds of things that do not exist, each time other ones, and for one melt.
async fn drive(scene: &Scene, served: &Served, secret: &str, round: u32) {
    let client = Client::builder().no_proxy().build().unwrap();
    let npub = Owner::number(round + 1).npub;
    let script = if round.is_multiple_of(2) {
        paid()
    } else {
        Script::Failed
    };
    let ours = json!({ "invoice": scene.invoice(2, script).to_string() });
    let foreign = json!({
        "invoice": scene.invoice(2, paid()).to_string(),
        "mint": format!("https://mint-{round}.example"),
    });
    let made_up = Method::from_bytes(format!("MADE{round}").as_bytes()).unwrap();
    let wallet = format!("/api/wallet/{npub}");
    let get = |path: String| (Method::GET, path, None);
    let asks = [
        (
            Method::POST,
            format!("/api/wallet/{ALICE}/melt"),
            Some(&ours),
        ),
        (Method::POST, format!("{wallet}/melt"), Some(&ours)),
        (Method::POST, format!("{wallet}/melt"), Some(&foreign)),
        get(format!("{wallet}/balance?x{round}=1")),
        get(format!("/api/melts/{}", uuid::Uuid::now_v7())),
        get(format!("/nothing/{round}")),
        (made_up, "/api/melts".to_owned(), None),
    ];
    for (method, path, body) in asks {
        let mut request = client.request(method, format!("{}{path}", served.url));
        if let Some(body) = body {
            request = request.json(body);
        }
        request.bearer_auth(secret).send().await.unwrap();
    }
}

/// However many wallets, melts, mints, paths and methods callers name, there are no more series
/// than after the first few. Seen red with the path instead of the route's pattern.
#[tokio::test(flavor = "multi_thread")]
async fn no_caller_can_make_series() {
    let scene = Scene::funded(ALICE, 1000).await;
    let scene = scene.with("MELTD_API_BURST", "100000");
    let secret = token(&scene, "read,melt,operate,metrics");
    let served = serve(&scene, "serve.log").await;
    for round in 0..4 {
        drive(&scene, &served, &secret, round).await;
    }
    // A scrape is a request too, and is seen by the next one.
    scrape(&served, &secret).await;
    let before = scrape(&served, &secret).await;
    for round in 4..34 {
        drive(&scene, &served, &secret, round).await;
    }
    let after = scrape(&served, &secret).await;
    let new: Vec<_> = after.keys().filter(|s| !before.contains_key(*s)).collect();
    assert!(new.is_empty(), "{new:#?}");
    assert_eq!(
        sum(&after, "meltd_sagas_ended_total", &["melt", "settled"]),
        17.0
    );
    let melt = "route=\"/api/wallet/{npub}/melt\"";
    let of = |status: &str| sum(&after, "meltd_http_requests_total", &[melt, status]);
    assert_eq!((of("2xx"), of("4xx"), of("5xx")), (17.0, 85.0, 0.0));
    assert_eq!(
        sum(&after, "meltd_http_requests_total", &["other", "4xx"]),
        34.0
    );
    let text = format!("{after:?}");
    let private = [
        "npub1",
        "lnbc",
        "MADE",
        ".example",
        "nothing",
        secret.as_str(),
    ];
    for word in private {
        assert!(!text.contains(word), "{word} in {text}");
    }
    println!("{} series", after.len());
}

/// A count of the store that fails is itself counted, and stops nothing.
/// Seen red with the failure not counted.
#[tokio::test(flavor = "multi_thread")]
async fn a_survey_that_fails_is_counted_and_stops_nothing() {
    let scene = Scene::funded(ALICE, 100)
        .await
        .with("MELTD_SURVEY_EVERY", "50ms");
    let secret = token(&scene, "metrics,operate");
    let served = serve(&scene, "serve.log").await;
    let see = async |family: &str| sum(&scrape(&served, &secret).await, family, &[]);
    eventually("the store is counted", || async {
        let at = see("meltd_survey_timestamp_seconds").await;
        (at > 0.0).then_some(())
    })
    .await;
    assert_eq!(see("meltd_survey_failures_total").await, 0.0);
    // Of all that this process does, only the count reads the outbox.
    let file = Connection::open(scene.path("meltd.db")).unwrap();
    file.busy_timeout(std::time::Duration::from_secs(10))
        .unwrap();
    file.execute_batch("ALTER TABLE outbox RENAME TO outbox_away")
        .unwrap();
    eventually("the failure is counted", || async {
        (see("meltd_survey_failures_total").await >= 2.0).then_some(())
    })
    .await;
    let (status, body) = served.get(&secret, "/api/melts").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    file.execute_batch("ALTER TABLE outbox_away RENAME TO outbox")
        .unwrap();
    let failures = see("meltd_survey_failures_total").await;
    let then = see("meltd_survey_timestamp_seconds").await;
    eventually("the store is counted again", || async {
        (see("meltd_survey_timestamp_seconds").await > then).then_some(())
    })
    .await;
    assert!(see("meltd_survey_failures_total").await <= failures + 1.0);
}
