//! The events of the three sagas. An event's public fields become the hashed and published body;
//! what must stay private (quote id, invoice, preimage, npub, signatures) is in [`Private`].
//! Past tense throughout. Field meanings are the contract of `schemas/`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::code::{Code, Compliance, Discrepancy};
use super::command::{Kind, Policy};
use super::ids::{Amount, Coin, KeysetId, Outputs, Range, Signature, WalletId, Y};
use super::proofs::ProofState;

/// One fact of a saga's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
#[allow(missing_docs)] // each variant is documented on the struct that it carries
pub enum Event {
    MeltRequested(MeltRequested),
    QuoteCreated(QuoteCreated),
    PreflightPassed(PreflightPassed),
    PreflightBlocked(PreflightBlocked),
    SwapPrepared(SwapPrepared),
    SwapDone(SwapDone),
    ProofsSent(ProofsSent),
    MeltPaid(MeltPaid),
    AtomicCommitted(AtomicCommitted),
    ChangeCollected(ChangeCollected),
    MeltRefused(Refusal),
    ProofsReleased(ProofsReleased),
    Rejected(Rejected),
    CriticalRaised(CriticalRaised),
    CriticalResolved(CriticalResolved),
    Parked(Parked),
    Resumed(Resumed),
    OperatorResolved(OperatorResolved),
    MintQuoteCreated(MintQuoteCreated),
    MintSent(MintSent),
    Minted(Minted),
    ReceiveRequested(ReceiveRequested),
    Received(Received),
    Restored(Restored),
    ProofCorrected(ProofCorrected),
}

impl Event {
    /// The event's name, which is also the last part of its subject.
    pub fn name(&self) -> &'static str {
        match self {
            Event::MeltRequested(_) => "MeltRequested",
            Event::QuoteCreated(_) => "QuoteCreated",
            Event::PreflightPassed(_) => "PreflightPassed",
            Event::PreflightBlocked(_) => "PreflightBlocked",
            Event::SwapPrepared(_) => "SwapPrepared",
            Event::SwapDone(_) => "SwapDone",
            Event::ProofsSent(_) => "ProofsSent",
            Event::MeltPaid(_) => "MeltPaid",
            Event::AtomicCommitted(_) => "AtomicCommitted",
            Event::ChangeCollected(_) => "ChangeCollected",
            Event::MeltRefused(_) => "MeltRefused",
            Event::ProofsReleased(_) => "ProofsReleased",
            Event::Rejected(_) => "Rejected",
            Event::CriticalRaised(_) => "CriticalRaised",
            Event::CriticalResolved(_) => "CriticalResolved",
            Event::Parked(_) => "Parked",
            Event::Resumed(_) => "Resumed",
            Event::OperatorResolved(_) => "OperatorResolved",
            Event::MintQuoteCreated(_) => "MintQuoteCreated",
            Event::MintSent(_) => "MintSent",
            Event::Minted(_) => "Minted",
            Event::ReceiveRequested(_) => "ReceiveRequested",
            Event::Received(_) => "Received",
            Event::Restored(_) => "Restored",
            Event::ProofCorrected(_) => "ProofCorrected",
        }
    }

    /// True for the events that announce something irreversible: the very next step does it.
    pub fn is_intent(&self) -> bool {
        matches!(
            self,
            Event::SwapPrepared(_) | Event::ProofsSent(_) | Event::MintSent(_)
        )
    }

    /// The seeds' audit level of this event.
    pub fn compliance(&self) -> Compliance {
        match self {
            Event::CriticalRaised(_)
            | Event::CriticalResolved(_)
            | Event::Parked(_)
            | Event::Resumed(_)
            | Event::OperatorResolved(_) => Compliance::Critical,
            Event::PreflightBlocked(_)
            | Event::ProofsSent(_)
            | Event::MeltPaid(_)
            | Event::AtomicCommitted(_)
            | Event::MeltRefused(_)
            | Event::ProofsReleased(_)
            | Event::ProofCorrected(_)
            | Event::Restored(_) => Compliance::High,
            Event::MeltRequested(_)
            | Event::QuoteCreated(_)
            | Event::PreflightPassed(_)
            | Event::SwapPrepared(_)
            | Event::SwapDone(_)
            | Event::ChangeCollected(_)
            | Event::Rejected(_)
            | Event::MintQuoteCreated(_)
            | Event::MintSent(_)
            | Event::Minted(_)
            | Event::ReceiveRequested(_)
            | Event::Received(_) => Compliance::Standard,
        }
    }
}

/// The half of an event that is never published. The body commits to it by a salted hash, so it
/// can be erased later without breaking the chain; the fold reads it while it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Private {
    /// The owner of the wallet, `npub1…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub npub: Option<String>,
    /// The mint's quote id: whoever knows it can look at the quote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote_id: Option<String>,
    /// The BOLT11 invoice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoice: Option<String>,
    /// The Lightning preimage, hex, as the mint gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preimage: Option<String>,
    /// Signatures of the coins that the body names, in the body's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<Signature>,
}

/// An event with its private half: what `decide` returns and `evolve` reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The published half.
    pub event: Event,
    /// The other half.
    pub private: Private,
}

impl From<Event> for Entry {
    fn from(event: Event) -> Self {
        Entry {
            event,
            private: Private::default(),
        }
    }
}

/// A melt command was adopted: digest, limits and policy. First event of every melt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuoteCreated {
    /// What the mint asks for the payment itself.
    pub amount: Amount,
    /// What it may take on top for Lightning fees.
    pub fee_reserve: Amount,
    /// When the quote expires, UTC; nothing is ever released because of it.
    pub expires_at: DateTime<Utc>,
}

/// One difference found by comparing a coin with the mint (NUT-07).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The coin.
    pub y: Y,
    /// What differs.
    pub discrepancy: Discrepancy,
}

/// How the chosen coins will reach the melt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreflightPassed {
    /// The plan.
    pub plan: Plan,
    /// Differences found on the way to it.
    pub findings: Vec<Finding>,
    /// Coins of the store that are spent at the mint; marked so by this event.
    pub corrections: Vec<Y>,
}

/// The melt was stopped before anything was sent; terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeltPaid {
    /// True only if SHA-256(preimage) is the payment hash; otherwise the payment is claimed.
    pub proven: bool,
}

/// One line of the seeds' `operations`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Blanks were sent and not one signature has come: the mint may sign them later, even where
    /// nothing is guaranteed. It is asked a while longer.
    pub change_open: bool,
    /// What the mint did wrong, if anything; value is settled all the same.
    pub violations: Vec<Code>,
    /// The seeds' result.
    pub atomic_result: AtomicResult,
}

/// Owed change, or part of it, came later (NUT-09); or none did, and the looking ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The mint's error code (NUT-00), if it gave one.
    pub mint_code: Option<u32>,
    /// The mint's words, shortened and cleaned.
    pub detail: String,
}

/// Coins let go: before any post, or the others after a fence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// The coin; unspent from here on.
    pub y: Y,
    /// `reserved` (nothing was posted) or `pending` (a fence made the melt impossible).
    pub from: ProofState,
}

/// Refused before any coin was touched; terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Why.
    pub code: Code,
    /// The same in a sentence, with figures.
    pub reason: String,
}

/// What the seeds call CRITICAL: value is in question, or could not be recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CriticalRaised {
    /// Which.
    pub code: Code,
    /// What was seen.
    pub reason: String,
    /// True only when the evidence contradicts itself.
    pub requires_manual_intervention: bool,
}

/// The end of a CRITICAL state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CriticalResolved {
    /// Which.
    pub code: Code,
    /// How it ended.
    pub how: String,
}

/// Put on a person's desk. Asking goes on; nothing that moves money does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// Why.
    pub code: Code,
    /// The evidence in a sentence.
    pub evidence: String,
    /// `meltd` or the operator's name.
    pub by: String,
}

/// Taken off the desk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// How an operator decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resolution {
    /// The payment happened.
    Paid,
    /// Run the fence, then release.
    Released,
    /// The value is lost; a term of conservation.
    WrittenOff,
}

/// An operator's decision, guarded by the expected version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorResolved {
    /// What was decided.
    pub resolution: Resolution,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Value given up by `WrittenOff`.
    pub written_off: Amount,
}

/// A mint quote was made: pay its invoice to fund the wallet (NUT-04).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MintQuoteCreated {
    /// Opaque wallet id.
    pub wallet: WalletId,
    /// The mint's URL.
    pub mint_url: String,
    /// The wallet's unit.
    pub unit: String,
    /// How much.
    pub amount: Amount,
    /// When the invoice expires, UTC; `None` = never.
    pub expires_at: Option<DateTime<Utc>>,
    /// True when the quote is locked to a key of ours (NUT-20).
    pub locked: bool,
}

/// The intent of minting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MintSent {
    /// The outputs asked for.
    pub outputs: Outputs,
    /// 1 for the first range, 2 for the next…
    pub attempt: u32,
}

/// The mint signed: the wallet is funded; terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Minted {
    /// New coins; unspent.
    pub coins: Vec<Coin>,
}

/// A foreign token was adopted; its proofs are sealed in the head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiveRequested {
    /// Opaque wallet id.
    pub wallet: WalletId,
    /// The mint's URL.
    pub mint_url: String,
    /// The wallet's unit.
    pub unit: String,
    /// SHA-256 of the command's parameters, hex.
    pub request_hash: String,
    /// The token's Ys.
    pub ys: Vec<Y>,
    /// Their sum.
    pub amount: Amount,
}

/// The token became coins of ours; terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// New coins; unspent.
    pub coins: Vec<Coin>,
    /// The input fee paid.
    pub fee: Amount,
}

/// Coins found again from the seed (NUT-09).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// Opaque wallet id.
    pub wallet: WalletId,
    /// Found unspent.
    pub coins: Vec<Coin>,
}

/// The store's word on a coin was corrected to the mint's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofCorrected {
    /// What differed.
    pub findings: Vec<Finding>,
    /// unspent → spent.
    pub spent: Vec<Y>,
}

/// The fields of every stored body, around the event (see [`super::chain`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Version of this event's data, from 1.
    pub v: u32,
    /// The saga.
    pub saga: String,
    /// The saga's kind.
    pub kind: Kind,
    /// Position in the saga, from 1.
    pub seq: u32,
    /// When it was recorded, UTC.
    pub at: DateTime<Utc>,
    /// The seeds' audit level.
    pub compliance: Compliance,
    /// Salted SHA-256 of the private half, hex; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_hash: Option<String>,
    /// Type and data.
    #[serde(flatten)]
    pub event: Event,
}
