//! `saga list` and `saga show`: what an operator can find, and what the mint says about it now.

use super::scene::Office;
use crate::cli::scene::{ALICE, paid};

#[tokio::test(flavor = "multi_thread")]
async fn sagas_are_found_by_state_age_value_mint_and_reason() {
    let office = Office::new(1000).await;
    let invoice = office.scene.invoice(30, paid()).to_string();
    office
        .scene
        .json(&["melt", "--npub", ALICE, &invoice])
        .exits(0);
    let (id, _) = office.pending(100);
    let found = |filters: &[&str]| {
        let list = office.list(filters);
        let ids = list.as_array().unwrap().iter();
        ids.map(|row| row["saga"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(found(&[]).len(), 3, "a funding and two melts");
    assert_eq!(found(&["--state", "sent"]), std::slice::from_ref(&id));
    assert_eq!(found(&["--state", "sent,settled"]).len(), 3);
    assert_eq!(
        found(&["--min-value", "100", "--kind", "melt"]),
        std::slice::from_ref(&id)
    );
    assert_eq!(found(&["--older-than", "1d"]).len(), 0);
    assert_eq!(
        found(&["--older-than", "0", "--state", "sent"]),
        std::slice::from_ref(&id)
    );
    assert_eq!(found(&["--mint", &office.front.url]).len(), 3);
    assert_eq!(found(&["--mint", "http://other.example"]).len(), 0);
    assert_eq!(found(&["--reason", "SPENT_BUT_UNPAID"]).len(), 0);
    for wrong in [
        ["--state", "lost"],
        ["--older-than", "a week"],
        ["--reason", "BAD_LUCK"],
    ] {
        let said = office.scene.json(&[&["saga", "list"], &wrong[..]].concat());
        assert_eq!(said.exits(2)["code"], "CONFIG_INVALID");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_evidence_is_fresh_and_says_what_recovery_would_do() {
    let office = Office::new(1000).await;
    let (id, invoice) = office.pending(100);
    office.front.seen();
    let shown = office.show(&id);
    assert_eq!(
        shown["next"].as_str().unwrap().split(' ').next(),
        Some("ask")
    );
    assert!(shown["evidence"].is_null());
    assert!(office.front.seen().is_empty(), "show alone asks nobody");
    let version = shown["version"].clone();

    let evidence = office.evidence(&id);
    assert_eq!(evidence["quote"], "PENDING", "{evidence}");
    let inputs = evidence["inputs"].as_array().unwrap();
    assert!(!inputs.is_empty() && inputs.iter().all(|i| i["state"] == "PENDING"));
    let would = evidence["would"].as_str().unwrap();
    assert_eq!(would, "wait: the payment is under way at the mint");

    let paid = meltd::mint::embedded::Outcome::Paid { ln_fee: 1 };
    let lightning = office.scene.mint.lightning();
    lightning.settle(invoice.payment_hash(), paid).unwrap();
    // The mint finds out when it is asked for the quote; the states were asked for before that.
    office.evidence(&id);
    let evidence = office.evidence(&id);
    assert_eq!(evidence["quote"], "PAID", "{evidence}");
    let would = evidence["would"].as_str().unwrap();
    assert_eq!(
        would,
        "record MeltPaid, AtomicCommitted, then go on from there"
    );
    assert_eq!(
        office.show(&id)["version"],
        version,
        "looking records nothing"
    );
    let text = office
        .scene
        .run(&["saga", "show", &id, "--evidence"])
        .stdout;
    assert!(
        text.contains("recovery would") && text.contains("SPENT"),
        "{text}"
    );
    office.scene.json(&["recover"]).exits(0);
    let shown = office
        .scene
        .json(&["saga", "show", &id, "--evidence"])
        .exits(0);
    assert!(
        shown["evidence"].is_null(),
        "nothing of it is at the mint any more"
    );
}
