//! Events of the operator and of reconciliation: CRITICAL, parked, resolved, corrected.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Finding, Released};
use crate::saga::code::Code;
use crate::saga::ids::{Amount, Coin, WalletId, Y};

/// What the seeds call CRITICAL: value is in question, or could not be recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CriticalRaised {
    /// Which.
    pub code: Code,
    /// What was seen.
    pub reason: String,
    /// True only when the evidence contradicts itself.
    pub requires_manual_intervention: bool,
}

/// The end of a CRITICAL state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CriticalResolved {
    /// Which.
    pub code: Code,
    /// How it ended.
    pub how: String,
}

/// Put on a person's desk. Asking goes on; nothing that moves money does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Parked {
    /// Why.
    pub code: Code,
    /// The evidence in a sentence.
    pub evidence: String,
    /// `meltd` or the operator's name.
    pub by: String,
}

/// Taken off the desk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resumed {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// How an operator decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Resolution {
    /// The payment happened.
    Paid,
    /// Let the coins go: at once where nothing was sent, by the fence where something was.
    Released,
    /// The value is given up; a term of conservation.
    WrittenOff,
}

impl Resolution {
    /// The word on the command line and in bodies.
    pub fn as_str(self) -> &'static str {
        match self {
            Resolution::Paid => "paid",
            Resolution::Released => "released",
            Resolution::WrittenOff => "written-off",
        }
    }
}

/// An operator's decision, guarded by the expected version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OperatorResolved {
    /// What was decided.
    pub resolution: Resolution,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// The coins that `written-off` gives up, each with the state that it leaves; spent from here
    /// on, so that they never come back into a balance. Empty for the other resolutions.
    pub coins: Vec<Released>,
    /// What is given up, in the wallet's unit: the sum of `coins`, or the change that a settled
    /// melt was still owed. 0 for the other resolutions.
    pub written_off: Amount,
}

/// Coins found again from the seed (NUT-09).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Restored {
    /// Opaque wallet id.
    pub wallet: WalletId,
    /// Found unspent.
    pub coins: Vec<Coin>,
}

/// The store's word on a coin was corrected to the mint's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProofCorrected {
    /// What differed.
    pub findings: Vec<Finding>,
    /// unspent → spent.
    pub spent: Vec<Y>,
}
