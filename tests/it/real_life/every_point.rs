//! Killed at every labelled point, one after the other: the first process dies at the first point
//! that it passes, the next at the second, until one passes all of them and ends by itself. So no
//! point is left out, also of those that are added later.

use meltd::mint::embedded::Script;
use serde_json::{Value, json};

use super::stage::{On, Stage};
use crate::cli::happy::token;
use crate::cli::scene::{ALICE, Said, paid};
use crate::proxy::{ASK, Act, MELT, QUOTE, RESTORE};

/// More points than any of these commands passes.
const POINTS_MAX: usize = 60;

/// Runs the command until it dies at the n-th point, or ends; true if it died, and where.
fn dies(stage: &Stage, n: usize, args: &[&str]) -> Option<String> {
    let mut command = stage.scene.command(args);
    command.env("MELTD_FAILPOINT", format!("any:{n}"));
    let said = Said::from(command.output().unwrap());
    if said.exit != -1 {
        return None;
    }
    let point = said
        .stderr
        .split("failpoint ")
        .nth(1)
        .expect("it died by itself");
    Some(point.split(':').next().unwrap().to_owned())
}

/// One round after the other, each with a command of its own, which is then recovered and checked.
/// Returns the points.
fn sweep(
    stage: &Stage,
    command: impl Fn(usize) -> Vec<String>,
    check: impl Fn(usize, &str),
) -> Vec<String> {
    let mut points = Vec::new();
    for n in 1..=POINTS_MAX {
        let args = command(n);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let died = dies(stage, n, &args);
        let point = died.clone().unwrap_or_else(|| "none".to_owned());
        let said = stage.scene.json(&["recover", "--wait", "20s"]);
        assert_eq!(said.exit, 0, "{point}: {said:?}");
        stage.scene.assert_idle();
        check(n, &point);
        match died {
            Some(point) => points.push(point),
            None => {
                println!("{} points: {points:?}", points.len());
                return points;
            }
        }
    }
    panic!("there is no end of them: {points:?}");
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[tokio::test]
async fn every_point_of_a_funding() {
    let stage = Stage::new(On::Sqlite).await;
    let fund = |_| words(&["mint", "--npub", ALICE, "10"]);
    let points = sweep(&stage, fund, |n, point| {
        assert_eq!(stage.available(), 10 * n as u64, "{point}");
    });
    assert!(points.len() >= 10, "{points:?}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_point_of_a_token() {
    let stage = Stage::new(On::Sqlite).await;
    let receive = |_| {
        let token = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(token(&stage.scene, 64))
        });
        words(&["receive", "--npub", ALICE, &token])
    };
    let points = sweep(&stage, receive, |n, point| {
        assert_eq!(stage.available(), 63 * n as u64, "{point}");
    });
    assert!(points.len() >= 8, "{points:?}");
    stage.spends_all();
    stage.end().await;
}

/// The mint refuses the quote: nothing is ever reserved.
#[tokio::test]
async fn every_point_of_a_refusal() {
    let stage = Stage::funded(On::Sqlite, 256).await;
    stage.proxy.always(QUOTE, Act::refuse(20003, "disabled"));
    let melt = |_| {
        let invoice = stage.scene.invoice(10, paid()).to_string();
        words(&["melt", "--npub", ALICE, &invoice])
    };
    let points = sweep(&stage, melt, |_, point| {
        assert_eq!(stage.available(), 256, "{point}");
    });
    assert!(
        points.contains(&"append.after.Rejected".to_owned()),
        "{points:?}"
    );
    stage.end().await;
}

/// A payment that fails and is fenced, from its adoption to the release of its coins.
#[tokio::test]
async fn every_point_of_a_payment_that_fails() {
    let stage = Stage::new(On::Sqlite).await;
    for _ in 0..POINTS_MAX / 2 {
        stage.scene.mint_to(ALICE, 64);
    }
    let melt = |_| {
        let invoice = stage.scene.invoice(40, Script::Failed).to_string();
        words(&["melt", "--npub", ALICE, &invoice])
    };
    let whole = stage.available();
    let points = sweep(&stage, melt, |n, point| {
        // Each fence has cost its input fee.
        let cost = whole - stage.available();
        assert!(cost <= 2 * n as u64, "{point}: {cost}");
    });
    for point in ["append.after.ProofsSent", "step.after.release_rest"] {
        assert!(points.contains(&point.to_owned()), "{point}: {points:?}");
    }
    stage.spends_all();
    stage.end().await;
}

/// Change that comes late is collected once, whichever recovery dies over it.
#[tokio::test]
async fn every_point_of_collecting_change() {
    let stage = Stage::new(On::Sqlite).await;
    let none = |reply: &mut Value| {
        reply["signatures"] = json!([]);
        reply["outputs"] = json!([]);
    };
    let owing = |_| {
        stage.scene.mint_to(ALICE, 256);
        let invoice = stage.scene.invoice(200, paid());
        for path in [MELT, ASK] {
            stage
                .proxy
                .change(path, |reply| reply["change"] = Value::Null);
        }
        let none = Act::Change(std::sync::Arc::new(none));
        stage.proxy.add(RESTORE, 1, usize::MAX, none);
        stage.melt(&invoice, &["--wait", "0"]).exits(0);
        assert!(stage.balance("owed") > 0);
        stage.proxy.honest();
        words(&["recover", "--wait", "20s"])
    };
    let points = sweep(&stage, owing, |n, point| {
        assert_eq!(stage.balance("owed"), 0, "{point}");
        // Of each 256 the payee has 200; a Lightning fee and an input fee or two.
        let fees = (256 - 200) * n as u64 - stage.available();
        assert!((n as u64..=4 * n as u64).contains(&fees), "{point}: {fees}");
    });
    assert!(
        points.contains(&"append.after.ChangeCollected".to_owned()),
        "{points:?}"
    );
    stage.end().await;
}
