//! Bad input, one row each: a code, an exit code, a sentence, and nothing reserved afterwards.

use std::os::unix::fs::PermissionsExt;

use meltd::mint::embedded::{InvoiceSpec, Script};
use serde_json::Value;

use super::fakes::{self, Fake};
use super::happy::token;
use super::scene::{ALICE, BOB, Scene, paid};

/// Runs it and checks the error; the document is returned.
fn refused(scene: &Scene, args: &[&str], exit: i32, code: &str) -> Value {
    let said = scene.json(args);
    assert_eq!(said.exit, exit, "{args:?}: {said:?}");
    let document = said.json();
    assert_eq!(document["code"], code, "{document}");
    assert_eq!(document["success"], false, "{document}");
    for field in ["error", "message", "severity"] {
        assert!(document[field].is_string(), "{document}");
    }
    scene.assert_idle();
    document
}

fn message(document: &Value) -> &str {
    document["message"].as_str().unwrap()
}

#[tokio::test]
async fn arguments_that_cannot_be_used() {
    let scene = Scene::funded(ALICE, 300).await;
    let good = scene.invoice(100, paid()).to_string();
    let spec = |amount_msat, expiry_s| InvoiceSpec {
        amount_msat,
        expiry_s,
        ..InvoiceSpec::default()
    };
    let subsat = scene.invoice_as(&spec(Some(999), None)).to_string();
    let amountless = scene.invoice_as(&spec(None, None)).to_string();
    let expired = scene.invoice_as(&spec(Some(1000), Some(0))).to_string();
    let broken = &good[..good.len() - 3];
    let other = "https://other.example";
    let rows: [(&[&str], &str); 11] = [
        (&["melt", "--npub", "npub1xyz", &good], "INVALID_NPUB"),
        (&["melt", "--npub", ALICE, broken], "INVALID_INVOICE"),
        (&["melt", "--npub", ALICE, "hello"], "INVALID_INVOICE"),
        (&["melt", "--npub", ALICE, &expired], "INVOICE_EXPIRED"),
        (
            &["melt", "--npub", ALICE, &amountless],
            "INVOICE_AMOUNTLESS",
        ),
        (&["melt", "--npub", ALICE, &subsat], "INVOICE_SUB_SAT"),
        (
            &["melt", "--npub", ALICE, &good, "--amount", "7"],
            "AMOUNT_MISMATCH",
        ),
        (
            &["melt", "--npub", ALICE, &good, "--unit", "usd"],
            "UNIT_UNKNOWN",
        ),
        (
            &["melt", "--npub", ALICE, &good, "--mint", other],
            "MINT_UNKNOWN",
        ),
        (
            &["melt", "--npub", ALICE, &good, "--max-fee", "1"],
            "FEE_OVER_LIMIT",
        ),
        (&["mint", "--npub", ALICE, "0"], "AMOUNT_INVALID"),
    ];
    for (args, code) in rows {
        refused(&scene, args, 3, code);
    }
    refused(&scene, &["saga", "show", "nothing"], 3, "NOT_FOUND");
    assert_eq!(scene.balance(ALICE)["available"], 300);
    // What was refused for its limit may be asked for again without it.
    scene.json(&["melt", "--npub", ALICE, &good]).exits(0);
}

#[tokio::test]
async fn an_invoice_that_another_melt_is_paying() {
    let scene = Scene::funded(ALICE, 300).await;
    let invoice = scene.invoice(100, Script::Pending);
    let melt = ["melt", "--npub", ALICE, &invoice.to_string(), "--wait", "0"];
    scene.json(&melt).exits(5);
    let other = ["melt", "--npub", BOB, &invoice.to_string()];
    let document = scene.json(&other).exits(3);
    assert_eq!(document["code"], "INVOICE_IN_USE");
    assert_eq!(scene.balance(BOB)["reserved"], 0);
    scene.assert_clean();
}

#[tokio::test]
async fn a_balance_that_is_too_small() {
    let scene = Scene::funded(ALICE, 100).await;
    let melt = [
        "melt",
        "--npub",
        ALICE,
        &scene.invoice(100, paid()).to_string(),
    ];
    let document = refused(&scene, &melt, 3, "INSUFFICIENT_BALANCE");
    // 100 and a reserve of 2, and 1 for the inputs.
    assert!(
        message(&document).contains("3 sat are missing"),
        "{document}"
    );
    assert_eq!(scene.balance(ALICE)["available"], 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn mints_that_do_not_answer_as_they_should() {
    let scene = Scene::new().await.with("MELTD_ASK_TIMEOUT_MS", "300");
    let invoice = scene.invoice(100, paid()).to_string();
    let other_amount = Fake::OtherAmount(invoice.clone());
    let rows = [
        (None, 7, "MINT_UNREACHABLE"),
        (Some(Fake::Slow), 7, "MINT_SLOW"),
        (Some(Fake::RateLimited), 7, "MINT_RATE_LIMITED"),
        (Some(Fake::Garbage), 7, "MINT_NONSENSE"),
        (Some(other_amount), 3, "QUOTE_MISMATCH"),
        (Some(Fake::OtherInvoice), 3, "QUOTE_MISMATCH"),
    ];
    let mut scene = scene;
    for (fake, exit, code) in rows {
        let url = match fake {
            Some(fake) => fakes::start(fake).await,
            None => "http://127.0.0.1:1".to_owned(),
        };
        scene = scene.with("MELTD_MINT_URL", &url);
        let melt = [
            "melt",
            "--npub",
            ALICE,
            &invoice,
            "--timeout",
            "500ms",
            "--wait",
            "5s",
        ];
        let document = refused(&scene, &melt, exit, code);
        assert_eq!(document["paymentResult"], "FAILED", "{document}");
    }
}

#[tokio::test]
async fn tokens_that_cannot_be_taken() {
    let scene = Scene::new().await;
    let elsewhere = Scene::new().await;
    let good = token(&scene, 64).await;
    let foreign = token(&elsewhere, 64).await;
    let corrupt = &good[..good.len() / 2];
    let one_sat = token(&scene, 1).await;
    let rows = [
        ("cashuBnonsense", "TOKEN_INVALID"),
        ("hello", "TOKEN_INVALID"),
        (corrupt, "TOKEN_INVALID"),
        (&foreign, "MINT_UNKNOWN"),
        (&one_sat, "TOKEN_TOO_SMALL"),
    ];
    for (token, code) in rows {
        refused(&scene, &["receive", "--npub", ALICE, token], 3, code);
    }
    scene.json(&["receive", "--npub", BOB, &good]).exits(0);
    refused(
        &scene,
        &["receive", "--npub", ALICE, &good],
        3,
        "TOKEN_SPENT",
    );

    let (here, there) = (
        scene.mint.url().to_string(),
        elsewhere.mint.url().to_string(),
    );
    let scene = scene.with("MELTD_MINT_URL", &format!("{here},{there}"));
    let receive = ["receive", "--npub", ALICE, &foreign, "--mint", &here];
    refused(&scene, &receive, 3, "TOKEN_FOREIGN");
    scene.json(&["receive", "--npub", ALICE, &foreign]).exits(0);
    assert_eq!(scene.balance(ALICE)["wallets"].as_array().unwrap().len(), 2);
    assert_eq!(scene.balance(ALICE)["available"], 63);
}

#[tokio::test]
async fn stores_and_seeds_that_cannot_be_used() {
    let scene = Scene::new().await;
    std::fs::write(
        scene.path("text.db"),
        "this is no database, but long enough to be one",
    )
    .unwrap();
    let text = format!("sqlite:{}", scene.path("text.db").display());
    let folder = format!("sqlite:{}", scene.folder.path().display());
    let rows = [
        (
            "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200",
            7,
            "STORE_UNREACHABLE",
        ),
        (&text, 7, "STORE_UNUSABLE"),
        ("postgres://h/", 2, "STORE_INVALID"),
        (&folder, 7, ""),
    ];
    for (store, exit, code) in rows {
        let said = scene.json(&["balance", "--npub", ALICE, "--store", store]);
        assert_eq!(said.exit, exit, "{store}: {said:?}");
        let document = said.json();
        assert!(code.is_empty() || document["code"] == code, "{document}");
    }

    let seed = scene.path("meltd.seed");
    scene.mint_to(ALICE, 10);
    let mode = |mode| std::fs::set_permissions(&seed, std::fs::Permissions::from_mode(mode));
    let invoice = scene.invoice(5, paid()).to_string();
    let melt = ["melt", "--npub", ALICE, &invoice];
    mode(0o644).unwrap();
    refused(&scene, &melt, 7, "SEED_FILE_MODE");
    mode(0o600).unwrap();
    std::fs::write(&seed, "not a seed\n").unwrap();
    let document = refused(&scene, &melt, 7, "SEED_FILE_INVALID");
    assert!(message(&document).contains("meltd.seed"), "{document}");
    assert_eq!(scene.balance(ALICE)["available"], 10);
}

#[tokio::test]
async fn a_wrong_command_line() {
    let scene = Scene::new().await;
    for args in [
        &["melt"] as &[&str],
        &["nonsense"],
        &["recover", "--wait", "1d"],
    ] {
        let said = scene.json(args);
        assert_eq!(
            (said.exit, &said.json()["code"]),
            (2, &"CONFIG_INVALID".into())
        );
        let said = scene.run(args);
        assert_eq!((said.exit, said.stdout.as_str()), (2, ""));
        assert!(said.stderr.starts_with("error: "), "{said:?}");
    }
    let help = scene.run(&["--help"]);
    assert_eq!(help.exit, 0);
    assert!(help.stdout.contains("Exit codes:"), "{help:?}");
}
