//! `meltd doctor` where something is wrong: each line is red for what it is there for, and says
//! what to do.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use meltd::clock::SystemClock;
use meltd::doctor::{Checks, Grade, Line};
use meltd::driver::Driver;
use meltd::mint::cdk::{CdkMint, Timeouts};
use meltd::mint::embedded::Script;
use meltd::mint::keychain::Keychain;
use meltd::ports::{Clock, Store};
use meltd::store::sqlite::SqliteStore;
use mongodb::bson::doc;
use serde_json::{Value, json};

use crate::cli::scene::{ALICE, Said, Scene, paid};
use crate::mint_cdk::front::{Fault, Front};
use crate::store_contract::Fixture;
use crate::store_mongo::Mongo;

/// The grades of the lines about this, and what they found.
fn lines(answer: &Value, what: &str) -> Vec<(String, String)> {
    let checks = answer["checks"].as_array().unwrap().iter();
    let about = checks.filter(|c| c["what"].as_str().unwrap().starts_with(what));
    about
        .map(|c| {
            let text = |field: &str| c[field].as_str().unwrap_or_default().to_owned();
            if c["grade"] != "ok" {
                assert!(text("advice").len() > 10, "what to do is missing: {c}");
            }
            (text("grade"), text("found"))
        })
        .collect()
}

/// That the doctor calls the first line about this so, and why; the exit code follows.
fn calls(scene: &Scene, args: &[&str], what: &str, grade: &str, found: &str) {
    let said = scene.json(&[&["doctor"], args].concat());
    let exit = if grade == "bad" { 6 } else { 0 };
    assert_eq!(said.exit, exit, "{what} {grade} {found}: {said:?}");
    let lines = lines(&said.json(), what);
    let found = lines.iter().find(|(_, text)| text.contains(found));
    assert_eq!(
        found.map(|l| l.0.as_str()),
        Some(grade),
        "{what}: {lines:?}"
    );
}

/// A funded wallet at a mint behind a front.
async fn fronted() -> (Scene, Front) {
    let scene = Scene::new().await;
    let front = Front::before(scene.mint.url().to_string().trim_end_matches('/')).await;
    let scene = scene.with("MELTD_MINT_URL", &front.url);
    scene.mint_to(ALICE, 1000);
    (scene, front)
}

/// Guards each thing that a mint may lack. Seen red with the NUTs that are needed not looked at.
#[tokio::test(flavor = "multi_thread")]
async fn a_mint_that_lacks_something_is_told() {
    let (scene, front) = fronted().await;
    let without = |nut: &'static str| {
        front.honest();
        front.change("/v1/info", move |mut info| {
            info["nuts"][nut]["supported"] = json!(false);
            info
        });
    };
    without("7");
    calls(&scene, &[], "mint ", "bad", "without NUT-07");
    for (nut, name) in [("8", "NUT-08"), ("9", "NUT-09"), ("20", "NUT-20")] {
        without(nut);
        calls(&scene, &[], "mint ", "warning", name);
    }
    front.honest();
    front.change("/v1/keysets", |mut keysets| {
        for keyset in keysets["keysets"].as_array_mut().unwrap() {
            keyset["active"] = json!(false);
        }
        keysets
    });
    calls(&scene, &[], "mint ", "bad", "UNIT_UNKNOWN");
    front.honest();
    front.fault("/v1/info", Fault::Hold(Duration::from_millis(2100)));
    calls(&scene, &[], "mint ", "warning", "MINT_SLOW");
    front.answer("/v1/", 503, "away");
    calls(&scene, &[], "mint ", "bad", "MINT_UNREACHABLE");
    front.honest();
    calls(&scene, &[], "mint ", "ok", "1 active");
}

/// Guards the words for counters that could not be compared, or not all of them. That they are
/// behind is told in `backup.rs`.
#[tokio::test(flavor = "multi_thread")]
async fn counters_that_were_not_compared_are_told() {
    let (scene, front) = fronted().await;
    calls(&scene, &["--wallets", "0"], "counters", "warning", "0 of 1");
    front.answer("/v1/restore", 503, "away");
    calls(&scene, &[], "counters", "warning", "the mint does not say");
}

/// Guards the age of a saga, and that somebody drives it: with thresholds of nothing both are told
/// of a melt whose process has died, by the store alone; parked, it is a person's.
/// Seen red with the ages not looked at; that nobody drives is also in `t09`.
#[tokio::test(flavor = "multi_thread")]
async fn sagas_that_nobody_drives_are_told() {
    let (scene, _front) = fronted().await;
    let invoice = scene.invoice(100, Script::Pending).to_string();
    let melt = ["melt", "--npub", ALICE, &invoice, "--wait", "0"];
    let id = scene.json(&melt).exits(5)["saga"]
        .as_str()
        .unwrap()
        .to_owned();
    calls(&scene, &[], "sagas", "ok", "1 unfinished");
    calls(&scene, &[], "recovery", "ok", "0 due for over 120 s");
    calls(
        &scene,
        &["--stuck-after", "0"],
        "sagas",
        "warning",
        "1 under way",
    );
    let overdue = || {
        let said = scene.json(&["doctor", "--overdue-after", "0"]);
        let lines = lines(&said.json(), "recovery");
        (said.exit, lines[0].0.clone())
    };
    // As soon as it is due again.
    crate::real_life::stage::until("it is due", || overdue() == (6, "bad".to_owned()));
    // A funding invoice that nobody pays is nobody's trouble.
    let park = ["saga", "park", &id, "--by", "olga", "--reason", "a test"];
    scene.json(&park).exits(0);
    scene.json(&["mint", "--npub", ALICE, "10", "--wait", "0"]);
    let worried = ["--stuck-after", "0", "--overdue-after", "0"];
    calls(&scene, &worried, "sagas", "bad", "1 parked");
    let said = scene.json(&[&["doctor"], &worried[..]].concat()).exits(6);
    assert_eq!(lines(&said, "recovery")[0].0, "ok", "{said}");
}

/// Guards the age of the outbox, and what was put aside. Seen red without either condition.
#[tokio::test]
async fn an_outbox_that_does_not_move_is_told() {
    let scene = Scene::funded(ALICE, 100).await;
    let file = rusqlite::Connection::open(scene.path("meltd.db")).unwrap();
    let meddle = |sql: &str| assert!(file.execute(sql, []).unwrap() > 0);
    calls(&scene, &[], "outbox", "ok", "none was ever used");
    meddle("INSERT INTO relay_mark VALUES (1, '2026-11-20T00:00:00Z', 0, '', 1)");
    calls(&scene, &[], "outbox", "ok", "0 parked");
    meddle("UPDATE outbox SET written_at = written_at - 360000");
    calls(&scene, &[], "outbox", "warning", "the first 6 min old");
    meddle("UPDATE outbox SET parked = 1");
    calls(&scene, &[], "outbox", "bad", "to publish");
}

/// Guards the line of a bus that is configured and away.
#[tokio::test]
async fn a_bus_that_is_away_is_told() {
    let scene = Scene::funded(ALICE, 100).await;
    let args = ["--bus", "nats://127.0.0.1:9"];
    calls(&scene, &args, "bus", "bad", "reached");
}

/// A clock that goes before the store's.
#[derive(Clone, Copy)]
struct Fast(TimeDelta);

impl Clock for Fast {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + self.0
    }
}

/// What the doctor says of this store at a mint that is away, by a clock that goes before.
async fn examined<S: Store>(store: S, fast: TimeDelta) -> Vec<Line> {
    let folder = tempfile::tempdir().unwrap();
    let keychain = Keychain::load_or_create(&folder.path().join("seed")).unwrap();
    let moment = Duration::from_millis(200);
    let timeouts = Timeouts {
        ask: moment,
        sign: moment,
        pay: moment,
    };
    let mint = CdkMint::new(keychain, &["http://127.0.0.1:9".to_owned()], timeouts).unwrap();
    let clock = Arc::new(Fast(fast));
    let driver = Driver::new(Arc::new(store), Arc::new(mint), clock, "doctor");
    let hour = Duration::from_secs(3600);
    let checks = Checks {
        unit: "sat",
        wallets_max: 10,
        stuck_after: hour,
        overdue_after: hour,
    };
    driver.examine(&checks).await
}

fn grade(lines: &[Line], what: &str) -> Grade {
    let line = lines.iter().find(|line| line.what == what).unwrap();
    line.grade
}

#[tokio::test]
async fn clocks_that_differ_are_told() {
    let rows = [(0, Grade::Ok), (5, Grade::Warning), (60, Grade::Bad)];
    for (seconds, expected) in rows {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("meltd.db")).unwrap();
        let lines = examined(store, TimeDelta::seconds(seconds)).await;
        assert_eq!(grade(&lines, "clock"), expected, "{lines:?}");
    }
}

/// Guards the store's own line: an index and a validator that somebody has taken away.
/// Seen red with `differences` returning nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_meddled_with_is_told() {
    let mongo = Mongo::fresh().await;
    let store = mongo.open().await;
    let client = mongodb::Client::with_uri_str(mongo.uri("")).await.unwrap();
    let database = client.default_database().unwrap();
    let sagas = database.collection::<mongodb::bson::Document>("sagas");
    let names = sagas.list_index_names().await.unwrap();
    let gone = names.iter().find(|name| *name != "_id_").unwrap();
    sagas.drop_index(gone).await.unwrap();
    let bare = doc! { "collMod": "proofs", "validator": {} };
    database.run_command(bare).await.unwrap();
    let lines = examined(store, TimeDelta::zero()).await;
    let bad = lines
        .iter()
        .filter(|l| l.what == "store" && l.grade == Grade::Bad);
    let found: Vec<&str> = bad.map(|line| line.found.as_str()).collect();
    assert!(found.iter().any(|f| f.contains(gone)), "{lines:?}");
    assert!(found.iter().any(|f| f.contains("proofs")), "{lines:?}");
    mongo.remove().await;
}

/// Guards that what was found before a mint fell silent is told, and is stored.
/// Seen red with the partial result thrown away: nothing restored, it said.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_before_the_mint_fell_silent_is_told() {
    let (scene, front) = fronted().await;
    scene
        .json(&[
            "melt",
            "--npub",
            ALICE,
            &scene.invoice(10, paid()).to_string(),
        ])
        .exits(0);
    let truth = scene.balance(ALICE)["available"].as_u64().unwrap();
    let store = format!("sqlite:{}", scene.path("new.db").display());
    let seed = scene.path("meltd.seed").display().to_string();
    let elsewhere = |args: &[&str]| {
        let mut command = scene.command(&[args, &["--json"]].concat());
        command
            .env("MELTD_STORE", &store)
            .env("MELTD_SEED_FILE", &seed);
        command
    };
    // The first batch of counters is answered; then the mint is silent, and the process is stopped
    // while it asks again.
    let answered = std::sync::atomic::AtomicUsize::new(0);
    front.change("/v1/restore", move |answer| {
        match answered.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 | 1 => answer,
            _ => json!("silence"),
        }
    });
    let child = elsewhere(&["restore", "--npub", ALICE])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let said = Said::from(child.wait_with_output().unwrap());
    let told = said.exits(5);
    let wallet = &told["wallets"][0];
    assert!(wallet["stopped"].is_string(), "{told}");
    assert_eq!(wallet["restored_amount"], truth, "{told}");
    assert!(!wallet["raised"].as_array().unwrap().is_empty(), "{told}");
    let balance = elsewhere(&["balance", "--npub", ALICE]).output().unwrap();
    let balance = Said::from(balance).exits(0);
    assert_eq!(balance["available"], truth, "what is told is stored");
}
