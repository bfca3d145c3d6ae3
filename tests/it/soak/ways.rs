//! The ways in which a command is brought, and what its bringer is told.

use std::time::Duration;

use cdk::Bolt11Invoice;
use reqwest::Client;
use serde_json::{Value, json};

use super::ground::Ground;
use super::plan::{Death, Melt, Way};
use super::serving::Slot;
use crate::real_life::stage::{Running, Stage};

/// How long HTTP callers stay on the line.
const WAIT_S: u64 = 2;

/// Longer than that: a process that is frozen or dying answers nobody.
const LINE: Duration = Duration::from_secs(8);

/// One melt that was brought, and what its bringer was told on the spot. What the queue answers
/// comes later.
pub(super) struct Done {
    pub(super) n: u64,
    pub(super) melt: Melt,
    pub(super) invoice: Bolt11Invoice,
    pub(super) told: Told,
}

/// What a bringer knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It is paid.
    Paid,
    /// It is not paid, and never will be.
    NotPaid(String),
    /// Neither.
    Open(String),
    /// The process that brought it was killed.
    Killed,
}

pub(super) fn npub(wallet: u64) -> String {
    let key = [u8::try_from(wallet + 1).unwrap(); 32];
    let hrp = bech32::Hrp::parse("npub").unwrap();
    bech32::encode::<bech32::Bech32>(hrp, &key).unwrap()
}

/// The name under which the n-th command is brought to a process that serves.
pub(super) fn name(n: u64) -> String {
    format!("soak-{n}")
}

/// Brings the n-th melt of a seed.
pub(super) fn bring(ground: &Ground, slots: &[Slot], seed: u64, n: u64) -> Done {
    let melt = Melt::of(seed, n);
    let invoice = ground.stage.scene.invoice(melt.sat, melt.script.clone());
    let told = match melt.way {
        Way::Cli => by_cli(&ground.stage, &melt, &invoice),
        Way::Queue => by_queue(ground, &melt, &invoice, n),
        Way::Http => {
            let slot = &slots[usize::try_from(n).unwrap() % slots.len()];
            ground.wait_for(by_http(slot, &melt, &invoice, n))
        }
    };
    Done {
        n,
        melt,
        invoice,
        told,
    }
}

fn by_cli(stage: &Stage, melt: &Melt, invoice: &Bolt11Invoice) -> Told {
    let timeout = format!("{}ms", melt.timeout_ms);
    let (npub, text) = (npub(melt.wallet), invoice.to_string());
    let what = ["melt", "--json", "--npub", &npub, &text];
    let how = [
        "--timeout",
        &timeout,
        "--wait",
        "2s",
        "--policy",
        "reselect",
    ];
    let (exit, answer) = until_death(stage, &[&what[..], &how].concat(), melt.death);
    let code = format!(
        "exit {exit}, {}",
        answer["code"].as_str().unwrap_or("no code")
    );
    match (answer["paymentResult"].as_str(), exit) {
        (Some("PAID"), _) => Told::Paid,
        (Some("FAILED"), _) | (None, 3 | 4 | 7) => Told::NotPaid(code),
        (None, -1) => Told::Killed,
        _ => Told::Open(code),
    }
}

fn by_queue(ground: &Ground, melt: &Melt, invoice: &Bolt11Invoice, n: u64) -> Told {
    let id = name(n);
    let body = json!({
        "version": 1,
        "command_id": id,
        "npub": npub(melt.wallet),
        "invoice": invoice.to_string(),
        "timeout_s": melt.timeout_ms.div_ceil(1000),
        "policy": "reselect",
    });
    ground.send(&id, body.to_string());
    Told::Open("queued".to_owned())
}

async fn by_http(slot: &Slot, melt: &Melt, invoice: &Bolt11Invoice, n: u64) -> Told {
    let client = Client::builder().no_proxy().timeout(LINE).build().unwrap();
    let url = format!("{}/api/wallet/{}/melt", slot.url(), npub(melt.wallet));
    let body = json!({
        "invoice": invoice.to_string(),
        "commandId": name(n),
        "policy": "reselect",
        "wait": WAIT_S,
    });
    let Ok(answer) = client.post(url).json(&body).send().await else {
        return Told::Open("no answer".to_owned());
    };
    let status = answer.status().as_u16();
    let Ok(body) = answer.json::<Value>().await else {
        return Told::Open(format!("{status}, half an answer"));
    };
    let code = format!("{status}, {}", body["code"].as_str().unwrap_or("no code"));
    match status {
        200 => Told::Paid,
        // The identical request may be sent again; nobody does.
        202 | 503 => Told::Open(code),
        _ => Told::NotPaid(code),
    }
}

/// Runs the binary to its end, its own or the given one: the exit code, and what it answered.
pub(super) fn until_death(stage: &Stage, args: &[&str], death: Option<Death>) -> (i32, Value) {
    let mut command = stage.scene.command(args);
    if let Some(Death::At(point, nth)) = death {
        command.env("MELTD_FAILPOINT", format!("{point}:{nth}"));
    }
    let running = Running::start(&mut command);
    if let Some(Death::After(time)) = death {
        std::thread::sleep(time);
        running.signal("KILL");
    }
    let said = running.ends();
    assert_ne!(said.exit, 101, "it panicked: {said:?}");
    assert_ne!(said.exit, 2, "it was called wrongly: {said:?}");
    let answer = serde_json::from_str(&said.stdout).unwrap_or(Value::Null);
    (said.exit, answer)
}
