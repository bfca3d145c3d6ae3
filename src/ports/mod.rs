//! What the loops need from outside: [`Store`], [`Access`], [`Mint`], [`Bus`] and [`Clock`]. Native
//! `async fn` with generics; `main` chooses the adapters. Errors are small enums named by what the
//! caller does next.

mod access;
mod bus;
mod mint;
mod notary;
mod outbox;
mod store;
/// Subjects: which are well formed, and which pattern takes which.
pub mod subject;

use chrono::{DateTime, Utc};

pub use access::{Access, ApiToken, Scope, Wallets};
pub use bus::{
    ALERTS, Begin, Bus, BusError, Delivery, Message, Published, Stored, Stream, StreamFacts, header,
};
pub use mint::{About, Invoice, Keyset, Mint, OpenedToken, SwapInputs};
pub use notary::{CheckSignature, Notary};
pub use outbox::{
    Again, Checkpoint, Holder, Link, Mark, Outbox, OutboxDepth, OutboxReply, OutboxRow, Refilled,
};
pub use store::{
    Adopted, Append, Due, DueFilter, Head, HeadAfter, HeadFilter, Health, Later, Lease, Loaded,
    NewSaga, Pause, ProofRow, Store, StoreError, Wallet,
};

/// The time, as a value that tests can move. UTC, milliseconds.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> DateTime<Utc>;
}
