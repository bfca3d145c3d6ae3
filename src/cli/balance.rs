//! `meltd balance` and `meltd wallet list`: what an owner has, and where it is.

use serde::Serialize;

use super::exit::Failure;
use super::output::{Answer, table};
use crate::driver::fold;
use crate::intake::Refused;
use crate::npub;
use crate::ports::{HeadFilter, Store, StoreError, Wallet};
use crate::saga::code::Code;
use crate::saga::ids::{Amount, SagaId};
use crate::saga::proofs::ProofState;
use crate::saga::state::Status;

/// Sagas with owed change that are read at a time.
const PAGE: u32 = 500;

/// Value by what can be done with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Value {
    /// Free to be spent.
    pub available: Amount,
    /// Chosen by a melt that has not been sent.
    pub reserved: Amount,
    /// In a melt that was sent, or may have been.
    pub in_flight: Amount,
    /// Change that a mint still owes.
    pub owed: Amount,
}

impl Value {
    fn plus(self, other: Value) -> Value {
        Value {
            available: self.available.saturating_add(other.available),
            reserved: self.reserved.saturating_add(other.reserved),
            in_flight: self.in_flight.saturating_add(other.in_flight),
            owed: self.owed.saturating_add(other.owed),
        }
    }

    fn cells(self) -> [String; 4] {
        let Value {
            available,
            reserved,
            in_flight,
            owed,
        } = self;
        [available, reserved, in_flight, owed].map(|amount| amount.to_string())
    }
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

/// What one wallet holds, by its coins, and is owed, by its sagas.
pub(super) async fn value<S: Store>(store: &S, wallet: &Wallet) -> Result<Value, StoreError> {
    let mut value = Value::default();
    let live = [
        ProofState::Unspent,
        ProofState::Reserved,
        ProofState::Pending,
    ];
    for row in store.proofs(&wallet.id, &live).await? {
        let sum = match row.state {
            ProofState::Unspent => &mut value.available,
            ProofState::Reserved => &mut value.reserved,
            ProofState::Pending => &mut value.in_flight,
            ProofState::Spent => continue,
        };
        *sum = sum.saturating_add(row.coin.amount);
    }
    let mut after: Option<SagaId> = None;
    loop {
        let filter = HeadFilter {
            statuses: vec![Status::Owing],
            wallet: Some(wallet.id.clone()),
            after: after.take(),
            limit: PAGE,
            ..HeadFilter::default()
        };
        let heads = store.heads(filter).await?;
        let Some(last) = heads.last() else {
            return Ok(value);
        };
        after = Some(last.new.id.clone());
        for head in &heads {
            let loaded = store.load(&head.new.id).await?;
            // A log that does not fold is the audit's to report.
            let owed = loaded.and_then(|l| fold(&l).ok());
            let owed = owed.map_or(0, |(saga, _)| saga.change_owed);
            value.owed = value.owed.saturating_add(owed);
        }
    }
}

const HEAD: [&str; 4] = ["available", "reserved", "in flight", "owed"];

impl Answer for BalanceAnswer {
    fn human(&self) -> String {
        let row = |name: &str, unit: &str, value: Value| {
            let mut row = vec![name.to_owned()];
            row.extend(value.cells());
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
            row.extend(line.value.cells());
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
