//! T1: the first request is delayed, or answered "pending", while a poll still says UNPAID; then
//! the mint pays. A wallet that believed the poll lost 1,948 of 2,048 sat.

use serde_json::json;

use super::stage::{On, Stage};
use crate::cli::scene::paid;
use crate::proxy::{Act, Gate, MELT, SWAP};

/// One coin of 256 pays 200: 1 of input fee, 1 of Lightning fee, 54 come back.
const FUNDED: u64 = 256;
const PAYS: u64 = 200;
const LEFT: u64 = 54;

/// The late request meets one that was sent again: the mint pays once, whichever it takes.
async fn sent_again(on: On) {
    let stage = Stage::funded(on, FUNDED).await;
    let invoice = stage.scene.invoice(PAYS, paid());
    let gate = Gate::closed();
    stage.proxy.once(MELT, Act::HoldRequestAt(gate.clone()));
    let answer = stage.melt(&invoice, &[]).exits(0);
    assert_eq!(answer["paymentResult"], "PAID", "{answer}");
    assert_eq!(stage.proxy.saw(MELT), 2, "the first was not waited for");
    gate.open();
    stage.proxy.quiet();
    // It meets the mint's memory of its answer (NUT-19), or bounces; another day it is late enough.
    assert_eq!(stage.proxy.answers(MELT).len(), 2, "both arrived");
    assert_eq!(stage.scene.times_paid(&invoice), 1);
    assert_eq!(stage.available(), LEFT);
    stage.scene.assert_idle();
    stage.end().await;
}

#[tokio::test]
async fn t01_a_late_request_after_a_second_one_is_paid_once_on_sqlite() {
    sent_again(On::Sqlite).await;
}

#[tokio::test]
async fn t01_a_late_request_after_a_second_one_is_paid_once_on_mongodb() {
    sent_again(On::Mongo).await;
}

/// Nothing arrives but the first request, and that only after meltd has begun to give up: its fence
/// is on the way and does not arrive either. The coins are not freed, and the payment is settled.
/// Seen red with a release in place of the fence: the coins were let go.
#[tokio::test]
async fn t01_a_late_request_that_wins_is_settled_with_its_change() {
    let stage = Stage::funded(On::Sqlite, FUNDED).await;
    let invoice = stage.scene.invoice(PAYS, paid());
    let gate = Gate::closed();
    stage.proxy.always(SWAP, Act::LoseRequest);
    stage.proxy.always(MELT, Act::LoseRequest);
    stage.proxy.once(MELT, Act::HoldRequestAt(gate.clone()));
    let melt = stage.melts(&invoice, &[]);
    stage.proxy.until(SWAP, 1);
    let balance = stage.scene.balance(crate::cli::scene::ALICE);
    assert_eq!(
        (&balance["available"], &balance["in_flight"]),
        (&json!(0), &json!(FUNDED))
    );
    gate.open();
    let answer = melt.ends().exits(0);
    assert_eq!(answer["paymentResult"], "PAID", "{answer}");
    assert_eq!(stage.scene.times_paid(&invoice), 1);
    assert_eq!(stage.available(), LEFT);
    stage.scene.assert_idle();
    stage.proxy.honest();
    stage.spends_all();
    stage.end().await;
}

/// The same, but the fence arrives first: the late melt can only bounce, and the coins are new.
/// Seen red with a release in place of the fence, and a fold that allows it: the late melt was
/// paid.
async fn fenced(on: On) {
    let stage = Stage::funded(on, FUNDED).await;
    let invoice = stage.scene.invoice(PAYS, paid());
    let gate = Gate::closed();
    stage.proxy.always(MELT, Act::LoseRequest);
    stage.proxy.once(MELT, Act::HoldRequestAt(gate.clone()));
    let answer = stage.melt(&invoice, &[]).exits(4);
    assert_eq!(answer["paymentResult"], "FAILED", "{answer}");
    assert_eq!(answer["code"], "PAYMENT_FAILED", "{answer}");
    stage.scene.assert_idle();
    gate.open();
    stage.proxy.quiet();
    assert_eq!(stage.proxy.answers(MELT), [400], "the late melt bounced");
    assert_eq!(stage.scene.times_paid(&invoice), 0);
    assert_eq!(stage.available(), FUNDED - 1, "the fence's input fee");
    stage.proxy.honest();
    stage.spends_all();
    stage.end().await;
}

#[tokio::test]
async fn t01_a_late_request_after_a_fence_bounces_on_sqlite() {
    fenced(On::Sqlite).await;
}

#[tokio::test]
async fn t01_a_late_request_after_a_fence_bounces_on_mongodb() {
    fenced(On::Mongo).await;
}

/// The mint answers "quote pending" before it does anything, and then holds the inputs as free and
/// the quote as unpaid: that is taken for another payment's pending, and the coins are fenced. The
/// fences do not arrive; the first request does, and is paid. Until then nothing is freed.
#[tokio::test]
async fn t01_a_pending_answer_before_the_payment_frees_nothing() {
    let stage = Stage::funded(On::Sqlite, FUNDED).await;
    let invoice = stage.scene.invoice(PAYS, paid());
    let gate = Gate::closed();
    let pending = json!({ "code": 20005, "detail": "Quote is pending" });
    let act = Act::AnswerAndDeliver(400, pending, gate.clone());
    stage.proxy.always(SWAP, Act::LoseRequest);
    stage.proxy.once(MELT, act);
    let melt = stage.melts(&invoice, &[]);
    stage.proxy.until(SWAP, 2);
    assert_eq!(stage.available(), 0);
    gate.open();
    melt.ends().exits(0);
    assert_eq!(stage.scene.times_paid(&invoice), 1);
    assert_eq!(stage.available(), LEFT);
    stage.scene.assert_idle();
    stage.end().await;
}

/// The same command from two processes at once, and each post on the wire twice.
async fn doubled(on: On) {
    let stage = Stage::funded(on, FUNDED).await;
    let invoice = stage.scene.invoice(PAYS, paid());
    stage.proxy.always(MELT, Act::Twice);
    let two = [stage.melts(&invoice, &[]), stage.melts(&invoice, &[])];
    let [one, other] = two.map(|melt| melt.ends().exits(0));
    assert_eq!(one["saga"], other["saga"], "one payment, two callers");
    assert_eq!(stage.scene.times_paid(&invoice), 1);
    assert_eq!(stage.available(), LEFT);
    stage.scene.assert_idle();
    stage.end().await;
}

#[tokio::test]
async fn t01_a_doubled_submit_and_a_doubled_post_are_one_payment_on_sqlite() {
    doubled(On::Sqlite).await;
}

#[tokio::test]
async fn t01_a_doubled_submit_and_a_doubled_post_are_one_payment_on_mongodb() {
    doubled(On::Mongo).await;
}
