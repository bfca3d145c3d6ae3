//! Two mints that cost next to nothing, so that recovery itself is measured: one that answers, with
//! its payments pending until they are let through, and one that never answers. Each call takes a
//! while, as over a network. Everything costs exactly what a coin is worth, so no change is due.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use meltd::ports::{About, Invoice, Keyset, Mint, OpenedToken, SwapInputs, Wallet};
use meltd::saga::chain::Hash;
use meltd::saga::code::Code;
use meltd::saga::ids::{Amount, Coin, KeysetId, Outputs, Range, SagaId, Signature, SignedCoin, Y};
use meltd::saga::step::{Change, MeltQuote, MeltWord, MintQuote, MintState, QuoteState, Trouble};

pub(super) const WELL: &str = "http://well";
pub(super) const DEAD: &str = "http://dead";
pub(super) const KEYSET: &str = "00aaaaaaaaaaaaaa";
/// A melt of 100 with a reserve of 5 takes one coin.
pub(super) const COIN: Amount = 105;

#[derive(Default)]
pub(super) struct Stub {
    /// Payments that were posted from now on stay pending.
    pub(super) holds: AtomicBool,
    /// Payments are let through: whoever asks finds them paid.
    pub(super) through: AtomicBool,
    /// One of the two mints answers no more. What is stuck there got stuck before it died.
    pub(super) died: AtomicBool,
    /// How long a call takes.
    pub(super) latency: Duration,
    /// Calls to the dead mint under way, and the most at once.
    pub(super) dead_now: AtomicUsize,
    pub(super) dead_most: AtomicUsize,
    pub(super) sent: Mutex<BTreeMap<Y, bool>>,
}

fn silence<T>() -> Result<T, Trouble> {
    Err(Trouble::Unknown {
        code: Code::MintUnreachable,
        detail: "no answer".to_owned(),
    })
}

impl Stub {
    async fn call(&self, wallet: &Wallet) -> Result<(), Trouble> {
        if wallet.mint_url == DEAD && self.died.load(Ordering::SeqCst) {
            let now = self.dead_now.fetch_add(1, Ordering::SeqCst) + 1;
            self.dead_most.fetch_max(now, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(200)).await;
            self.dead_now.fetch_sub(1, Ordering::SeqCst);
            return silence();
        }
        tokio::time::sleep(self.latency).await;
        Ok(())
    }

    fn word(&self) -> MeltWord {
        let state = match self.through.load(Ordering::SeqCst) {
            true => QuoteState::Paid,
            false => QuoteState::Pending,
        };
        MeltWord {
            state,
            preimage: None,
            change: None,
        }
    }
}

impl Mint for Stub {
    fn canonical(&self, mint_url: Option<&str>) -> Option<String> {
        Some(mint_url.unwrap_or(WELL).to_owned())
    }

    fn urls(&self) -> Vec<String> {
        vec![WELL.to_owned(), DEAD.to_owned()]
    }

    fn read_invoice(&self, invoice: &str) -> Result<Invoice, String> {
        Ok(Invoice {
            payment_hash: Hash::of(invoice.as_bytes()).to_hex(),
            amount_msat: Some(100_000),
            expires_at: Utc::now() + TimeDelta::hours(1),
        })
    }

    async fn keysets(&self, _: &Wallet) -> Result<Vec<Keyset>, Trouble> {
        Ok(vec![Keyset {
            id: KeysetId::new(KEYSET),
            active: true,
            fee_ppk: 0,
            amounts: vec![COIN],
        }])
    }

    async fn returns_change(&self, _: &Wallet) -> bool {
        false
    }

    async fn restores(&self, _: &Wallet) -> bool {
        true
    }

    async fn about(&self, _: &Wallet) -> Result<About, Trouble> {
        silence()
    }

    fn forget_keysets(&self, _: &Wallet) {}

    async fn quote_melt(
        &self,
        wallet: &Wallet,
        invoice: &str,
        _: Option<u64>,
    ) -> Result<MeltQuote, Trouble> {
        self.call(wallet).await?;
        Ok(MeltQuote {
            id: format!("q-{invoice}"),
            invoice: None,
            unit: None,
            amount: 100,
            fee_reserve: 5,
            state: QuoteState::Unpaid,
            expires_at: Utc::now() + TimeDelta::hours(1),
        })
    }

    async fn melt_quote(
        &self,
        wallet: &Wallet,
        _: &str,
        _: Option<&Range>,
    ) -> Result<MeltWord, Trouble> {
        self.call(wallet).await?;
        Ok(self.word())
    }

    async fn check_state(&self, wallet: &Wallet, ys: &[Y]) -> Result<Vec<MintState>, Trouble> {
        let known = |y: &Y| self.sent.lock().unwrap().get(y).copied();
        self.call(wallet).await?;
        let through = self.through.load(Ordering::SeqCst);
        let state = |y: &Y| match known(y) {
            None => MintState::Unspent,
            Some(true) if !through => MintState::Pending,
            Some(_) => MintState::Spent,
        };
        Ok(ys.iter().map(state).collect())
    }

    async fn melt(
        &self,
        wallet: &Wallet,
        _: &str,
        inputs: &[(Coin, Signature)],
        _: Option<&Range>,
    ) -> Result<MeltWord, Trouble> {
        let held = self.holds.load(Ordering::SeqCst);
        let ys = inputs.iter().map(|(coin, _)| (coin.y.clone(), held));
        self.sent.lock().unwrap().extend(ys);
        if held {
            return silence();
        }
        self.call(wallet).await?;
        Ok(MeltWord {
            state: QuoteState::Paid,
            ..self.word()
        })
    }

    async fn swap(
        &self,
        _: &Wallet,
        _: &SwapInputs,
        _: &Outputs,
    ) -> Result<Vec<SignedCoin>, Trouble> {
        silence()
    }

    async fn restore(&self, wallet: &Wallet, _: &Range) -> Result<Change, Trouble> {
        self.call(wallet).await?;
        Ok(Change::default())
    }

    async fn quote_mint(&self, _: &Wallet, _: &SagaId, _: Amount) -> Result<MintQuote, Trouble> {
        silence()
    }

    async fn mint_quote(&self, _: &Wallet, _: &str) -> Result<QuoteState, Trouble> {
        silence()
    }

    async fn mint(
        &self,
        _: &Wallet,
        _: &SagaId,
        _: &str,
        _: &Outputs,
    ) -> Result<Vec<SignedCoin>, Trouble> {
        silence()
    }

    async fn open_token(&self, _: &str, _: &SagaId) -> Result<OpenedToken, (Code, String)> {
        Err((Code::TokenInvalid, "not here".to_owned()))
    }
}
