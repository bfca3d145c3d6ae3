//! Payments to the mint: the invoices of its mint quotes, and who pays them when.

use std::time::Duration;
use std::time::Instant;

use cdk::Bolt11Invoice;
use cdk::nuts::CurrencyUnit;
use cdk::util::unix_time;
use cdk_common::payment::Bolt11IncomingPaymentOptions;
use cdk_common::payment::Error;
use cdk_common::payment::Event;
use cdk_common::payment::PaymentIdentifier;
use cdk_common::payment::WaitPaymentResponse;

use super::InvoiceSpec;
use super::Lightning;
use super::backend::sat;

/// When the invoices of the mint's own mint quotes get paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Incoming {
    /// Each is paid as soon as it exists.
    #[default]
    AtOnce,
    /// Each is paid this long after it was made.
    After(Duration),
    /// Each is paid when [`Lightning::pay_incoming`] says so.
    WhenTold,
}

/// The invoice of a mint quote.
#[derive(Clone, Debug)]
pub(super) struct MintInvoice {
    pub(super) amount_sat: u64,
    /// When it is paid; none until somebody does.
    pub(super) due: Option<Instant>,
}

impl MintInvoice {
    pub(super) fn is_paid(&self) -> bool {
        self.due.is_some_and(|due| due <= Instant::now())
    }
}

impl Lightning {
    /// Makes the invoice of a mint quote and sees to it that it gets paid as the settings say.
    pub(super) fn create_mint_invoice(
        &self,
        order: Bolt11IncomingPaymentOptions,
    ) -> Result<Bolt11Invoice, Error> {
        if order.amount.unit() != &CurrencyUnit::Sat {
            return Err(Error::UnsupportedUnit);
        }
        let amount_sat = order.amount.value();
        let spec = InvoiceSpec {
            amount_msat: Some(amount_sat.saturating_mul(1000)),
            description: order.description.unwrap_or_default(),
            script: None,
            expiry_s: order.unix_expiry.map(|at| at.saturating_sub(unix_time())),
        };
        let invoice = self.create_invoice_as(&spec).map_err(backend)?;
        let delay = match self.node.settings.incoming {
            Incoming::AtOnce => Some(Duration::ZERO),
            Incoming::After(delay) => Some(delay),
            Incoming::WhenTold => None,
        };
        let due = delay.map(|delay| Instant::now() + delay);
        let hash = invoice.payment_hash().to_string();
        self.book()
            .invoices
            .insert(hash.clone(), MintInvoice { amount_sat, due });
        if let Some(delay) = delay {
            let lightning = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                lightning.announce(&hash).await;
            });
        }
        Ok(invoice)
    }

    /// Tells the mint that the invoice of a mint quote is paid. If nobody listens any more there is
    /// nobody to tell: the mint asks again when it is asked.
    pub(super) async fn announce(&self, hash: &str) {
        if let Some(payment) = self.received(hash) {
            drop(self.node.events.send(Event::PaymentReceived(payment)).await);
        }
    }

    /// The payment that came in for this hash, if one did.
    pub(super) fn received(&self, hash: &str) -> Option<WaitPaymentResponse> {
        let invoice = self
            .book()
            .invoices
            .get(hash)
            .filter(|i| i.is_paid())
            .cloned()?;
        Some(WaitPaymentResponse {
            payment_identifier: PaymentIdentifier::new("payment_hash", hash).ok()?,
            payment_amount: sat(invoice.amount_sat),
            payment_id: hash.to_owned(),
        })
    }
}

/// Wraps our error for the mint, which only logs it.
fn backend(error: super::Error) -> Error {
    Error::Backend(Box::new(error))
}
