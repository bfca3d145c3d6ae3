//! Those who follow events: everything, in order, and again behind what they know.

use std::time::Duration;

use futures::StreamExt;
use meltd::mint::embedded::{Outcome, Script};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::scene::{ALICE, BOB, Scene, paid, said};

/// One event as it came over the wire.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    id: String,
    name: String,
    body: Value,
}

/// Reads until there are `count` events, or the stream ends.
async fn told(request: RequestBuilder, count: usize) -> Vec<Told> {
    let response = request
        .header("accept", "text/event-stream")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut stream = response.bytes_stream();
    let (mut text, mut events) = (String::new(), Vec::new());
    let reading = async {
        while events.len() < count {
            let Some(bytes) = stream.next().await else {
                break;
            };
            text.push_str(&String::from_utf8_lossy(&bytes.unwrap()));
            while let Some((block, rest)) = text.split_once("\n\n") {
                events.extend(event(block));
                text = rest.to_owned();
            }
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(20), reading).await;
    assert!(done.is_ok(), "only {} of {count} events came", events.len());
    events
}

fn event(block: &str) -> Option<Told> {
    let field = |name: &str| {
        let line = block
            .lines()
            .find(|line| line.starts_with(&format!("{name}: ")));
        line.map(|line| line[name.len() + 2..].to_owned())
    };
    Some(Told {
        id: field("id")?,
        name: field("event")?,
        body: serde_json::from_str(&field("data")?).unwrap(),
    })
}

const HAPPY: [&str; 6] = [
    "MeltRequested",
    "QuoteCreated",
    "PreflightPassed",
    "ProofsSent",
    "MeltPaid",
    "AtomicCommitted",
];

fn names(events: &[Told]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}

/// A melt's stream tells all of it, goes on behind an event, and ends with the melt.
#[tokio::test(flavor = "multi_thread")]
async fn a_melt_is_followed_from_any_point_to_its_end() {
    let scene = Scene::open().await;
    scene.fund(ALICE, 300).await;
    let invoice = scene.invoice(100, Script::Pending);
    let ask = json!({ "invoice": invoice.to_string(), "wait": 0 });
    let (_, body) = said(scene.melt(ALICE, &ask)).await;
    let path = format!("{}/events", body["location"].as_str().unwrap());
    let first = told(scene.get(&path), 4).await;
    assert_eq!(names(&first), HAPPY[..4]);
    let settle = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let hash = invoice.payment_hash();
        scene
            .mint
            .lightning()
            .settle(hash, Outcome::Paid { ln_fee: 1 })
            .unwrap();
        for _ in 0..40 {
            scene.recover().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let behind = scene.get(&path).header("last-event-id", &first[3].id);
    let (rest, ()) = tokio::join!(told(behind, usize::MAX), settle);
    assert_eq!(names(&rest), HAPPY[4..]);
    let all = [first, rest].concat();
    assert!(
        all.iter()
            .zip(1..)
            .all(|(event, seq)| event.body["seq"] == seq)
    );
    let last = scene.get(&path).header("accept", "text/event-stream");
    let last = last
        .header("last-event-id", &all[5].id)
        .send()
        .await
        .unwrap();
    assert_eq!(last.status(), StatusCode::NO_CONTENT);
    let (_, listed) = said(scene.get(&path)).await;
    let listed = listed["events"].as_array().unwrap();
    assert_eq!(listed.len(), 6);
    for (event, told) in listed.iter().zip(&all) {
        assert_eq!(event["id"], told.id);
        let body: Value = serde_json::from_str(event["body"].as_str().unwrap()).unwrap();
        assert_eq!(body, told.body);
    }
}

/// An owner's stream tells of their melts and of nobody else's; a mark from before a break brings
/// what was missed.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_is_told_of_their_own_melts() {
    let scene = Scene::open().await;
    scene.fund(ALICE, 300).await;
    scene.fund(BOB, 300).await;
    let path = format!("/api/wallet/{ALICE}/events");
    let pay = async |npub: &str| {
        let ask = json!({ "invoice": scene.invoice(10, paid()).to_string() });
        let (status, body) = said(scene.melt(npub, &ask)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["transactionId"].as_str().unwrap().to_owned()
    };
    let paying = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        pay(BOB).await;
        pay(ALICE).await
    };
    let melts = async {
        let events = told(scene.get(&path), 6).await;
        events
            .into_iter()
            .filter(|e| e.body["kind"] == "melt")
            .collect::<Vec<_>>()
    };
    let (events, first) = tokio::join!(melts, paying);
    assert_eq!(names(&events), HAPPY);
    assert!(
        events
            .iter()
            .all(|event| event.body["saga"] == first.as_str())
    );
    // Nobody listens now.
    let missed = pay(ALICE).await;
    let mark = events[5].id.clone();
    let again = scene.get(&path).header("last-event-id", mark);
    let events = told(again, 3 + 6 + 6).await;
    let of_missed = events
        .iter()
        .filter(|event| event.body["saga"] == missed.as_str());
    assert_eq!(of_missed.count(), 6, "{:?}", names(&events));
    let bad = scene
        .get(&path)
        .header("last-event-id", "x")
        .send()
        .await
        .unwrap();
    assert_eq!(bad.status(), StatusCode::BAD_REQUEST);
}
