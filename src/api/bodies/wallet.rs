//! The bodies of a wallet: its balance, its transactions.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::saga::ids::Amount;

/// Value by what can be done with it, in the wallet's unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
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

/// An owner's balance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BalanceBody {
    /// The owner.
    pub npub: String,
    /// Over all mints.
    #[serde(flatten)]
    pub total: Value,
    /// At each mint.
    pub wallets: Vec<WalletBody>,
}

/// What an owner has at one mint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WalletBody {
    /// The opaque id under which events name this wallet.
    pub wallet: String,
    /// The mint.
    pub mint_url: String,
    /// The unit.
    pub unit: String,
    /// What it holds.
    #[serde(flatten)]
    pub value: Value,
}

/// A page of transactions, from the newest to the oldest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransactionsBody {
    /// The page.
    pub transactions: Vec<TransactionBody>,
    /// What to send as `cursor` for the next page; null at the end.
    pub next_cursor: Option<String>,
}

/// One melt, mint or receive, with the tokens that it brought into the wallet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransactionBody {
    /// Its id.
    pub transaction_id: String,
    /// `melt`, `mint` or `receive`.
    pub kind: String,
    /// Where it stands.
    pub state: String,
    /// `active`, `owing`, `parked` or `done`.
    pub status: String,
    /// What was to be paid, or taken in.
    pub amount: Amount,
    /// Lightning and input fees.
    pub fees: Amount,
    /// The mint.
    pub mint_url: String,
    /// The unit.
    pub unit: String,
    /// When it was adopted, UTC.
    pub created_at: DateTime<Utc>,
    /// When it last changed, UTC.
    pub updated_at: DateTime<Utc>,
    /// Why it ended without success.
    pub code: Option<String>,
    /// New tokens of the wallet. Consumed proofs are never listed as tokens.
    pub tokens: Vec<TokenBody>,
}

/// A set of proofs that came to be at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenBody {
    /// Its id.
    pub token_id: String,
    /// `minted`, `received`, `sent` or `change`; there is no `melted`.
    pub transaction_type: String,
    /// The transaction that it belongs to.
    pub transaction_id: String,
    /// The melt that it is change of.
    pub parent_transaction_id: Option<String>,
    /// Its value.
    pub amount: Amount,
    /// Its number of proofs.
    pub proof_count: u32,
}
