//! The events of a melt, in the order of its life.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::saga::code::{Code, Discrepancy};
use crate::saga::command::Policy;
use crate::saga::ids::{Amount, Coin, KeysetId, Outputs, Range, WalletId, Y};
use crate::saga::proofs::ProofState;

/// A melt command was adopted: digest, limits and policy. First event of every melt but those that
/// are refused at once ([`Rejected`]). Read by audit (what was asked), by recovery from the stream
/// (the head's constants).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MeltRequested {
    /// Opaque wallet id.
    pub wallet: WalletId,
    /// The mint's URL.
    pub mint_url: String,
    /// The wallet's unit.
    pub unit: String,
    /// SHA-256 of the command's parameters, hex: a repeat with the same id must have the same.
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub request_hash: String,
    /// The invoice's payment hash, 64 hex digits: the debt, claimed by one saga at a time.
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub payment_hash: String,
    /// What the payee gets, msat. May be over 2^53.
    pub amount_msat: u64,
    /// The invoice named no amount; the caller did.
    pub amountless: bool,
    /// Expiry of the invoice, UTC.
    pub invoice_expires_at: DateTime<Utc>,
    /// Largest fee reserve accepted, in the wallet's unit; null = any.
    pub fee_limit: Option<Amount>,
    /// What to do about coins spent at the mint.
    pub policy: Policy,
    /// No new attempt starts after this, UTC.
    pub deadline: DateTime<Utc>,
}

/// The mint quoted the payment, and the quote was checked against the command (NUT-05). The quote's
/// id is in the private half. Read by audit: the bounds of the fee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuoteCreated {
    /// What the mint asks for the payment itself, in the wallet's unit.
    pub amount: Amount,
    /// What it may take on top for Lightning fees, in the wallet's unit.
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
        /// Amounts of the coins that go into the melt, in the wallet's unit.
        send: Vec<Amount>,
        /// Amounts of the coins that return to the wallet at once, in the wallet's unit.
        keep: Vec<Amount>,
        /// Input fee of that swap, in the wallet's unit.
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
    /// Input fee of the melt itself, for the proofs that are really sent, in the wallet's unit.
    pub input_fee: Amount,
    /// The keyset that signs change and swap outputs.
    pub change_keyset: KeysetId,
    /// How many blank outputs the melt carries (NUT-08).
    pub blanks: u32,
    /// The most that can come back: sent − input fee − amount, in the wallet's unit.
    pub max_change: Amount,
    /// The least that must come back: max change − fee reserve, or 0; in the wallet's unit.
    pub guaranteed_change: Amount,
}

/// Coins chosen and reserved; their NUT-07 states match. Proof rows: the plan's inputs go from
/// unspent to reserved, corrections from unspent to spent. Read by audit: which coins are held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PreflightPassed {
    /// The plan.
    pub plan: Plan,
    /// Differences found on the way to it.
    pub findings: Vec<Finding>,
    /// Coins of the store that are spent at the mint; marked so by this event.
    pub corrections: Vec<Y>,
}

/// The melt was stopped before anything was sent; terminal. Proof rows: corrections go from unspent
/// to spent. Read by producers (through the reply) and by whoever watches for lost coins.
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

/// The intent of a swap: sent only after this event is durable. Read by recovery: the counters that
/// may have been signed, wherever the process died.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SwapPrepared {
    /// What for.
    pub purpose: Purpose,
    /// The inputs' Ys.
    pub inputs: Vec<Y>,
    /// Their sum, in the wallet's unit.
    pub input_amount: Amount,
    /// The swap's input fee, in the wallet's unit.
    pub fee: Amount,
    /// The outputs asked for: keyset, counters, amounts. For a plan the `send` amounts come first.
    pub outputs: Outputs,
    /// 1 for the first range of this purpose, 2 for the next…
    pub attempt: u32,
}

/// The inputs of a swap became outputs. Proof rows: inputs → spent, `send` → reserved, `keep` →
/// unspent. Read by audit: value goes in, value and a fee come out.
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
    /// The input fee paid, in the wallet's unit.
    pub fee: Amount,
}

/// The intent of the melt: posted only after this event is durable. From here on only evidence
/// frees the coins. Proof rows: reserved → pending. Read by recovery and by operators: the payment
/// may be under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProofsSent {
    /// The proofs in the request; reserved → pending.
    pub inputs: Vec<Y>,
    /// Their sum, in the wallet's unit.
    pub input_amount: Amount,
    /// The melt's input fee, in the wallet's unit.
    pub input_fee: Amount,
    /// Counters of the blank outputs (NUT-08); null when no change can come.
    pub blanks: Option<Range>,
    /// The most that can come back, in the wallet's unit.
    pub max_change: Amount,
    /// The least that must come back, in the wallet's unit.
    pub guaranteed_change: Amount,
    /// 1 for the first post, 2 for the second of the identical request…
    pub attempt: u32,
}

/// The mint says PAID; the preimage, if it gave one, is in the private half. Read by producers:
/// never pay this debt again.
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
    /// Its value, in the wallet's unit.
    pub amount: Amount,
    /// Its number of proofs.
    pub proof_count: u32,
}

/// The seeds' `atomicResult`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AtomicResult {
    /// How many proofs were spent.
    pub source_proofs_spent: u32,
    /// Token of the swap's keep outputs; null without a swap.
    pub keep_token_id: Option<String>,
    /// Its value, in the wallet's unit.
    pub keep_amount: Amount,
    /// Token of the melt's change; null without change.
    pub melt_change_token_id: Option<String>,
    /// Its value, in the wallet's unit.
    pub melt_change_amount: Amount,
    /// What was done, in order.
    pub operations: Vec<Operation>,
}

/// Settled: inputs spent, verified change stored, the rest owed. Proof rows: inputs go from pending
/// to spent, change is born unspent. Read by audit: inputs = amount + input fee + fee paid + change
/// + change owed; by the seeds' consumers: `atomic_result`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AtomicCommitted {
    /// pending → spent.
    pub inputs: Vec<Y>,
    /// Verified change; unspent.
    pub change: Vec<Coin>,
    /// What the payee got, in the wallet's unit.
    pub amount: Amount,
    /// Input fee of the melt, in the wallet's unit (a plan swap's fee is in its own event).
    pub input_fee: Amount,
    /// Lightning fee as implied by the change, in the wallet's unit; the whole reserve while change
    /// is owed.
    pub fee_paid: Amount,
    /// Guaranteed change that has not come yet, in the wallet's unit: a debt of the mint.
    pub change_owed: Amount,
    /// Blanks were sent, and no signature has come or a bad one: the mint may sign later, even
    /// where nothing is guaranteed. It is asked a while longer.
    pub change_open: bool,
    /// What the mint did wrong, if anything; value is settled all the same.
    pub violations: Vec<Code>,
    /// The seeds' result.
    pub atomic_result: AtomicResult,
}

/// Owed change, or part of it, came later (NUT-09); or none did, and the looking ends. Proof rows:
/// change is born unspent. Read by audit: the mint's debt and the fee as they now stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeCollected {
    /// New verified change; unspent.
    pub change: Vec<Coin>,
    /// Still owed after it, in the wallet's unit.
    pub change_owed: Amount,
    /// False: the mint has signed, or was asked often enough; only what is owed keeps it open.
    pub change_open: bool,
    /// The Lightning fee as it now stands, in the wallet's unit.
    pub fee_paid: Amount,
}

/// The mint refused; evidence only. It leads to a fence, never straight to a release. Read by
/// operators: the mint's own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// The mint's error code (NUT-00); null if it gave none.
    pub mint_code: Option<u32>,
    /// The mint's words, shortened and cleaned.
    pub detail: String,
}

/// Coins let go: before any post, or the others after a fence. Proof rows: reserved or pending →
/// unspent. Read by producers when final: the payment cannot happen any more.
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

/// Refused before any coin was touched; terminal. Read by producers (through the reply).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rejected {
    /// Why.
    pub code: Code,
    /// The same in a sentence, with figures.
    pub reason: String,
}
