//! Invoices whose description tells the embedded Lightning node what to do with them.
//!
//! Whoever builds an invoice can script its payment without any other channel to the mint's
//! process: the description is JSON with one object `meltd`, the note. It may hold a [`Script`],
//! and a nonce from which both sides derive the same preimage.

use std::time::Duration;

use cdk::Bolt11Invoice;
use cdk::lightning_invoice::Currency;
use cdk::lightning_invoice::InvoiceBuilder;
use cdk::lightning_invoice::PaymentSecret;
use cdk::secp256k1::Secp256k1;
use cdk::secp256k1::SecretKey;
use cdk_common::bitcoin::hashes::Hash;
use cdk_common::bitcoin::hashes::sha256;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;

use super::Error;

/// The field of a description that holds the note.
const NOTE_FIELD: &str = "meltd";

/// Separates these preimages from every other use of SHA-256 on a nonce.
const PREIMAGE_DOMAIN: &[u8] = b"meltd/embedded/preimage";

/// Signs every invoice; it is public on purpose, so that any process can make them.
const SIGNING_KEY: [u8; 32] = [0x6d; 32];

/// The payment secret of every invoice; no node checks it here.
const PAYMENT_SECRET: [u8; 32] = [0x2a; 32];

/// The final CLTV delta of every invoice, in blocks; the builder demands one.
const FINAL_CLTV_BLOCKS: u64 = 144;

/// What the Lightning node does when the mint asks it to pay.
///
/// Fees are in sat. A payment whose fee would exceed the reserve of the quote fails, as it would on
/// a real node that finds no route within its limit; so does one whose invoice has expired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "script", rename_all = "snake_case")]
pub enum Script {
    /// Pays at once and says so.
    Paid {
        /// The routing fee.
        #[serde(default)]
        ln_fee: u64,
    },
    /// Does not pay, and says so for good.
    Failed,
    /// Says pending until [`super::Lightning::settle`] decides.
    Pending,
    /// Says pending at once, and is paid after a while, with nobody telling the mint.
    PendingThenPaid {
        /// How long the payment stays pending, in milliseconds.
        ms: u64,
        /// The routing fee.
        #[serde(default)]
        ln_fee: u64,
    },
    /// Answers only after a while, and has paid by then; it also pays if the mint dies meanwhile.
    Slow {
        /// How long the answer takes, in milliseconds.
        ms: u64,
        /// The routing fee.
        #[serde(default)]
        ln_fee: u64,
    },
    /// Pays, but the answer is lost: the call fails, and only a later check says paid.
    ErrAfterPaid {
        /// The routing fee.
        #[serde(default)]
        ln_fee: u64,
    },
    /// Does not pay, and neither the call nor any check gets an answer until it is settled.
    Unreachable,
}

impl Script {
    /// The routing fee in sat; nothing where nothing is paid.
    pub(super) fn ln_fee(&self) -> u64 {
        match *self {
            Self::Paid { ln_fee }
            | Self::PendingThenPaid { ln_fee, .. }
            | Self::Slow { ln_fee, .. }
            | Self::ErrAfterPaid { ln_fee } => ln_fee,
            Self::Failed | Self::Pending | Self::Unreachable => 0,
        }
    }
}

/// What an invoice shall say; [`InvoiceSpec::sign`] makes it.
#[derive(Clone, Debug, Default)]
pub struct InvoiceSpec {
    /// The amount in millisatoshi, or none for an invoice whose payer chooses the amount.
    pub amount_msat: Option<u64>,
    /// The description. If it is JSON with an object `meltd`, a nonce is added to that object
    /// unless it holds one; any other text is kept as it is while `script` is none.
    pub description: String,
    /// What paying the invoice does. It is written into the description, whose text moves into the
    /// note as `memo`.
    pub script: Option<Script>,
    /// How long the invoice can be paid, in seconds; BOLT 11 says 3600 where there is none.
    pub expiry_s: Option<u64>,
}

/// An invoice together with the secret that proves its payment.
#[derive(Clone, Debug)]
pub struct SignedInvoice {
    /// The invoice; `to_string()` gives the text that starts with `lnbc`.
    pub bolt11: Bolt11Invoice,
    /// The preimage: its SHA-256 is the payment hash.
    pub preimage: [u8; 32],
}

impl InvoiceSpec {
    /// Builds the invoice and signs it with the fixed test key.
    ///
    /// If its description carries a note, then every embedded Lightning node, in any process, knows
    /// its preimage. Otherwise only a caller who keeps the preimage does.
    pub fn sign(&self) -> Result<SignedInvoice, Error> {
        let (description, nonce) = self.describe()?;
        let preimage = preimage_of(&nonce);
        let key = SecretKey::from_slice(&SIGNING_KEY).map_err(invalid)?;
        let mut builder = InvoiceBuilder::new(Currency::Bitcoin)
            .description(description)
            .payment_hash(sha256::Hash::hash(&preimage))
            .payment_secret(PaymentSecret(PAYMENT_SECRET))
            .current_timestamp()
            .min_final_cltv_expiry_delta(FINAL_CLTV_BLOCKS);
        if let Some(amount_msat) = self.amount_msat {
            builder = builder.amount_milli_satoshis(amount_msat);
        }
        if let Some(expiry_s) = self.expiry_s {
            builder = builder.expiry_time(Duration::from_secs(expiry_s));
        }
        let bolt11 = builder
            .build_signed(|hash| Secp256k1::new().sign_ecdsa_recoverable(hash, &key))
            .map_err(invalid)?;
        Ok(SignedInvoice { bolt11, preimage })
    }

    /// The description as it will be signed, and the nonce its preimage comes from.
    fn describe(&self) -> Result<(String, String), Error> {
        let mut root = match (note_of(&self.description), &self.script) {
            (Some(_), _) => serde_json::from_str(&self.description)?,
            (None, Some(_)) if self.description.is_empty() => json!({ NOTE_FIELD: {} }),
            (None, Some(_)) => json!({ NOTE_FIELD: { "memo": self.description } }),
            (None, None) => return Ok((self.description.clone(), fresh_nonce()?)),
        };
        let mut nonce = fresh_nonce()?;
        if let Some(note) = root.get_mut(NOTE_FIELD).and_then(Value::as_object_mut) {
            if let Some(Value::Object(fields)) = self.script.as_ref().map(|script| json!(script)) {
                note.extend(fields);
            }
            match note.get("nonce").and_then(Value::as_str) {
                Some(given) => nonce = given.to_owned(),
                None => drop(note.insert("nonce".to_owned(), json!(nonce))),
            }
        }
        Ok((root.to_string(), nonce))
    }
}

/// The preimage that belongs to a nonce: SHA-256 of `meltd/embedded/preimage` and the nonce's text.
pub fn preimage_of(nonce: &str) -> [u8; 32] {
    sha256::Hash::hash(&[PREIMAGE_DOMAIN, nonce.as_bytes()].concat()).to_byte_array()
}

/// The script in the invoice's description, or none if it carries no script; a script that cannot
/// be read is an error, because a misspelt fault would otherwise pass as a successful test.
pub(super) fn script_in(invoice: &Bolt11Invoice) -> Result<Option<Script>, serde_json::Error> {
    match note_of(&invoice.description().to_string()) {
        Some(note) if note.get("script").is_some() => serde_json::from_value(note).map(Some),
        Some(_) | None => Ok(None),
    }
}

/// The preimage that the note in the description leads to, if it fits the payment hash.
pub(super) fn preimage_in(invoice: &Bolt11Invoice) -> Option<[u8; 32]> {
    let note = note_of(&invoice.description().to_string())?;
    let preimage = preimage_of(note.get("nonce")?.as_str()?);
    (sha256::Hash::hash(&preimage) == *invoice.payment_hash()).then_some(preimage)
}

/// The note in a description, if it has one.
fn note_of(description: &str) -> Option<Value> {
    let root: Value = serde_json::from_str(description).ok()?;
    root.get(NOTE_FIELD)
        .filter(|note| note.is_object())
        .cloned()
}

/// Sixteen random bytes in hex: unique for ever, and short, since a description has 639 bytes.
fn fresh_nonce() -> Result<String, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(Error::Random)?;
    Ok(hex::encode(bytes))
}

/// Turns an error of the invoice library into ours.
fn invalid(error: impl std::fmt::Display) -> Error {
    Error::Invoice(error.to_string())
}
