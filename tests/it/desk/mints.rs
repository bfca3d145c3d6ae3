//! `mints pause|resume|list`: nothing new at a paused mint; what is there goes on.

use meltd::mint::embedded::Outcome;

use super::scene::{BY, Office};
use crate::cli::scene::{ALICE, paid};

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_mint_takes_no_new_melt_and_finishes_what_it_has() {
    let office = Office::new(1000).await;
    let (id, pending) = office.pending(100);
    let url = office.front.url.clone();
    let pause = ["mints", "pause", &url];
    let list = office.scene.json(&[&pause[..], &BY].concat()).exits(0);
    let row = &list["mints"][0];
    assert_eq!(
        (&row["paused"], &row["open_sagas"]),
        (&true.into(), &1.into()),
        "{list}"
    );
    assert_eq!(
        (&row["pause"]["by"], &row["pause"]["reason"]),
        (&"olga".into(), &"asked the mint".into())
    );

    let other = office.scene.invoice(30, paid());
    let melt = ["melt", "--npub", ALICE, &other.to_string()];
    let refused = office.scene.json(&melt).exits(7);
    assert_eq!(refused["code"], "MINT_PAUSED", "{refused}");
    let funding = office.scene.json(&["mint", "--npub", ALICE, "10"]).exits(7);
    assert_eq!(funding["code"], "MINT_PAUSED", "{funding}");
    // A repeat of what may be paid gets its answer, and no refusal.
    let text = pending.to_string();
    let again = ["melt", "--npub", ALICE, &text, "--wait", "0"];
    let known = office.scene.json(&again).exits(5);
    assert_eq!(known["saga"], id.as_str(), "{known}");

    let hash = pending.payment_hash();
    let paid = Outcome::Paid { ln_fee: 1 };
    office.scene.mint.lightning().settle(hash, paid).unwrap();
    let done = office.scene.json(&["recover"]).exits(0);
    assert_eq!(done["sagas"][0]["after"], "settled", "{done}");

    let resume = ["mints", "resume", &url];
    let list = office.scene.json(&resume).exits(0);
    assert_eq!(list["mints"][0]["paused"], false);
    assert_eq!(office.scene.json(&resume).exits(3)["code"], "NOT_FOUND");
    office.scene.json(&melt).exits(0);
    assert_eq!(office.scene.times_paid(&other), 1);
    let unknown = ["mints", "pause", "http://unknown.example"];
    let unknown = office.scene.json(&[&unknown[..], &BY].concat());
    assert_eq!(unknown.exits(3)["code"], "MINT_UNKNOWN");
    office.scene.assert_idle();
}

/// A melt that was adopted and not sent waits while its mint is paused, and its coins go back when
/// its time is over.
#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_sent_is_let_go_in_time() {
    let office = Office::new(1000).await;
    let invoice = office.scene.invoice(100, paid()).to_string();
    let melt = ["melt", "--npub", ALICE, &invoice, "--timeout", "3s"];
    let mut melt = office.scene.command(&melt);
    let died = melt.env("MELTD_FAILPOINT", "adopt.after").output();
    assert_eq!(died.unwrap().status.code(), None);
    let url = office.front.url.clone();
    office
        .scene
        .json(&[&["mints", "pause", &url][..], &BY].concat())
        .exits(0);
    office.front.seen();
    let told = office.scene.json(&["recover", "--wait", "0"]).exits(5);
    assert!(
        told["sagas"][0]["outcome"]
            .as_str()
            .unwrap()
            .contains("MINT_PAUSED"),
        "{told}"
    );
    assert!(
        office
            .front
            .seen()
            .iter()
            .all(|line| !line.contains("melt")),
        "nothing was begun"
    );
    let ended = office.scene.json(&["recover", "--wait", "20s"]).exits(0);
    assert_eq!(ended["sagas"][0]["after"], "rejected", "{ended}");
    office.scene.assert_idle();
}
