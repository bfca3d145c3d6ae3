//! What a person does on a good day.

use cdk::nuts::{CurrencyUnit, Token};
use meltd::mint::embedded::{InvoiceSpec, Script};
use serde_json::Value;

use super::scene::{ALICE, BOB, Scene, paid};
use crate::embedded_mint::purse::Purse;

/// Somebody else's token of this mint.
pub(crate) async fn token(scene: &Scene, amount: u64) -> String {
    let url = scene.mint.url();
    let proofs = Purse::open(url).await.mint(amount).await;
    Token::new(url.clone(), proofs, None, CurrencyUnit::Sat).to_string()
}

fn events(shown: &Value) -> Vec<String> {
    let timeline = shown["timeline"].as_array().unwrap().iter();
    timeline
        .map(|moment| moment["event"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_wallet_is_funded_and_pays() {
    let scene = Scene::funded(ALICE, 1000).await;
    let invoice = scene.invoice(100, paid());
    let melt = [
        "melt",
        "--npub",
        ALICE,
        &invoice.to_string(),
        "--max-fee",
        "2",
    ];
    let answer = scene.json(&melt).exits(0);
    assert_eq!(answer["success"], true);
    assert_eq!(answer["paymentResult"], "PAID");
    assert_eq!(answer["paidAmount"], 100);
    assert_eq!(answer["feesPaid"], 1);
    assert_eq!(answer["changeOwed"], 0);
    assert_eq!(answer["proven"], true);
    assert_eq!(answer["state"], "settled");
    assert_eq!(answer["transactionId"], answer["saga"]);
    assert_eq!(answer["atomicResult"]["success"], true);
    assert_eq!(
        answer["atomicResult"]["melt_change_amount"],
        answer["changeAmount"]
    );
    let preimage = scene.mint.lightning().preimage(invoice.payment_hash());
    assert_eq!(answer["preimage"], hex::encode(preimage.unwrap()));

    let again = scene.json(&melt).exits(0);
    assert_eq!(
        again["saga"], answer["saga"],
        "a repeat is the same payment"
    );
    assert_eq!(scene.times_paid(&invoice), 1);

    let spent = 100 + 1 + answer["input_fees"].as_u64().unwrap();
    assert_eq!(scene.balance(ALICE)["available"], 1000 - spent);
    scene.assert_idle();

    let id = answer["saga"].as_str().unwrap();
    let shown = scene.json(&["saga", "show", id]).exits(0);
    let expected = [
        "MeltRequested",
        "QuoteCreated",
        "PreflightPassed",
        "ProofsSent",
    ];
    assert_eq!(events(&shown)[..4], expected);
    assert_eq!(events(&shown)[4..], ["MeltPaid", "AtomicCommitted"]);
    assert_eq!(shown["next"], Value::Null);
    let verified = scene.json(&["saga", "verify", id]).exits(0);
    assert_eq!(
        (&verified["verified"], &verified["events"]),
        (&true.into(), &6.into())
    );
}

#[tokio::test]
async fn people_get_plain_text() {
    let scene = Scene::new().await;
    let said = scene.run(&["mint", "--npub", ALICE, "500"]);
    assert_eq!(said.exit, 0, "{said:?}");
    assert!(said.stdout.contains("500 sat"), "{said:?}");
    let invoice = scene.invoice(21, paid()).to_string();
    let said = scene.run(&["melt", "--npub", ALICE, &format!("lightning:{invoice}")]);
    assert_eq!((said.exit, said.stderr.as_str()), (0, ""), "{said:?}");
    assert!(said.stdout.contains("paid      21 sat"), "{said:?}");
    let looks: [&[&str]; 5] = [
        &["balance", "--npub", ALICE],
        &["wallet", "list"],
        &[
            "saga", "list", "--kind", "melt", "--status", "done", "--npub", ALICE,
        ],
        &["audit", "verify"],
        &["recover"],
    ];
    for look in looks {
        let said = scene.run(look);
        assert_eq!(
            (said.exit, said.stderr.as_str()),
            (0, ""),
            "{look:?}: {said:?}"
        );
        assert!(
            said.stdout.ends_with('\n') && said.stdout.is_ascii(),
            "{said:?}"
        );
    }
    let list = scene.json(&["saga", "list", "--limit", "1"]).exits(0);
    let id = list["sagas"][0]["saga"].as_str().unwrap().to_owned();
    assert_eq!(list["sagas"][0]["kind"], "melt", "the newest is kept");
    let said = scene.run(&["saga", "show", &id]);
    assert!(said.stdout.contains("AtomicCommitted"), "{said:?}");
}

#[tokio::test]
async fn the_payer_chooses_the_amount_of_an_amountless_invoice() {
    let scene = Scene::funded(ALICE, 200).await;
    let invoice = scene.invoice_as(&InvoiceSpec {
        script: Some(paid()),
        ..InvoiceSpec::default()
    });
    let melt = [
        "melt",
        "--npub",
        ALICE,
        &invoice.to_string(),
        "--amount",
        "77",
    ];
    assert_eq!(scene.json(&melt).exits(0)["paidAmount"], 77);
    scene.assert_idle();
}

#[tokio::test]
async fn a_token_is_taken_once() {
    let scene = Scene::new().await;
    let token = token(&scene, 100).await;
    let receive = ["receive", "--npub", BOB, &token];
    let first = scene.json(&receive).exits(0);
    let (gained, fee) = (
        first["gained"].as_u64().unwrap(),
        first["fee"].as_u64().unwrap(),
    );
    assert_eq!((gained + fee, fee), (100, 1));
    let again = scene.json_with_input(&["receive", "--npub", BOB, "-"], &token);
    assert_eq!(again.exits(0)["saga"], first["saga"]);
    assert_eq!(scene.balance(BOB)["available"], gained);
    scene.assert_idle();
}

#[tokio::test]
async fn one_command_id_is_one_command() {
    let scene = Scene::funded(ALICE, 500).await;
    let (a, b) = (scene.invoice(10, paid()), scene.invoice(10, paid()));
    let melt = |invoice: String, more: [&str; 2]| {
        scene.json(&["melt", "--npub", ALICE, &invoice, more[0], more[1]])
    };
    melt(a.to_string(), ["--command-id", "7"]).exits(0);
    let other = melt(b.to_string(), ["--command-id", "7"]).exits(3);
    assert_eq!(other["code"], "COMMAND_ID_REUSED");
    melt(b.to_string(), ["--intent", "order 1"]).exits(0);
    let c = scene.invoice(10, paid()).to_string();
    let other = melt(c, ["--intent", "order 1"]).exits(3);
    assert_eq!(other["code"], "INTENT_IN_USE");
    scene.assert_idle();
}

#[tokio::test]
async fn a_failed_payment_gives_the_coins_back() {
    let scene = Scene::funded(ALICE, 300).await;
    let invoice = scene.invoice(100, Script::Failed);
    let melt = ["melt", "--npub", ALICE, &invoice.to_string()];
    let answer = scene.json(&melt).exits(4);
    assert_eq!(answer["success"], false);
    assert_eq!(answer["paymentResult"], "FAILED");
    assert_eq!(
        (&answer["code"], &answer["severity"]),
        (&"PAYMENT_FAILED".into(), &"LOW".into())
    );
    assert_eq!(
        scene.balance(ALICE)["available"],
        299,
        "the fence costs its input fee"
    );
    scene.assert_idle();
    let said = scene.run(&[
        "melt",
        "--npub",
        ALICE,
        &scene.invoice(9, Script::Failed).to_string(),
    ]);
    assert!(
        said.stderr.starts_with("error[PAYMENT_FAILED]: "),
        "{said:?}"
    );
}

#[tokio::test]
async fn embedded_is_a_mint_that_is_there_again() {
    let scene = Scene::new().await.with("MELTD_MINT_URL", "embedded");
    scene.mint_to(ALICE, 64);
    scene.mint_to(ALICE, 64);
    let invoice = InvoiceSpec {
        amount_msat: Some(100_000),
        script: Some(paid()),
        ..InvoiceSpec::default()
    };
    let invoice = invoice.sign().unwrap().bolt11.to_string();
    let answer = scene.json(&["melt", "--npub", ALICE, &invoice]).exits(0);
    assert_eq!(answer["proven"], true);
    scene.assert_idle();
}
