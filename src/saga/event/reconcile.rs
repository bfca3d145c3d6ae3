//! The first event of a reconciliation; what it changes is told by `ProofCorrected` and `Restored`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::saga::command::Cause;
use crate::saga::ids::{Range, WalletId, Y};

/// A reconciliation was adopted: these coins and counters are looked at, at the mint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReconcileRequested {
    /// Opaque wallet id.
    pub wallet: WalletId,
    /// The mint's URL.
    pub mint_url: String,
    /// The wallet's unit.
    pub unit: String,
    /// SHA-256 of the command's parameters, hex.
    pub request_hash: String,
    /// What it was begun by.
    pub cause: Cause,
    /// Coins of the store that the mint may hold as spent.
    pub suspects: Vec<Y>,
    /// Counters at which the mint may have signed coins that the store does not have.
    pub ranges: Vec<Range>,
}
