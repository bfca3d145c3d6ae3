//! The bodies of what brings value in: mint quotes and received tokens.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::Problem;
use crate::saga::ids::Amount;

/// Asks for an invoice to fund a wallet. Unknown fields are refused.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MintAsk {
    /// How much, in the wallet's unit.
    #[schema(minimum = 1)]
    pub amount: Amount,
    /// One of the service's mints; its first, if absent.
    #[schema(max_length = 500)]
    pub mint: Option<String>,
    /// Your id of this funding: the same id is the same invoice.
    #[schema(max_length = 200)]
    pub command_id: Option<String>,
}

/// Takes a token in. Unknown fields are refused.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReceiveAsk {
    /// A cashuA or cashuB token of one of the service's mints.
    pub token: String,
    /// Only if the token is of this mint.
    #[schema(max_length = 500)]
    pub mint: Option<String>,
    /// How long to wait for the outcome, in seconds; then the answer is 202.
    pub wait: Option<u64>,
}

/// A mint or a receive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FundBody {
    /// True once the wallet has got the value, false if it never will; absent until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<bool>,
    /// Its id.
    pub transaction_id: String,
    /// `mint` or `receive`.
    pub kind: String,
    /// Where it stands; `unknown` if the store did not say whether it took it.
    pub state: String,
    /// `active`, `parked` or `done`.
    pub status: String,
    /// What was asked for, or what the token says.
    pub amount: Amount,
    /// What the wallet has got.
    pub gained: Amount,
    /// The mint's input fee.
    pub fee: Amount,
    /// The invoice to pay, for a mint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoice: Option<String>,
    /// The mint's quote, for a mint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote_id: Option<String>,
    /// When the invoice expires, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// Where to look for the outcome.
    pub location: String,
    /// Why it failed, or what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}
