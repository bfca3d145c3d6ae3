//! The operator's routes: what is stuck is seen, understood and decided over HTTP.

use meltd::driver::Tuning;
use meltd::mint::embedded::{Outcome, Script};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::scene::{ALICE, Scene, eventually, paid, said};
use crate::proxy::{Act, MELT, STATES};

const SAGAS: &str = "/api/operator/sagas";
const MINTS: &str = "/api/operator/mints";

async fn order(scene: &Scene, id: &str, what: &str, ask: Value) -> (StatusCode, Value) {
    said(scene.post(&format!("{SAGAS}/{id}/{what}"), &ask)).await
}

fn names(saga: &Value) -> Vec<&str> {
    let events = saga["events"].as_array().unwrap().iter();
    events
        .map(|event| event["name"].as_str().unwrap())
        .collect()
}

/// A payment under way: seen in the list, asked about, parked, and taken off the desk; an order is
/// for the version that was seen, and evidence goes before anybody's word.
#[tokio::test(flavor = "multi_thread")]
async fn a_saga_is_looked_at_parked_and_resumed() {
    let scene = Scene::open().await;
    scene.fund(ALICE, 300).await;
    let invoice = scene.invoice(100, Script::Pending);
    let ask = json!({ "invoice": invoice.to_string(), "wait": 0 });
    let (_, melt) = said(scene.melt(ALICE, &ask)).await;
    let id = melt["transactionId"].as_str().unwrap();
    let place = format!("{SAGAS}/{id}");
    let seen = eventually("its post is under way", || async {
        let (_, list) = said(scene.get(&format!("{SAGAS}?status=active&kind=melt"))).await;
        let sagas = list["sagas"].as_array().unwrap().clone();
        (sagas.len() == 1 && sagas[0]["state"] == "sent").then(|| sagas[0].clone())
    })
    .await;
    assert_eq!((&seen["saga"], &seen["amount"]), (&json!(id), &json!(100)));
    let shown = eventually("the mint says that it is pending", || async {
        let (_, shown) = said(scene.get(&format!("{place}?evidence=true"))).await;
        (shown["evidence"]["quote"] == "PENDING").then_some(shown)
    })
    .await;
    let inputs = shown["evidence"]["inputs"].as_array().unwrap();
    assert!(
        inputs.iter().all(|input| input["state"] == "PENDING"),
        "{shown}"
    );
    assert!(shown["evidence"]["would"].is_string() && shown["next"].is_string());

    let version = shown["version"].as_u64().unwrap();
    let asked = json!({ "reason": "asked the mint", "by": "olga", "expectVersion": version });
    let (status, parked) = order(&scene, id, "park", asked.clone()).await;
    assert_eq!(
        (status, &parked["status"]),
        (StatusCode::OK, &json!("parked")),
        "{parked}"
    );
    let last = parked["events"].as_array().unwrap().last().unwrap();
    assert!(
        last["body"].as_str().unwrap().contains("local: olga"),
        "{last}"
    );
    let (status, refused) = order(&scene, id, "resume", asked).await;
    let code = (status, &refused["code"]);
    assert_eq!(
        code,
        (StatusCode::CONFLICT, &json!("VERSION_MOVED")),
        "{refused}"
    );
    // Its owner is told that a person has it, and nothing else.
    let (status, told) = said(scene.melt(ALICE, &ask)).await;
    let code = (status, &told["code"]);
    assert_eq!(
        code,
        (StatusCode::ACCEPTED, &json!("OPERATOR_PARKED")),
        "{told}"
    );

    let word = json!({
        "as": "paid", "reason": "the payee said so", "expectVersion": version + 1, "wait": 1,
    });
    let (status, refused) = order(&scene, id, "resolve", word).await;
    let code = (status, &refused["code"]);
    let expected = (
        StatusCode::UNPROCESSABLE_ENTITY,
        &json!("RESOLUTION_REFUSED"),
    );
    assert_eq!(code, expected, "{refused}");
    let (status, resumed) = order(&scene, id, "resume", json!({ "reason": "a mistake" })).await;
    assert_eq!(
        (status, &resumed["status"]),
        (StatusCode::OK, &json!("active")),
        "{resumed}"
    );
    let paid = Outcome::Paid { ln_fee: 1 };
    scene
        .mint
        .lightning()
        .settle(invoice.payment_hash(), paid)
        .unwrap();
    let done = eventually("it settles", || async {
        scene.recover().await;
        let (_, shown) = said(scene.get(&place)).await;
        (shown["state"] == "settled").then_some(shown)
    })
    .await;
    assert_eq!(
        (&done["next"], &done["status"]),
        (&Value::Null, &json!("done"))
    );
    assert_eq!(names(&done)[4..6], ["Parked", "Resumed"]);
    let (status, refused) = order(&scene, id, "park", json!({ "reason": "too late" })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{refused}");
    assert_eq!(scene.times_paid(&invoice), 1);
}

/// What was sent comes back by the fence alone, and with who and why in the log.
#[tokio::test(flavor = "multi_thread")]
async fn a_saga_is_resolved_by_the_fence() {
    let (scene, mint) = Scene::lied_to(&[], Tuning::default()).await;
    scene.fund(ALICE, 300).await;
    // Nothing arrives but the question before the melt, so nothing can be decided.
    mint.always(MELT, Act::LoseRequest);
    mint.add(STATES, 1, usize::MAX, Act::LoseRequest);
    let invoice = scene.invoice(100, paid());
    let ask = json!({ "invoice": invoice.to_string(), "wait": 0 });
    let (_, melt) = said(scene.melt(ALICE, &ask)).await;
    let id = melt["transactionId"].as_str().unwrap();
    let place = format!("{SAGAS}/{id}");
    eventually("it is sent, and nothing comes back", || async {
        let (_, shown) = said(scene.get(&place)).await;
        (shown["state"] == "sent" && shown["waitingFor"].is_string()).then_some(())
    })
    .await;
    let (status, parked) = order(&scene, id, "park", json!({ "reason": "too long" })).await;
    assert_eq!(status, StatusCode::OK, "{parked}");
    mint.honest();
    let word = json!({
        "as": "released", "reason": "the payee has waived it", "by": "olga",
        "expectVersion": parked["version"],
    });
    let (status, done) = order(&scene, id, "resolve", word).await;
    let seen = (status, &done["state"]);
    assert_eq!(seen, (StatusCode::OK, &json!("released")), "{done}");
    let events = names(&done);
    let at = events
        .iter()
        .position(|name| *name == "OperatorResolved")
        .unwrap();
    let follows = [
        "OperatorResolved",
        "SwapPrepared",
        "SwapDone",
        "ProofsReleased",
    ];
    assert_eq!(events[at..], follows);
    assert_eq!(scene.times_paid(&invoice), 0);
    let (_, balance) = said(scene.get(&format!("/api/wallet/{ALICE}/balance"))).await;
    assert_eq!(
        balance["available"], 299,
        "all but the fence's input fee: {balance}"
    );
}

/// Nothing new is begun at a paused mint, by whomever; its callers are told to come back.
#[tokio::test(flavor = "multi_thread")]
async fn a_mint_is_paused_and_resumed() {
    let scene = Scene::open().await;
    scene.fund(ALICE, 300).await;
    let (_, list) = said(scene.get(MINTS)).await;
    let url = list["mints"][0]["mintUrl"].as_str().unwrap().to_owned();
    let pause = json!({ "mint": url, "reason": "it lies", "by": "olga" });
    let (status, list) = said(scene.post(&format!("{MINTS}/pause"), &pause)).await;
    let mint = &list["mints"][0];
    assert_eq!(
        (status, &mint["paused"]),
        (StatusCode::OK, &json!(true)),
        "{list}"
    );
    let who = (&mint["pausedBy"], &mint["reason"], &mint["wallets"]);
    assert_eq!(who, (&json!("local: olga"), &json!("it lies"), &json!(1)));
    assert!(mint["pausedAt"].is_string());
    let ask = json!({ "invoice": scene.invoice(10, paid()).to_string() });
    let refused = scene.melt(ALICE, &ask).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));
    let refused: Value = refused.json().await.unwrap();
    assert_eq!(refused["code"], "MINT_PAUSED", "{refused}");

    let resume = json!({ "mint": url });
    let (_, list) = said(scene.post(&format!("{MINTS}/resume"), &resume)).await;
    assert_eq!(list["mints"][0]["paused"], false);
    let (status, _) = said(scene.post(&format!("{MINTS}/resume"), &resume)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let other = json!({ "mint": "https://other.example", "reason": "x" });
    let (status, body) = said(scene.post(&format!("{MINTS}/pause"), &other)).await;
    let seen = (status, &body["code"]);
    assert_eq!(seen, (StatusCode::BAD_REQUEST, &json!("MINT_UNKNOWN")));
    let (status, body) = said(scene.melt(ALICE, &ask)).await;
    assert_eq!(status, StatusCode::OK, "{body}");
}
