//! That the proxy does what it says: a fault that does not happen would pass for a fault survived.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::chaos::{Chaos, forge};
use super::{Act, Gate, Proxy};

const BODY: &str = r#"{"change":[{"dleq":{"e":"ab"}}]}"#;

/// A server that counts what it can read, and a proxy before it.
struct Bench {
    proxy: Proxy,
    heard: Arc<AtomicUsize>,
}

impl Bench {
    async fn new() -> Self {
        let heard = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&heard);
        let handler = move |body: String| {
            let count = Arc::clone(&count);
            async move {
                if serde_json::from_str::<Value>(&body).is_err() {
                    return (StatusCode::BAD_REQUEST, "{}".to_owned());
                }
                count.fetch_add(1, Ordering::SeqCst);
                (StatusCode::OK, BODY.to_owned())
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(handler)).await });
        let proxy = Proxy::before(&url);
        Bench { proxy, heard }
    }

    /// Status and body of one request; `None` if there was no whole reply.
    async fn ask(&self, act: Option<Act>) -> Option<(u16, Vec<u8>)> {
        if let Some(act) = act {
            self.proxy.once("POST /x", act);
        }
        let client = reqwest::Client::new();
        let request = client.post(format!("{}/x", self.proxy.url()));
        let reply = request.body(r#"{"some":"thing"}"#).send().await.ok()?;
        let status = reply.status().as_u16();
        Some((status, reply.bytes().await.ok()?.to_vec()))
    }

    /// How often the server has heard of it since this was asked last.
    fn heard(&self) -> usize {
        self.heard.swap(0, Ordering::SeqCst)
    }
}

#[tokio::test]
async fn the_proxy_loses_doubles_and_breaks_what_it_says() {
    let bench = Bench::new().await;
    let whole = Some((200, BODY.as_bytes().to_vec()));
    assert_eq!((bench.ask(None).await, bench.heard()), (whole.clone(), 1));
    let rows = [
        (Act::LoseRequest, None, 0),
        (Act::LoseReply, None, 1),
        (Act::Twice, whole, 2),
        (Act::TruncateReply, None, 1),
        (Act::TruncateRequest, Some((400, b"{}".to_vec())), 0),
        (
            Act::refuse(7, "no"),
            Some((400, br#"{"code":7,"detail":"no"}"#.to_vec())),
            0,
        ),
    ];
    for (act, answer, heard) in rows {
        let name = act.name();
        assert_eq!(bench.ask(Some(act)).await, answer, "{name}");
        assert_eq!(bench.heard(), heard, "{name}");
    }
    let (status, garbled) = bench.ask(Some(Act::GarbleReply)).await.unwrap();
    assert_eq!((status, bench.heard()), (200, 1));
    assert!(serde_json::from_slice::<Value>(&garbled).is_err());
    let garbled = bench.ask(Some(Act::GarbleRequest)).await.unwrap();
    assert_eq!((garbled.0, bench.heard()), (400, 0));
    let (_, forged) = bench.ask(Some(Act::Forge)).await.unwrap();
    assert_eq!(forged, BODY.replace("ab", "a0").into_bytes());
    assert_eq!(bench.proxy.acts()["twice"], 1);
    assert_eq!(bench.proxy.saw("POST /x"), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_delivers_late_what_it_held_back() {
    let bench = Bench::new().await;
    let gate = Gate::closed();
    let request = bench.ask(Some(Act::HoldRequestAt(gate.clone())));
    assert!(
        tokio::time::timeout(Duration::from_millis(200), request)
            .await
            .is_err()
    );
    assert_eq!(bench.heard(), 0);
    gate.open();
    bench.proxy.quiet();
    assert_eq!(
        (bench.heard(), bench.proxy.answers("POST /x")),
        (1, vec![200])
    );

    let gate = Gate::closed();
    let act = Act::AnswerAndDeliver(400, json!(1), gate.clone());
    assert_eq!(bench.ask(Some(act)).await, Some((400, b"1".to_vec())));
    assert_eq!(bench.heard(), 0);
    gate.open();
    bench.proxy.quiet();
    assert_eq!(bench.heard(), 1);

    let began = Instant::now();
    bench
        .ask(Some(Act::HoldReply(Duration::from_millis(300))))
        .await;
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[test]
fn a_seed_brings_the_same_faults_again() {
    let faults = |seed| {
        let mut chaos = Chaos::new(seed, 300);
        let act = |n| {
            if n % 2 == 0 {
                chaos.act("POST /v1/swap")
            } else {
                chaos.act("GET /x")
            }
        };
        let acts: Vec<_> = (0..200).map(act).collect();
        let names = acts.iter().map(|act| act.as_ref().map(Act::name));
        names.collect::<Vec<_>>()
    };
    assert_eq!(faults(7), faults(7));
    assert_ne!(faults(7), faults(8));
    let met = faults(7).iter().flatten().count();
    assert!((30..90).contains(&met), "{met} of 200 with 30 percent");
    let mut none = b"{}".to_vec();
    forge(&mut none);
    assert_eq!(none, b"{}");
}
