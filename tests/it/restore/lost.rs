//! The database is gone; what is left is the seed file, the mint and the owner's npub.

use std::process::Output;

use meltd::mint::embedded::{Outcome, Script};

use super::{View, number, scene};
use crate::cli::scene::{ALICE, Scene, paid};
use crate::store_contract::Fixture;
use crate::store_mongo::Mongo;

/// Melts that end well, with a swap first, and dead between payment and record.
fn live(scene: &Scene) {
    scene.mint_to(ALICE, 3000);
    // Only the coin of 2048 can pay this, so it is swapped first.
    dies(scene, 1100, "step.after.post_swap");
    for sat in [100, 7, 300] {
        let invoice = scene.invoice(sat, paid()).to_string();
        scene.json(&["melt", "--npub", ALICE, &invoice]).exits(0);
    }
    dies(scene, 50, "append.before.AtomicCommitted");
}

fn dies(scene: &Scene, sat: u64, point: &str) {
    let invoice = scene.invoice(sat, paid()).to_string();
    let mut melt = scene.command(&["melt", "--npub", ALICE, &invoice]);
    let output: Output = melt.env("MELTD_FAILPOINT", point).output().unwrap();
    assert_eq!(output.status.code(), None, "{point} was passed");
}

/// Guards that every unspent sat comes back: change and swap outputs of melts that died half-way
/// included; that a second restore adds nothing; and that no counter is used twice afterwards.
/// `scene` has the lost store, `other` the empty one.
fn comes_back(scene: &Scene, other: &View<'_>) {
    live(scene);
    let first = other.json(&["restore", "--npub", ALICE]).exits(0);
    let wallet = &first["wallets"][0];
    let restored = number(&wallet["restored_amount"]);
    assert_eq!(other.available(ALICE), restored);
    assert_eq!(wallet["pending"], 0, "{first}");
    assert!(number(&wallet["spent"]) > 5, "{first}");
    let raised = number(&wallet["raised"][0]["to"]);
    assert!(raised > number(&wallet["signed"]), "{first}");
    other.assert_clean();

    let again = other.json(&["restore", "--npub", ALICE]).exits(0);
    let wallet = &again["wallets"][0];
    assert_eq!(
        (&wallet["restored"], &wallet["raised"]),
        (&0.into(), &serde_json::json!([]))
    );
    assert_eq!(other.available(ALICE), restored);

    // The half-finished melt of 1100 has only swapped: the mint has paid the four others.
    let kept = 3000 - 100 - 7 - 300 - 50;
    assert!(
        restored <= kept && restored > kept - 20,
        "{restored} of {kept}"
    );

    let invoice = scene.invoice(60, paid());
    other
        .json(&["melt", "--npub", ALICE, &invoice.to_string()])
        .exits(0);
    assert_eq!(scene.times_paid(&invoice), 1);
    assert!(other.available(ALICE) >= restored - 60 - 5);
    other.assert_clean();
    let doctor = other.json(&["doctor"]).exits(0);
    assert_eq!(doctor["healthy"], true, "{doctor}");
}

/// Seen red with `raise_counters` left out.
#[cfg(feature = "failpoints")]
#[tokio::test]
async fn a_lost_file_comes_back_from_the_seed() {
    let scene = scene().await;
    comes_back(&scene, &View::file(&scene, "new.db"));
}

/// The same from MongoDB to an empty database there.
#[cfg(feature = "failpoints")]
#[tokio::test]
async fn a_lost_database_comes_back_from_the_seed_on_mongodb() {
    let (lost, new) = (Mongo::fresh().await, Mongo::fresh().await);
    let scene = scene().await.with("MELTD_STORE", &lost.uri(""));
    let other = View {
        scene: &scene,
        store: new.uri(""),
    };
    comes_back(&scene, &other);
    lost.remove().await;
    new.remove().await;
}

/// Guards that runs of counters which were taken and never signed hide nothing behind them.
/// Seen red with `EMPTY_MAX` 1.
#[tokio::test]
async fn gaps_of_counters_are_walked_over() {
    let scene = scene().await;
    scene.mint_to(ALICE, 500);
    let file = rusqlite::Connection::open(scene.path("meltd.db")).unwrap();
    file.execute("UPDATE counters SET next = next + 230", [])
        .unwrap();
    scene.mint_to(ALICE, 300);
    let new = View::file(&scene, "new.db");
    new.json(&["restore", "--npub", ALICE]).exits(0);
    assert_eq!(new.available(ALICE), 800);
    new.assert_clean();
}

/// Guards that coins in a payment are told and left alone, and found once it has ended.
#[tokio::test]
async fn coins_in_a_payment_come_back_after_it() {
    let scene = scene().await;
    scene.mint_to(ALICE, 1000);
    let invoice = scene.invoice(100, Script::Pending);
    let text = invoice.to_string();
    let melt = ["melt", "--npub", ALICE, &text];
    // Its time is over when the payment fails, so it is fenced and not posted again.
    let times = ["--wait", "1s", "--timeout", "1s"];
    scene.json(&[melt, times].concat()).exits(5);
    let new = View::file(&scene, "new.db");
    let restored = new.json(&["restore", "--npub", ALICE]).exits(0);
    let wallet = &restored["wallets"][0];
    let (pending, free) = (
        number(&wallet["pending_amount"]),
        number(&wallet["restored_amount"]),
    );
    assert!(pending >= 100 && pending + free == 1000, "{restored}");
    let failed = Outcome::Failed;
    let lightning = scene.mint.lightning();
    lightning.settle(invoice.payment_hash(), failed).unwrap();
    // The mint finds out because somebody asks: the store that has the melt.
    scene.json(&["recover", "--wait", "5s"]).exits(0);
    let again = new.json(&["restore", "--npub", ALICE]).exits(0);
    assert_eq!(again["wallets"][0]["pending"], 0, "{again}");
    // The fence has cost its fee.
    assert!(new.available(ALICE) >= 998, "{again}");
    new.assert_clean();
}

/// Guards that a restore beside living sagas takes nothing of theirs: with a melt in the air its
/// change belongs to it, although the mint has signed it and no row has it.
/// Seen red with `living_ranges` returning none.
#[cfg(feature = "failpoints")]
#[tokio::test]
async fn a_living_sagas_coins_are_left_to_it() {
    let scene = scene().await;
    scene.mint_to(ALICE, 1000);
    let invoice = scene.invoice(100, paid()).to_string();
    let mut melt = scene.command(&["melt", "--npub", ALICE, &invoice]);
    let point = "append.before.AtomicCommitted";
    melt.env("MELTD_FAILPOINT", point).output().unwrap();
    let restored = scene.json(&["restore", "--npub", ALICE]).exits(0);
    assert_eq!(restored["wallets"][0]["restored"], 0, "{restored}");
    scene.json(&["recover", "--wait", "8s"]).exits(0);
    scene.assert_idle();
}

/// Guards the file of npubs, and its words when nobody is named.
#[tokio::test]
async fn owners_are_named_or_listed_in_a_file() {
    let scene = scene().await;
    scene.mint_to(ALICE, 100);
    let file = scene.path("npubs");
    std::fs::write(&file, format!("\n{ALICE}\n")).unwrap();
    let new = View::file(&scene, "new.db");
    let nobody = new.json(&["restore"]).exits(2);
    assert_eq!(nobody["code"], "CONFIG_INVALID");
    let file = file.display().to_string();
    new.json(&["restore", "--npubs", &file]).exits(0);
    assert_eq!(new.available(ALICE), 100);
}
