//! Three nodes: the primary dies in the middle of commits; and a primary whose writes nobody else
//! had is succeeded, and undoes them when it is back. meltd acts only on what a majority has.

use std::time::{Duration, Instant};

use mongodb::bson::doc;

use super::stage::{Running, Stage, until};
use crate::cli::scene::{ALICE, paid};
use crate::mongod::ReplicaSet;
use crate::proxy::{Act, Gate, MELT};

const LEFT: u64 = 54;

async fn three() -> (ReplicaSet, Stage) {
    let set = ReplicaSet::start(3).await;
    set.whole().await;
    let stage = Stage::on_store(&set.uri("meltd")).await;
    (set, stage)
}

/// Melts at once, on a wallet with a coin for each; the primary dies while commits are under way.
#[tokio::test(flavor = "multi_thread")]
async fn failover_a_primary_killed_in_mid_commit() {
    const MELTS: usize = 6;
    let (mut set, stage) = three().await;
    for _ in 0..MELTS {
        stage.scene.mint_to(ALICE, 64);
    }
    let invoices: Vec<_> = (0..MELTS)
        .map(|_| stage.scene.invoice(40, paid()))
        .collect();
    let gate = Gate::closed();
    stage
        .proxy
        .add(MELT, 0, MELTS, Act::HoldReplyAt(gate.clone()));
    let melts: Vec<Running> = invoices
        .iter()
        .map(|i| stage.melts(i, &["--timeout", "180s"]))
        .collect();
    stage.proxy.until(MELT, MELTS);
    let primary = set.primary().await;
    let slow = doc! {
        "failCommands": ["commitTransaction"], "appName": "meltd-test",
        "blockConnection": true, "blockTimeMS": 3000,
    };
    set.nodes[primary]
        .failpoint("failCommand", "alwaysOn", slow)
        .await;
    gate.open();
    let entered = doc! { "waitForFailPoint": "failCommand", "timesEntered": 2, "maxTimeMS": 2500 };
    assert!(
        set.nodes[primary].admin(entered).await.is_some(),
        "no commit came"
    );
    let killed = Instant::now();
    set.nodes[primary].dies();
    set.primary().await;
    println!("a primary again after {} ms", killed.elapsed().as_millis());
    // A caller that comes now, as callers see it.
    stage.scene.mint_to(ALICE, 64);
    println!(
        "a new caller was served {} ms after the kill",
        killed.elapsed().as_millis()
    );
    let mut exits = Vec::new();
    for melt in melts {
        let said = melt.ends();
        assert!([0, 5, 6].contains(&said.exit), "never failed: {said:?}");
        exits.push(said.exit);
    }
    println!(
        "the melts under way ended {exits:?}, {} ms after the kill",
        killed.elapsed().as_millis()
    );
    stage.recovers();
    for invoice in &invoices {
        assert_eq!(stage.scene.times_paid(invoice), 1);
    }
    let each = 64 - 40 - 2;
    assert_eq!(stage.available(), MELTS as u64 * each + 64);
    set.nodes[primary].again();
    set.whole().await;
    stage.scene.assert_idle();
    stage.spends_all();
    stage.end().await;
}

/// From here on the primary is alone with what it writes, and nobody knows.
async fn isolate(set: &ReplicaSet) -> usize {
    let primary = set.primary().await;
    for (at, node) in set.nodes.iter().enumerate() {
        if at != primary {
            node.failpoint("stopReplProducer", "alwaysOn", doc! {})
                .await;
        }
    }
    primary
}

/// The primary dies with what it alone has; another takes over; it comes back, and undoes it.
async fn succeeded(set: &mut ReplicaSet, primary: usize) {
    set.nodes[primary].dies();
    for (at, node) in set.nodes.iter().enumerate() {
        if at != primary {
            node.failpoint("stopReplProducer", "off", doc! {}).await;
        }
    }
    set.primary().await;
}

/// The intent of the melt is only on a primary that is about to be succeeded: it is not posted.
/// Two guards: the transaction's write concern, and the renewal of the lease by a majority right
/// before the post. Seen red without both: it was posted.
#[tokio::test(flavor = "multi_thread")]
async fn failover_an_intent_that_is_rolled_back_was_never_posted() {
    let (mut set, stage) = three().await;
    stage.scene.mint_to(ALICE, 256);
    let invoice = stage.scene.invoice(200, paid());
    let text = invoice.to_string();
    let args = [
        "melt",
        "--npub",
        ALICE,
        &text,
        "--json",
        "--wait",
        "1s",
        "--timeout",
        "180s",
    ];
    let mut melt = stage.scene.command(&args);
    let melt = Running::start(melt.env("MELTD_FAILPOINT", "stop@append.before.ProofsSent"));
    melt.until_frozen();
    let primary = isolate(&set).await;
    melt.signal("CONT");
    melt.ends().exits(5);
    assert_eq!(
        stage.proxy.saw(MELT),
        0,
        "nothing is sent that no majority knows of"
    );
    succeeded(&mut set, primary).await;
    stage.recovers();
    assert_eq!(stage.scene.times_paid(&invoice), 1);
    assert_eq!(stage.available(), LEFT);
    set.nodes[primary].again();
    set.nodes[primary].rolls_back().await;
    set.whole().await;
    assert_eq!(stage.available(), LEFT);
    stage.scene.assert_idle();
    stage.spends_all();
    stage.end().await;
}

/// The settlement is only on a primary that is about to be succeeded: CRITICAL, and done again.
/// Seen red with write concern 1 for the transaction: it was called settled.
#[tokio::test(flavor = "multi_thread")]
async fn failover_a_settlement_that_is_rolled_back_is_made_again() {
    let (mut set, stage) = three().await;
    stage.scene.mint_to(ALICE, 256);
    let invoice = stage.scene.invoice(200, paid());
    let gate = Gate::closed();
    stage.proxy.once(MELT, Act::HoldReplyAt(gate.clone()));
    let melt = stage.melts(&invoice, &["--timeout", "180s", "--wait", "1s"]);
    until("that it is paid", || stage.scene.times_paid(&invoice) == 1);
    let primary = isolate(&set).await;
    gate.open();
    let began = Instant::now();
    let said = melt.ends();
    assert!(
        said.stderr
            .contains("CRITICAL_DB_FAILURE_AFTER_MINT_SUCCESS"),
        "{said:?}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "{:?}",
        began.elapsed()
    );
    let answer = said.exits(6);
    assert_ne!(answer["paymentResult"], "FAILED", "{answer}");
    succeeded(&mut set, primary).await;
    assert_eq!(
        stage.available(),
        0,
        "the new primary knows of no settlement"
    );
    stage.recovers();
    assert_eq!((stage.available(), stage.proxy.saw(MELT)), (LEFT, 1));
    set.nodes[primary].again();
    set.nodes[primary].rolls_back().await;
    set.whole().await;
    assert_eq!(stage.available(), LEFT, "settled once");
    assert_eq!(stage.scene.times_paid(&invoice), 1);
    stage.scene.assert_idle();
    stage.spends_all();
    stage.end().await;
}
