//! An old copy of the database is put back: recognised before it harms, and repaired.

use super::{View, number, scene};
use crate::cli::scene::{ALICE, Scene, paid};

/// A wallet whose store is older than what its mint has signed. The scene's own store is up to
/// date; `old.db` is the backup.
async fn aged() -> Scene {
    let scene = scene().await;
    scene.mint_to(ALICE, 1000);
    // The write-ahead log is in the file once the last process has closed it.
    std::fs::copy(scene.path("meltd.db"), scene.path("old.db")).unwrap();
    for sat in [100, 30, 5] {
        let invoice = scene.invoice(sat, paid()).to_string();
        scene.json(&["melt", "--npub", ALICE, &invoice]).exits(0);
    }
    scene
}

/// Guards the whole way: COUNTERS_BEHIND before anything is posted, repaired by
/// `restore --counters` and `wallet reconcile`, conservation exact, no counter used again.
/// Seen red with `probe_ahead: 0`: the pre-flight check corrects a coin, and nobody learns more.
#[tokio::test]
async fn an_old_backup_is_recognised_and_repaired() {
    let scene = aged().await;
    let truth = scene.balance(ALICE)["available"].as_u64().unwrap();
    let old = View::file(&scene, "old.db");
    assert_eq!(old.available(ALICE), 1000);
    let invoice = scene.invoice(20, paid());
    let melt = ["melt", "--npub", ALICE, &invoice.to_string()].map(str::to_owned);
    let melt: Vec<&str> = melt.iter().map(String::as_str).collect();
    let refused = old.json(&melt).exits(6);
    assert_eq!(refused["code"], "COUNTERS_BEHIND");
    assert_eq!(
        scene.mint.lightning().times_tried(invoice.payment_hash()),
        0
    );
    let mint = old.json(&["mint", "--npub", ALICE, "10"]).exits(6);
    assert_eq!(mint["code"], "COUNTERS_BEHIND");
    let doctor = old.json(&["doctor"]).exits(6);
    let counters = doctor["checks"].as_array().unwrap().iter();
    let counters: Vec<_> = counters.filter(|c| c["what"] == "counters").collect();
    assert_eq!(counters[0]["grade"], "bad", "{doctor}");
    let dry = old
        .json(&["wallet", "reconcile", "--all", "--dry-run"])
        .exits(6);
    assert_eq!(dry["code"], "COUNTERS_BEHIND");

    let raised = old.json(&["restore", "--counters"]).exits(0);
    assert_eq!(
        raised["wallets"][0]["raised"].as_array().unwrap().len(),
        1,
        "{raised}"
    );
    old.json(&["wallet", "reconcile", "--all"]).exits(0);
    old.assert_clean();
    assert_eq!(old.available(ALICE), truth);
    old.json(&melt).exits(0);
    assert_eq!(scene.times_paid(&invoice), 1);
    old.assert_clean();
    // What the repaired store has is what the seed gives.
    let new = View::file(&scene, "new.db");
    new.json(&["restore", "--npub", ALICE]).exits(0);
    assert_eq!(new.available(ALICE), old.available(ALICE));
}

/// Guards that a full restore repairs it too, and that it may be run again.
#[tokio::test]
async fn a_full_restore_repairs_an_old_backup_too() {
    let scene = aged().await;
    let truth = scene.balance(ALICE)["available"].as_u64().unwrap();
    let old = View::file(&scene, "old.db");
    old.json(&["restore", "--npub", ALICE]).exits(0);
    old.json(&["wallet", "reconcile", "--npub", ALICE]).exits(0);
    assert_eq!(old.available(ALICE), truth);
    let again = old.json(&["restore", "--counters"]).exits(0);
    assert_eq!(number(&again["wallets"][0]["restored"]), 0);
    old.assert_clean();
}

/// Guards a new store under an old seed: its counters would begin at 0 again.
/// Seen red with `probe_ahead: 0`: the funding is paid, and the mint refuses its outputs.
#[tokio::test]
async fn an_empty_store_under_a_used_seed_takes_no_counter() {
    let scene = scene().await;
    scene.mint_to(ALICE, 100);
    let new = View::file(&scene, "new.db");
    let refused = new.json(&["mint", "--npub", ALICE, "10"]).exits(6);
    assert_eq!(refused["code"], "COUNTERS_BEHIND");
    new.json(&["restore", "--npub", ALICE]).exits(0);
    new.json(&["mint", "--npub", ALICE, "10"]).exits(0);
    assert_eq!(new.available(ALICE), 110);
    new.assert_clean();
}
