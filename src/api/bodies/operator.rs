//! The bodies of the operator's routes.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::log::EventBody;
use crate::saga::event::Resolution;
use crate::saga::ids::{Amount, Seq};

/// A page of sagas, from the newest to the oldest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SagasBody {
    /// The page.
    pub sagas: Vec<SagaRow>,
    /// What to send as `cursor` for the next page; null at the end.
    pub next_cursor: Option<String>,
}

/// A melt, mint, receive or reconciliation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SagaRow {
    /// Its id.
    pub saga: String,
    /// `melt`, `mint`, `receive` or `reconcile`.
    pub kind: String,
    /// Where it stands.
    pub state: String,
    /// `active`, `owing`, `parked` or `done`.
    pub status: String,
    /// The number of its events; what an order expects.
    pub version: Seq,
    /// What it is about, in the wallet's unit.
    pub amount: Amount,
    /// The unit.
    pub unit: String,
    /// The owner of its wallet.
    pub npub: String,
    /// The mint.
    pub mint_url: String,
    /// Who has sent the command.
    pub producer: String,
    /// The sender's id of it.
    pub command_id: String,
    /// Looks without progress since its last event.
    pub attempts: u32,
    /// What the last look waited for, if it is not done.
    pub waiting_for: Option<String>,
    /// When it was adopted, UTC.
    pub created_at: DateTime<Utc>,
    /// When it last changed, UTC.
    pub updated_at: DateTime<Utc>,
}

/// One saga with all that an operator may see of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SagaBody {
    /// As in a list.
    #[serde(flatten)]
    pub row: SagaRow,
    /// What recovery does next; null when it is done.
    pub next: Option<String>,
    /// Why: what was waited for, who has parked it, what was ordered.
    pub why: Option<String>,
    /// Where it is.
    pub location: String,
    /// Its events.
    pub events: Vec<EventBody>,
    /// What its mint says now, if that was asked for and there is anything to ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<EvidenceBody>,
}

/// A mint's word on a saga, asked for just now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EvidenceBody {
    /// Its inputs (NUT-07).
    pub inputs: Vec<InputBody>,
    /// Why they are not told, if they are not.
    pub inputs_unknown: Option<String>,
    /// The quote's state, or why it is not told; null if there is none.
    pub quote: Option<String>,
    /// Verified change that is signed for it.
    pub change: Amount,
    /// Signatures that do not verify.
    pub bad_signatures: u32,
    /// The counter ranges whose signatures were asked for (NUT-09).
    pub ranges: Vec<RangeBody>,
    /// What recovery would do on these answers.
    pub would: String,
}

/// One input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InputBody {
    /// The coin.
    pub y: String,
    /// Its value, where it is known.
    pub amount: Option<Amount>,
    /// `UNSPENT`, `PENDING` or `SPENT`.
    pub state: String,
}

/// A range of counters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RangeBody {
    /// Its keyset.
    pub keyset: String,
    /// Its first counter.
    pub first: u32,
    /// How many.
    pub asked: u64,
    /// How many are signed, or why that is not told.
    pub found: String,
}

/// An order that moves no money. Unknown fields are refused.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrderAsk {
    /// Why, for whoever reads the log.
    #[schema(min_length = 1, max_length = 200)]
    pub reason: String,
    /// The person behind the service that asks; recorded beside the service's name.
    #[schema(max_length = 200)]
    pub by: Option<String>,
    /// Only at this version.
    pub expect_version: Option<Seq>,
}

/// A decision about a saga. Unknown fields are refused.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResolveAsk {
    /// `paid`, `released` (by the fence, if anything was sent) or `written-off`.
    #[serde(rename = "as")]
    #[schema(value_type = String, example = "released")]
    pub resolution: Resolution,
    /// Why, for whoever reads the log.
    #[schema(min_length = 1, max_length = 200)]
    pub reason: String,
    /// The person behind the service that asks; recorded beside the service's name.
    #[schema(max_length = 200)]
    pub by: Option<String>,
    /// The version that was looked at; at any other one nothing is done.
    pub expect_version: Seq,
    /// How long to wait for what follows, in seconds; then the answer is 202.
    pub wait: Option<u64>,
}

/// Every mint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MintsBody {
    /// By URL.
    pub mints: Vec<MintBody>,
}

/// One mint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MintBody {
    /// Its URL.
    pub mint_url: String,
    /// True while nothing new is begun there.
    pub paused: bool,
    /// Who has paused it.
    pub paused_by: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Since when, UTC.
    pub paused_at: Option<DateTime<Utc>>,
    /// Wallets there.
    pub wallets: u64,
    /// Sagas there that are not done.
    pub open_sagas: u64,
}

/// Pauses a mint. Unknown fields are refused.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseAsk {
    /// One of the service's mints.
    #[schema(max_length = 500)]
    pub mint: String,
    /// Why.
    #[schema(min_length = 1, max_length = 200)]
    pub reason: String,
    /// The person behind the service that asks.
    #[schema(max_length = 200)]
    pub by: Option<String>,
}

/// Ends a pause. Unknown fields are refused.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResumeAsk {
    /// One of the service's mints.
    #[schema(max_length = 500)]
    pub mint: String,
}
