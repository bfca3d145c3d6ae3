//! T12: the store loses its answer, conflicts, changes its primary or dies in mid-commit, on a
//! server of the test's own. meltd looks before it decides; nothing is lost or doubled.

use mongodb::bson::{Bson, Document, doc};

use super::stage::Stage;
use crate::cli::scene::{ALICE, paid};
use crate::mongod::ReplicaSet;
use crate::proxy::{Act, Gate, MELT};

const LEFT: u64 = 54;

/// A funded wallet on a one-node set.
async fn alone() -> (ReplicaSet, Stage) {
    let set = ReplicaSet::start(1).await;
    let stage = Stage::on_store(&set.uri("meltd")).await;
    stage.scene.mint_to(ALICE, 256);
    (set, stage)
}

/// The next commands of these names fail in this way, for our client only.
async fn fail(set: &ReplicaSet, mode: impl Into<Bson>, commands: &[&str], how: Document) {
    let mut data = doc! { "failCommands": commands.to_vec(), "appName": "meltd-test" };
    data.extend(how);
    set.nodes[0].failpoint("failCommand", mode, data).await;
}

async fn heal(set: &ReplicaSet) {
    set.nodes[0].failpoint("failCommand", "off", doc! {}).await;
}

/// Disturbances that one melt survives without its caller noticing.
#[tokio::test(flavor = "multi_thread")]
async fn t12_disturbances_that_a_caller_does_not_notice() {
    let hang_up = || doc! { "closeConnection": true };
    let transient = |code: i32| {
        doc! {
            "errorCode": code, "errorLabels": ["TransientTransactionError"],
        }
    };
    let unknown = doc! { "writeConcernError": { "code": 64, "errmsg": "injected" } };
    let rows: [(&str, &[&str], i32, Document); 6] = [
        (
            "a commit's answer is lost",
            &["commitTransaction"],
            3,
            hang_up(),
        ),
        (
            "a commit is not durable yet",
            &["commitTransaction"],
            2,
            unknown,
        ),
        (
            "a commit was not possible",
            &["commitTransaction"],
            1,
            transient(251),
        ),
        ("a write conflicts", &["insert"], 3, transient(112)),
        ("not primary any more", &["insert"], 2, transient(10107)),
        ("connections break", &["insert"], 3, hang_up()),
    ];
    let (set, stage) = alone().await;
    for (what, commands, times, how) in rows {
        stage.scene.mint_to(ALICE, 64);
        let before = stage.available();
        let invoice = stage.scene.invoice(40, paid());
        fail(&set, doc! { "times": times }, commands, how).await;
        let answer = stage.melt(&invoice, &[]).exits(0);
        heal(&set).await;
        assert_eq!(answer["paymentResult"], "PAID", "{what}: {answer}");
        assert_eq!(stage.scene.times_paid(&invoice), 1, "{what}");
        assert_eq!(stage.available(), before - 42, "{what}");
        stage.scene.assert_idle();
    }
    stage.end().await;
}

/// No commit of the intent is known: nothing is posted on the strength of it.
/// Seen red with an unknown commit taken for a good one.
#[tokio::test(flavor = "multi_thread")]
async fn t12_nothing_is_posted_after_an_unknown_commit() {
    let (set, stage) = alone().await;
    let invoice = stage.scene.invoice(200, paid());
    fail(
        &set,
        "alwaysOn",
        &["commitTransaction"],
        doc! { "closeConnection": true },
    )
    .await;
    let answer = stage.melt(&invoice, &["--wait", "1s"]).exits(5);
    assert_eq!(stage.proxy.saw(MELT), 0, "{answer}");
    heal(&set).await;
    stage.recovers();
    assert_eq!(stage.scene.times_paid(&invoice), 1);
    assert_eq!(stage.available(), LEFT);
    stage.end().await;
}

/// The server dies in the middle of a commit, before or after the payment, and comes back.
async fn killed_in_mid_commit(after_payment: bool) {
    let (mut set, stage) = alone().await;
    let invoice = stage.scene.invoice(200, paid());
    let slow = doc! { "blockConnection": true, "blockTimeMS": 2000 };
    let gate = Gate::closed();
    stage.proxy.once(MELT, Act::HoldReplyAt(gate.clone()));
    if !after_payment {
        fail(&set, "alwaysOn", &["commitTransaction"], slow.clone()).await;
    }
    let melt = stage.melts(&invoice, &["--timeout", "120s"]);
    if after_payment {
        stage.proxy.until(MELT, 1);
        fail(&set, "alwaysOn", &["commitTransaction"], slow).await;
        gate.open();
    }
    let entered = doc! { "waitForFailPoint": "failCommand", "timesEntered": 1, "maxTimeMS": 1900 };
    assert!(
        set.nodes[0].admin(entered).await.is_some(),
        "no commit came"
    );
    set.nodes[0].dies();
    set.nodes[0].again();
    set.primary().await;
    gate.open();
    let said = melt.ends();
    assert!([0, 5, 6].contains(&said.exit), "never failed: {said:?}");
    stage.recovers();
    assert_eq!(stage.scene.times_paid(&invoice), 1);
    assert_eq!(stage.available(), LEFT);
    stage.spends_all();
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t12_a_server_killed_in_the_commit_of_the_intent() {
    killed_in_mid_commit(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t12_a_server_killed_in_the_commit_of_the_settlement() {
    killed_in_mid_commit(true).await;
}

/// The primary steps down between the decision and its commit.
#[tokio::test(flavor = "multi_thread")]
async fn t12_a_primary_that_steps_down_before_the_commit() {
    let (set, stage) = alone().await;
    let invoice = stage.scene.invoice(200, paid());
    let gate = Gate::closed();
    stage.proxy.once(MELT, Act::HoldReplyAt(gate.clone()));
    let melt = stage.melts(&invoice, &[]);
    stage.proxy.until(MELT, 1);
    set.nodes[0]
        .admin(doc! { "replSetStepDown": 2, "force": true })
        .await;
    gate.open();
    let answer = melt.ends().exits(0);
    assert_eq!(answer["paymentResult"], "PAID", "{answer}");
    assert_eq!(stage.scene.times_paid(&invoice), 1);
    assert_eq!(stage.available(), LEFT);
    stage.scene.assert_idle();
    stage.end().await;
}

/// The command is taken, and the store cannot say so: the caller is not told that it was refused,
/// because recovery pays it; and the same command again is the same payment.
/// Seen red with STORE_UNREACHABLE and exit 7, which says that nothing was reserved.
#[tokio::test(flavor = "multi_thread")]
async fn t12_an_adoption_in_doubt_is_never_called_refused() {
    let (set, stage) = alone().await;
    let invoice = stage.scene.invoice(200, paid());
    let not_durable = doc! { "writeConcernError": { "code": 64, "errmsg": "injected" } };
    fail(&set, "alwaysOn", &["update"], not_durable).await;
    let answer = stage.melt(&invoice, &["--wait", "1s"]).exits(5);
    heal(&set).await;
    assert_eq!(answer["code"], "ADOPTION_UNKNOWN", "{answer}");
    stage.recovers();
    assert_eq!(stage.scene.times_paid(&invoice), 1, "it was taken");
    stage.melt(&invoice, &[]).exits(0);
    assert_eq!(stage.scene.times_paid(&invoice), 1, "the same payment");
    assert_eq!(stage.available(), LEFT);
    stage.end().await;
}
