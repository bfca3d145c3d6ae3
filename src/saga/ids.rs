//! The names of things: ids, points and ranges. Plain data that serialises to
//! the text the rest of the world uses; none of it can spend anything.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An integer amount in the wallet's unit (sat for every mint that meltd is tested with).
pub type Amount = u64;

/// The position of an event in its saga, from 1.
pub type Seq = u32;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $pattern:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        #[schemars(extend("pattern" = $pattern))]
        pub struct $name(String);

        impl $name {
            /// Takes the text as it is; whoever reads it from outside has checked it.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A saga's id: a UUIDv7 in its usual text, so ids sort by the time of adoption.
    SagaId,
    "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
);
text_id!(
    /// A proof's Y = hash_to_curve(secret) as 66 hex digits (NUT-00): its public name.
    Y,
    "^0[23][0-9a-f]{64}$"
);
text_id!(
    /// A keyset id in hex: 16 digits for version 1, 66 for version 2 (NUT-02).
    KeysetId,
    "^([0-9a-f]{16}|[0-9a-f]{66})$"
);
text_id!(
    /// The opaque id of a wallet, which is one (npub, mint, unit).
    WalletId,
    "^.+$"
);
text_id!(
    /// Who submitted a command: the scope of command ids and intent keys.
    Producer,
    "^.+$"
);

/// A run of NUT-13 counters of one keyset, taken once and never used twice.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Range {
    /// The keyset whose counter this is.
    pub keyset: KeysetId,
    /// The first counter of the range.
    pub start: u32,
    /// How many counters it holds.
    pub count: u32,
}

impl KeysetId {
    /// The first counter that cannot be used: NUT-13 derives the secrets of version 1 keysets by
    /// BIP-32, whose hardened indexes end at 2^31; those of version 2 have no such end.
    pub fn counters_end(&self) -> u32 {
        if self.0.len() <= 16 {
            1 << 31
        } else {
            u32::MAX
        }
    }
}

/// Outputs to be signed: counter `start + i` carries `amounts[i]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Outputs {
    /// The keyset that is to sign.
    pub keyset: KeysetId,
    /// The counter of the first output.
    pub start: u32,
    /// One amount an output, in counter order.
    pub amounts: Vec<Amount>,
}

impl Outputs {
    /// The counters that these outputs use.
    pub fn range(&self) -> Range {
        Range {
            keyset: self.keyset.clone(),
            start: self.start,
            count: u32::try_from(self.amounts.len()).unwrap_or(u32::MAX),
        }
    }
}

/// A proof without its secret, which is derived from (seed, keyset, counter) when it is needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Coin {
    /// Its public name.
    pub y: Y,
    /// The keyset that signed it.
    pub keyset: KeysetId,
    /// The counter that its secret is derived from (NUT-13).
    pub counter: u32,
    /// Its value.
    pub amount: Amount,
}

/// The mint's unblinded signature on a coin, with the DLEQ proof (NUT-12) as it came.
/// The blinding factor that a full DLEQ needs is derived again, never stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Signature {
    /// C, compressed point in hex.
    pub c: String,
    /// DLEQ challenge, hex.
    pub e: String,
    /// DLEQ response, hex.
    pub s: String,
}

/// A coin and the signature that makes it money: what the mint adapter hands back, verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignedCoin {
    /// The coin.
    pub coin: Coin,
    /// The mint's signature on it.
    pub signature: Signature,
}

/// The sum of some amounts, or `None` when it does not fit.
pub fn sum(amounts: impl IntoIterator<Item = Amount>) -> Option<Amount> {
    amounts.into_iter().try_fold(0u64, u64::checked_add)
}
