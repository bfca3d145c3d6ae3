//! The events of funding: mint quotes and received tokens.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::saga::ids::{Amount, Coin, Outputs, WalletId, Y};

/// A mint quote was made: pay its invoice to fund the wallet (NUT-04). First event of every mint
/// saga. Quote id and invoice are in the private half. Read by audit and by recovery from the
/// stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MintQuoteCreated {
    /// Opaque wallet id.
    pub wallet: WalletId,
    /// The mint's URL.
    pub mint_url: String,
    /// The wallet's unit.
    pub unit: String,
    /// How much, in the wallet's unit.
    pub amount: Amount,
    /// When the invoice expires, UTC; null = never.
    pub expires_at: Option<DateTime<Utc>>,
    /// True when the quote is locked to a key of ours (NUT-20).
    pub locked: bool,
}

/// The intent of minting: posted only after this event is durable. Read by recovery: the counters
/// that may have been signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MintSent {
    /// The outputs asked for.
    pub outputs: Outputs,
    /// 1 for the first range, 2 for the next…
    pub attempt: u32,
}

/// The mint signed: the wallet is funded; terminal. Proof rows: coins are born unspent. Read by
/// audit: value that came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Minted {
    /// New coins; unspent.
    pub coins: Vec<Coin>,
}

/// A foreign token was adopted; its proofs are sealed in the head. First event of every receive
/// saga. Read by audit and by recovery from the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReceiveRequested {
    /// Opaque wallet id.
    pub wallet: WalletId,
    /// The mint's URL.
    pub mint_url: String,
    /// The wallet's unit.
    pub unit: String,
    /// SHA-256 of the command's parameters, hex: a repeat with the same id must have the same.
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub request_hash: String,
    /// The token's Ys.
    pub ys: Vec<Y>,
    /// Their sum before fees, in the wallet's unit.
    pub amount: Amount,
}

/// The token became coins of ours; terminal. Proof rows: coins are born unspent. Read by audit:
/// value that came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Received {
    /// New coins; unspent.
    pub coins: Vec<Coin>,
    /// The input fee paid, in the wallet's unit.
    pub fee: Amount,
}
