//! What a producer asks for, after validation. A command is stored whole in the saga's head at
//! adoption; its fingerprint decides whether a repeat is the same command.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ids::{Amount, Range, Y};

/// What to do when the pre-flight check finds a chosen coin spent at the mint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Correct the coin and stop the melt (the seeds' rule).
    #[default]
    Block,
    /// Correct the coin and choose again without it.
    Reselect,
}

/// Which saga a head drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Pay a Lightning invoice (NUT-05).
    Melt,
    /// Fund a wallet through a mint quote (NUT-04).
    Mint,
    /// Take a token in by swapping it (NUT-03).
    Receive,
    /// Bring the store's word on some coins to the mint's (NUT-07, NUT-09).
    Reconcile,
}

impl Kind {
    /// Every kind: validators go through them.
    pub const ALL: [Kind; 4] = [Kind::Melt, Kind::Mint, Kind::Receive, Kind::Reconcile];

    /// The word used in the store, on the bus and in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Melt => "melt",
            Kind::Mint => "mint",
            Kind::Receive => "receive",
            Kind::Reconcile => "reconcile",
        }
    }
}

/// The adopted command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Command {
    /// Pay an invoice.
    Melt(MeltCommand),
    /// Fund through a mint quote.
    Mint(MintCommand),
    /// Take a token in.
    Receive(ReceiveCommand),
    /// Correct and add coins as the mint has them.
    Reconcile(ReconcileCommand),
}

impl Command {
    /// Which saga it starts.
    pub fn kind(&self) -> Kind {
        match self {
            Command::Melt(_) => Kind::Melt,
            Command::Mint(_) => Kind::Mint,
            Command::Receive(_) => Kind::Receive,
            Command::Reconcile(_) => Kind::Reconcile,
        }
    }
}

/// Pay this invoice, within these limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MeltCommand {
    /// The BOLT11 invoice.
    pub invoice: String,
    /// Its payment hash, 64 hex digits: the identity of the debt.
    pub payment_hash: String,
    /// What the payee gets, in msat, by the invoice or by the caller for an amountless one.
    pub amount_msat: u64,
    /// True when the invoice named no amount and the caller did (NUT-05 amountless option).
    pub amountless: bool,
    /// When the invoice expires.
    pub invoice_expires_at: DateTime<Utc>,
    /// The largest fee reserve that the caller accepts, in the wallet's unit; `None` = any.
    pub fee_limit: Option<Amount>,
    /// What to do about coins that are spent at the mint.
    pub policy: Policy,
    /// Until when new attempts may be started; after it the melt is only finished or fenced.
    pub deadline: DateTime<Utc>,
}

impl MeltCommand {
    /// What the payee gets in the wallet's unit, rounded up (`ceil(msat / 1000)`).
    pub fn amount(&self) -> Amount {
        self.amount_msat.div_ceil(1000)
    }
}

/// Ask the mint for an invoice and, once it is paid, for proofs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MintCommand {
    /// How much to mint.
    pub amount: Amount,
    /// Until when to go on asking a mint that does not answer for a quote.
    pub deadline: DateTime<Utc>,
}

/// Swap a foreign token for proofs of our own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReceiveCommand {
    /// The Ys of the token's proofs.
    pub ys: Vec<Y>,
    /// Their sum before fees.
    pub amount: Amount,
    /// The input fee for swapping them, from their keysets.
    pub input_fee: Amount,
    /// The proofs, sealed for the mint adapter alone; erased with the saga's last event.
    pub sealed: Option<String>,
    /// Until when new attempts may be started.
    pub deadline: DateTime<Utc>,
}

/// What a reconciliation was begun by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// The coins of a wallet were compared with the mint.
    Reconcile,
    /// The coins of a wallet were looked for from its seed.
    Restore,
}

impl Cause {
    /// The word used in the store, on the bus and in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Reconcile => "reconcile",
            Cause::Restore => "restore",
        }
    }
}

/// Look at these once more, and bring the store's word on them to the mint's. What was seen before
/// only says where to look: the saga asks the mint itself, so that it may be driven at any time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReconcileCommand {
    /// What it was begun by.
    pub cause: Cause,
    /// Coins of the store that the mint may hold as spent.
    pub suspects: Vec<Y>,
    /// Counters at which the mint may have signed coins that the store does not have.
    pub ranges: Vec<Range>,
}
