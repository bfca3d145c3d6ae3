//! Golden: the seeds' error bodies, field by field, each made by what makes it in real life.
//! Ids differ from run to run and are taken from the answer, once they are known to be one id.

use std::time::Duration;

use meltd::driver::Tuning;
use meltd::mint::embedded::Script;
use mongodb::bson::doc;
use reqwest::{Response, StatusCode};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::scene::{ALICE, Scene, document, eventually, options, paid, said};
use crate::mongod::ReplicaSet;
use crate::proxy::{ASK, STATES};
use meltd::saga::code::Code;
use meltd::store::mongo::MongoStore;

const CONTACT: [&str; 2] = ["--support-contact", "support@example.com"];

/// A 202: its place, which names its melt, and its body with ids made plain.
async fn accepted(response: Response) -> (String, Value) {
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let place = response.headers()["location"].to_str().unwrap().to_owned();
    let mut body: Value = response.json().await.unwrap();
    let id = body["transactionId"].as_str().unwrap().to_owned();
    assert_eq!(place, format!("/api/melts/{id}"));
    assert_eq!(body["location"], place.as_str());
    assert_eq!(body["supportId"], id.as_str());
    plain(
        &mut body,
        &["transactionId", "supportId", "location", "quoteId"],
    );
    (place, body)
}

/// Each of these that is there becomes its own name; it must have been a text of some length.
fn plain(body: &mut Value, ids: &[&str]) {
    for name in ids {
        if let Some(id) = body.get_mut(name) {
            assert!(id.as_str().is_some_and(|id| id.len() > 10), "{name}: {id}");
            *id = json!(name);
        }
    }
}

/// The seeds' "Critical Error": the payment was made, and the database could not record it. It is
/// no 500, and it completes itself when the database is back.
#[tokio::test(flavor = "multi_thread")]
async fn paid_and_not_recorded_is_the_seeds_critical_body() {
    let tuning = Tuning {
        lease_ttl: Duration::from_millis(500),
        ..Tuning::default()
    };
    let (scene, _mint) = Scene::lied_to(&CONTACT, tuning).await;
    scene.fund(ALICE, 300).await;
    let invoice = scene.invoice(100, Script::Slow { ms: 500, ln_fee: 1 });
    let ask = json!({ "invoice": invoice.to_string(), "wait": 8 });
    let store = Connection::open(scene.folder.path().join("meltd.db")).unwrap();
    let hold = async {
        eventually("the payment begins", || async {
            let tried = scene.mint.lightning().times_tried(invoice.payment_hash());
            (tried > 0).then_some(())
        })
        .await;
        store.execute_batch("BEGIN IMMEDIATE").unwrap();
    };
    let (response, ()) = tokio::join!(scene.melt(ALICE, &ask).send(), hold);
    let (place, body) = accepted(response.unwrap()).await;
    let (_, mut shown) = said(scene.get(&place)).await;
    plain(
        &mut shown,
        &["transactionId", "supportId", "location", "quoteId"],
    );
    assert_eq!(
        shown, body,
        "whoever looks in this process is told the same"
    );
    let code = Code::CriticalDbFailureAfterMintSuccess;
    let golden = json!({
        "error": "Critical melt operation failure",
        "message": code.advice(),
        "code": "CRITICAL_DB_FAILURE_AFTER_MINT_SUCCESS",
        "severity": "CRITICAL",
        "requiresManualIntervention": false,
        "quoteId": "quoteId",
        "transactionId": "transactionId",
        "recommendation": "Do not pay again. Look at the location given.",
        "supportId": "supportId",
        "supportContact": "support@example.com",
        "paymentResult": "PAID",
        "state": "paid",
        "location": "location",
    });
    assert_eq!(body, golden);
    store.execute_batch("ROLLBACK").unwrap();
    eventually("it completes itself", || async {
        scene.recover().await;
        let (_, body) = said(scene.get(&place)).await;
        (body["success"] == true).then_some(())
    })
    .await;
    assert_eq!(scene.times_paid(&invoice), 1);
}

/// The seeds' `CRITICAL_MELT_FAILURE`: the mint calls the quote paid and its inputs unspent. Only
/// here does a person have to decide.
#[tokio::test(flavor = "multi_thread")]
async fn evidence_that_contradicts_itself_needs_a_person() {
    let tuning = Tuning {
        backoff_max: Duration::from_millis(50),
        ..Tuning::default()
    };
    let (scene, mint) = Scene::lied_to(&CONTACT, tuning).await;
    scene.fund(ALICE, 300).await;
    let invoice = scene.invoice(100, Script::Pending);
    let ask = json!({ "invoice": invoice.to_string(), "wait": 0 });
    mint.change(ASK, |quote| quote["state"] = json!("PAID"));
    mint.change(STATES, |reply| {
        for state in reply["states"].as_array_mut().into_iter().flatten() {
            state["state"] = json!("UNSPENT");
        }
    });
    let (place, _) = accepted(scene.melt(ALICE, &ask).send().await.unwrap()).await;
    eventually("it is put on the desk", || async {
        scene.recover().await;
        let (_, body) = said(scene.get(&place)).await;
        (body["severity"] == "CRITICAL").then_some(())
    })
    .await;
    let again = scene.melt(ALICE, &ask).send().await.unwrap();
    let (_, mut body) = accepted(again).await;
    let message = body["message"].as_str().unwrap().to_owned();
    assert!(
        message.ends_with(Code::PaidButUnspent.advice()),
        "{message}"
    );
    body["message"] = json!("message");
    let golden = json!({
        "error": "Critical melt operation failure",
        "message": "message",
        "code": "PAID_BUT_UNSPENT",
        "severity": "CRITICAL",
        "requiresManualIntervention": true,
        "quoteId": "quoteId",
        "transactionId": "transactionId",
        "recommendation": "Do not pay again. Look at the location given.",
        "supportId": "supportId",
        "supportContact": "support@example.com",
        "paymentResult": "PENDING",
        "state": "sent",
        "location": "location",
    });
    assert_eq!(body, golden);
    let (status, mut shown) = said(scene.get(&place)).await;
    plain(
        &mut shown,
        &["transactionId", "supportId", "location", "quoteId"],
    );
    shown["message"] = json!("message");
    assert_eq!((status, shown), (StatusCode::OK, golden));
}

/// The seeds' "Proof State Error": the check before the melt stops it, and nothing was sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_melt_is_the_seeds_proof_state_body() {
    let (scene, mint) = Scene::lied_to(&[], Tuning::default()).await;
    scene.fund(ALICE, 300).await;
    let invoice = scene.invoice(100, paid());
    let ask = json!({ "invoice": invoice.to_string() });
    mint.change(STATES, |reply| {
        for state in reply["states"].as_array_mut().into_iter().flatten() {
            state["state"] = json!("SPENT");
        }
    });
    let (status, mut body) = said(scene.melt(ALICE, &ask)).await;
    assert_eq!(body["supportId"], body["transactionId"]);
    plain(&mut body, &["transactionId", "supportId", "quoteId"]);
    let code = Code::MeltBlockedByReconciliation;
    let coins = "1 chosen coin(s) are spent at the mint";
    let golden = json!({
        "error": "Proof state validation failed",
        "message": format!("{coins}. {}", code.advice()),
        "code": "MELT_BLOCKED_BY_RECONCILIATION",
        "severity": "HIGH",
        "quoteId": "quoteId",
        "transactionId": "transactionId",
        "operationBlocked": true,
        "recommendation": format!(
            "{} Send a new melt with a new command id; this one has ended for good.",
            code.advice()
        ),
        "supportId": "supportId",
    });
    assert_eq!((status, body), (StatusCode::BAD_REQUEST, golden));
    assert_eq!(scene.times_paid(&invoice), 0);
}

/// The seeds' "Failed to melt tokens": the payment failed, and the coins are back.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_melt_is_the_seeds_plain_body() {
    let scene = Scene::open().await;
    scene.fund(ALICE, 300).await;
    let ask = json!({ "invoice": scene.invoice(100, Script::Failed).to_string() });
    let (status, mut body) = said(scene.melt(ALICE, &ask)).await;
    plain(
        &mut body,
        &["transactionId", "supportId", "quoteId", "message"],
    );
    let code = Code::PaymentFailed;
    let golden = json!({
        "error": "Failed to melt tokens",
        "message": "message",
        "code": "PAYMENT_FAILED",
        "severity": "LOW",
        "quoteId": "quoteId",
        "transactionId": "transactionId",
        "recommendation": format!(
            "{} Send a new melt with a new command id; this one has ended for good.",
            code.advice()
        ),
        "supportId": "supportId",
    });
    assert_eq!((status, body), (StatusCode::UNPROCESSABLE_ENTITY, golden));
}

/// The seeds' sanitised error: what a store says of itself stays in the log, under the support id.
/// And the store that does not say whether it took a melt: 202 with a place to look at, because
/// it may be paid; the same request again is the same melt.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_answer_is_no_refusal() {
    let set = ReplicaSet::start(1).await;
    let store = MongoStore::connect(&set.uri("meltd")).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::on(store, folder, options(&CONTACT)).await;
    scene.fund(ALICE, 300).await;
    let invoice = scene.invoice(100, paid());
    let ask = json!({ "invoice": invoice.to_string(), "commandId": "order-9" });
    let fail = async |command: &str| {
        let data = doc! {
            "failCommands": [command], "appName": "meltd-test", "closeConnection": true,
        };
        set.nodes[0]
            .failpoint("failCommand", "alwaysOn", data)
            .await;
    };

    fail("find").await;
    let response = scene.melt(ALICE, &ask).send().await.unwrap();
    assert!(response.headers().contains_key("retry-after"));
    let request = response.headers()["x-request-id"].clone();
    let (status, mut body) = document(response).await;
    assert_eq!(body["supportId"], request.to_str().unwrap());
    plain(&mut body, &["supportId"]);
    let code = Code::StoreUnreachable;
    let golden = json!({
        "error": "Not available",
        "message": code.advice(),
        "code": "STORE_UNREACHABLE",
        "severity": "HIGH",
        "recommendation": code.advice(),
        "supportId": "supportId",
    });
    assert_eq!((status, body), (StatusCode::SERVICE_UNAVAILABLE, golden));

    // The adoption is an update with an upsert.
    fail("update").await;
    let (place, body) = accepted(scene.melt(ALICE, &ask).send().await.unwrap()).await;
    let code = Code::AdoptionUnknown;
    let golden = json!({
        "error": "Melt not finished",
        "message": code.advice(),
        "code": "ADOPTION_UNKNOWN",
        "severity": "HIGH",
        "requiresManualIntervention": false,
        "transactionId": "transactionId",
        "recommendation": code.advice(),
        "supportId": "supportId",
        "paymentResult": "PENDING",
        "state": "unknown",
        "location": "location",
    });
    assert_eq!(body, golden);
    let funding = format!("/api/wallet/{ALICE}/mint");
    let funding = scene
        .post(&funding, &json!({ "amount": 7 }))
        .send()
        .await
        .unwrap();
    let found_at = funding.headers()["location"].to_str().unwrap().to_owned();
    let (status, body) = document(funding).await;
    let seen = (status, &body["location"], &body["state"], &body["amount"]);
    let expected = (
        StatusCode::ACCEPTED,
        &json!(found_at),
        &json!("unknown"),
        &json!(7),
    );
    assert_eq!(seen, expected, "{body}");

    set.nodes[0].failpoint("failCommand", "off", doc! {}).await;
    let (status, _) = said(scene.get(&place)).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "it was not taken");
    let (status, body) = said(scene.melt(ALICE, &ask)).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(scene.times_paid(&invoice), 1);
}
