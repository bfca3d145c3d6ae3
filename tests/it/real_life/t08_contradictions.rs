//! T8: the mint contradicts itself. The rules are monotone: what was paid stays paid, what may be
//! paid is not freed, and what cannot be true is put before a person with the evidence.

use meltd::mint::embedded::{Outcome, Script};
use serde_json::{Value, json};

use super::stage::{On, Stage};
use crate::cli::scene::paid;
use crate::proxy::{ASK, Act, MELT, RESTORE, STATES, SWAP};

const LEFT: u64 = 54;

fn unpaid(reply: &mut Value) {
    reply["state"] = json!("UNPAID");
    reply["paid"] = json!(false);
    reply["change"] = Value::Null;
    reply["payment_preimage"] = Value::Null;
}

fn unspent(reply: &mut Value) {
    for state in reply["states"].as_array_mut().into_iter().flatten() {
        state["state"] = json!("UNSPENT");
    }
}

fn nothing(reply: &mut Value) {
    reply["signatures"] = json!([]);
    reply["outputs"] = json!([]);
}

/// PAID with a preimage that is not the invoice's: settled, claimed, not proven.
#[tokio::test]
async fn t08_paid_with_a_wrong_or_an_empty_preimage_is_claimed_only() {
    for preimage in [json!("ab".repeat(32)), json!(""), Value::Null, json!("yes")] {
        let stage = Stage::funded(On::Sqlite, 256).await;
        let invoice = stage.scene.invoice(200, paid());
        let said = preimage.clone();
        stage.proxy.change(MELT, move |reply| {
            reply["payment_preimage"] = said.clone();
        });
        let answer = stage.melt(&invoice, &[]).exits(0);
        assert_eq!(answer["proven"], false, "{preimage}: {answer}");
        assert_eq!(answer["paymentResult"], "PAID", "{answer}");
        assert_eq!(stage.available(), LEFT);
        stage.scene.assert_idle();
        stage.end().await;
    }
}

/// The post is answered FAILED, the payment is made all the same.
async fn failed_then_paid(on: On, word: Act) {
    let stage = Stage::funded(on, 256).await;
    let invoice = stage.scene.invoice(200, paid());
    stage.proxy.once(MELT, word);
    let answer = stage.melt(&invoice, &[]).exits(0);
    assert_eq!(answer["paymentResult"], "PAID", "{answer}");
    assert_eq!(stage.scene.times_paid(&invoice), 1);
    assert_eq!((stage.available(), stage.proxy.saw(SWAP)), (LEFT, 0));
    stage.scene.assert_idle();
    stage.spends_all();
    stage.end().await;
}

#[tokio::test]
async fn t08_failed_then_paid() {
    let change = |change: fn(&mut Value)| Act::Change(std::sync::Arc::new(change));
    let failed = change(|reply| {
        unpaid(reply);
        reply["state"] = json!("FAILED");
    });
    failed_then_paid(On::Sqlite, failed.clone()).await;
    failed_then_paid(On::Mongo, failed).await;
    failed_then_paid(On::Sqlite, change(unpaid)).await;
}

/// PENDING, then UNPAID with inputs that are said to be free, then PENDING: the mint lies long
/// enough for meltd to post again and to fence, and the inputs are in the payment all the time.
/// Seen red with a release in place of the fence.
async fn pending_unpaid_pending(on: On, outcome: Outcome) {
    let stage = Stage::funded(on, 256).await;
    let invoice = stage.scene.invoice(200, Script::Pending);
    let melt = stage.melts(&invoice, &["--timeout", "3s", "--wait", "30s"]);
    stage.proxy.until(ASK, 1);
    stage.proxy.change(ASK, unpaid);
    stage.proxy.change(STATES, unspent);
    // It posts again, gives up, and fences: the mint refuses, because the coin is in a payment.
    stage.proxy.until(SWAP, 2);
    assert_eq!((stage.available(), stage.balance("in_flight")), (0, 256));
    stage.proxy.honest();
    let lightning = stage.scene.mint.lightning();
    lightning.settle(invoice.payment_hash(), outcome).unwrap();
    let said = melt.ends();
    let (exit, times, left) = match outcome {
        Outcome::Paid { .. } => (0, 1, LEFT),
        _ => (4, 0, 255),
    };
    said.exits(exit);
    assert_eq!(stage.scene.times_paid(&invoice), times);
    assert_eq!(stage.available(), left);
    stage.scene.assert_idle();
    stage.spends_all();
    stage.end().await;
}

#[tokio::test]
async fn t08_pending_then_unpaid_then_pending_then_paid_on_sqlite() {
    pending_unpaid_pending(On::Sqlite, Outcome::Paid { ln_fee: 1 }).await;
}

#[tokio::test]
async fn t08_pending_then_unpaid_then_pending_then_paid_on_mongodb() {
    pending_unpaid_pending(On::Mongo, Outcome::Paid { ln_fee: 1 }).await;
}

#[tokio::test]
async fn t08_pending_then_unpaid_then_pending_then_failed() {
    pending_unpaid_pending(On::Sqlite, Outcome::Failed).await;
}

/// UNPAID, with inputs that are spent, and nothing signed: for a person, with the evidence; and
/// when the mint tells the truth after all, it is settled without one.
async fn unpaid_and_spent(on: On) {
    let stage = Stage::funded(on, 256).await;
    let invoice = stage.scene.invoice(200, paid());
    stage.proxy.change(ASK, unpaid);
    stage.proxy.change(RESTORE, nothing);
    stage.proxy.once(MELT, Act::LoseReply);
    let answer = stage.melt(&invoice, &["--wait", "20s"]).exits(6);
    assert_eq!(answer["code"], "SPENT_BUT_UNPAID", "{answer}");
    assert_eq!(answer["paymentResult"], "PENDING", "{answer}");
    assert_eq!((stage.available(), stage.balance("in_flight")), (0, 256));
    let parked = stage.newest();
    assert_eq!(parked["status"], "parked", "{parked}");
    // With the evidence, in the log and for whoever looks.
    let shown = stage
        .scene
        .json(&["saga", "show", parked["saga"].as_str().unwrap()]);
    let shown = shown.exits(0);
    let why = shown["why"].as_str().unwrap();
    assert!(
        why.contains("parked by meltd as SPENT_BUT_UNPAID: "),
        "{shown}"
    );
    assert!(why.contains("spent"), "the evidence is told: {why}");
    stage.scene.assert_clean();
    assert_eq!(
        stage.proxy.saw(SWAP),
        0,
        "nothing moves money for a parked saga"
    );
    stage.proxy.honest();
    stage.recovers();
    assert_eq!(stage.scene.times_paid(&invoice), 1);
    assert_eq!(stage.available(), LEFT);
    stage.spends_all();
    stage.end().await;
}

#[tokio::test]
async fn t08_unpaid_with_spent_inputs_is_parked_on_sqlite() {
    unpaid_and_spent(On::Sqlite).await;
}

#[tokio::test]
async fn t08_unpaid_with_spent_inputs_is_parked_on_mongodb() {
    unpaid_and_spent(On::Mongo).await;
}

/// PAID, with inputs that the mint calls free. Nothing is freed, nothing is posted.
#[tokio::test]
async fn t08_paid_with_unspent_inputs_is_parked() {
    let stage = Stage::funded(On::Sqlite, 256).await;
    let invoice = stage.scene.invoice(200, paid());
    stage.proxy.once(MELT, Act::LoseReply);
    stage.proxy.change(STATES, unspent);
    let answer = stage.melt(&invoice, &["--wait", "20s"]).exits(6);
    assert_eq!(answer["code"], "PAID_BUT_UNSPENT", "{answer}");
    assert_eq!((stage.available(), stage.balance("in_flight")), (0, 256));
    assert_eq!((stage.proxy.saw(MELT), stage.proxy.saw(SWAP)), (1, 0));
    stage.proxy.honest();
    stage.recovers();
    assert_eq!(stage.available(), LEFT);
    assert_eq!(stage.scene.times_paid(&invoice), 1);
    stage.end().await;
}

/// What was paid stays paid, and what was spent stays spent: once it is recorded, a mint that
/// denies all of it takes nothing back. Its change stays owed, and comes when it is honest again.
async fn denied(on: On) {
    let stage = Stage::funded(on, 256).await;
    let invoice = stage.scene.invoice(200, paid());
    for path in [MELT, ASK] {
        stage
            .proxy
            .change(path, |reply| reply["change"] = Value::Null);
    }
    // The first is the look ahead of the counters, before anything is sent.
    let none = std::sync::Arc::new(nothing as fn(&mut Value));
    stage.proxy.add(RESTORE, 1, usize::MAX, Act::Change(none));
    stage.melt(&invoice, &[]).exits(0);
    let owed = stage.balance("owed");
    assert!(owed > 0 && stage.available() == 0, "{owed} owed");
    stage.proxy.change(ASK, unpaid);
    stage.proxy.change(STATES, unspent);
    for _ in 0..2 {
        stage.scene.json(&["recover", "--wait", "2s"]).exits(0);
        assert_eq!(stage.newest()["state"], "owing");
        assert_eq!((stage.available(), stage.balance("owed")), (0, owed));
    }
    assert_eq!((stage.proxy.saw(MELT), stage.proxy.saw(SWAP)), (1, 0));
    stage.proxy.honest();
    stage.recovers();
    assert_eq!((stage.available(), stage.balance("owed")), (LEFT, 0));
    assert_eq!(stage.scene.times_paid(&invoice), 1);
    stage.spends_all();
    stage.end().await;
}

#[tokio::test]
async fn t08_what_was_paid_stays_paid_on_sqlite() {
    denied(On::Sqlite).await;
}

#[tokio::test]
async fn t08_what_was_paid_stays_paid_on_mongodb() {
    denied(On::Mongo).await;
}

/// A cache between us and the mint that calls the quote UNPAID for ever: the signed change shows
/// what happened.
#[tokio::test]
async fn t08_a_stale_word_on_the_quote_is_overruled_by_signatures() {
    let stage = Stage::funded(On::Sqlite, 256).await;
    let invoice = stage.scene.invoice(200, paid());
    stage.proxy.change(ASK, unpaid);
    stage.proxy.once(MELT, Act::LoseReply);
    let answer = stage.melt(&invoice, &[]).exits(0);
    assert_eq!(answer["paymentResult"], "PAID", "{answer}");
    assert_eq!(stage.available(), LEFT);
    assert_eq!(stage.scene.times_paid(&invoice), 1);
    stage.scene.assert_idle();
    stage.end().await;
}
