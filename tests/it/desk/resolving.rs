//! `saga park|resume|resolve`: guarded by version and evidence, recorded, and carried out.

use meltd::mint::embedded::Outcome;

use super::scene::{BY, Office};
use crate::cli::scene::ALICE;
use crate::store_contract::Fixture;
use crate::store_mongo::Mongo;

#[cfg(feature = "failpoints")]
async fn released_by_the_fence(office: &Office) {
    let before = office.scene.balance(ALICE)["available"].as_u64().unwrap();
    let (id, invoice) = office.dead_before_post(100);
    let refused = office.resolve(&id, "paid").exits(3);
    assert_eq!(refused["code"], "RESOLUTION_REFUSED", "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("unspent"));
    let refused = office.resolve(&id, "written-off").exits(3);
    assert!(refused["message"].as_str().unwrap().contains("released"));
    assert_eq!(office.show(&id)["version"], 4, "a refusal leaves no event");

    let done = office.resolve(&id, "released").exits(0);
    assert_eq!(done["state"], "released", "{done}");
    assert_eq!(office.scene.times_paid(&invoice), 0);
    let events = office.show(&id);
    let events = events["timeline"].as_array().unwrap();
    let names: Vec<_> = events
        .iter()
        .map(|e| e["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        names[4..],
        [
            "OperatorResolved",
            "SwapPrepared",
            "SwapDone",
            "ProofsReleased"
        ]
    );
    let facts = events[4]["facts"].as_str().unwrap();
    assert!(facts.contains("olga") && facts.contains("asked the mint"));
    let after = office.scene.balance(ALICE)["available"].as_u64().unwrap();
    assert_eq!(before - after, 1, "the fence's input fee");
    office.scene.assert_idle();
}

/// `released` runs the fence: no flag goes around it.
/// Seen red with the release made straight away: the log does not take it.
#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_is_released_by_the_fence_alone() {
    released_by_the_fence(&Office::new(1000).await).await;
}

#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread")]
async fn on_mongodb_too() {
    use crate::cli::scene::Scene;
    let mongo = Mongo::fresh().await;
    let scene = Scene::new().await.with("MELTD_STORE", &mongo.uri(""));
    released_by_the_fence(&Office::on(scene, 1000).await).await;
    mongo.remove().await;
}

/// A decision is made about something that was seen: at another version it is refused.
/// Seen red without the guard.
#[tokio::test(flavor = "multi_thread")]
async fn a_resolution_is_for_the_version_that_was_seen() {
    let office = Office::new(1000).await;
    let (id, _) = office.pending(100);
    let version = office.version(&id);
    let park = ["saga", "park", &id, "--expect-version", &version];
    let parked = office.scene.json(&[&park[..], &BY].concat()).exits(0);
    assert_eq!(
        (&parked["status"], &parked["ordered"]),
        (&"parked".into(), &"parked".into())
    );
    let late = [
        "saga",
        "resolve",
        &id,
        "--as",
        "released",
        "--expect-version",
        &version,
    ];
    let refused = office.scene.json(&[&late[..], &BY].concat()).exits(3);
    assert_eq!(refused["code"], "VERSION_MOVED", "{refused}");
    assert!(
        office
            .scene
            .json(&["saga", "resolve", &id, "--as", "released"])
            .exit
            == 2
    );
    let gone = ["saga", "resume", "01990000-0000-7000-8000-000000000000"];
    let gone = office.scene.json(&[&gone[..], &BY].concat());
    assert_eq!(gone.exits(3)["code"], "NOT_FOUND");
}

/// Parked it is asked and not acted upon; resumed it goes on. Whoever recovers is told with exit
/// code 6 that a person has to decide.
#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread")]
async fn parked_nothing_is_posted_and_resumed_it_goes_on() {
    let office = Office::new(1000).await;
    let (id, invoice) = office.dead_before_post(100);
    let park = ["saga", "park", &id];
    office.scene.json(&[&park[..], &BY].concat()).exits(0);
    let told = office.scene.json(&["recover", "--wait", "0"]).exits(6);
    assert_eq!(told["code"], "NOT_FINISHED");
    let text = invoice.to_string();
    let again = ["melt", "--npub", ALICE, &text, "--wait", "0"];
    let told = office.scene.json(&again).exits(6);
    assert_eq!(
        (&told["status"], &told["code"]),
        (&"parked".into(), &"OPERATOR_PARKED".into())
    );
    assert_eq!(office.scene.times_paid(&invoice), 0);
    let plan = office.scene.json(&["recover", "--dry-run"]).exits(0);
    let why = plan["sagas"][0]["why"].as_str().unwrap();
    assert!(why.contains("parked by olga as OPERATOR_PARKED"), "{why}");
    let twice = office.scene.json(&[&park[..], &BY].concat()).exits(3);
    assert_eq!(twice["code"], "RESOLUTION_REFUSED");
    let resume = ["saga", "resume", &id];
    let resumed = office.scene.json(&[&resume[..], &BY].concat()).exits(0);
    assert_eq!(resumed["state"], "settled", "{resumed}");
    assert_eq!(office.scene.times_paid(&invoice), 1);
    office.scene.assert_idle();
}

/// An order on a payment under way stands, and is carried out when the mint has decided.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_waits_for_a_payment_that_is_under_way() {
    let office = Office::new(1000).await;
    let (id, invoice) = office.pending(100);
    let waits = office.resolve(&id, "released").exits(5);
    assert_eq!(waits["state"], "sent");
    assert!(waits["waiting_for"].as_str().unwrap().contains("under way"));
    let why = office.show(&id)["why"].as_str().unwrap().to_owned();
    assert!(why.contains("olga has ordered released"), "{why}");
    let hash = invoice.payment_hash();
    office
        .scene
        .mint
        .lightning()
        .settle(hash, Outcome::Failed)
        .unwrap();
    let done = office.scene.json(&["recover"]).exits(0);
    assert_eq!(done["sagas"][0]["after"], "released", "{done}");
    office.scene.assert_idle();
}

/// The truth wins over an order: what turns out to be paid is settled.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_ends_after_the_order_is_settled() {
    let office = Office::new(1000).await;
    let (id, invoice) = office.pending(100);
    office.resolve(&id, "released").exits(5);
    let paid = Outcome::Paid { ln_fee: 1 };
    let hash = invoice.payment_hash();
    office.scene.mint.lightning().settle(hash, paid).unwrap();
    let done = office.scene.json(&["recover"]).exits(0);
    assert_eq!(done["sagas"][0]["after"], "settled", "{done}");
    office.scene.assert_idle();
    let late = office.resolve(&id, "written-off").exits(3);
    assert_eq!(late["code"], "RESOLUTION_REFUSED");
}

/// The mint is gone for ever: the coins are given up, and the books still balance.
#[tokio::test(flavor = "multi_thread")]
async fn at_a_dead_mint_coins_are_written_off_and_counted() {
    let office = Office::new(1000).await;
    let (id, _) = office.pending(100);
    let held = office.scene.balance(ALICE)["in_flight"].as_u64().unwrap();
    assert!(held > 100);
    office.front.answer("/v1/", 503, "gone");
    let done = office.resolve(&id, "written-off").exits(0);
    assert_eq!(done["state"], "written_off", "{done}");
    let balance = office.scene.balance(ALICE);
    assert_eq!(balance["in_flight"], 0, "{balance}");
    let audit = office.scene.json(&["audit", "verify"]).exits(0);
    let wallets = audit["wallets"].as_object().unwrap();
    let written_off: u64 = wallets
        .values()
        .map(|w| w["written_off"].as_u64().unwrap())
        .sum();
    assert_eq!(
        (&audit["clean"], written_off),
        (&true.into(), held),
        "{audit}"
    );
    let shown = office.show(&id);
    assert_eq!(shown["status"], "done");
    office.front.honest();
    assert_eq!(
        office.scene.json(&["recover"]).exits(0)["sagas"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
}
