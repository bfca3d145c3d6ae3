//! The seeds' bodies, field by field, and what the statuses promise.

use meltd::mint::embedded::{Outcome, Script};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::scene::{ALICE, BOB, Scene, eventually, paid, said};

/// Golden: the seeds' success body. The values that differ from run to run are ids and times.
#[tokio::test(flavor = "multi_thread")]
async fn a_paid_melt_has_the_seeds_success_body() {
    let scene = Scene::open().await;
    scene.fund(ALICE, 1000).await;
    let invoice = scene.invoice(100, paid());
    let ask = json!({ "invoice": invoice.to_string() });
    let (status, mut body) = said(scene.melt(ALICE, &ask)).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let id = body["transactionId"].as_str().unwrap().to_owned();
    let preimage = scene.mint.lightning().preimage(invoice.payment_hash());
    assert!(
        body["operationDuration"]
            .as_u64()
            .is_some_and(|ms| ms < 20_000)
    );
    assert!(
        body["quoteId"]
            .as_str()
            .is_some_and(|quote| !quote.is_empty())
    );
    body["operationDuration"] = json!(1);
    body["quoteId"] = json!("quote");
    let change = body["changeAmount"].as_u64().unwrap();
    let fee = body["inputFees"].as_u64().unwrap();
    let count = body["atomicResult"]["source_tokens_spent"].clone();
    let proofs = body["atomicResult"]["operations"][0]["proof_count"].clone();
    let golden = json!({
        "success": true,
        "transactionId": id,
        "paymentResult": "PAID",
        "paidAmount": 100,
        "feesPaid": 1,
        "changeAmount": change,
        "quoteId": "quote",
        "atomicResult": {
            "success": true,
            "transaction_id": id,
            "source_tokens_spent": count,
            "keep_token_id": null,
            "keep_amount": 0,
            "melt_change_token_id": format!("{id}:melt_change"),
            "melt_change_amount": change,
            "operations": [{
                "type": "melt_change",
                "token_id": format!("{id}:melt_change"),
                "amount": change,
                "proof_count": proofs,
            }],
        },
        "operationDuration": 1,
        "state": "settled",
        "changeOwed": 0,
        "inputFees": fee,
        "proven": true,
        "preimage": hex::encode(preimage.unwrap()),
        "violations": [],
    });
    assert_eq!(body, golden);
    let (status, shown) = said(scene.get(&format!("/api/melts/{id}"))).await;
    assert_eq!(
        (status, shown["transactionId"].as_str()),
        (StatusCode::OK, Some(id.as_str()))
    );
    let (_, balance) = said(scene.get(&format!("/api/wallet/{ALICE}/balance"))).await;
    assert_eq!(balance["available"], 1000 - 100 - 1 - fee);
}

/// One command id is one payment and one answer, by header or by field.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_gets_the_same_body() {
    let scene = Scene::open().await;
    scene.fund(ALICE, 1000).await;
    let invoice = scene.invoice(100, paid());
    let ask = json!({ "invoice": invoice.to_string() });
    let send = || scene.melt(ALICE, &ask).header("Idempotency-Key", "order-7");
    let first = said(send()).await;
    assert_eq!(first.0, StatusCode::OK, "{first:?}");
    assert_eq!(said(send()).await, first);
    let by_field = json!({ "invoice": invoice.to_string(), "commandId": "order-7" });
    assert_eq!(said(scene.melt(ALICE, &by_field)).await, first);
    assert_eq!(scene.times_paid(&invoice), 1);
    let other = json!({ "invoice": scene.invoice(100, paid()).to_string() });
    let (status, body) = said(
        scene
            .melt(ALICE, &other)
            .header("Idempotency-Key", "order-7"),
    )
    .await;
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::CONFLICT, &json!("COMMAND_ID_REUSED"))
    );
    let (status, body) = said(scene.melt(ALICE, &by_field).header("Idempotency-Key", "8")).await;
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::BAD_REQUEST, &json!("REQUEST_INVALID"))
    );
    // Another owner's ids are their own: they neither collide nor tell anything.
    scene.fund(BOB, 300).await;
    let (status, _) = said(scene.melt(BOB, &other).header("Idempotency-Key", "order-7")).await;
    assert_eq!(status, StatusCode::OK);
}

/// A melt that may be paid is 202 with the seeds' CRITICAL fields, and never "failed".
#[tokio::test(flavor = "multi_thread")]
async fn a_melt_that_is_not_decided_is_202() {
    let scene = Scene::open().await;
    scene.fund(ALICE, 1000).await;
    let invoice = scene.invoice(100, Script::Pending);
    let ask = json!({ "invoice": invoice.to_string(), "wait": 2 });
    let response = scene.melt(ALICE, &ask).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let body: Value = response.json().await.unwrap();
    let id = body["transactionId"].as_str().unwrap();
    assert_eq!(location, format!("/api/melts/{id}"));
    assert_eq!(body["code"], "NOT_FINISHED");
    assert_eq!(body["severity"], "MEDIUM");
    assert_eq!(body["requiresManualIntervention"], false);
    assert_eq!(body["paymentResult"], "PENDING");
    assert_eq!(body["supportId"], id);
    assert!(
        body["quoteId"].is_string() && body.get("success").is_none(),
        "{body}"
    );
    // Whoever asks again, with or without waiting, gets the same melt.
    let again = scene.melt(ALICE, &ask).header("Prefer", "respond-async");
    let (status, again) = said(again).await;
    assert_eq!(
        (status, &again["transactionId"]),
        (StatusCode::ACCEPTED, &body["transactionId"])
    );
    scene
        .mint
        .lightning()
        .settle(invoice.payment_hash(), Outcome::Paid { ln_fee: 1 })
        .unwrap();
    let done = eventually("the melt settles", || async {
        scene.recover().await;
        let (status, body) = said(scene.get(&location)).await;
        assert_eq!(status, StatusCode::OK);
        (body["success"] == true).then_some(body)
    })
    .await;
    assert_eq!(done["paidAmount"], 100);
    assert_eq!(scene.times_paid(&invoice), 1);
}

/// What failed for good says so, without a status that invites a retry, and the coins are back.
#[tokio::test(flavor = "multi_thread")]
async fn a_melt_that_failed_for_good_is_no_5xx() {
    let scene = Scene::open().await;
    scene.fund(ALICE, 300).await;
    let invoice = scene.invoice(100, Script::Failed);
    let ask = json!({ "invoice": invoice.to_string() });
    let (status, body) = said(scene.melt(ALICE, &ask)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    assert_eq!(body["error"], "Failed to melt tokens");
    assert_eq!(
        (&body["code"], &body["severity"]),
        (&json!("PAYMENT_FAILED"), &json!("LOW"))
    );
    let (status, body) = said(scene.melt(
        ALICE,
        &json!({
            "invoice": scene.invoice(5_000, paid()).to_string(),
        }),
    ))
    .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    assert_eq!(body["code"], "INSUFFICIENT_BALANCE");
    let (_, balance) = said(scene.get(&format!("/api/wallet/{ALICE}/balance"))).await;
    assert_eq!(
        (&balance["available"], &balance["inFlight"]),
        (&json!(299), &json!(0))
    );
}

/// A wallet is funded and paid from by HTTP alone, and its history adds up.
#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_lives_by_http_alone() {
    let scene = Scene::open().await;
    let wallet = format!("/api/wallet/{ALICE}");
    let (status, quote) =
        said(scene.post(&format!("{wallet}/mint"), &json!({ "amount": 500 }))).await;
    assert!(
        matches!(status, StatusCode::CREATED | StatusCode::OK),
        "{status} {quote}"
    );
    assert!(
        quote["invoice"]
            .as_str()
            .is_some_and(|i| i.starts_with("ln")),
        "{quote}"
    );
    let location = quote["location"].as_str().unwrap().to_owned();
    let minted = eventually("the funding is taken", || async {
        let (_, body) = said(scene.get(&location)).await;
        (body["success"] == true).then_some(body)
    })
    .await;
    assert_eq!(minted["gained"], 500);
    let token = scene.foreign_token(64).await;
    let receive = scene.post(&format!("{wallet}/receive"), &json!({ "token": token }));
    let (status, received) = said(receive).await;
    assert_eq!(
        (status, &received["success"]),
        (StatusCode::OK, &json!(true)),
        "{received}"
    );
    let ask = json!({ "invoice": scene.invoice(200, paid()).to_string() });
    assert_eq!(said(scene.melt(ALICE, &ask)).await.0, StatusCode::OK);
    let (_, page) = said(scene.get(&format!("{wallet}/transactions?limit=2"))).await;
    let kinds = |page: &Value| {
        let list = page["transactions"].as_array().unwrap().iter();
        list.map(|t| t["kind"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(kinds(&page), ["melt", "receive"]);
    assert_eq!(
        page["transactions"][0]["tokens"][0]["transactionType"],
        "change"
    );
    assert_eq!(
        page["transactions"][0]["tokens"][0]["parentTransactionId"],
        page["transactions"][0]["transactionId"]
    );
    let cursor = page["nextCursor"].as_str().unwrap();
    let next = format!("{wallet}/transactions?limit=2&cursor={cursor}");
    let (_, page) = said(scene.get(&next)).await;
    assert_eq!(kinds(&page), ["mint"]);
    assert_eq!(
        page["transactions"][0]["tokens"][0]["transactionType"],
        "minted"
    );
    assert_eq!(page["nextCursor"], Value::Null);
    let (_, melts) = said(scene.get(&format!("{wallet}/melts?status=done"))).await;
    assert_eq!(melts["melts"].as_array().unwrap().len(), 1);
    let (_, all) = said(scene.get("/api/melts")).await;
    assert_eq!(all["melts"], melts["melts"]);
}
