//! A mint whose answers contradict each other: looked at again, parked with a reason, and resolved
//! by a person on what the mint says now.

use serde_json::json;

use super::scene::Office;
use crate::cli::scene::ALICE;

/// Guards exit code 6: the payment was made, and the mint calls its quote unpaid.
#[tokio::test(flavor = "multi_thread")]
async fn spent_but_unpaid_is_parked_and_resolved_as_paid() {
    let office = Office::new(1000).await;
    office.quotes_are("UNPAID");
    office.nothing_is_signed();
    // The answer to the post is lost.
    office
        .front
        .change("POST /v1/melt/bolt11", |_| json!("lost"));
    let invoice = office.scene.invoice(100, crate::cli::scene::paid());
    let text = invoice.to_string();
    let melt = ["melt", "--npub", ALICE, &text, "--wait", "40s"];
    let said = office.scene.json(&melt);
    let answer = said.exits(6);
    assert_eq!(answer["paymentResult"], "PENDING", "{answer}");
    assert_eq!(answer["code"], "SPENT_BUT_UNPAID");
    assert_eq!(answer["severity"], "CRITICAL");
    let id = office.only();
    let parked = office.list(&["--reason", "spent_but_unpaid", "--status", "parked"]);
    assert_eq!(parked[0]["saga"], id.as_str());
    let events = office.show(&id)["timeline"].to_string();
    assert!(events.contains("CRITICAL_MELT_FAILURE"), "{events}");
    let refused = office.resolve(&id, "released").exits(3);
    assert_eq!(refused["code"], "RESOLUTION_REFUSED", "{refused}");

    let evidence = office.evidence(&id);
    assert_eq!(evidence["quote"], "UNPAID");
    assert!(
        evidence["inputs"]
            .as_array()
            .unwrap()
            .iter()
            .all(|i| i["state"] == "SPENT")
    );
    // The operator has the payee's word. What change there is, is owed.
    let settled = office.resolve(&id, "paid");
    assert!(matches!(settled.exit, 0 | 5), "{settled:?}");
    let settled = settled.json();
    assert!(
        matches!(settled["state"].as_str(), Some("owing" | "settled")),
        "{settled}"
    );
    office.front.honest();
    office.scene.json(&["recover"]).exits(0);
    assert_eq!(office.show(&id)["state"], "settled");
    let events = office.show(&id)["timeline"].to_string();
    assert!(events.contains("CriticalResolved"), "{events}");
    assert_eq!(office.scene.times_paid(&invoice), 1);
    office.scene.assert_idle();
}

/// Nothing a person has to do when the contradiction was the mint's own confusion: it settles off
/// the desk by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_mint_that_comes_to_its_senses_needs_nobody() {
    let office = Office::new(1000).await;
    let (id, invoice) = office.pending(100);
    office.coins_are("UNSPENT");
    office.quotes_are("PAID");
    let told = office.scene.json(&["recover", "--wait", "30s"]).exits(6);
    assert_eq!(told["sagas"][0]["status"], "parked", "{told}");
    let shown = office.list(&["--reason", "PAID_BUT_UNSPENT"]);
    assert_eq!(shown[0]["saga"], id.as_str());
    let paid = meltd::mint::embedded::Outcome::Paid { ln_fee: 1 };
    let lightning = office.scene.mint.lightning();
    lightning.settle(invoice.payment_hash(), paid).unwrap();
    office.front.honest();
    // The mint finds out when it is asked for the quote; the next look sees what came of it.
    office.scene.json(&["recover", "--wait", "0"]).exits(6);
    let done = office.scene.json(&["recover", "--wait", "0"]).exits(0);
    assert_eq!(done["sagas"][0]["after"], "settled", "{done}");
    let events = office.show(&id)["timeline"].to_string();
    assert!(events.contains("CriticalResolved"), "{events}");
    office.scene.assert_idle();
}

/// One input was spent by somebody else. It alone is given up; the others are fenced and come back.
#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread")]
async fn of_mixed_inputs_only_the_spent_ones_are_lost() {
    let office = Office::new(1000).await;
    let (id, _) = office.dead_before_post(300);
    let inputs = office.evidence(&id)["inputs"].clone();
    let inputs = inputs.as_array().unwrap();
    assert!(inputs.len() > 1, "{inputs:?}");
    let (gone, amount) = (
        inputs[0]["y"].clone(),
        inputs[0]["amount"].as_u64().unwrap(),
    );
    let held: u64 = inputs.iter().map(|i| i["amount"].as_u64().unwrap()).sum();
    let available = office.scene.balance(ALICE)["available"].as_u64().unwrap();
    office.front.change("/v1/checkstate", move |mut answer| {
        for coin in answer["states"].as_array_mut().unwrap() {
            if coin["Y"] == gone {
                coin["state"] = json!("SPENT");
            }
        }
        answer
    });
    office.scene.json(&["recover", "--wait", "30s"]).exits(6);
    assert_eq!(
        office.list(&["--reason", "INPUTS_MIXED"])[0]["saga"],
        id.as_str()
    );
    let refused = office.resolve(&id, "released").exits(3);
    assert!(refused["message"].as_str().unwrap().contains("written-off"));
    let done = office.resolve(&id, "written-off").exits(0);
    assert_eq!(done["state"], "released", "{done}");
    let after = office.scene.balance(ALICE)["available"].as_u64().unwrap();
    assert_eq!(
        after,
        available + held - amount - 1,
        "the rest but the fence's fee"
    );
    office.scene.assert_idle();
}
