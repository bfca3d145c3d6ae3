//! The events of a melt, in the order of its life.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::saga::code::{Code, Discrepancy};
use crate::saga::command::Policy;
use crate::saga::ids::{Amount, Coin, KeysetId, Outputs, Range, WalletId, Y};
use crate::saga::proofs::ProofState;

/// A melt command was adopted: digest, limits and policy. First event of every melt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MeltRequested {
    /// Opaque wallet id.
    pub wallet: WalletId,
    /// The mint's URL.
    pub mint_url: String,
    /// The wallet's unit.
    pub unit: String,
    /// SHA-256 of the command's parameters, hex.
    pub request_hash: String,
    /// The debt, 64 hex digits.
    pub payment_hash: String,
    /// What the payee gets, msat.
    pub amount_msat: u64,
    /// The invoice named no amount; the caller did.
    pub amountless: bool,
    /// Expiry of the invoice, UTC.
    pub invoice_expires_at: DateTime<Utc>,
    /// Largest fee reserve accepted.
    pub fee_limit: Option<Amount>,
    /// What to do about coins spent at the mint.
    pub policy: Policy,
    /// No new attempt starts after this, UTC.
    pub deadline: DateTime<Utc>,
}

/// The mint quoted the payment, and the quote was checked against the command (NUT-05).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuoteCreated {
    /// What the mint asks for the payment itself.
    pub amount: Amount,
    /// What it may take on top for Lightning fees.
    pub fee_reserve: Amount,
    /// When the quote expires, UTC; nothing is ever released because of it.
    pub expires_at: DateTime<Utc>,
}

/// One difference found by comparing a coin with the mint (NUT-07).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The coin.
    pub y: Y,
    /// What differs.
    pub discrepancy: Discrepancy,
}

/// How the chosen coins will reach the melt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "way", rename_all = "lowercase")]
pub enum Way {
    /// The inputs go straight into the melt; overpayment comes back as change (NUT-08).
    Direct,
    /// The inputs are first swapped into exact `send` amounts and `keep` amounts (NUT-03).
    Swap {
        /// Amounts that go into the melt.
        send: Vec<Amount>,
        /// Amounts that return to the wallet at once.
        keep: Vec<Amount>,
        /// Input fee of that swap.
        swap_fee: Amount,
    },
}

/// The coin plan: what is reserved and how it will be used. All sums are checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// The chosen coins, reserved by this event.
    pub inputs: Vec<Coin>,
    /// Direct, or swap first.
    pub way: Way,
    /// Input fee of the melt itself, for the proofs that are really sent.
    pub input_fee: Amount,
    /// The keyset that signs change and swap outputs.
    pub change_keyset: KeysetId,
    /// How many blank outputs the melt carries (NUT-08).
    pub blanks: u32,
    /// The most that can come back: sent − input fee − amount.
    pub max_change: Amount,
    /// The least that must come back: max change − fee reserve.
    pub guaranteed_change: Amount,
}

/// Coins chosen and reserved; their NUT-07 states match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PreflightPassed {
    /// The plan.
    pub plan: Plan,
    /// Differences found on the way to it.
    pub findings: Vec<Finding>,
    /// Coins of the store that are spent at the mint; marked so by this event.
    pub corrections: Vec<Y>,
}

/// The melt was stopped before anything was sent; terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PreflightBlocked {
    /// Why.
    pub code: Code,
    /// The same in a sentence, with figures.
    pub reason: String,
    /// Differences found.
    pub findings: Vec<Finding>,
    /// Coins of the store that are spent at the mint; marked so by this event.
    pub corrections: Vec<Y>,
}

/// What a swap is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Exact amounts for the melt.
    Plan,
    /// Make a late melt bounce.
    Fence,
    /// Take a foreign token in.
    Receive,
}

/// The intent of a swap: sent only after this event is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SwapPrepared {
    /// What for.
    pub purpose: Purpose,
    /// The inputs' Ys.
    pub inputs: Vec<Y>,
    /// Their sum.
    pub input_amount: Amount,
    /// The swap's input fee.
    pub fee: Amount,
    /// The outputs asked for: keyset, counters, amounts. For a plan the `send` amounts come first.
    pub outputs: Outputs,
    /// 1 for the first range of this purpose, 2 for the next…
    pub attempt: u32,
}

/// The inputs became outputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SwapDone {
    /// What for.
    pub purpose: Purpose,
    /// Spent by it.
    pub inputs: Vec<Y>,
    /// Outputs that go into the melt; reserved.
    pub send: Vec<Coin>,
    /// Outputs that return to the wallet; unspent. Signatures: send first, then keep.
    pub keep: Vec<Coin>,
    /// The input fee paid.
    pub fee: Amount,
}

/// The intent of the melt: posted only after this event is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProofsSent {
    /// The proofs in the request; reserved → pending.
    pub inputs: Vec<Y>,
    /// Their sum.
    pub input_amount: Amount,
    /// The melt's input fee.
    pub input_fee: Amount,
    /// Counters of the blank outputs; `None` when no change can come.
    pub blanks: Option<Range>,
    /// The most that can come back.
    pub max_change: Amount,
    /// The least that must come back.
    pub guaranteed_change: Amount,
    /// 1 for the first post, 2 for the second of the identical request…
    pub attempt: u32,
}

/// The mint says PAID.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MeltPaid {
    /// True only if SHA-256(preimage) is the payment hash; otherwise the payment is claimed.
    pub proven: bool,
}

/// One line of the seeds' `operations`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Operation {
    /// `source_spent`, `keep_change` or `melt_change`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The token (set of proofs).
    pub token_id: String,
    /// Its value.
    pub amount: Amount,
    /// Its number of proofs.
    pub proof_count: u32,
}

/// The seeds' `atomicResult`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AtomicResult {
    /// How many proofs were spent.
    pub source_proofs_spent: u32,
    /// Token of the swap's keep outputs.
    pub keep_token_id: Option<String>,
    /// Its value.
    pub keep_amount: Amount,
    /// Token of the melt's change.
    pub melt_change_token_id: Option<String>,
    /// Its value.
    pub melt_change_amount: Amount,
    /// What was done, in order.
    pub operations: Vec<Operation>,
}

/// Settled: inputs spent, verified change stored, the rest owed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AtomicCommitted {
    /// pending → spent.
    pub inputs: Vec<Y>,
    /// Verified change; unspent.
    pub change: Vec<Coin>,
    /// What the payee got, in the wallet's unit.
    pub amount: Amount,
    /// Input fees of the melt (a plan swap's fee is in its own event).
    pub input_fee: Amount,
    /// Lightning fee as implied by the change; the whole reserve while change is owed.
    pub fee_paid: Amount,
    /// Guaranteed change that has not come yet.
    pub change_owed: Amount,
    /// Blanks were sent, and no signature has come or a bad one: the mint may sign later, even
    /// where nothing is guaranteed. It is asked a while longer.
    pub change_open: bool,
    /// What the mint did wrong, if anything; value is settled all the same.
    pub violations: Vec<Code>,
    /// The seeds' result.
    pub atomic_result: AtomicResult,
}

/// Owed change, or part of it, came later (NUT-09); or none did, and the looking ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeCollected {
    /// New verified change; unspent.
    pub change: Vec<Coin>,
    /// Still owed after it.
    pub change_owed: Amount,
    /// False: the mint has signed, or was asked often enough; only what is owed keeps it open.
    pub change_open: bool,
    /// The Lightning fee as it now stands.
    pub fee_paid: Amount,
}

/// The mint refused; evidence only. It leads to a fence, never straight to a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// The mint's error code (NUT-00), if it gave one.
    pub mint_code: Option<u32>,
    /// The mint's words, shortened and cleaned.
    pub detail: String,
}

/// Coins let go: before any post, or the others after a fence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProofsReleased {
    /// The coins, each with the state it is let go from.
    pub coins: Vec<Released>,
    /// True when the saga ends here; false when it will be planned again.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// Why.
    pub code: Code,
    /// The same in a sentence.
    pub reason: String,
}

/// One coin let go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Released {
    /// The coin; unspent from here on.
    pub y: Y,
    /// `reserved` (nothing was posted) or `pending` (a fence made the melt impossible).
    pub from: ProofState,
}

/// Refused before any coin was touched; terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rejected {
    /// Why.
    pub code: Code,
    /// The same in a sentence, with figures.
    pub reason: String,
}
