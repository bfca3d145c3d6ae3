//! What those are told who asked for a payment on which a person has to decide: at once, and never
//! that it failed.

use std::time::{Duration, Instant};

use super::scene::{BY, Office};
use crate::cli::scene::{ALICE, Said};
use crate::embedded_mint::purse::eventually;

/// Longer than any test waits for.
const LONG: &str = "120s";

/// Nobody waits on the line for a person.
const AT_ONCE: Duration = Duration::from_secs(30);

/// Guards exit code 6 at once, for who asks when it is parked, and for who waits while it is put on
/// the desk. Seen red with a wait that ends at answers only: both waited for two minutes.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_person() {
    let office = Office::new(1000).await;
    let (id, invoice) = office.pending(100);
    let text = invoice.to_string();
    let melt = ["melt", "--npub", ALICE, &text, "--wait", LONG];
    let waiting = office.scene.spawn(&[&melt[..], &["--json"]].concat());
    let looks = || office.show(&id)["attempts"].as_u64().unwrap_or(0);
    let before = looks();
    eventually(async || looks() > before).await;

    let began = Instant::now();
    let park = ["saga", "park", &id];
    office.scene.json(&[&park[..], &BY].concat()).exits(0);
    let told = Said::from(waiting.wait_with_output().unwrap()).exits(6);
    assert_eq!(told["code"], "OPERATOR_PARKED", "{told}");
    assert_eq!(told["paymentResult"], "PENDING", "{told}");
    let again = office.scene.json(&melt).exits(6);
    assert_eq!(again["code"], "OPERATOR_PARKED", "{again}");
    let recovered = office.scene.json(&["recover", "--wait", LONG]).exits(6);
    assert_eq!(recovered["sagas"][0]["status"], "parked", "{recovered}");
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
}

/// Guards the last word on what was given up: nobody knows whether it was paid, so it is neither
/// done nor failed. Seen red with the answer of a saga that has ended well: exit 0.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_is_neither_done_nor_failed() {
    let office = Office::new(1000).await;
    let (id, invoice) = office.pending(100);
    office.front.answer("/v1/", 503, "gone");
    office.resolve(&id, "written-off").exits(0);
    let text = invoice.to_string();
    let again = office
        .scene
        .json(&["melt", "--npub", ALICE, &text])
        .exits(6);
    assert_eq!(again["code"], "WRITTEN_OFF", "{again}");
    assert_eq!(again["paymentResult"], "PENDING", "{again}");
    assert_eq!(again["saga"], id.as_str());
}

/// Guards that exit codes are told where people look for them.
#[test]
fn exit_codes_are_in_the_help_and_in_the_readme() {
    use clap::CommandFactory;
    let help = meltd::cli::args::Cli::command().render_help().to_string();
    let readme = include_str!("../../../README.md");
    for exit in [0, 2, 3, 4, 5, 6, 7] {
        assert!(help.contains(&format!("\n  {exit}  ")), "{exit}: {help}");
        assert!(readme.contains(&format!("\n| {exit} | ")), "{exit}");
    }
}
