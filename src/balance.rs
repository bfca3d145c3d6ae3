//! What a wallet holds, and where it is: the same figures for the command line and the API.

use serde::Serialize;

use crate::driver::fold;
use crate::ports::{HeadFilter, Store, StoreError, Wallet};
use crate::saga::ids::{Amount, SagaId};
use crate::saga::proofs::ProofState;
use crate::saga::state::Status;

/// Sagas with owed change that are read at a time.
const PAGE: u32 = 500;

/// Value by what can be done with it, in the wallet's unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Value {
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
    /// The sum of two, field by field.
    pub fn plus(self, other: Value) -> Value {
        Value {
            available: self.available.saturating_add(other.available),
            reserved: self.reserved.saturating_add(other.reserved),
            in_flight: self.in_flight.saturating_add(other.in_flight),
            owed: self.owed.saturating_add(other.owed),
        }
    }
}

/// What one wallet holds, by its coins, and is owed, by its sagas.
///
/// # Errors
/// The store cannot be read.
pub async fn value<S: Store>(store: &S, wallet: &Wallet) -> Result<Value, StoreError> {
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
