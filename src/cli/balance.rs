//! `meltd balance` and `meltd wallet list`: what an owner has, and where it is.

use serde::Serialize;

use super::exit::Failure;
use super::output::{Answer, table};
use crate::balance::{Value, value};
use crate::intake::Refused;
use crate::npub;
use crate::ports::{Store, StoreError};
use crate::saga::code::Code;

fn cells(value: Value) -> [String; 4] {
    let Value {
        available,
        reserved,
        in_flight,
        owed,
    } = value;
    [available, reserved, in_flight, owed].map(|amount| amount.to_string())
}

/// One wallet.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    wallet: String,
    npub: String,
    mint_url: String,
    unit: String,
    #[serde(flatten)]
    value: Value,
}

/// An owner's wallets.
#[derive(Debug, Serialize)]
pub(super) struct BalanceAnswer {
    npub: String,
    #[serde(flatten)]
    total: Value,
    wallets: Vec<Line>,
}

/// Everybody's wallets.
#[derive(Debug, Serialize)]
pub(super) struct WalletsAnswer {
    wallets: Vec<Line>,
}

/// Adds up one owner's wallets.
pub(super) async fn balance<S: Store>(store: &S, npub: &str) -> Result<BalanceAnswer, Failure> {
    let npub = npub::check(npub).map_err(|why| Refused::new(Code::InvalidNpub, why))?;
    let wallets = lines(store, Some(&npub)).await?;
    let total = wallets
        .iter()
        .fold(Value::default(), |sum, line| sum.plus(line.value));
    Ok(BalanceAnswer {
        npub,
        total,
        wallets,
    })
}

/// Adds up every wallet by itself.
pub(super) async fn wallets<S: Store>(store: &S) -> Result<WalletsAnswer, Failure> {
    let wallets = lines(store, None).await?;
    Ok(WalletsAnswer { wallets })
}

async fn lines<S: Store>(store: &S, npub: Option<&str>) -> Result<Vec<Line>, StoreError> {
    let mut lines = Vec::new();
    for wallet in store.wallets(npub).await? {
        let value = value(store, &wallet).await?;
        lines.push(Line {
            wallet: wallet.id.to_string(),
            npub: wallet.npub,
            mint_url: wallet.mint_url,
            unit: wallet.unit,
            value,
        });
    }
    lines.sort_by(|a, b| (&a.npub, &a.mint_url).cmp(&(&b.npub, &b.mint_url)));
    Ok(lines)
}

const HEAD: [&str; 4] = ["available", "reserved", "in flight", "owed"];

impl Answer for BalanceAnswer {
    fn human(&self) -> String {
        let row = |name: &str, unit: &str, value: Value| {
            let mut row = vec![name.to_owned()];
            row.extend(cells(value));
            row.push(unit.to_owned());
            row
        };
        let mut rows: Vec<_> = self
            .wallets
            .iter()
            .map(|line| row(&line.mint_url, &line.unit, line.value))
            .collect();
        if rows.len() != 1 {
            rows.push(row("total", "sat", self.total));
        }
        let [available, reserved, in_flight, owed] = HEAD;
        table(
            &["mint", available, reserved, in_flight, owed, "unit"],
            &rows,
        )
    }
}

impl Answer for WalletsAnswer {
    fn human(&self) -> String {
        let rows = self.wallets.iter().map(|line| {
            let mut row = vec![line.npub.clone(), line.mint_url.clone()];
            row.extend(cells(line.value));
            row.push(line.unit.clone());
            row
        });
        let rows: Vec<_> = rows.collect();
        let [available, reserved, in_flight, owed] = HEAD;
        table(
            &["npub", "mint", available, reserved, in_flight, owed, "unit"],
            &rows,
        )
    }
}
