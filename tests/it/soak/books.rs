//! Four parties know what happened: the store by its log, consumers by the stream, the mint by what
//! it has signed and taken back, the Lightning node by what it has paid. They must agree to the
//! sat, and with what every caller was told.

use std::collections::BTreeMap;

use serde_json::Value;

use super::ground::{Ground, claim};
use super::ways::{Done, Told, name};
use crate::real_life::stage::Stage;

/// Fails unless no sat is lost, doubled or made up.
pub(super) async fn balance(ground: &Ground, done: &[Done], left: &[Value]) {
    let stage = &ground.stage;
    for saga in left {
        println!("not done: {saga}");
    }
    let audit = stage.scene.json(&["audit", "verify"]).exits(0);
    assert_eq!(audit["clean"], true, "{audit}");
    let sum = |field: &str| -> i64 {
        let wallets = audit["wallets"].as_object().unwrap().values();
        wallets
            .map(|account| account[field].as_i64().unwrap())
            .sum()
    };
    let (paid, fees, owed, balance) = (sum("paid"), sum("fees"), sum("owed"), sum("balance"));
    println!(
        "sat: minted {}, paid {paid}, fees {fees}, owed {owed}, balance {balance}, lost {}",
        sum("minted"),
        sum("lost"),
    );
    println!("callers were told: {:?}", callers(stage, done));
    let replies = replies(ground, done).await;
    println!("the queue answered: {replies:?}");

    assert_eq!(left.len(), 0, "every saga ends once the faults do");
    let by_lightning = by_lightning(stage, done);
    assert_eq!(paid, by_lightning, "the Lightning node paid another sum");
    assert_eq!(settled(stage), times_paid(stage, done), "paid and settled");
    assert_eq!((sum("lost"), sum("written_off")), (0, 0));
    let outstanding = stage.scene.mint.outstanding_sat().await.unwrap();
    let outstanding = i64::try_from(outstanding).unwrap();
    println!("the mint owes {outstanding} sat, and {balance} are in balances");
    assert_eq!(
        outstanding,
        balance + owed,
        "coins that nobody holds, or that nobody signed"
    );
    let stream = stage.scene.json(&["audit", "verify", "--stream"]).exits(0);
    assert_eq!(stream["clean"], true, "the stream and the store: {stream}");
    println!("the stream has {} events", stream["events"]);
}

/// Each invoice is paid at most once, and never if its payer was told that it was not.
fn callers(stage: &Stage, done: &[Done]) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for one in done {
        let times = stage.scene.times_paid(&one.invoice);
        let (number, melt) = (one.n, &one.melt);
        assert!(times <= 1, "melt {number} was paid {times} times: {melt:?}");
        let what = match &one.told {
            Told::Paid => {
                assert_eq!(times, 1, "melt {number} was called paid: {melt:?}");
                "paid".to_owned()
            }
            Told::NotPaid(why) => {
                assert_eq!(
                    times, 0,
                    "melt {number} was called not paid: {why}: {melt:?}"
                );
                format!("not paid: {why}")
            }
            Told::Open(why) => format!("not known: {why}"),
            Told::Killed => "nothing, it was killed".to_owned(),
        };
        *told.entry(format!("{:?}: {what}", melt.way)).or_default() += 1;
    }
    told
}

/// Every reply is true for ever, and every command of the queue has a last one.
async fn replies(ground: &Ground, done: &[Done]) -> BTreeMap<String, usize> {
    let mut claims: BTreeMap<String, Vec<bool>> = BTreeMap::new();
    let mut told = BTreeMap::new();
    for reply in ground.replies().await {
        if let Some(is_paid) = claim(reply.outcome) {
            claims.entry(reply.command_id).or_default().push(is_paid);
        }
        *told.entry(format!("{:?}", reply.outcome)).or_default() += 1;
    }
    for one in done
        .iter()
        .filter(|one| one.told == Told::Open("queued".to_owned()))
    {
        let times = ground.stage.scene.times_paid(&one.invoice);
        let claimed = claims.get(&name(one.n)).cloned().unwrap_or_default();
        assert!(
            !claimed.is_empty(),
            "melt {} was never answered: {:?}",
            one.n,
            one.melt
        );
        let is_true = claimed.iter().all(|is_paid| usize::from(*is_paid) == times);
        assert!(
            is_true,
            "melt {} was paid {times} times, and told {claimed:?}",
            one.n
        );
    }
    told
}

/// What the Lightning node has paid, without its fees.
fn by_lightning(stage: &Stage, done: &[Done]) -> i64 {
    let paid = done
        .iter()
        .filter(|one| stage.scene.times_paid(&one.invoice) == 1);
    i64::try_from(paid.map(|one| one.melt.sat).sum::<u64>()).unwrap()
}

fn times_paid(stage: &Stage, done: &[Done]) -> usize {
    done.iter()
        .map(|one| stage.scene.times_paid(&one.invoice))
        .sum()
}

/// Melts that the store calls settled.
fn settled(stage: &Stage) -> usize {
    let settled = ["saga", "list", "--kind", "melt", "--state", "settled,owing"];
    let list = stage
        .scene
        .json(&[&settled[..], &["--limit", "100000"]].concat());
    list.exits(0)["sagas"].as_array().unwrap().len()
}
