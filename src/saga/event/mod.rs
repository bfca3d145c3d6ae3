//! The events of the three sagas. An event's public fields become the hashed and published body;
//! what must stay private (quote id, invoice, preimage, npub, signatures) is in [`Private`].
//! Past tense throughout. Field meanings are the contract of `schemas/`.

mod desk;
mod fund;
mod melt;
mod reconcile;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::code::Compliance;
use super::command::Kind;
use super::ids::Signature;

pub use desk::{
    CriticalRaised, CriticalResolved, OperatorResolved, Parked, ProofCorrected, Resolution,
    Restored, Resumed,
};
pub use fund::{MintQuoteCreated, MintSent, Minted, ReceiveRequested, Received};
pub use melt::{
    AtomicCommitted, AtomicResult, ChangeCollected, Finding, MeltPaid, MeltRequested, Operation,
    Plan, PreflightBlocked, PreflightPassed, ProofsReleased, ProofsSent, Purpose, QuoteCreated,
    Refusal, Rejected, Released, SwapDone, SwapPrepared, Way,
};
pub use reconcile::ReconcileRequested;

/// One fact of a saga's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    ReconcileRequested(ReconcileRequested),
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
            Event::ReconcileRequested(_) => "ReconcileRequested",
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
            | Event::ReconcileRequested(_)
            | Event::Received(_) => Compliance::Standard,
        }
    }
}

/// The half of an event that is never published. The body commits to it by a salted hash, so it
/// can be erased later without breaking the chain; the fold reads it while it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// The fields of every stored body, around the event (see [`super::chain`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Envelope {
    /// Version of this event's data, from 1.
    pub v: u32,
    /// The saga: a UUIDv7, whose first 48 bits are the time of adoption.
    #[schemars(regex(pattern = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"))]
    pub saga: String,
    /// The saga's kind.
    pub kind: Kind,
    /// Position in the saga, from 1.
    pub seq: u32,
    /// When it was recorded, UTC.
    pub at: DateTime<Utc>,
    /// The seeds' audit level.
    pub compliance: Compliance,
    /// Salted SHA-256 of the private half, hex; absent when there is none. The half itself is never
    /// published.
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_hash: Option<String>,
    /// Type and data.
    #[serde(flatten)]
    pub event: Event,
}
