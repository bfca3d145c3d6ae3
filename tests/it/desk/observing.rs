//! `serve --observe-only`: what is at the mint is asked for and recorded; nothing is posted.

use std::process::Command;

use meltd::mint::embedded::Outcome;

use super::scene::Office;
use crate::cli::scene::{ALICE, Said, paid};
use crate::embedded_mint::purse::eventually;

/// Seen red with the option left out: the melt that had died before its post was paid.
#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_recorded_and_no_money_moves() {
    let office = Office::new(1000).await;
    let (pending, invoice) = office.pending(100);
    // Its process died after the intent of the melt and before the post.
    let other = office.scene.invoice(50, paid());
    let melt = ["melt", "--npub", ALICE, &other.to_string()];
    let mut melt = office.scene.command(&melt);
    let died = melt
        .env("MELTD_FAILPOINT", "append.after.ProofsSent")
        .output();
    assert_eq!(died.unwrap().status.code(), None);
    let lightning = office.scene.mint.lightning();
    let outcome = Outcome::Paid { ln_fee: 1 };
    lightning.settle(invoice.payment_hash(), outcome).unwrap();

    office.front.seen();
    let roles = ["--roles", "recovery", "--bus", "memory", "--observe-only"];
    let serving = office.scene.spawn(&[&["serve"], &roles[..]].concat());
    let is_settled = || office.show(&pending)["state"] == "settled";
    eventually(async || is_settled()).await;
    let open = office.only();
    // It was looked at, more than once, and waits.
    let looks = || office.show(&open)["attempts"].as_u64().unwrap_or(0);
    eventually(async || looks() >= 2).await;
    let shown = office.show(&open);
    assert_eq!(shown["version"], 4, "{shown}");
    assert!(
        shown["why"].as_str().unwrap().contains("OBSERVE_ONLY"),
        "{shown}"
    );
    let posts = office.front.seen();
    assert!(
        posts
            .iter()
            .all(|line| !line.contains("POST /v1/melt/bolt11")),
        "{posts:?}"
    );
    assert!(
        posts.iter().all(|line| !line.contains("/v1/swap")),
        "{posts:?}"
    );
    let signal = ["-TERM".to_owned(), serving.id().to_string()];
    assert!(
        Command::new("kill")
            .args(signal)
            .status()
            .unwrap()
            .success()
    );
    let said = Said::from(serving.wait_with_output().unwrap());
    assert_eq!(said.exit, 0, "{said:?}");
    assert_eq!(office.scene.times_paid(&other), 0);

    office.scene.json(&["recover"]).exits(0);
    assert_eq!(
        office.scene.times_paid(&other),
        1,
        "without the option it goes on"
    );
    office.scene.assert_idle();
}
