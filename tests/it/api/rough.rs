//! Callers that are slow, broken, greedy, or gone; many at once; and what they may never see.

use std::time::{Duration, Instant};

use cdk::Bolt11Invoice;
use futures::future::join_all;
use meltd::mint::embedded::Script;
use meltd::ports::{Access, Store};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::scene::{ALICE, Owner, Scene, document, eventually, options, paid, said};
use crate::store_contract::Fixture;
use crate::store_mongo::Mongo;

/// Sends these bytes, ends its half of the connection if asked to, and reads to the end.
async fn raw(scene: &Scene, bytes: &[u8], half_close: bool) -> String {
    let mut stream = TcpStream::connect(scene.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    if half_close {
        stream.shutdown().await.unwrap();
    }
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    drop(
        tokio::time::timeout(Duration::from_secs(10), read)
            .await
            .unwrap(),
    );
    String::from_utf8_lossy(&answer).into_owned()
}

/// Seen red with any `Host` taken where nobody is authenticated.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused_in_one_shape() {
    let scene = Scene::with(&["--body-bytes-max", "1000"]).await;
    let path = format!("/api/wallet/{ALICE}/melt");
    let post = |body: &str| {
        let request = scene.client.post(scene.url(&path)).body(body.to_owned());
        request.header("content-type", "application/json")
    };
    let long = format!("{{\"invoice\": \"{}\"}}", "x".repeat(2000));
    let cases = [
        (post("{"), 400, "REQUEST_INVALID"),
        (post("[]"), 400, "REQUEST_INVALID"),
        (post("{}"), 400, "REQUEST_INVALID"),
        (post("{\"invoice\": 5}"), 400, "REQUEST_INVALID"),
        (
            post("{\"invoice\": \"lnbc1\", \"invioce\": 1}"),
            400,
            "REQUEST_INVALID",
        ),
        (post("{\"invoice\": \"lnbc1\"}"), 400, "INVALID_INVOICE"),
        (
            post("{\"invoice\": \"lnbc1\", \"commandId\": \"\\n\"}"),
            400,
            "REQUEST_INVALID",
        ),
        (post(&long), 413, "REQUEST_TOO_LARGE"),
        (
            scene.client.post(scene.url(&path)).body("{}"),
            400,
            "REQUEST_INVALID",
        ),
        (scene.client.put(scene.url(&path)), 405, "ROUTE_UNKNOWN"),
        (scene.get("/nothing"), 404, "ROUTE_UNKNOWN"),
        (scene.get("/api/melts/x"), 404, "NOT_FOUND"),
        (scene.get("/api/melts?limit=0"), 400, "REQUEST_INVALID"),
        (scene.get("/api/melts?limt=1"), 400, "REQUEST_INVALID"),
        (scene.get("/api/wallet/npub1x/balance"), 400, "INVALID_NPUB"),
        (scene.get("/health").header("host", "evil.example"), 200, ""),
        (
            scene.get("/api/melts").header("host", "evil.example"),
            401,
            "AUTH_REQUIRED",
        ),
    ];
    for (at, (request, status, code)) in cases.into_iter().enumerate() {
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert!(response.headers().get("server").is_none());
        assert!(
            response
                .headers()
                .get("access-control-allow-origin")
                .is_none()
        );
        let request_id = response.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        let (said, body) = document(response).await;
        assert_eq!(said.as_u16(), status, "case {at}: {body}");
        if !code.is_empty() {
            assert_eq!(body["code"], code, "case {at}: {body}");
            assert_eq!(body["supportId"], request_id, "case {at}: {body}");
            assert!(
                body["message"].as_str().is_some_and(|m| m.len() > 10),
                "{body}"
            );
        }
    }
}

/// Slow heads and slow bodies end; a body that stops half-way does too.
#[tokio::test(flavor = "multi_thread")]
async fn slow_callers_are_cut_off() {
    let scene = Scene::with(&["--read-timeout-ms", "400"]).await;
    let began = Instant::now();
    let head = raw(
        &scene,
        b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n",
        false,
    )
    .await;
    assert!(
        head.is_empty() || head.starts_with("HTTP/1.1 408"),
        "{head}"
    );
    let post = format!(
        "POST /api/wallet/{ALICE}/melt HTTP/1.1\r\nHost: 127.0.0.1\r\n\
         Content-Type: application/json\r\nContent-Length: 50\r\nConnection: close\r\n\r\n{{"
    );
    let body = raw(&scene, post.as_bytes(), false).await;
    assert!(body.starts_with("HTTP/1.1 408"), "{body}");
    assert!(body.contains("REQUEST_TOO_SLOW"), "{body}");
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    let cut = raw(&scene, post.as_bytes(), true).await;
    assert!(cut.is_empty() || cut.starts_with("HTTP/1.1 400"), "{cut}");
    for nonsense in [
        &b"\x16\x03\x01\x00\x00"[..],
        b"GET\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
    ] {
        let answer = raw(&scene, nonsense, true).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
            "{answer}"
        );
    }
    assert_eq!(
        scene.get("/health").send().await.unwrap().status(),
        StatusCode::OK
    );
}

/// A caller that goes away in the middle of a melt changes nothing about it.
/// Seen red with the drive awaited in the handler instead of in a task.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_cancels_nothing() {
    let scene = Scene::open().await;
    scene.fund(ALICE, 300).await;
    let invoice = scene.invoice(100, Script::Slow { ms: 300, ln_fee: 1 });
    let body = json!({ "invoice": invoice.to_string() }).to_string();
    let request = format!(
        "POST /api/wallet/{ALICE}/melt HTTP/1.1\r\nHost: 127.0.0.1\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(scene.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    eventually("the payment begins", || async {
        let tried = scene.mint.lightning().times_tried(invoice.payment_hash());
        (tried > 0).then_some(())
    })
    .await;
    drop(stream);
    let melts = format!("/api/wallet/{ALICE}/melts");
    eventually("the melt settles without its caller", || async {
        let (_, body) = said(scene.get(&melts)).await;
        (body["melts"][0]["state"] == "settled").then_some(())
    })
    .await;
    assert_eq!(scene.times_paid(&invoice), 1);
}

/// Rate, places and the day's limit; each says when, or that, to come back.
/// Seen red with the melt's own amount left out of the day's.
#[tokio::test(flavor = "multi_thread")]
async fn limits_hold() {
    let scene = Scene::with(&["--rate-per-s", "1", "--burst", "5"]).await;
    let mut refused = None;
    for _ in 0..8 {
        let response = scene.get("/api/melts").send().await.unwrap();
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(response);
        }
    }
    let refused = refused.expect("a caller over the rate is refused");
    assert!(
        refused.headers()["retry-after"]
            .to_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            >= 1
    );
    assert_eq!(document(refused).await.1["code"], "RATE_LIMITED");
    assert_eq!(
        scene.get("/health").send().await.unwrap().status(),
        StatusCode::OK
    );

    let scene = Scene::with(&["--wallet-melts-max", "1", "--day-max", "150"]).await;
    scene.fund(ALICE, 1000).await;
    let slow = scene.invoice(100, Script::Slow { ms: 700, ln_fee: 0 });
    let slow = json!({ "invoice": slow.to_string() });
    let other = json!({ "invoice": scene.invoice(40, paid()).to_string() });
    let (first, second) = tokio::join!(said(scene.melt(ALICE, &slow)), async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        said(scene.melt(ALICE, &other)).await
    });
    assert_eq!(first.0, StatusCode::OK, "{first:?}");
    let busy = (second.0, second.1["code"].as_str().unwrap());
    assert_eq!(busy, (StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_MELTS"));
    assert_eq!(said(scene.melt(ALICE, &other)).await.0, StatusCode::OK);
    let over = json!({ "invoice": scene.invoice(20, paid()).to_string() });
    let (status, body) = said(scene.melt(ALICE, &over)).await;
    assert_eq!(
        (status.as_u16(), &body["code"]),
        (422, &json!("DAY_LIMIT")),
        "{body}"
    );
    assert_eq!(
        said(scene.melt(ALICE, &other)).await.0,
        StatusCode::OK,
        "a repeat is no melt"
    );
}

/// Without authentication nobody else may reach it.
#[test]
fn an_open_service_listens_on_loopback_alone() {
    assert!(options(&[]).check().is_ok());
    assert!(options(&["--listen", "[::1]:1"]).check().is_ok());
    for outside in ["0.0.0.0:8338", "192.0.2.7:8338", "[::]:8338"] {
        let refused = options(&["--listen", outside]).check().unwrap_err();
        assert!(refused.message.contains("MELTD_PUBLIC_URL"), "{refused}");
        let url = ["--listen", outside, "--public-url", "https://pay.example"];
        assert!(options(&url).check().is_ok());
    }
    for bad in [
        "pay.example",
        "ftp://pay.example",
        "https://pay.example/?a=1",
        "/",
    ] {
        assert!(options(&["--public-url", bad]).check().is_err(), "{bad}");
    }
}

/// A caller of the crowd: looks at the balance, pays, looks at the melt and at the list, again and
/// again; every answer that was not the one it came for.
async fn calls<S: Store + Access>(
    scene: &Scene<S>,
    npub: &str,
    invoices: &[Bolt11Invoice],
) -> Vec<String> {
    let wallet = format!("/api/wallet/{npub}");
    let mut wrong = Vec::new();
    let mut expect = |(status, body): &(StatusCode, Value), is_it: &dyn Fn(&Value) -> bool| {
        if *status != StatusCode::OK || !is_it(body) {
            wrong.push(format!("{status} {body}"));
        }
    };
    for invoice in invoices {
        let balance = said(scene.get(&format!("{wallet}/balance"))).await;
        expect(&balance, &|body| body["available"].is_u64());
        let ask = json!({ "invoice": invoice.to_string() });
        let melt = said(scene.melt(npub, &ask)).await;
        expect(&melt, &|body| body["paymentResult"] == "PAID");
        let id = melt.1["transactionId"].as_str().unwrap_or_default();
        let shown = said(scene.get(&format!("/api/melts/{id}"))).await;
        expect(&shown, &|body| *body == melt.1);
        let list = said(scene.get(&format!("{wallet}/transactions?limit=5"))).await;
        expect(&list, &|body| body["transactions"].is_array());
    }
    wrong
}

/// Requests of one turn of a caller.
const TURN: usize = 4;

/// Fifty callers at once; how many requests they made, and which were not answered as they must.
async fn crowd<S: Store + Access>(
    scene: &Scene<S>,
    owners: &[String],
    turns: usize,
) -> (usize, Vec<String>) {
    let invoices: Vec<_> = (0..CALLERS * turns)
        .map(|_| scene.invoice(10, paid()))
        .collect();
    let callers = invoices.chunks(turns).zip(owners.iter().cycle());
    let wrong = join_all(callers.map(|(invoices, owner)| calls(scene, owner, invoices))).await;
    for invoice in &invoices {
        assert_eq!(scene.times_paid(invoice), 1);
    }
    (invoices.len() * TURN, wrong.concat())
}

const CALLERS: usize = 50;

/// The seeds' load: 50 callers at once, on one wallet and on fifty. Fewer than one request in a
/// thousand may fail.
async fn fifty_callers<S: Store + Access>(scene: &Scene<S>, turns: usize) {
    for _ in 0..turns * 2 {
        scene.fund(ALICE, 1023).await;
    }
    let owners: Vec<String> = (1..=50).map(|n| Owner::number(n).npub).collect();
    join_all(owners.iter().map(|owner| scene.fund(owner, 127))).await;
    let began = Instant::now();
    let (on_one, mut wrong) = crowd(scene, &[ALICE.to_owned()], turns).await;
    let half = began.elapsed();
    let (on_fifty, more) = crowd(scene, &owners, turns).await;
    wrong.extend(more);
    let requests = on_one + on_fifty;
    println!(
        "{requests} requests of 50 callers, {} wrong: {half:.1?} on one wallet, {:.1?} on fifty",
        wrong.len(),
        began.elapsed() - half,
    );
    assert!(wrong.len() * 1000 < requests, "{wrong:#?}");
}

/// 1,200 requests, 300 of them melts.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_callers_at_once_are_all_paid_once_on_sqlite() {
    let scene = Scene::with(&["--burst", "10000"]).await;
    fifty_callers(&scene, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_callers_at_once_are_all_paid_once_on_mongodb() {
    let mongo = Mongo::fresh().await;
    let folder = tempfile::tempdir().unwrap();
    let options = options(&["--burst", "10000"]);
    let scene = Scene::on(mongo.open().await, folder, options).await;
    fifty_callers(&scene, 1).await;
    drop(scene);
    mongo.remove().await;
}
