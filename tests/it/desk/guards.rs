//! An order is for the version that was looked at; it survives the death of the process that gives
//! it; and what is foreseen is what is done.

use std::collections::BTreeMap;

use meltd::mint::embedded::Outcome;
use serde_json::Value;

use super::scene::{BY, Office};
use crate::cli::scene::{ALICE, Said, paid};
use crate::real_life::stage::Running;

/// Every order, as it is given.
const ORDERS: [&[&str]; 5] = [
    &["park"],
    &["resume"],
    &["resolve", "--as", "paid"],
    &["resolve", "--as", "released"],
    &["resolve", "--as", "written-off"],
];

/// Guards that no order is taken at another version than the one that was seen, whatever it is and
/// wherever the saga stands. Seen red without the guard in `give`: it was parked.
#[tokio::test(flavor = "multi_thread")]
async fn every_order_is_refused_when_the_version_has_moved() {
    let office = Office::new(1000).await;
    let (id, _) = office.dead_before_post(100);
    let version: u32 = office.version(&id).parse().unwrap();
    let wrong = [version - 1, version + 1].map(|v| v.to_string());
    for order in ORDERS {
        for wrong in &wrong {
            let args = [&["saga"], order, &[&id, "--expect-version", wrong], &BY];
            let refused = office.scene.json(&args.concat()).exits(3);
            assert_eq!(refused["code"], "VERSION_MOVED", "{order:?}: {refused}");
        }
    }
    assert_eq!(
        office.version(&id),
        version.to_string(),
        "nothing is recorded"
    );
}

/// Orders whose process is frozen with the evidence in hand, right before they are recorded.
const FROZEN: [(&[&str], &str); 2] = [
    (&["park"], "Parked"),
    (&["resolve", "--as", "released"], "OperatorResolved"),
];

/// Guards the time between the evidence and the record: somebody else settles the saga meanwhile,
/// and the order is not taken, for it was given about something else. The head's condition, the
/// unique place of each event and a trigger keep it out. Seen red without the first two: the caller
/// was told that the store cannot be used.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_overtaken_is_not_recorded() {
    for (order, event) in FROZEN {
        let office = Office::new(1000).await;
        let (id, invoice) = office.pending(100);
        let args = [
            &["saga"],
            order,
            &[&id, "--json", "--expect-version", "4"],
            &BY,
        ];
        let mut command = office.scene.command(&args.concat());
        let point = format!("stop@append.before.{event}");
        let frozen = Running::start(command.env("MELTD_FAILPOINT", point));
        frozen.until_frozen();
        let outcome = Outcome::Paid { ln_fee: 1 };
        let lightning = office.scene.mint.lightning();
        lightning.settle(invoice.payment_hash(), outcome).unwrap();
        office.scene.json(&["recover"]).exits(0);
        let settled = office.version(&id);
        frozen.signal("CONT");
        let refused = frozen.ends().exits(5);
        assert_eq!(refused["code"], "VERSION_MOVED", "{order:?}: {refused}");
        let shown = office.show(&id);
        assert_eq!(shown["state"], "settled", "{shown}");
        assert_eq!(office.version(&id), settled, "nothing is recorded");
        office.scene.assert_idle();
    }
}

/// Where a process may die while it carries out `--as released`, in this order.
const RELEASING: [&str; 8] = [
    "append.before.OperatorResolved",
    "append.after.OperatorResolved",
    "append.before.SwapPrepared",
    "append.after.SwapPrepared",
    "step.before.post_swap",
    "step.after.post_swap",
    "append.before.ProofsReleased",
    "append.after.ProofsReleased",
];

/// Guards that an order which is recorded is carried out whatever dies, by the fence and once; and
/// that one which is not recorded was never given: the melt is paid, as if nobody had ordered.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_survives_its_processes_deaths() {
    for point in RELEASING {
        let office = Office::new(1000).await;
        let (id, invoice) = office.dead_before_post(100);
        let args = [
            "saga",
            "resolve",
            &id,
            "--as",
            "released",
            "--expect-version",
            "4",
        ];
        let mut command = office.scene.command(&[&args[..], &BY].concat());
        let died = Said::from(command.env("MELTD_FAILPOINT", point).output().unwrap());
        assert!(
            died.stderr.contains("the process ends here"),
            "{point}: {died:?}"
        );
        office.scene.json(&["recover", "--wait", "20s"]).exits(0);
        let is_ordered = point != RELEASING[0];
        let shown = office.show(&id);
        let (state, times) = if is_ordered {
            ("released", 0)
        } else {
            ("settled", 1)
        };
        assert_eq!(shown["state"], state, "{point}: {shown}");
        assert_eq!(office.scene.times_paid(&invoice), times, "{point}");
        let swaps = office.front.seen();
        let swaps = swaps.iter().filter(|line| line.contains("/v1/swap"));
        assert_eq!(swaps.count(), usize::from(is_ordered), "{point}: one fence");
        let available = office.scene.balance(ALICE)["available"].as_u64().unwrap();
        let cost = if is_ordered { 1 } else { 102 };
        assert_eq!(available, 1000 - cost, "{point}");
        office.scene.assert_idle();
    }
}

/// The steps that a process has begun, by saga, as its log says.
fn first_steps(said: &Said) -> BTreeMap<String, String> {
    let mut steps = BTreeMap::new();
    for line in said.stderr.lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        let fields = &line["fields"];
        if let (Some(saga), Some(step)) = (fields["saga_id"].as_str(), fields["step"].as_str()) {
            steps.entry(saga.to_owned()).or_insert(step.to_owned());
        }
    }
    steps
}

/// Guards that `recover --dry-run` says what recovery then does: of sagas in all kinds of places
/// the first step is the one that was foreseen, and those that are held are held.
/// Seen red with a dry run that knows of no pauses.
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_recovery_then_does() {
    let office = Office::new(2048).await;
    let dies = |point: &str, sat: u64, script| {
        let invoice = office.scene.invoice(sat, script).to_string();
        let mut melt = office.scene.command(&["melt", "--npub", ALICE, &invoice]);
        let died = Said::from(melt.env("MELTD_FAILPOINT", point).output().unwrap());
        assert!(
            died.stderr.contains("the process ends here"),
            "{point}: {died:?}"
        );
    };
    let failed = || meltd::mint::embedded::Script::Failed;
    // From one coin of 2048, so that it is swapped first.
    dies("append.after.SwapPrepared", 1100, paid());
    office.scene.mint_to(ALICE, 1000);
    dies("adopt.after", 30, paid());
    dies("append.after.ProofsSent", 40, paid());
    dies("append.after.SwapPrepared", 50, failed());
    dies("append.after.ProofsSent", 60, paid());
    let list = office.list(&["--status", "active"]);
    let last = list.as_array().unwrap().last().unwrap()["saga"].clone();
    // One that was never quoted, because the mint did not answer.
    office.front.answer("/v1/melt/quote", 503, "away");
    let invoice = office.scene.invoice(70, paid()).to_string();
    let melt = ["melt", "--npub", ALICE, &invoice, "--wait", "0"];
    let requested = office.scene.json(&melt).exits(5);
    assert_eq!(requested["state"], "requested", "{requested}");
    office.front.honest();
    let park = ["saga", "park", last.as_str().unwrap()];
    office.scene.json(&[&park[..], &BY].concat()).exits(0);

    // Twice: with the mint paused, and without.
    let url = office.front.url.clone();
    let pause = ["mints", "pause", &url];
    office.scene.json(&[&pause[..], &BY].concat()).exits(0);
    for is_paused in [true, false] {
        if !is_paused {
            office.scene.json(&["mints", "resume", &url]).exits(0);
        }
        let dry = office.scene.json(&["recover", "--dry-run"]).exits(0);
        let mut recover = office.scene.command(&["recover", "--json", "--wait", "0"]);
        recover
            .env("MELTD_LOG", "meltd=debug")
            .env("MELTD_LOG_FORMAT", "json");
        let said = Said::from(recover.output().unwrap());
        let done = first_steps(&said);
        let mut held = 0;
        let foreseen = dry["sagas"].as_array().unwrap();
        assert!(foreseen.len() >= if is_paused { 5 } else { 2 }, "{dry}");
        for line in foreseen {
            let saga = line["saga"].as_str().unwrap();
            let step = line["step"].as_str().unwrap();
            let did = done.get(saga).map(String::as_str);
            let expected = match step {
                step if step.starts_with("ask the mint") => Some("inquire"),
                step if step.starts_with("wait: MINT_PAUSED") => None,
                step => Some(step),
            };
            held += usize::from(expected.is_none());
            assert_eq!(did, expected, "paused {is_paused}: {line}");
        }
        assert_eq!(held > 0, is_paused, "{dry}");
    }
    let resume = ["saga", "resume", last.as_str().unwrap()];
    office.scene.json(&[&resume[..], &BY].concat()).exits(0);
    office.scene.json(&["recover", "--wait", "20s"]).exits(0);
    office.scene.assert_idle();
}
