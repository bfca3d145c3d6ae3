//! The way to mints. Every secret lives and dies behind this trait.

use std::future::Future;

use chrono::{DateTime, Utc};

use super::Wallet;
use crate::saga::code::Code;
use crate::saga::ids::{Amount, Coin, Outputs, Range, SagaId, Signature, SignedCoin, Y};
use crate::saga::step::{Change, MeltQuote, MeltWord, MintQuote, MintState, QuoteState, Trouble};

pub use crate::saga::plan::Keyset;

/// A token as it was opened by the mint adapter: nothing in it can be spent by who reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedToken {
    /// Canonical mint URL in the token.
    pub mint_url: String,
    /// Its unit.
    pub unit: String,
    /// Y of each proof.
    pub ys: Vec<Y>,
    /// Sum of its proofs.
    pub amount: Amount,
    /// Input fee for swapping them.
    pub input_fee: Amount,
    /// The proofs, sealed with a key of ours, bound to the saga.
    pub sealed: String,
}

/// What a BOLT11 invoice says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoice {
    /// 64 hex digits.
    pub payment_hash: String,
    /// What it asks for; `None` = the payer chooses.
    pub amount_msat: Option<u64>,
    /// When it expires.
    pub expires_at: DateTime<Utc>,
}

/// What a mint says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Software and version, cleaned.
    pub version: String,
    /// The NUTs that it says it supports, of those that somebody asks for here.
    pub nuts: Vec<u32>,
}

/// What goes into a swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwapInputs {
    /// Coins of the wallet's own.
    Coins(Vec<(Coin, Signature)>),
    /// A sealed foreign token, with the saga it is bound to.
    Sealed(SagaId, String),
}

/// The mint, through cdk's wallet side. Each call is exactly one wire request with its own
/// timeout, except the cached key look-ups. Secrets never leave the adapter: it derives them from
/// (seed, wallet, keyset, counter) and hands back verified coins.
pub trait Mint: Send + Sync + 'static {
    /// Checks that a URL is one of the configured mints; returns it in canonical form. `None` asks
    /// for the first configured one.
    fn canonical(&self, mint_url: Option<&str>) -> Option<String>;

    /// The configured mints, canonical, in the order of the configuration.
    fn urls(&self) -> Vec<String>;

    /// Reads a BOLT11 invoice: form, checksum and signature.
    ///
    /// # Errors
    /// A sentence without the invoice's content.
    fn read_invoice(&self, invoice: &str) -> Result<Invoice, String>;

    /// The keysets of a unit; cached for a minute, amounts of a keyset for ever.
    fn keysets(&self, wallet: &Wallet)
    -> impl Future<Output = Result<Vec<Keyset>, Trouble>> + Send;

    /// Whether the mint gives overpayment back (NUT-08), from its cached info; a mint that does not
    /// say is taken to, because then its change is looked for and asked for.
    fn returns_change(&self, wallet: &Wallet) -> impl Future<Output = bool> + Send;

    /// Whether the mint gives signatures again (NUT-09), from its cached info; a mint that does not
    /// say is taken to.
    fn restores(&self, wallet: &Wallet) -> impl Future<Output = bool> + Send;

    /// `GET /v1/info` (NUT-06), not from a cache: for a person who looks whether the mint is there.
    fn about(&self, wallet: &Wallet) -> impl Future<Output = Result<About, Trouble>> + Send;

    /// Forgets the cached list, because the mint refused a keyset.
    fn forget_keysets(&self, wallet: &Wallet);

    /// `POST /v1/melt/quote/bolt11`; `amount_msat` for an amountless invoice.
    fn quote_melt(
        &self,
        wallet: &Wallet,
        invoice: &str,
        amount_msat: Option<u64>,
    ) -> impl Future<Output = Result<MeltQuote, Trouble>> + Send;

    /// `GET /v1/melt/quote/bolt11/{id}`; change is verified against the blanks' keyset.
    fn melt_quote(
        &self,
        wallet: &Wallet,
        quote_id: &str,
        blanks: Option<&Range>,
    ) -> impl Future<Output = Result<MeltWord, Trouble>> + Send;

    /// `POST /v1/checkstate`: one state a Y, in order (NUT-07).
    fn check_state(
        &self,
        wallet: &Wallet,
        ys: &[Y],
    ) -> impl Future<Output = Result<Vec<MintState>, Trouble>> + Send;

    /// `POST /v1/melt/bolt11`, synchronous, with its own long timeout.
    fn melt(
        &self,
        wallet: &Wallet,
        quote_id: &str,
        inputs: &[(Coin, Signature)],
        blanks: Option<&Range>,
    ) -> impl Future<Output = Result<MeltWord, Trouble>> + Send;

    /// `POST /v1/swap`: every output signed and verified, in order.
    fn swap(
        &self,
        wallet: &Wallet,
        inputs: &SwapInputs,
        outputs: &Outputs,
    ) -> impl Future<Output = Result<Vec<SignedCoin>, Trouble>> + Send;

    /// `POST /v1/restore` (NUT-09): the outputs of a range that the mint has signed, verified;
    /// signatures that do not verify are counted in `bad`.
    fn restore(
        &self,
        wallet: &Wallet,
        range: &Range,
    ) -> impl Future<Output = Result<Change, Trouble>> + Send;

    /// `POST /v1/mint/quote/bolt11`, locked to a key of the saga's where the mint can (NUT-20).
    fn quote_mint(
        &self,
        wallet: &Wallet,
        saga: &SagaId,
        amount: Amount,
    ) -> impl Future<Output = Result<MintQuote, Trouble>> + Send;

    /// `GET /v1/mint/quote/bolt11/{id}`.
    fn mint_quote(
        &self,
        wallet: &Wallet,
        quote_id: &str,
    ) -> impl Future<Output = Result<QuoteState, Trouble>> + Send;

    /// `POST /v1/mint/bolt11`: every output signed and verified, in order.
    fn mint(
        &self,
        wallet: &Wallet,
        saga: &SagaId,
        quote_id: &str,
        outputs: &Outputs,
    ) -> impl Future<Output = Result<Vec<SignedCoin>, Trouble>> + Send;

    /// Reads a cashuA or cashuB token of a configured mint, checks it (unlocked, known keysets,
    /// DLEQ where present) and seals its proofs for `saga`. `Err` = why it cannot be taken.
    fn open_token(
        &self,
        token: &str,
        saga: &SagaId,
    ) -> impl Future<Output = Result<OpenedToken, (Code, String)>> + Send;
}
