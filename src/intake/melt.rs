//! A melt: an invoice that is to be paid.

use serde_json::json;

use super::{Origin, Refused, Submitted, Target, Valid, new_id, time_delta};
use crate::driver::Driver;
use crate::ports::{Clock, Mint, Store};
use crate::saga::code::Code;
use crate::saga::command::{Command, MeltCommand, Policy};
use crate::saga::ids::Amount;

/// A melt as a caller asks for it.
#[derive(Clone, Debug)]
pub struct MeltRequest {
    /// Whose coins.
    pub target: Target,
    /// The BOLT11 invoice.
    pub invoice: String,
    /// For an amountless invoice: how much to pay, in the wallet's unit.
    pub amount: Option<Amount>,
    /// The largest fee reserve accepted.
    pub fee_limit: Option<Amount>,
    /// What to do about coins that are spent at the mint.
    pub policy: Policy,
}

impl<S: Store, M: Mint, C: Clock> Driver<S, M, C> {
    /// Adopts a melt.
    ///
    /// # Errors
    /// [`Refused`]; nothing was stored.
    pub async fn submit_melt(
        &self,
        origin: &Origin,
        request: &MeltRequest,
    ) -> Result<Submitted, Refused> {
        let read = self.mint.read_invoice(request.invoice.trim());
        let invoice = read.map_err(|why| Refused::new(Code::InvalidInvoice, why))?;
        let (amount_msat, amountless) = amount(invoice.amount_msat, request.amount)?;
        let fee_max = self.tuning.caps.and(&origin.scope.caps).fee_max;
        let command = MeltCommand {
            invoice: request.invoice.trim().to_lowercase(),
            payment_hash: invoice.payment_hash,
            amount_msat,
            amountless,
            invoice_expires_at: invoice.expires_at,
            fee_limit: [request.fee_limit, fee_max].into_iter().flatten().min(),
            policy: request.policy,
            deadline: self.clock.now() + time_delta(origin.timeout),
        };
        let wallet = self.wallet(&request.target).await?;
        // The fee limit as it was asked for: a cap that changes makes no other command of it.
        let digest = json!({
            "kind": "melt",
            "wallet": wallet.id,
            "invoice": command.invoice,
            "amount_msat": command.amount_msat,
            "fee_limit": request.fee_limit,
            "policy": command.policy,
            "intent_key": origin.intent_key,
        });
        let valid = Valid {
            id: new_id(),
            wallet,
            command: Command::Melt(command),
            digest,
        };
        self.adopt(origin, valid).await
    }
}

/// What the payee gets, in msat, and whether the caller chose it.
fn amount(invoice: Option<u64>, asked: Option<Amount>) -> Result<(u64, bool), Refused> {
    match (invoice, asked) {
        (Some(msat), _) if msat < 1000 => Err(Refused::new(Code::InvoiceSubSat, "")),
        (Some(msat), Some(asked)) if msat.div_ceil(1000) != asked => {
            let seen = format!(
                "the invoice asks for {} sat, not {asked}",
                msat.div_ceil(1000)
            );
            Err(Refused::new(Code::AmountMismatch, seen))
        }
        (Some(msat), _) => Ok((msat, false)),
        (None, None) => Err(Refused::new(Code::InvoiceAmountless, "")),
        (None, Some(asked)) => match asked.checked_mul(1000).filter(|msat| *msat > 0) {
            Some(msat) => Ok((msat, true)),
            None => Err(Refused::new(Code::AmountInvalid, "")),
        },
    }
}
