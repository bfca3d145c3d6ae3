//! The mint port over the books, each call through the gate of its process's life.

use std::sync::{Arc, Mutex};

use meltd::ports::{About, Clock, Invoice, Keyset, Mint, OpenedToken, SwapInputs, Wallet};
use meltd::saga::code::Code;
use meltd::saga::ids::{Amount, Coin, KeysetId, Outputs, Range, SagaId, Signature, SignedCoin, Y};
use meltd::saga::step::{Change, MeltQuote, MeltWord, MintQuote, MintState, QuoteState, Trouble};

use super::books::{Books, FEE_PPK, KEYSET, Quote, RESERVE, Request, Wire, signed_coin, silence};
use super::world::{Life, SimClock};

pub struct SimMint {
    pub books: Arc<Mutex<Books>>,
    pub life: Life,
    pub clock: SimClock,
}

impl SimMint {
    async fn call<T>(&self, name: &'static str, act: impl FnOnce(&mut Books) -> T) -> T {
        self.life
            .call(|| {
                let mut books = self.books.lock().unwrap();
                books.tick(name);
                act(&mut books)
            })
            .await
    }
}

impl Mint for SimMint {
    fn canonical(&self, _: Option<&str>) -> Option<String> {
        Some("http://mint".to_owned())
    }

    fn urls(&self) -> Vec<String> {
        vec!["http://mint".to_owned()]
    }

    fn read_invoice(&self, _: &str) -> Result<Invoice, String> {
        Err("not here".to_owned())
    }

    async fn keysets(&self, _: &Wallet) -> Result<Vec<Keyset>, Trouble> {
        Ok(vec![Keyset {
            id: KeysetId::new(KEYSET),
            active: true,
            fee_ppk: FEE_PPK,
            amounts: (0..32).map(|i| 1 << i).collect(),
        }])
    }

    async fn returns_change(&self, _: &Wallet) -> bool {
        true
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
        _: &Wallet,
        invoice: &str,
        _: Option<u64>,
    ) -> Result<MeltQuote, Trouble> {
        let now = self.clock.now();
        self.call("quote", |books| {
            let id = format!("q{}", books.quotes.len());
            let amount: Amount = invoice.parse().unwrap();
            let quote = Quote {
                amount,
                state: QuoteState::Unpaid,
                inputs: Vec::new(),
                blanks: None,
                asked: 0,
                asked_since_paid: 0,
                change: Vec::new(),
            };
            books.quotes.insert(id.clone(), quote);
            Ok(MeltQuote {
                id,
                invoice: None,
                unit: None,
                amount,
                fee_reserve: RESERVE,
                state: QuoteState::Unpaid,
                expires_at: now + chrono::TimeDelta::hours(1),
            })
        })
        .await
    }

    async fn melt_quote(
        &self,
        _: &Wallet,
        id: &str,
        _: Option<&Range>,
    ) -> Result<MeltWord, Trouble> {
        self.call("ask_quote", |books| books.ask_quote(id)).await
    }

    async fn check_state(&self, _: &Wallet, ys: &[Y]) -> Result<Vec<MintState>, Trouble> {
        self.call("check_state", |books| {
            let after_post = books.melts > 0;
            if after_post && books.is_deaf() {
                return silence();
            }
            let state = |y: &Y| match (books.spent.contains(y), books.pending.contains(y)) {
                (true, _) => MintState::Spent,
                (_, true) => MintState::Pending,
                _ => MintState::Unspent,
            };
            Ok(ys.iter().map(state).collect())
        })
        .await
    }

    async fn melt(
        &self,
        _: &Wallet,
        id: &str,
        inputs: &[(Coin, Signature)],
        blanks: Option<&Range>,
    ) -> Result<MeltWord, Trouble> {
        let inputs = inputs.iter().map(|(coin, _)| coin.clone()).collect();
        self.call("melt", |books| {
            books.melts += 1;
            // Only the first post meets the weather: the question is what follows from it.
            let wire = if books.melts == 1 {
                books.script.melt
            } else {
                Wire::Clean
            };
            let word = books.wire(wire, Request::Melt(id.to_owned(), inputs, blanks.cloned()))?;
            Ok(word.unwrap())
        })
        .await
    }

    async fn swap(
        &self,
        _: &Wallet,
        inputs: &SwapInputs,
        outputs: &Outputs,
    ) -> Result<Vec<SignedCoin>, Trouble> {
        let SwapInputs::Coins(inputs) = inputs else {
            panic!("no tokens here")
        };
        let inputs = inputs.iter().map(|(coin, _)| coin.clone()).collect();
        self.call("swap", |books| {
            let first = !books.calls[..books.calls.len() - 1].contains(&"swap");
            let wire = if first {
                books.script.swap
            } else {
                Wire::Clean
            };
            books.wire(wire, Request::Swap(inputs, outputs.clone()))?;
            let counters = outputs.start..;
            Ok(counters
                .zip(&outputs.amounts)
                .map(|(c, a)| signed_coin(c, *a))
                .collect())
        })
        .await
    }

    async fn restore(&self, _: &Wallet, range: &Range) -> Result<Change, Trouble> {
        self.call("restore", |books| books.restore(range)).await
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
