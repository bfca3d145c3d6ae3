//! The bodies of a melt: what is asked, what was paid, what is not decided yet.
//! Each answer is a pure function of the log, so that a repeat gets the same one.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::Problem;
use crate::saga::code::Code;
use crate::saga::event::Operation;
use crate::saga::ids::Amount;

/// A melt as a caller asks for it. Unknown fields are refused.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MeltAsk {
    /// The BOLT11 invoice.
    #[schema(example = "lnbc1000n1pjqxqzjsp5...", max_length = 4096)]
    pub invoice: String,
    /// Your id of this melt: the same id is the same payment, however often it is sent. The header
    /// `Idempotency-Key` means the same.
    #[schema(max_length = 200)]
    pub command_id: Option<String>,
    /// The debt that this pays: no second invoice is paid for it.
    #[schema(max_length = 200)]
    pub intent_key: Option<String>,
    /// The largest Lightning fee reserve to accept, in the wallet's unit; any, if absent.
    pub fee_limit: Option<Amount>,
    /// One of the service's mints; its first, if absent.
    #[schema(max_length = 500)]
    pub mint: Option<String>,
    /// How much to pay, in the wallet's unit, if the invoice names no amount.
    pub amount: Option<Amount>,
    /// What to do if a coin turns out to be spent at the mint: `block` or `reselect`.
    #[schema(value_type = Option<String>, example = "block")]
    pub policy: Option<crate::saga::command::Policy>,
    /// How long to wait for the outcome, in seconds; then the answer is 202.
    pub wait: Option<u64>,
}

/// What is known about the Lightning payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum PaymentResult {
    /// The mint says that it is made.
    Paid,
    /// It may be made.
    Pending,
    /// It was not made, and cannot be made any more.
    Failed,
}

/// A melt that is paid and settled: the seeds' fields, then ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeltPaidBody {
    /// Always true here.
    pub success: bool,
    /// The melt's id.
    pub transaction_id: String,
    /// Always `PAID` here.
    pub payment_result: PaymentResult,
    /// What the payee got, in the wallet's unit.
    pub paid_amount: Amount,
    /// The Lightning fee, in the wallet's unit.
    pub fees_paid: Amount,
    /// What came back into the wallet from the melt and from the swap before it.
    pub change_amount: Amount,
    /// The mint's quote; null once the private half of the log was erased.
    pub quote_id: Option<String>,
    /// What was written, in one transaction.
    pub atomic_result: AtomicBody,
    /// From the adoption of the command to its settlement, in milliseconds.
    pub operation_duration: u64,
    /// `settled`, or `owing` while the mint owes change.
    pub state: String,
    /// Change that the mint still owes; it is collected by itself.
    pub change_owed: Amount,
    /// The mint's input fees, of the melt and of the swap before it.
    pub input_fees: Amount,
    /// True if SHA-256 of the preimage is the invoice's payment hash.
    pub proven: bool,
    /// The payee's receipt, hex; null if the mint gave none.
    pub preimage: Option<String>,
    /// What the mint did wrong, if anything; the payment stands all the same.
    #[schema(value_type = Vec<String>)]
    pub violations: Vec<Code>,
}

/// The seeds' `atomicResult`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AtomicBody {
    /// Always true here.
    pub success: bool,
    /// The melt's id.
    pub transaction_id: String,
    /// How many proofs were spent.
    pub source_tokens_spent: u32,
    /// The token of what the swap before the melt kept.
    pub keep_token_id: Option<String>,
    /// Its value.
    pub keep_amount: Amount,
    /// The token of the melt's change.
    pub melt_change_token_id: Option<String>,
    /// Its value.
    pub melt_change_amount: Amount,
    /// What was stored, in order.
    #[schema(value_type = Vec<OperationBody>)]
    pub operations: Vec<Operation>,
}

/// One line of `operations`, for the document.
#[derive(ToSchema)]
#[allow(dead_code)]
pub struct OperationBody {
    /// `keep_change` or `melt_change`.
    #[schema(rename = "type")]
    kind: String,
    /// The token.
    token_id: String,
    /// Its value.
    amount: Amount,
    /// Its number of proofs.
    proof_count: u32,
}

/// A melt whose outcome is not known yet, or that waits for a person. It has no `success`, because
/// neither answer would be true. Do not pay again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeltOpenBody {
    /// The seeds' error fields.
    #[serde(flatten)]
    pub problem: Problem,
    /// `PENDING`, or `PAID` while the settlement is still to be recorded.
    pub payment_result: PaymentResult,
    /// Where the melt stands; `unknown` if the store did not say whether it took it.
    pub state: String,
    /// Where to look for the outcome.
    pub location: String,
}

/// A melt as `GET` shows it: one of the three bodies that its `POST` may have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum MeltBody {
    /// Paid and settled.
    Paid(Box<MeltPaidBody>),
    /// Not decided yet.
    Open(Box<MeltOpenBody>),
    /// Not paid, and never will be; the coins are back, or were never touched.
    Failed(Box<Problem>),
}
