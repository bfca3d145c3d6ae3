//! The mint's answers: what is read of them.
//!
//! They are read field by field and not as cdk's types, so that one signature that cannot be parsed
//! does not hide that a payment was made.

use serde::Deserialize;
use serde_json::Value;

use crate::saga::step::QuoteState;

/// `POST /v1/swap` (NUT-03) and `POST /v1/mint/bolt11` (NUT-04).
#[derive(Deserialize)]
pub(super) struct Signed {
    pub(super) signatures: Vec<Value>,
}

/// `POST /v1/restore` (NUT-09): the outputs that were signed, each with its signature.
#[derive(Deserialize)]
pub(super) struct Restored {
    pub(super) outputs: Vec<RestoredOutput>,
    pub(super) signatures: Vec<Value>,
}

/// An output that the mint names as signed.
#[derive(Deserialize)]
pub(super) struct RestoredOutput {
    #[serde(rename = "B_")]
    pub(super) blinded: Value,
}

/// `POST /v1/checkstate` (NUT-07).
#[derive(Deserialize)]
pub(super) struct States {
    pub(super) states: Vec<StateOf>,
}

/// The state of one proof.
#[derive(Deserialize)]
pub(super) struct StateOf {
    #[serde(rename = "Y")]
    pub(super) y: String,
    pub(super) state: String,
}

/// A melt quote, before or after its payment (NUT-05, NUT-23).
#[derive(Deserialize)]
pub(super) struct MeltAnswer {
    pub(super) quote: Option<String>,
    pub(super) request: Option<String>,
    pub(super) unit: Option<String>,
    pub(super) amount: Option<u64>,
    pub(super) fee_reserve: Option<u64>,
    pub(super) expiry: Option<u64>,
    pub(super) state: String,
    pub(super) payment_preimage: Option<String>,
    pub(super) change: Option<Vec<Value>>,
}

/// A mint quote (NUT-04, NUT-20, NUT-23).
#[derive(Deserialize)]
pub(super) struct MintAnswer {
    pub(super) quote: String,
    pub(super) request: String,
    pub(super) amount: Option<u64>,
    pub(super) unit: Option<String>,
    pub(super) expiry: Option<u64>,
    pub(super) pubkey: Option<String>,
    state: Option<String>,
    #[serde(default)]
    amount_paid: u64,
    #[serde(default)]
    amount_issued: u64,
}

impl MintAnswer {
    /// The state; a mint that gives none counts what was paid and what was issued.
    pub(super) fn state(&self) -> QuoteState {
        match &self.state {
            Some(state) => quote_state(state),
            None if self.amount_issued > 0 && self.amount_issued >= self.amount_paid => {
                QuoteState::Issued
            }
            None if self.amount_paid > self.amount_issued => QuoteState::Paid,
            None => QuoteState::Unpaid,
        }
    }
}

/// A quote's state by its word.
pub(super) fn quote_state(word: &str) -> QuoteState {
    match word {
        "UNPAID" => QuoteState::Unpaid,
        "PENDING" => QuoteState::Pending,
        "PAID" => QuoteState::Paid,
        "FAILED" => QuoteState::Failed,
        "ISSUED" => QuoteState::Issued,
        _ => QuoteState::Unknown,
    }
}
