//! The way to say CRITICAL when the store cannot be written to: whoever listens publishes it. It
//! names no invoice, owner or preimage.

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;

use crate::saga::code::Code;
use crate::saga::ids::{SagaId, WalletId};

/// Alerts that wait for a slow listener; more are dropped, and the log has them all.
const WAITING: usize = 256;

/// Something that a person should know at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// The saga, if it is about one.
    pub saga: Option<SagaId>,
    /// Its wallet, by the opaque id.
    pub wallet: Option<WalletId>,
    /// What it is.
    pub code: Code,
    /// When it was seen, UTC.
    pub at: DateTime<Utc>,
}

/// Where alerts go: nowhere, until somebody listens.
#[derive(Clone, Debug, Default)]
pub struct Alerts(Option<mpsc::Sender<Alert>>);

impl Alerts {
    /// An outlet and its listener.
    pub fn new() -> (Self, mpsc::Receiver<Alert>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Alerts(Some(sender)), receiver)
    }

    /// Tells the listener, if there is one and it keeps up: nothing waits for it.
    pub fn raise(&self, alert: Alert) {
        if let Some(sender) = &self.0 {
            // Full or gone: the caller has written it to the log already.
            let _ = sender.try_send(alert);
        }
    }
}
