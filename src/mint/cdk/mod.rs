//! The adapter of [`crate::ports::Mint`]: mints that speak Cashu's HTTP protocol, with cdk's types,
//! cryptography and transport.
//!
//! ```text
//!   Mint trait ─▶ mod.rs ─▶ requests.rs ─▶ wire.rs ──HTTP──▶ mint      one call, one request
//!                           melts.rs          │
//!                           mints.rs          └─ errors.rs    status, body, silence → Trouble
//!                              │
//!                              ├─ keys.rs      keysets and their keys, kept
//!                              ├─ outputs.rs   seed, keyset, counter → outputs, proofs
//!                              ├─ answers.rs, signatures.rs    answers → verified coins
//!                              └─ token.rs     foreign tokens
//! ```
//!
//! Each call makes exactly one request, with its own time limit (a minting makes a second one at
//! older mints, which refuse the first for its signature). Two things are asked for besides,
//! when they are not known yet: the list of keysets (kept for a minute) and the keys of a keyset
//! (kept for ever). What a request needs is fetched before it is sent, so that its answer can be
//! verified at once.

mod answers;
mod errors;
mod invoice;
mod keys;
mod melts;
mod mints;
mod outputs;
mod requests;
mod signatures;
mod site;
mod token;
mod wire;

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use crate::mint::keychain::Keychain;
use crate::ports::{About, Invoice, Keyset, Mint, OpenedToken, SwapInputs, Wallet};
use crate::saga::code::Code;
use crate::saga::ids::{Amount, Coin, Outputs, Range, SagaId, Signature, SignedCoin, Y};
use crate::saga::step::{Change, MeltQuote, MeltWord, MintQuote, MintState, QuoteState, Trouble};

pub use mints::Features;
use requests::Request;
use site::Site;
pub use site::UrlError;

/// How long an answer is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Quotes, states, restores, keysets and keys: a mint answers them from its database.
    pub ask: Duration,
    /// Swaps and mintings: the mint signs.
    pub sign: Duration,
    /// Melts, and looks at a melt's quote: both last as long as the Lightning payment does.
    pub pay: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            ask: Duration::from_secs(10),
            sign: Duration::from_secs(30),
            pay: Duration::from_secs(30),
        }
    }
}

/// The configured mints. It holds the keychain, and derives secrets for the moment of a request.
pub struct CdkMint {
    keychain: Keychain,
    timeouts: Timeouts,
    sites: HashMap<String, Site>,
    /// The URLs in canonical form, as they were configured.
    order: Vec<String>,
}

impl fmt::Debug for CdkMint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut urls: Vec<_> = self.sites.keys().collect();
        urls.sort();
        f.debug_struct("CdkMint")
            .field("mints", &urls)
            .finish_non_exhaustive()
    }
}

impl CdkMint {
    /// An adapter for these mints and no others. Nothing is sent yet.
    pub fn new(keychain: Keychain, urls: &[String], timeouts: Timeouts) -> Result<Self, UrlError> {
        let mut sites = HashMap::new();
        let mut order = Vec::new();
        for text in urls {
            let url = site::canonical(text).ok_or_else(|| UrlError::of(text))?;
            if !order.contains(&url.to_string()) {
                order.push(url.to_string());
            }
            sites.insert(url.to_string(), Site::new(url));
        }
        Ok(Self {
            keychain,
            timeouts,
            sites,
            order,
        })
    }

    /// What the mint says that it supports (`GET /v1/info`, NUT-06); kept for an hour.
    pub async fn features(&self, wallet: &Wallet) -> Result<Features, Trouble> {
        Request::new(self, wallet)?.features().await
    }
}

impl Mint for CdkMint {
    fn canonical(&self, mint_url: Option<&str>) -> Option<String> {
        let Some(text) = mint_url else {
            return self.order.first().cloned();
        };
        let url = site::canonical(text)?.to_string();
        self.sites.contains_key(&url).then_some(url)
    }

    fn urls(&self) -> Vec<String> {
        self.order.clone()
    }

    fn read_invoice(&self, invoice: &str) -> Result<Invoice, String> {
        invoice::read(invoice)
    }

    async fn keysets(&self, wallet: &Wallet) -> Result<Vec<Keyset>, Trouble> {
        Request::new(self, wallet)?.keysets().await
    }

    async fn returns_change(&self, wallet: &Wallet) -> bool {
        self.features(wallet)
            .await
            .map_or(true, |features| features.change)
    }

    async fn restores(&self, wallet: &Wallet) -> bool {
        self.features(wallet)
            .await
            .map_or(true, |features| features.restore)
    }

    async fn about(&self, wallet: &Wallet) -> Result<About, Trouble> {
        Request::new(self, wallet)?.about().await
    }

    fn forget_keysets(&self, wallet: &Wallet) {
        if let Some(site) = self.sites.get(&wallet.mint_url) {
            site.keys.forget();
        }
    }

    async fn quote_melt(
        &self,
        wallet: &Wallet,
        invoice: &str,
        amount_msat: Option<u64>,
    ) -> Result<MeltQuote, Trouble> {
        let request = Request::new(self, wallet)?;
        request.quote_melt(invoice, amount_msat).await
    }

    async fn melt_quote(
        &self,
        wallet: &Wallet,
        quote_id: &str,
        blanks: Option<&Range>,
    ) -> Result<MeltWord, Trouble> {
        let request = Request::new(self, wallet)?;
        request.melt_quote(quote_id, blanks).await
    }

    async fn check_state(&self, wallet: &Wallet, ys: &[Y]) -> Result<Vec<MintState>, Trouble> {
        Request::new(self, wallet)?.check_state(ys).await
    }

    async fn melt(
        &self,
        wallet: &Wallet,
        quote_id: &str,
        inputs: &[(Coin, Signature)],
        blanks: Option<&Range>,
    ) -> Result<MeltWord, Trouble> {
        let request = Request::new(self, wallet)?;
        request.melt(quote_id, inputs, blanks).await
    }

    async fn swap(
        &self,
        wallet: &Wallet,
        inputs: &SwapInputs,
        outputs: &Outputs,
    ) -> Result<Vec<SignedCoin>, Trouble> {
        let request = Request::new(self, wallet)?;
        request.swap(inputs, outputs).await
    }

    async fn restore(&self, wallet: &Wallet, range: &Range) -> Result<Change, Trouble> {
        Request::new(self, wallet)?.restore(range).await
    }

    async fn quote_mint(
        &self,
        wallet: &Wallet,
        saga: &SagaId,
        amount: Amount,
    ) -> Result<MintQuote, Trouble> {
        let request = Request::new(self, wallet)?;
        request.quote_mint(saga, amount).await
    }

    async fn mint_quote(&self, wallet: &Wallet, quote_id: &str) -> Result<QuoteState, Trouble> {
        let request = Request::new(self, wallet)?;
        request.mint_quote(quote_id).await
    }

    async fn mint(
        &self,
        wallet: &Wallet,
        saga: &SagaId,
        quote_id: &str,
        outputs: &Outputs,
    ) -> Result<Vec<SignedCoin>, Trouble> {
        let request = Request::new(self, wallet)?;
        request.mint(saga, quote_id, outputs).await
    }

    async fn open_token(&self, token: &str, saga: &SagaId) -> Result<OpenedToken, (Code, String)> {
        requests::open_token(self, token, saga).await
    }
}
