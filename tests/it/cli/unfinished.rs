//! Payments that do not end while somebody waits, and processes that do not live to see it.

use std::process::{Command, Output};

use meltd::mint::embedded::{Outcome, Script};

use super::scene::{ALICE, Said, Scene, paid};
use crate::embedded_mint::purse::eventually;

#[tokio::test]
async fn a_pending_payment_is_not_finished_and_recovered_later() {
    let scene = Scene::funded(ALICE, 300).await;
    let invoice = scene.invoice(100, Script::Pending);
    let melt = [
        "melt",
        "--npub",
        ALICE,
        &invoice.to_string(),
        "--wait",
        "1s",
    ];
    let answer = scene.json(&melt).exits(5);
    assert_eq!(answer["paymentResult"], "PENDING");
    assert_eq!(answer["state"], "sent");
    let id = answer["saga"].as_str().unwrap();
    let message = answer["message"].as_str().unwrap();
    assert!(
        message.contains("Do not pay again") && message.contains(id),
        "{message}"
    );
    assert!(scene.balance(ALICE)["in_flight"].as_u64().unwrap() >= 100);
    scene.assert_clean();

    let plan = scene.json(&["recover", "--dry-run"]).exits(0);
    assert_eq!(plan["sagas"][0]["saga"], id);
    let still = scene.json(&["recover", "--wait", "0"]).exits(5);
    assert_eq!(still["sagas"][0]["status"], "active");

    let paid = Outcome::Paid { ln_fee: 1 };
    scene
        .mint
        .lightning()
        .settle(invoice.payment_hash(), paid)
        .unwrap();
    let done = scene.json(&["recover"]).exits(0);
    let line = &done["sagas"][0];
    assert_eq!(
        (&line["before"], &line["after"]),
        (&"sent".into(), &"settled".into())
    );
    assert_eq!(line["events_added"], 2);
    assert_eq!(scene.times_paid(&invoice), 1);
    scene.assert_idle();
}

#[tokio::test]
async fn stopping_a_melt_loses_nothing_and_says_so() {
    let scene = Scene::funded(ALICE, 300).await;
    let invoice = scene.invoice(
        100,
        Script::PendingThenPaid {
            ms: 1500,
            ln_fee: 1,
        },
    );
    let child = scene.spawn(&["melt", "--npub", ALICE, &invoice.to_string()]);
    let lightning = scene.mint.lightning();
    eventually(async || lightning.times_tried(invoice.payment_hash()) > 0).await;
    let signal = ["-INT", &child.id().to_string()].map(str::to_owned);
    assert!(
        Command::new("kill")
            .args(signal)
            .status()
            .unwrap()
            .success()
    );
    let said = Said::from(child.wait_with_output().unwrap());
    assert_eq!(said.exit, 5, "{said:?}");
    assert!(said.stderr.contains("stopped by a signal"), "{said:?}");
    assert!(said.stderr.contains("meltd recover"), "{said:?}");
    // Its lease still runs; recovery waits for that.
    let done = scene.json(&["recover", "--wait", "8s"]).exits(0);
    assert_eq!(done["sagas"][0]["after"], "settled");
    assert_eq!(scene.times_paid(&invoice), 1);
    scene.assert_idle();
}

/// Whoever was stopped by a person gives its lease back: the next command need not wait for the end
/// of it. Seen red without that: `recover` waited for the whole lease.
#[tokio::test]
async fn what_was_stopped_is_free_at_once() {
    let scene = Scene::funded(ALICE, 300)
        .await
        .with("MELTD_LEASE_TTL_MS", "120000");
    let invoice = scene.invoice(100, Script::Pending);
    let child = scene.spawn(&["melt", "--npub", ALICE, &invoice.to_string()]);
    let lightning = scene.mint.lightning();
    eventually(async || lightning.times_tried(invoice.payment_hash()) > 0).await;
    let signal = ["-INT", &child.id().to_string()].map(str::to_owned);
    assert!(
        Command::new("kill")
            .args(signal)
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(Said::from(child.wait_with_output().unwrap()).exit, 5);
    let paid = Outcome::Paid { ln_fee: 1 };
    lightning.settle(invoice.payment_hash(), paid).unwrap();
    let began = std::time::Instant::now();
    let done = scene.json(&["recover"]).exits(0);
    assert_eq!(done["sagas"][0]["after"], "settled", "{done}");
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    scene.assert_idle();
}

#[cfg(feature = "failpoints")]
#[tokio::test]
async fn a_melt_that_dies_anywhere_is_finished_by_recover() {
    let points = [
        "adopt.after",
        "step.after.quote_melt",
        "append.before.ProofsSent",
        "append.after.ProofsSent",
        "step.after.post_melt",
        "append.before.AtomicCommitted",
        "append.after.AtomicCommitted",
    ];
    let scene = Scene::funded(ALICE, 1000).await;
    for point in points {
        let invoice = scene.invoice(50, paid());
        let mut melt = scene.command(&["melt", "--npub", ALICE, &invoice.to_string()]);
        let output: Output = melt.env("MELTD_FAILPOINT", point).output().unwrap();
        assert_eq!(output.status.code(), None, "{point}: it dies by a signal");
        let done = scene.json(&["recover"]).exits(0);
        let after = &done["sagas"][0]["after"];
        let settled = point == "append.after.AtomicCommitted" || after == "settled";
        assert!(settled, "{point}: {done}");
        assert_eq!(scene.times_paid(&invoice), 1, "{point}");
        scene.assert_idle();
    }
}
