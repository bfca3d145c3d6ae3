//! T6: a payment that stays pending beyond its quote's and its invoice's expiry, with restarts, and
//! a mint that knows nothing of it for a while. Time frees nothing, and stops nothing else.

use std::time::Duration;

use meltd::mint::embedded::{InvoiceSpec, Outcome, Script, Settings};
use serde_json::json;

use super::stage::{On, Stage};
use crate::cli::scene::{ALICE, paid};
use crate::proxy::{ASK, Act, MELT, STATES};

/// Seconds that quotes and the invoice live.
const SHORT: u64 = 3;

/// A payment that is pending, whose quote and invoice have expired, and whose process is dead.
async fn expired(on: On) -> (Stage, cdk::Bolt11Invoice) {
    let settings = Settings {
        fee_ppk: 100,
        quote_ttl_s: SHORT,
        ..Settings::default()
    };
    let stage = Stage::with(on, settings).await;
    stage.scene.mint_to(ALICE, 256);
    let invoice = stage.scene.invoice_as(&InvoiceSpec {
        amount_msat: Some(200_000),
        script: Some(Script::Pending),
        expiry_s: Some(SHORT),
        ..InvoiceSpec::default()
    });
    let melt = stage.melts(&invoice, &["--timeout", "2s"]);
    stage.proxy.until(MELT, 1);
    let lightning = stage.scene.mint.lightning();
    super::stage::until("that it is tried", || {
        lightning.times_tried(invoice.payment_hash()) == 1
    });
    melt.dies();
    std::thread::sleep(Duration::from_secs(SHORT + 1));
    (stage, invoice)
}

/// Everybody asks, nobody lets go.
fn holds_on(stage: &Stage) {
    let waits = stage.scene.json(&["recover", "--wait", "1s"]).exits(5);
    assert_eq!(waits["sagas"][0]["after"], "sent", "{waits}");
    assert_eq!((stage.available(), stage.balance("in_flight")), (0, 256));
    stage.scene.assert_clean();
}

async fn pending_for_long(on: On, outcome: Outcome) {
    let (stage, invoice) = expired(on).await;
    holds_on(&stage);
    // The alarm by age: red from the threshold on, and not before. Seen red without the line.
    let short = format!("{SHORT}s");
    assert_eq!(stage.grade("sagas", &["--stuck-after", &short]), "warning");
    assert_eq!(stage.grade("sagas", &["--stuck-after", "1h"]), "ok");
    // A mint that was restored from a backup, or is behind a proxy that is.
    let unknown = Act::Answer(400, json!({ "code": 50000, "detail": "Unknown quote" }));
    stage.proxy.always(ASK, unknown);
    holds_on(&stage);
    stage.proxy.always(STATES, Act::Answer(503, json!({})));
    holds_on(&stage);
    stage.proxy.honest();
    holds_on(&stage);
    let plan = stage.scene.json(&["recover", "--dry-run"]).exits(0);
    assert_eq!(plan["sagas"].as_array().unwrap().len(), 1, "{plan}");

    // The wallet's other coins are free, and pay.
    stage.scene.mint_to(ALICE, 64);
    let other = stage.scene.invoice(40, paid());
    stage.melt(&other, &[]).exits(0);
    assert_eq!(stage.scene.times_paid(&other), 1);
    let rest = 64 - 40 - 2;
    assert_eq!((stage.available(), stage.balance("in_flight")), (rest, 256));

    let lightning = stage.scene.mint.lightning();
    lightning.settle(invoice.payment_hash(), outcome).unwrap();
    stage.recovers();
    assert_eq!(stage.grade("sagas", &["--stuck-after", "0"]), "ok");
    let (times, back) = match outcome {
        Outcome::Paid { .. } => (1, 54),
        _ => (0, 255),
    };
    assert_eq!(stage.scene.times_paid(&invoice), times);
    assert_eq!(stage.available(), rest + back);
    assert_eq!(stage.proxy.saw(MELT), 2, "it was never posted again");
    stage.spends_all();
    stage.end().await;
}

#[tokio::test]
async fn t06_a_hodl_invoice_that_is_paid_after_all_on_sqlite() {
    pending_for_long(On::Sqlite, Outcome::Paid { ln_fee: 1 }).await;
}

#[tokio::test]
async fn t06_a_hodl_invoice_that_is_paid_after_all_on_mongodb() {
    pending_for_long(On::Mongo, Outcome::Paid { ln_fee: 1 }).await;
}

/// Seen red with a release at the deadline whatever the mint says: recovery called it not paid
/// while the payment was under way.
#[tokio::test]
async fn t06_a_hodl_invoice_that_fails_in_the_end_is_fenced() {
    pending_for_long(On::Sqlite, Outcome::Failed).await;
}
