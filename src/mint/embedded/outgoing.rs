//! Payments by the mint: what it may order, what is done about it, and what it is told.

use cdk::Amount;
use cdk::Bolt11Invoice;
use cdk::nuts::CurrencyUnit;
use cdk::nuts::MeltOptions;
use cdk::nuts::MeltQuoteState;
use cdk_common::payment::Bolt11OutgoingPaymentOptions;
use cdk_common::payment::Error;
use cdk_common::payment::MakePaymentResponse;
use cdk_common::payment::OutgoingPaymentOptions;
use cdk_common::payment::PaymentIdentifier;

use super::Lightning;
use super::Outcome;
use super::Script;
use super::backend::sat;
use super::invoice;
use super::payment;
use super::payment::Attempt;

impl Lightning {
    /// Writes a new attempt into the book and says by which script it goes.
    pub(super) fn begin(&self, order: &Bolt11OutgoingPaymentOptions) -> Result<Script, Error> {
        let amount_sat = amount_sat(order)?;
        let mut script = self.script_of(&order.bolt11)?;
        let fee_max_sat = order
            .max_fee_amount
            .as_ref()
            .map_or(u64::MAX, Amount::value);
        if order.bolt11.is_expired() || script.ln_fee() > fee_max_sat {
            tracing::warn!(
                fee_max_sat,
                ?script,
                "expired, or the fee exceeds the reserve: failed"
            );
            script = Script::Failed;
        }
        let hash = order.bolt11.payment_hash().to_string();
        let mut book = self.book();
        if let Some(preimage) = invoice::preimage_in(&order.bolt11) {
            book.preimages.insert(hash.clone(), preimage);
        }
        book.attempts
            .entry(hash)
            .or_default()
            .push(Attempt::new(amount_sat, &script));
        Ok(script)
    }

    /// The script for this invoice: as told, else as the invoice says, else the default.
    pub(super) fn script_of(&self, bolt11: &Bolt11Invoice) -> Result<Script, Error> {
        if let Some(script) = self.book().scripts.get(&bolt11.payment_hash().to_string()) {
            return Ok(script.clone());
        }
        let script = invoice::script_in(bolt11)?;
        Ok(script.unwrap_or_else(|| self.node.settings.default_script.clone()))
    }

    /// What the node answers when it is asked about a payment.
    pub(super) fn look_up(&self, hash: [u8; 32]) -> Result<MakePaymentResponse, Error> {
        let payment_lookup_id = PaymentIdentifier::PaymentHash(hash);
        let hash = payment_lookup_id.to_string();
        let book = self.book();
        let attempts = book.attempts.get(&hash).map_or(&[][..], Vec::as_slice);
        let attempt = payment::decisive(attempts);
        let mut payment_proof = None;
        let status = match attempt.map_or(Outcome::Unknown, Attempt::outcome) {
            Outcome::Paid { .. } => {
                payment_proof = book.preimages.get(&hash).map(hex::encode);
                MeltQuoteState::Paid
            }
            Outcome::Failed => MeltQuoteState::Failed,
            Outcome::Pending => MeltQuoteState::Pending,
            Outcome::Unknown => MeltQuoteState::Unknown,
            Outcome::Unreachable => return Err(Error::Custom("connection refused".into())),
        };
        let total_spent = sat(attempt.map_or(0, Attempt::spent_sat));
        Ok(MakePaymentResponse {
            payment_lookup_id,
            payment_proof,
            status,
            total_spent,
        })
    }
}

/// The order, if it is one this node can carry out.
pub(super) fn bolt11_order(
    unit: &CurrencyUnit,
    options: OutgoingPaymentOptions,
) -> Result<Box<Bolt11OutgoingPaymentOptions>, Error> {
    match options {
        OutgoingPaymentOptions::Bolt11(_) if unit != &CurrencyUnit::Sat => {
            Err(Error::UnsupportedUnit)
        }
        OutgoingPaymentOptions::Bolt11(order) => Ok(order),
        OutgoingPaymentOptions::Bolt12(_)
        | OutgoingPaymentOptions::Custom(_)
        | OutgoingPaymentOptions::Onchain(_) => Err(Error::UnsupportedPaymentOption),
    }
}

/// What the payee shall receive, in sat, rounded up: the mint must not lose on the fraction.
pub(super) fn amount_sat(order: &Bolt11OutgoingPaymentOptions) -> Result<u64, Error> {
    let chosen_msat = match order.melt_options {
        Some(MeltOptions::Mpp { .. }) => return Err(Error::UnsupportedPaymentOption),
        Some(options) => Some(u64::from(options.amount_msat())),
        None => None,
    };
    let amount_msat = match (order.bolt11.amount_milli_satoshis(), chosen_msat) {
        (Some(stated), Some(chosen)) if stated != chosen => return Err(Error::AmountMismatch),
        (Some(stated), _) => stated,
        (None, Some(chosen)) => chosen,
        (None, None) => return Err(Error::AmountMismatch),
    };
    Ok(amount_msat.div_ceil(1000))
}
