//! T4: two melts want the same coins, in two processes. One reserves; the other chooses again or
//! fails clean; nothing stays pending.

use super::stage::{On, Stage};
use crate::cli::scene::paid;
use crate::proxy::{Act, Gate, MELT, STATES};

/// Two processes that have both chosen the wallet's only coin before either could reserve it.
async fn both_have_chosen(on: On, pays: u64) -> (Stage, [crate::cli::scene::Said; 2], usize) {
    let stage = Stage::funded(on, 256).await;
    let invoices = [(); 2].map(|()| stage.scene.invoice(pays, paid()));
    let gate = Gate::closed();
    stage
        .proxy
        .add(STATES, 0, 2, Act::HoldReplyAt(gate.clone()));
    let melts = [0, 1].map(|i| stage.melts(&invoices[i], &["--wait", "20s"]));
    stage.proxy.until(STATES, 2);
    gate.open();
    let said = melts.map(|melt| melt.ends());
    let paid = invoices.iter().map(|i| stage.scene.times_paid(i)).sum();
    (stage, said, paid)
}

/// There is enough for both, once the first has its change.
/// Seen red, on SQLite, without the guard on a proof's state in `append`: both sent the coin.
async fn chooses_again(on: On) {
    let (stage, said, paid) = both_have_chosen(on, 100).await;
    for said in said {
        said.exits(0);
    }
    assert_eq!(paid, 2);
    assert_eq!(stage.proxy.saw(MELT), 2, "neither was sent in vain");
    // Each cost 1 of Lightning fee and 1 of input fee.
    assert_eq!(stage.available(), 256 - 2 * 102);
    stage.scene.assert_idle();
    stage.spends_all();
    stage.end().await;
}

#[tokio::test]
async fn t04_two_melts_of_one_coin_and_the_loser_chooses_again_on_sqlite() {
    chooses_again(On::Sqlite).await;
}

#[tokio::test]
async fn t04_two_melts_of_one_coin_and_the_loser_chooses_again_on_mongodb() {
    chooses_again(On::Mongo).await;
}

/// There is enough for one. Seen red without the same guard on both stores.
async fn fails_clean(on: On) {
    let (stage, said, paid) = both_have_chosen(on, 200).await;
    let mut exits = said.each_ref().map(|said| said.exit);
    exits.sort_unstable();
    assert_eq!(exits, [0, 3], "{said:?}");
    let loser = said.iter().find(|said| said.exit == 3).unwrap().json();
    let code = loser["code"].as_str().unwrap();
    assert!(
        ["INSUFFICIENT_BALANCE", "COINS_BUSY"].contains(&code),
        "{loser}"
    );
    assert_eq!((paid, stage.proxy.saw(MELT)), (1, 1));
    assert_eq!(stage.available(), 54);
    stage.scene.assert_idle();
    stage.spends_all();
    stage.end().await;
}

#[tokio::test]
async fn t04_two_melts_of_one_coin_and_the_loser_fails_clean_on_sqlite() {
    fails_clean(On::Sqlite).await;
}

#[tokio::test]
async fn t04_two_melts_of_one_coin_and_the_loser_fails_clean_on_mongodb() {
    fails_clean(On::Mongo).await;
}
