//! Three parties know what happened: the store by its log, the mint by what it has signed and taken
//! back, the Lightning node by what it has paid. They must agree to the sat.

use std::collections::BTreeMap;

use serde_json::Value;

use super::run::Done;
use crate::real_life::stage::Stage;

/// Fails unless no sat is lost, doubled or made up.
pub(super) async fn balance(stage: &Stage, done: &[Done], left: &[Value]) {
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
    let told = invoices(stage, done);
    println!("callers were told: {told:?}");

    assert_eq!(left.len(), 0, "every saga ends once the faults do");
    assert_eq!(
        paid,
        by_lightning(stage, done),
        "the Lightning node paid another sum"
    );
    assert_eq!((sum("lost"), sum("written_off")), (0, 0));
    let outstanding = stage.scene.mint.outstanding_sat().await.unwrap();
    let outstanding = i64::try_from(outstanding).unwrap();
    println!("the mint owes {outstanding} sat, and {balance} are in balances");
    assert_eq!(
        outstanding,
        balance + owed,
        "coins that nobody holds, or that nobody signed"
    );
}

/// Each invoice is paid at most once, and never if its payer was told that it failed.
fn invoices(stage: &Stage, done: &[Done]) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for one in done {
        let times = stage.scene.times_paid(&one.invoice);
        let what = match (&one.told, one.exit) {
            (Some(result), _) => result.clone(),
            (None, -1) => "nothing, it was killed".to_owned(),
            (None, exit) => format!("exit {exit}"),
        };
        let number = one.n;
        assert!(
            times <= 1,
            "melt {number} was paid {times} times: {:?}",
            one.melt
        );
        match what.as_str() {
            "PAID" => assert_eq!(times, 1, "melt {number} was called paid: {:?}", one.melt),
            "FAILED" => assert_eq!(times, 0, "melt {number} was called failed: {:?}", one.melt),
            _ => {}
        }
        *told.entry(what).or_default() += 1;
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
