//! Asking the mint everything it can tell, in the order that makes the answers mean something.

use super::{Answer, nonsense, wallet_of};
use crate::driver::Driver;
use crate::ports::{Clock, Mint, Store, Wallet};
use crate::saga::command::Kind;
use crate::saga::ids::{Amount, Outputs, Range, SignedCoin};
use crate::saga::state::{Saga, State};
use crate::saga::step::{
    Change, Evidence, Inquiry, MeltWord, MintState, has_coins_at_mint, inquiry,
};

impl<S: Store, M: Mint, C: Clock> Driver<S, M, C> {
    /// Asks everything that recovery would ask about this saga now; `None` if there is nothing of
    /// it at the mint.
    pub async fn look(&self, saga: &Saga) -> Option<(Inquiry, Evidence)> {
        if !has_coins_at_mint(saga) {
            return None;
        }
        let inquiry = inquiry(saga);
        let evidence = self.inquire(saga, &wallet_of(saga), &inquiry).await;
        Some((inquiry, evidence))
    }

    /// States first, because they never block; then the quote, because a mint may settle only when
    /// asked; then NUT-09, for what was signed and never arrived.
    pub(super) async fn inquire(
        &self,
        saga: &Saga,
        wallet: &Wallet,
        inquiry: &Inquiry,
    ) -> Evidence {
        let states = match inquiry.ys.as_slice() {
            [] => Ok(Vec::new()),
            ys => self.mint.check_state(wallet, ys).await,
        };
        let quote =
            match &inquiry.quote {
                None => None,
                Some((Kind::Mint, id)) => Some(self.mint.mint_quote(wallet, id).await.map(
                    |state| MeltWord {
                        state,
                        preimage: None,
                        change: None,
                    },
                )),
                Some((Kind::Melt | Kind::Receive | Kind::Reconcile, id)) => Some(
                    self.mint
                        .melt_quote(wallet, id, inquiry.blanks.as_ref())
                        .await,
                ),
            };
        let mut restored = Vec::new();
        for outputs in &inquiry.outputs {
            restored.push(self.restore(wallet, outputs).await);
        }
        let told = quote
            .as_ref()
            .and_then(|q| q.as_ref().ok())
            .and_then(|w| w.change.clone());
        let spent = |s: &Vec<MintState>| s.iter().all(|state| *state == MintState::Spent);
        let settled = matches!(saga.state, State::Owing | State::Paid);
        let change = match &inquiry.blanks {
            Some(blanks) if settled || states.as_ref().is_ok_and(spent) => {
                self.change(saga, wallet, blanks, told).await
            }
            _ => told,
        };
        Evidence {
            states,
            quote,
            change,
            restored,
        }
    }

    /// All change that can be found: what the quote told, and NUT-09 where that is not complete.
    async fn change(
        &self,
        saga: &Saga,
        wallet: &Wallet,
        blanks: &Range,
        told: Option<Change>,
    ) -> Option<Change> {
        let guaranteed = saga.sent.as_ref().map_or(0, |s| s.guaranteed_change);
        let got: Amount = told
            .iter()
            .flat_map(|c| &c.coins)
            .map(|c| c.coin.amount)
            .sum();
        if told
            .as_ref()
            .is_some_and(|c| c.bad == 0 && !c.coins.is_empty() && got >= guaranteed)
        {
            return told;
        }
        let Ok(found) = self.mint.restore(wallet, blanks).await else {
            return told;
        };
        let mut all = told.unwrap_or_default();
        all.bad = all.bad.max(found.bad);
        for coin in found.coins {
            if !all.coins.iter().any(|have| have.coin.y == coin.coin.y) {
                all.coins.push(coin);
            }
        }
        Some(all)
    }

    /// NUT-09 for outputs of known amounts: all of them, or none; anything else is no answer.
    async fn restore(&self, wallet: &Wallet, outputs: &Outputs) -> Answer<Vec<SignedCoin>> {
        let found = self.mint.restore(wallet, &outputs.range()).await?;
        let mut coins = found.coins;
        coins.sort_by_key(|c| c.coin.counter);
        let as_asked = coins.len() == outputs.amounts.len()
            && coins
                .iter()
                .zip(&outputs.amounts)
                .all(|(c, amount)| c.coin.amount == *amount);
        if found.bad == 0 && (coins.is_empty() || as_asked) {
            return Ok(coins);
        }
        Err(nonsense(
            "the mint returned other signatures than were asked for",
        ))
    }
}
