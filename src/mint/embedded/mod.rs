//! A real Cashu mint inside this process, for tests, demonstrations and benchmarks.
//!
//! The mint is cdk's own, with its own sqlite database, and is reached over real HTTP on
//! 127.0.0.1. Only the Lightning network behind it is not real: [`Lightning`] does to every
//! payment what a [`Script`] says, keeps count of what was paid, and holds true preimages.
//!
//! ```text
//!   client ──HTTP──▶ cdk mint ──MintPayment──▶ Lightning ◀── script / settle / times_paid ── test
//!                       │                          │
//!                 sqlite (memory or file)     outlives the mint: it is another machine
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `server.rs` | [`EmbeddedMint`]: start, stop, keyset rotation |
//! | `folder.rs` | [`start_in`]: a mint that is there again the next time |
//! | `threads.rs` | what ends with the mint, and how |
//! | `lightning.rs` | [`Lightning`]: what a test sets and asks |
//! | `backend.rs` | what the mint talks to |
//! | `incoming.rs`, `outgoing.rs` | payments to the mint, payments by the mint |
//! | `payment.rs` | one attempt to pay, and how it looks as time passes |
//! | `invoice.rs` | [`InvoiceSpec`] and [`Script`]: invoices that carry their own script |
//!
//! It must never be part of a build that handles money: every key in here is public.

mod backend;
mod folder;
mod incoming;
mod invoice;
mod lightning;
mod outgoing;
mod payment;
mod server;
mod threads;

pub use folder::start_in;
pub use incoming::Incoming;
pub use invoice::InvoiceSpec;
pub use invoice::Script;
pub use invoice::SignedInvoice;
pub use invoice::preimage_of;
pub use lightning::Lightning;
pub use lightning::LightningSettings;
pub use payment::Outcome;
pub use server::EmbeddedMint;
pub use server::Settings;

/// What can go wrong while an embedded mint is started, steered or asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The mint itself refused or failed.
    #[error("the mint failed")]
    Mint(#[from] cdk::Error),
    /// The mint's database could not be opened.
    #[error("the mint's database could not be opened")]
    Database(#[from] cdk_common::database::Error),
    /// The HTTP server, or the threads of the mint, could not be set up.
    #[error("the mint's server could not be set up")]
    Server(#[from] std::io::Error),
    /// The HTTP routes could not be built.
    #[error("the mint's routes could not be built: {0}")]
    Routes(String),
    /// The address the server listens on is not a mint URL.
    #[error("the mint's address is not a mint URL")]
    Url(#[from] cdk::mint_url::Error),
    /// A task of the mint panicked or was cancelled because the mint was stopped.
    #[error("a task of the mint did not finish")]
    Task(#[from] tokio::task::JoinError),
    /// The operating system gave no random bytes.
    #[error("no random bytes: {0}")]
    Random(getrandom::Error),
    /// The invoice could not be built or signed.
    #[error("the invoice could not be built: {0}")]
    Invoice(String),
    /// The description of the invoice holds a `meltd` note that cannot be read.
    #[error("the note in the invoice's description cannot be read")]
    Note(#[from] serde_json::Error),
    /// The folder of a mint that is to be there again cannot be used.
    #[error("the embedded mint cannot be started: {0}")]
    Folder(String),
    /// This Lightning node has no open payment, and no unpaid invoice, of this payment hash.
    #[error("nothing is open for payment hash {0}")]
    NothingOpen(String),
}
