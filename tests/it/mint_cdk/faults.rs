//! Silence, refusals and nonsense, as they come over the wire.

use std::time::{Duration, Instant};

use meltd::mint::cdk::Timeouts;
use meltd::ports::Mint;
use meltd::saga::code::Code;
use meltd::saga::ids::Y;
use meltd::saga::step::QuoteState;
use serde_json::json;
use tokio::net::TcpListener;

use super::front::{Fault, Front};
use super::scene::{Scene, adapter, inputs, refused, timeouts, unknown, wallet, ys};

/// A point, as good as any for a Y.
const POINT: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";

fn hasty() -> Timeouts {
    let moment = Duration::from_millis(150);
    Timeouts {
        ask: moment,
        sign: moment,
        pay: moment,
    }
}

#[tokio::test]
async fn a_late_answer_is_slow_and_the_request_was_sent_once() {
    let scene = Scene::new(0).await;
    let coins = scene.fund(&[128]).await;
    let (_, quote) = scene.quote(100).await;
    let hasty = scene.again(hasty());
    scene
        .front
        .fault("/v1/melt/bolt11", Fault::Hold(Duration::from_secs(2)));
    scene.front.seen();
    let begin = Instant::now();
    let answer = hasty
        .melt(&scene.wallet, &quote, &inputs(&coins), None)
        .await;
    assert_eq!(unknown(answer), Code::MintSlow);
    assert!(begin.elapsed() < Duration::from_secs(1));
    assert_eq!(scene.front.seen(), ["POST /v1/melt/bolt11"]);
    // It was paid all the same.
    let word = scene.adapter.melt_quote(&scene.wallet, &quote, None).await;
    assert_eq!(word.unwrap().state, QuoteState::Paid);
}

#[tokio::test]
async fn a_mint_that_accepts_and_says_nothing_is_slow() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let held = tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            open.push(listener.accept().await.unwrap());
        }
    });
    let answer = adapter(&url, hasty()).keysets(&wallet(&url)).await;
    assert_eq!(unknown(answer), Code::MintSlow);
    held.abort();
}

#[tokio::test]
async fn a_refused_connection_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let answer = adapter(&url, timeouts()).keysets(&wallet(&url)).await;
    assert_eq!(unknown(answer), Code::MintUnreachable);
    let url = "http://mint.invalid";
    let answer = adapter(url, timeouts()).keysets(&wallet(url)).await;
    assert_eq!(unknown(answer), Code::MintUnreachable);
}

#[tokio::test]
async fn a_connection_that_breaks_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        loop {
            drop(listener.accept().await.unwrap());
        }
    });
    let answer = adapter(&url, timeouts()).keysets(&wallet(&url)).await;
    assert_eq!(unknown(answer), Code::MintUnreachable);
    server.abort();
}

#[tokio::test]
async fn statuses_and_bodies_are_told_apart() {
    let front = Front::alone().await;
    let (mint, wallet) = (adapter(&front.url, timeouts()), wallet(&front.url));
    let table = [
        (429, "", Code::MintRateLimited),
        (503, "", Code::MintUnreachable),
        (302, "", Code::MintUnreachable),
        (404, "not here", Code::MintUnreachable),
        (400, "garbage", Code::MintNonsense),
        (200, "garbage", Code::MintNonsense),
        (200, "", Code::MintNonsense),
        (200, "{}", Code::MintNonsense),
        (200, "null", Code::MintNonsense),
        (
            200,
            r#"{"code":11001,"detail":"spent"}"#,
            Code::MintNonsense,
        ),
        (
            400,
            r#"{"code":50000,"detail":"oops"}"#,
            Code::MintUnreachable,
        ),
    ];
    for (status, body, code) in table {
        front.answer("/v1/", status, body);
        let ys = [Y::new(POINT)];
        assert_eq!(
            unknown(mint.check_state(&wallet, &ys).await),
            code,
            "{status} {body}"
        );
        assert_eq!(
            unknown(mint.keysets(&wallet).await),
            code,
            "{status} {body}"
        );
        let word = mint.melt_quote(&wallet, "q", None).await;
        assert_eq!(unknown(word), code, "{status} {body}");
    }
    front.answer("/v1/", 400, r#"{"code":11002,"detail":"pending"}"#);
    let ys = [Y::new(POINT)];
    assert_eq!(refused(mint.check_state(&wallet, &ys).await), Some(11002));
}

#[tokio::test]
async fn states_are_read_by_y_and_all_have_to_be_there() {
    let scene = Scene::new(0).await;
    let coins = scene.fund(&[1, 2]).await;
    scene.front.change("/v1/checkstate", |mut answer| {
        answer["states"].as_array_mut().unwrap().reverse();
        answer["states"][0]["state"] = json!("SPENT");
        answer
    });
    let states = scene.adapter.check_state(&scene.wallet, &ys(&coins)).await;
    let words = format!("{:?}", states.unwrap());
    assert_eq!(words, "[Unspent, Spent]");

    let changes: [fn(&mut serde_json::Value); 3] = [
        |answer| drop(answer["states"].as_array_mut().unwrap().pop()),
        |answer| answer["states"][0]["state"] = json!("FINE"),
        |answer| answer["states"][0]["Y"] = json!(POINT),
    ];
    for change in changes {
        scene.front.change("/v1/checkstate", move |mut answer| {
            change(&mut answer);
            answer
        });
        let states = scene.adapter.check_state(&scene.wallet, &ys(&coins)).await;
        assert_eq!(unknown(states), Code::MintNonsense);
    }
}
