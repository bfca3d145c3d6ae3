//! The Lightning node behind an embedded mint, as a test sees it.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Instant;

use cdk::Bolt11Invoice;
use cdk_common::payment::Event;
use tokio::sync::mpsc;

use super::Error;
use super::Incoming;
use super::InvoiceSpec;
use super::Outcome;
use super::Script;
use super::SignedInvoice;
use super::incoming::MintInvoice;
use super::payment::Attempt;

/// How many payments to the mint may wait for it to listen; far more than a test leaves unheard.
const EVENTS_MAX: usize = 4096;

/// How a Lightning node behaves where no script says otherwise.
#[derive(Clone, Debug)]
pub struct LightningSettings {
    /// The least fee reserve of a quote, in sat.
    pub fee_reserve_min_sat: u64,
    /// The fee reserve in percent of the amount, rounded down; the larger of the two counts.
    pub fee_reserve_percent: u64,
    /// When mint quotes get paid.
    pub incoming: Incoming,
    /// What paying an invoice without a script does.
    pub default_script: Script,
}

impl Default for LightningSettings {
    /// A reserve of 2 percent but at least 2 sat, mint quotes paid at once, and every payment
    /// successful for a fee of 1 sat, so that each melt has something to give back.
    fn default() -> Self {
        Self {
            fee_reserve_min_sat: 2,
            fee_reserve_percent: 2,
            incoming: Incoming::AtOnce,
            default_script: Script::Paid { ln_fee: 1 },
        }
    }
}

/// A Lightning node that does what it is told. Clones are handles to the same node.
///
/// It lives apart from the mint it serves, as a real one does: it goes on paying while the mint is
/// down, and one node may serve a mint before and after a restart, but not two mints at once, since
/// each payment to it is told to one. It forgets everything when this process ends.
#[derive(Clone, Debug)]
pub struct Lightning {
    pub(super) node: Arc<Node>,
}

/// What all handles of one node share.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) settings: LightningSettings,
    pub(super) events: mpsc::Sender<Event>,
    /// Behind a lock so that a restarted mint can take over where the stopped one left off.
    pub(super) heard: tokio::sync::Mutex<mpsc::Receiver<Event>>,
    /// A std mutex, because it is never held across an await.
    book: Mutex<Book>,
}

/// The node's memory; every key is a payment hash in lower-case hex.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) scripts: HashMap<String, Script>,
    pub(super) preimages: HashMap<String, [u8; 32]>,
    pub(super) attempts: HashMap<String, Vec<Attempt>>,
    pub(super) invoices: HashMap<String, MintInvoice>,
}

impl Default for Lightning {
    fn default() -> Self {
        Self::new(LightningSettings::default())
    }
}

impl Lightning {
    /// A node that has seen nothing yet.
    pub fn new(settings: LightningSettings) -> Self {
        let (events, heard) = mpsc::channel(EVENTS_MAX);
        let heard = tokio::sync::Mutex::new(heard);
        let book = Mutex::default();
        Self {
            node: Arc::new(Node {
                settings,
                events,
                heard,
                book,
            }),
        }
    }

    /// Makes an invoice of this amount for somebody to be paid, and remembers its preimage.
    pub fn create_invoice(
        &self,
        amount_msat: u64,
        description: &str,
    ) -> Result<Bolt11Invoice, Error> {
        self.create_invoice_as(&InvoiceSpec {
            amount_msat: Some(amount_msat),
            description: description.to_owned(),
            ..InvoiceSpec::default()
        })
    }

    /// Makes an invoice to order, and remembers its preimage.
    pub fn create_invoice_as(&self, spec: &InvoiceSpec) -> Result<Bolt11Invoice, Error> {
        let SignedInvoice { bolt11, preimage } = spec.sign()?;
        self.book()
            .preimages
            .insert(key(bolt11.payment_hash()), preimage);
        Ok(bolt11)
    }

    /// Says what the next payments of this hash do; it comes before the script in the invoice.
    pub fn script(&self, hash: impl Display, script: Script) {
        self.book().scripts.insert(key(hash), script);
    }

    /// Decides the latest open payment of this hash: from now on it is paid, or failed, or looks
    /// unknown, and so on. The mint is not told; it finds out when it asks.
    ///
    /// If no payment of this hash is open the answer is [`Error::NothingOpen`].
    pub fn settle(&self, hash: impl Display, outcome: Outcome) -> Result<(), Error> {
        let hash = key(hash);
        let mut book = self.book();
        let attempts = book.attempts.get_mut(&hash).into_iter().flatten();
        match attempts.rev().find(|attempt| attempt.is_open()) {
            Some(attempt) => {
                attempt.settle(outcome);
                Ok(())
            }
            None => Err(Error::NothingOpen(hash)),
        }
    }

    /// How many times this hash was really paid; more than 1 means somebody lost money.
    pub fn times_paid(&self, hash: impl Display) -> usize {
        let book = self.book();
        let attempts = book.attempts.get(&key(hash)).into_iter().flatten();
        attempts
            .filter(|attempt| matches!(attempt.outcome(), Outcome::Paid { .. }))
            .count()
    }

    /// How many times the mint has ordered a payment of this hash, whatever became of it.
    pub fn times_tried(&self, hash: impl Display) -> usize {
        self.book().attempts.get(&key(hash)).map_or(0, Vec::len)
    }

    /// What this node has paid out so far, amounts and fees, in sat.
    pub fn spent_sat(&self) -> u64 {
        self.book()
            .attempts
            .values()
            .flatten()
            .map(Attempt::spent_sat)
            .sum()
    }

    /// What this node has received for mint quotes so far, in sat.
    pub fn received_sat(&self) -> u64 {
        let book = self.book();
        book.invoices
            .values()
            .filter(|i| i.is_paid())
            .map(|i| i.amount_sat)
            .sum()
    }

    /// The preimage of this hash, if this node made the invoice or has been asked to pay one whose
    /// note leads to it.
    pub fn preimage(&self, hash: impl Display) -> Option<[u8; 32]> {
        self.book().preimages.get(&key(hash)).copied()
    }

    /// Pays the invoice of a mint quote, given as the quote's `request`, and tells the mint.
    ///
    /// If there is no such invoice, or it is paid already, the answer is [`Error::NothingOpen`].
    pub async fn pay_incoming(&self, request: &str) -> Result<(), Error> {
        let invoice =
            Bolt11Invoice::from_str(request).map_err(|error| Error::Invoice(error.to_string()))?;
        let hash = key(invoice.payment_hash());
        match self.book().invoices.get_mut(&hash) {
            Some(open) if !open.is_paid() => open.due = Some(Instant::now()),
            Some(_) | None => return Err(Error::NothingOpen(hash)),
        }
        self.announce(&hash).await;
        Ok(())
    }

    /// The node's memory. A poisoned lock is taken all the same: each change is one statement.
    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.node
            .book
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A payment hash as this node writes it.
fn key(hash: impl Display) -> String {
    hash.to_string().to_lowercase()
}
