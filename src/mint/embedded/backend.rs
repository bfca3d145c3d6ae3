//! The Lightning node as the mint sees it: cdk's `MintPayment`, BOLT 11 in sat and nothing else.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cdk::Amount;
use cdk::nuts::CurrencyUnit;
use cdk::nuts::MeltQuoteState;
use cdk_common::payment::Bolt11Settings;
use cdk_common::payment::CreateIncomingPaymentResponse;
use cdk_common::payment::Error;
use cdk_common::payment::Event;
use cdk_common::payment::IncomingPaymentOptions;
use cdk_common::payment::MakePaymentResponse;
use cdk_common::payment::MintPayment;
use cdk_common::payment::OutgoingPaymentOptions;
use cdk_common::payment::PaymentIdentifier;
use cdk_common::payment::PaymentQuoteResponse;
use cdk_common::payment::SettingsResponse;
use cdk_common::payment::WaitPaymentResponse;
use futures::Stream;
use futures::stream;

use super::Lightning;
use super::Script;
use super::outgoing::amount_sat;
use super::outgoing::bolt11_order;

#[async_trait]
impl MintPayment for Lightning {
    type Err = Error;

    async fn get_settings(&self) -> Result<SettingsResponse, Error> {
        let bolt11 = Bolt11Settings {
            mpp: false,
            amountless: true,
            invoice_description: true,
        };
        Ok(SettingsResponse {
            unit: CurrencyUnit::Sat.to_string(),
            bolt11: Some(bolt11),
            bolt12: None,
            onchain: None,
            custom: Default::default(),
        })
    }

    async fn create_incoming_payment_request(
        &self,
        options: IncomingPaymentOptions,
    ) -> Result<CreateIncomingPaymentResponse, Error> {
        let IncomingPaymentOptions::Bolt11(order) = options else {
            return Err(Error::UnsupportedPaymentOption);
        };
        let expiry = order.unix_expiry;
        let invoice = self.create_mint_invoice(order)?;
        Ok(CreateIncomingPaymentResponse {
            request_lookup_id: PaymentIdentifier::PaymentHash(*invoice.payment_hash().as_ref()),
            request: invoice.to_string(),
            expiry,
            extra_json: None,
        })
    }

    async fn get_payment_quote(
        &self,
        unit: &CurrencyUnit,
        options: OutgoingPaymentOptions,
    ) -> Result<PaymentQuoteResponse, Error> {
        let order = bolt11_order(unit, options)?;
        let amount_sat = amount_sat(&order)?;
        // A script that cannot be read shall fail here already, where nothing is at stake.
        self.script_of(&order.bolt11)?;
        let settings = &self.node.settings;
        let share_sat = amount_sat.saturating_mul(settings.fee_reserve_percent) / 100;
        let lookup_id = PaymentIdentifier::PaymentHash(*order.bolt11.payment_hash().as_ref());
        Ok(PaymentQuoteResponse {
            request_lookup_id: Some(lookup_id),
            amount: sat(amount_sat),
            fee: sat(share_sat.max(settings.fee_reserve_min_sat)),
            state: MeltQuoteState::Unpaid,
            extra_json: None,
            estimated_blocks: None,
            fee_options: None,
        })
    }

    async fn make_payment(
        &self,
        unit: &CurrencyUnit,
        options: OutgoingPaymentOptions,
    ) -> Result<MakePaymentResponse, Error> {
        let order = bolt11_order(unit, options)?;
        let script = self.begin(&order)?;
        match script {
            Script::Slow { ms, .. } => tokio::time::sleep(Duration::from_millis(ms)).await,
            Script::ErrAfterPaid { .. } => return Err(Error::Custom("the answer is lost".into())),
            Script::Paid { .. }
            | Script::Failed
            | Script::Pending
            | Script::PendingThenPaid { .. }
            | Script::Unreachable => {}
        }
        self.look_up(*order.bolt11.payment_hash().as_ref())
    }

    async fn wait_payment_event(&self) -> Result<Pin<Box<dyn Stream<Item = Event> + Send>>, Error> {
        let events = stream::unfold(Arc::clone(&self.node), |node| async move {
            let event = node.heard.lock().await.recv().await?;
            Some((event, node))
        });
        Ok(Box::pin(events))
    }

    /// The mint asks this only to tell whether somebody else listens already; nobody ever does.
    fn is_payment_event_stream_active(&self) -> bool {
        false
    }

    /// The stream ends when the mint drops it.
    fn cancel_payment_event_stream(&self) {}

    async fn check_incoming_payment_status(
        &self,
        id: &PaymentIdentifier,
    ) -> Result<Vec<WaitPaymentResponse>, Error> {
        Ok(self.received(&id.to_string()).into_iter().collect())
    }

    async fn check_outgoing_payment(
        &self,
        id: &PaymentIdentifier,
    ) -> Result<MakePaymentResponse, Error> {
        match id {
            PaymentIdentifier::PaymentHash(hash) => self.look_up(*hash),
            PaymentIdentifier::Label(_)
            | PaymentIdentifier::OfferId(_)
            | PaymentIdentifier::Bolt12PaymentHash(_)
            | PaymentIdentifier::PaymentId(_)
            | PaymentIdentifier::CustomId(_)
            | PaymentIdentifier::QuoteId(_) => Err(Error::UnsupportedPaymentOption),
        }
    }
}

/// An amount in the only unit there is.
pub(super) fn sat(value: u64) -> Amount<CurrencyUnit> {
    Amount::new(value, CurrencyUnit::Sat)
}
