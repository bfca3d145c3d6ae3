//! The bodies of melts in lists and of their events.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::saga::ids::Amount;

/// A page of melts, from the newest to the oldest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeltsBody {
    /// The page.
    pub melts: Vec<MeltRow>,
    /// What to send as `cursor` for the next page; null at the end.
    pub next_cursor: Option<String>,
}

/// A melt in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeltRow {
    /// Its id.
    pub transaction_id: String,
    /// The owner of its wallet.
    pub npub: String,
    /// The mint.
    pub mint_url: String,
    /// The unit.
    pub unit: String,
    /// What the payee is to get.
    pub amount: Amount,
    /// The invoice's payment hash.
    pub payment_hash: String,
    /// Where it stands.
    pub state: String,
    /// `active`, `owing`, `parked` or `done`.
    pub status: String,
    /// Looks without progress since its last event.
    pub attempts: u32,
    /// The number of its events.
    pub events: u32,
    /// The caller's id of it.
    pub command_id: String,
    /// When it was adopted, UTC.
    pub created_at: DateTime<Utc>,
    /// When it last changed, UTC.
    pub updated_at: DateTime<Utc>,
}

/// A melt's events, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventsBody {
    /// The melt.
    pub transaction_id: String,
    /// Its events.
    pub events: Vec<EventBody>,
}

/// One event: exactly what is stored, hashed and published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventBody {
    /// `<melt>:<position, 6 digits>`.
    pub id: String,
    /// Its position, from 1.
    pub seq: u32,
    /// Its name.
    pub name: String,
    /// The exact text that is hashed: a JSON document.
    pub body: String,
    /// SHA-256 over the previous hash and the body, hex.
    pub hash: String,
    /// The previous hash, hex.
    pub prev_hash: String,
}

/// How the service is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthBody {
    /// `ok`, or `not ready`.
    pub status: String,
    /// What is missing, if anything.
    pub reasons: Vec<String>,
    /// The version of meltd.
    pub version: String,
}
