//! T7: the mint pays, and cheats or errs with the change. What verifies is stored, what does not is
//! owed and asked for again; the settlement waits for nothing, and no balance holds a coin that the
//! mint would not take.

use std::sync::Arc;

use meltd::mint::embedded::Script;
use serde_json::{Value, json};

use super::stage::{On, Stage};
use crate::cli::scene::paid;
use crate::proxy::{ASK, Act, Gate, MELT, RESTORE, STATES};

const GUARANTEED: u64 = 51;
const LEFT: u64 = 54;

/// What the mint does to the list of change signatures.
type Cheat = fn(&mut Vec<Value>);

/// Of the words about a melt and of NUT-09's answers, the change is as the cheat leaves it.
fn cheats(stage: &Stage, cheat: Cheat) {
    for path in [MELT, ASK] {
        stage.proxy.change(path, move |reply| {
            if let Some(change) = reply["change"].as_array_mut() {
                cheat(change);
            }
        });
    }
    let signed: Arc<dyn Fn(&mut Value) + Send + Sync> = Arc::new(move |reply| {
        if let Some(signatures) = reply["signatures"].as_array_mut() {
            cheat(signatures);
        }
    });
    // The first is the look ahead of the counters, before anything is sent.
    let act = Act::Change(signed);
    stage.proxy.add(RESTORE, 1, usize::MAX, act);
}

/// Pays 200 from a coin of 256 at a mint that cheats; then the mint is honest again.
async fn cheated(on: On, cheat: Cheat) -> (u64, u64) {
    let stage = Stage::funded(on, 256).await;
    let invoice = stage.scene.invoice(200, paid());
    cheats(&stage, cheat);
    let answer = stage.melt(&invoice, &[]).exits(0);
    assert_eq!(answer["paymentResult"], "PAID", "{answer}");
    assert_eq!(stage.scene.times_paid(&invoice), 1);
    let seen = (stage.available(), stage.balance("owed"));
    assert_eq!(answer["changeOwed"], seen.1, "{answer}");
    assert_eq!(
        stage.balance("in_flight"),
        0,
        "the settlement is not held up"
    );
    stage.scene.assert_clean();
    stage.proxy.honest();
    if seen.0 > 10 {
        // What is in the balance now is worth what it says, beside what is owed.
        stage.spends_all();
    } else {
        stage.recovers();
        assert_eq!((stage.available(), stage.balance("owed")), (LEFT, 0));
        stage.spends_all();
    }
    stage.end().await;
    seen
}

#[tokio::test]
async fn t07_reordered_change_is_all_there() {
    assert_eq!(
        cheated(On::Sqlite, |change| change.reverse()).await,
        (LEFT, 0)
    );
    assert_eq!(
        cheated(On::Mongo, |change| change.rotate_left(1)).await,
        (LEFT, 0)
    );
}

/// Without its DLEQ a signature proves nothing: it may be made with any key.
#[tokio::test]
async fn t07_change_without_dleq_is_owed() {
    let cheat: Cheat = |change| {
        for signature in change {
            drop(signature.as_object_mut().unwrap().remove("dleq"));
        }
    };
    assert_eq!(cheated(On::Sqlite, cheat).await, (0, GUARANTEED));
    assert_eq!(cheated(On::Mongo, cheat).await, (0, GUARANTEED));
}

/// Seen red with the DLEQ not verified: 22 sat that nothing proves were in the balance.
#[tokio::test]
async fn t07_change_with_another_dleq_is_owed() {
    let cheat: Cheat = |change| {
        let first = change[0]["dleq"].clone();
        change
            .iter_mut()
            .skip(1)
            .for_each(|c| c["dleq"] = first.clone());
        change[0]["dleq"]["s"] = json!("00".repeat(32));
    };
    assert_eq!(cheated(On::Sqlite, cheat).await, (0, GUARANTEED));
}

#[tokio::test]
async fn t07_change_of_value_zero_is_no_change() {
    let cheat: Cheat = |change| change.iter_mut().for_each(|c| c["amount"] = json!(0));
    assert_eq!(cheated(On::Sqlite, cheat).await, (0, GUARANTEED));
}

/// 54 = 32 + 16 + 4 + 2: the mint leaves all but one out, everywhere.
#[tokio::test]
async fn t07_too_few_signatures_leave_a_debt() {
    let (available, owed) = cheated(On::Sqlite, |change| {
        let keep = change.iter().position(|c| c["amount"] == 32).unwrap_or(0);
        *change = vec![change[keep].clone()];
    })
    .await;
    assert_eq!((available, owed), (32, GUARANTEED - 32));
}

#[tokio::test]
async fn t07_change_of_another_keyset_is_owed() {
    let cheat: Cheat = |change| {
        change
            .iter_mut()
            .for_each(|c| c["id"] = json!("00ad268c4d1f5826"))
    };
    assert_eq!(cheated(On::Sqlite, cheat).await, (0, GUARANTEED));
}

#[tokio::test]
async fn t07_a_list_that_is_no_list_is_owed() {
    let cheat: Cheat = |change| *change = vec![json!("garbage"), json!({}), json!(7)];
    assert_eq!(cheated(On::Sqlite, cheat).await, (0, GUARANTEED));
}

/// The keyset is rotated while the payment is on its way: this mint loses the change for good. The
/// melt is settled, the debt is shown, and the wallet goes on.
#[tokio::test(flavor = "multi_thread")]
async fn t07_a_keyset_rotated_during_the_payment() {
    let stage = Stage::funded(On::Sqlite, 256).await;
    let slow = Script::Slow { ms: 700, ln_fee: 1 };
    let invoice = stage.scene.invoice(200, slow);
    let melt = stage.melts(&invoice, &["--wait", "10s"]);
    stage.proxy.until(MELT, 1);
    let lightning = stage.scene.mint.lightning();
    super::stage::until("that it is tried", || {
        lightning.times_tried(invoice.payment_hash()) == 1
    });
    stage.scene.mint.rotate_keyset().await.unwrap();
    let answer = melt.ends().exits(0);
    assert_eq!(answer["paymentResult"], "PAID", "{answer}");
    assert_eq!(stage.scene.times_paid(&invoice), 1);
    let (available, owed) = (stage.available(), stage.balance("owed"));
    let known = [(LEFT, 0), (0, GUARANTEED)];
    assert!(
        known.contains(&(available, owed)),
        "{available}, {owed} owed"
    );
    assert_eq!(stage.balance("in_flight"), 0);
    stage.scene.assert_clean();
    stage.scene.mint_to(crate::cli::scene::ALICE, 128);
    let other = stage.scene.invoice(100, paid());
    stage.melt(&other, &[]).exits(0);
    stage.end().await;
}

/// The keyset is rotated between the choice and the post: the blanks' keyset does not sign any
/// more. The mint refuses; the coins are fenced into the new keyset, and the melt is planned again.
#[tokio::test(flavor = "multi_thread")]
async fn t07_a_keyset_deactivated_before_the_post() {
    let stage = Stage::funded(On::Sqlite, 256).await;
    let invoice = stage.scene.invoice(200, paid());
    let gate = Gate::closed();
    stage.proxy.once(STATES, Act::HoldReplyAt(gate.clone()));
    let melt = stage.melts(&invoice, &["--wait", "20s"]);
    stage.proxy.until(STATES, 1);
    stage.scene.mint.rotate_keyset().await.unwrap();
    gate.open();
    let answer = melt.ends().exits(0);
    assert_eq!(answer["paymentResult"], "PAID", "{answer}");
    assert_eq!(stage.scene.times_paid(&invoice), 1);
    stage.scene.assert_idle();
    stage.spends_all();
    stage.end().await;
}
