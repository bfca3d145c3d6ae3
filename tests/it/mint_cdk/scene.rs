//! A mint, a front before it, and a wallet of the adapter's.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use meltd::mint::cdk::{CdkMint, Timeouts};
use meltd::mint::embedded::{EmbeddedMint, Settings};
use meltd::mint::keychain::Keychain;
use meltd::ports::{Keyset, Mint, Wallet};
use meltd::saga::code::Code;
use meltd::saga::ids::{Coin, Outputs, Range, SagaId, Signature, SignedCoin, WalletId, Y};
use meltd::saga::step::{QuoteState, Trouble};

use super::front::Front;

pub(crate) const SEED: [u8; 64] = [0x5e; 64];

/// Short enough for a test, and long enough for a busy machine.
pub(crate) fn timeouts() -> Timeouts {
    Timeouts {
        ask: Duration::from_secs(5),
        sign: Duration::from_secs(5),
        pay: Duration::from_secs(5),
    }
}

pub(crate) struct Scene {
    pub(crate) mint: EmbeddedMint,
    pub(crate) front: Front,
    pub(crate) adapter: CdkMint,
    pub(crate) wallet: Wallet,
    next: AtomicU32,
}

pub(crate) fn wallet(url: &str) -> Wallet {
    Wallet {
        id: WalletId::new("w1"),
        npub: "npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6".to_owned(),
        mint_url: url.to_owned(),
        unit: "sat".to_owned(),
    }
}

pub(crate) fn adapter(url: &str, timeouts: Timeouts) -> CdkMint {
    CdkMint::new(Keychain::from_seed(SEED), &[url.to_owned()], timeouts).unwrap()
}

pub(crate) fn saga() -> SagaId {
    SagaId::new("01920000-0000-7000-8000-000000000001")
}

pub(crate) fn inputs(coins: &[SignedCoin]) -> Vec<(Coin, Signature)> {
    let pairs = coins.iter().cloned();
    pairs.map(|c| (c.coin, c.signature)).collect()
}

pub(crate) fn ys(coins: &[SignedCoin]) -> Vec<Y> {
    coins.iter().map(|c| c.coin.y.clone()).collect()
}

pub(crate) fn total(coins: &[SignedCoin]) -> u64 {
    coins.iter().map(|c| c.coin.amount).sum()
}

/// The code of an answer that says nothing.
pub(crate) fn unknown<T: std::fmt::Debug>(answer: Result<T, Trouble>) -> Code {
    match answer {
        Err(Trouble::Unknown { code, .. }) => code,
        other => panic!("{other:?}"),
    }
}

/// The mint's code in a refusal.
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, Trouble>) -> Option<u32> {
    match answer {
        Err(Trouble::Refused(refusal)) => refusal.mint_code,
        other => panic!("{other:?}"),
    }
}

impl Scene {
    pub(crate) async fn new(fee_ppk: u64) -> Self {
        let settings = Settings {
            fee_ppk,
            ..Settings::default()
        };
        Self::with(EmbeddedMint::start(settings).await.unwrap()).await
    }

    pub(crate) async fn with(mint: EmbeddedMint) -> Self {
        let front = Front::before(&mint.url().to_string()).await;
        Self {
            adapter: adapter(&front.url, timeouts()),
            wallet: wallet(&front.url),
            mint,
            front,
            next: AtomicU32::new(0),
        }
    }

    /// Another adapter of the same wallet, which knows no keys yet.
    pub(crate) fn again(&self, timeouts: Timeouts) -> CdkMint {
        adapter(&self.front.url, timeouts)
    }

    pub(crate) async fn active(&self) -> Keyset {
        let keysets = self.adapter.keysets(&self.wallet).await.unwrap();
        keysets.into_iter().find(|k| k.active).unwrap()
    }

    pub(crate) async fn range(&self, count: u32) -> Range {
        Range {
            keyset: self.active().await.id,
            start: self.next.fetch_add(count, Ordering::SeqCst),
            count,
        }
    }

    pub(crate) async fn outputs(&self, amounts: &[u64]) -> Outputs {
        let range = self.range(u32::try_from(amounts.len()).unwrap()).await;
        Outputs {
            keyset: range.keyset,
            start: range.start,
            amounts: amounts.to_vec(),
        }
    }

    /// Coins of these amounts, by a mint quote.
    pub(crate) async fn fund(&self, amounts: &[u64]) -> Vec<SignedCoin> {
        let amount = amounts.iter().sum();
        let saga = SagaId::new(format!("fund-{}", self.next.load(Ordering::SeqCst)));
        let quote = self.adapter.quote_mint(&self.wallet, &saga, amount).await;
        let quote = quote.unwrap();
        assert!(quote.locked);
        self.until(&quote.id, QuoteState::Paid).await;
        let outputs = self.outputs(amounts).await;
        let coins = self.adapter.mint(&self.wallet, &saga, &quote.id, &outputs);
        coins.await.unwrap()
    }

    pub(crate) async fn until(&self, quote_id: &str, state: QuoteState) {
        for _ in 0..500 {
            if self.adapter.mint_quote(&self.wallet, quote_id).await == Ok(state) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the quote did not become {state:?}");
    }

    /// An invoice and the id of a melt quote for it.
    pub(crate) async fn quote(&self, sat: u64) -> (cdk::Bolt11Invoice, String) {
        let invoice = self.mint.lightning().create_invoice(sat * 1000, "tea");
        let invoice = invoice.unwrap();
        let quote = self
            .adapter
            .quote_melt(&self.wallet, &invoice.to_string(), None)
            .await
            .unwrap();
        assert_eq!(quote.invoice, Some(invoice.to_string()));
        assert_eq!((quote.amount, quote.unit.as_deref()), (sat, Some("sat")));
        (invoice, quote.id)
    }
}
