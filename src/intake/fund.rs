//! Funding a wallet: from a mint quote, or from a token of somebody else's.

use serde_json::json;

use super::{Origin, Refused, Submitted, Target, Valid, new_id, time_delta};
use crate::driver::Driver;
use crate::npub;
use crate::ports::{Clock, Mint, Store};
use crate::saga::chain::Hash;
use crate::saga::code::Code;
use crate::saga::command::{Command, MintCommand, ReceiveCommand};
use crate::saga::ids::Amount;

impl<S: Store, M: Mint, C: Clock> Driver<S, M, C> {
    /// Adopts a funding request.
    ///
    /// # Errors
    /// [`Refused`]; nothing was stored.
    pub async fn submit_mint(
        &self,
        origin: &Origin,
        target: &Target,
        amount: Amount,
    ) -> Result<Submitted, Refused> {
        if amount == 0 || i64::try_from(amount).is_err() {
            return Err(Refused::new(Code::AmountInvalid, ""));
        }
        let wallet = self.wallet(target).await?;
        let digest = json!({ "kind": "mint", "wallet": wallet.id, "amount": amount });
        let deadline = self.clock.now() + time_delta(origin.timeout);
        let command = Command::Mint(MintCommand { amount, deadline });
        self.adopt(
            origin,
            Valid {
                id: new_id(),
                wallet,
                command,
                digest,
            },
        )
        .await
    }

    /// Adopts a token. The same token again is the same command, whoever sends it with whatever
    /// spelling: its id is the digest of its Ys.
    ///
    /// # Errors
    /// [`Refused`]; nothing was stored.
    pub async fn submit_token(
        &self,
        origin: &Origin,
        target: &Target,
        token: &str,
    ) -> Result<Submitted, Refused> {
        let npub = npub::check(&target.npub).map_err(|why| Refused::new(Code::InvalidNpub, why))?;
        let id = new_id();
        let opened = self.mint.open_token(token.trim(), &id).await;
        let opened = opened.map_err(|(code, why)| Refused::new(code, why))?;
        if opened.unit != target.unit {
            let seen = format!(
                "the token is in {}, the wallet in {}",
                opened.unit, target.unit
            );
            return Err(Refused::new(Code::TokenForeign, seen));
        }
        let wanted = self.canonical(target.mint_url.as_deref())?;
        if target.mint_url.is_some() && wanted != opened.mint_url {
            let seen = format!("the token is of the mint {}", opened.mint_url);
            return Err(Refused::new(Code::TokenForeign, seen));
        }
        if opened.amount <= opened.input_fee {
            return Err(Refused::new(Code::TokenTooSmall, ""));
        }
        let target = Target {
            npub,
            mint_url: Some(opened.mint_url),
            unit: opened.unit,
        };
        let wallet = self.wallet(&target).await?;
        let mut ys: Vec<&str> = opened.ys.iter().map(|y| y.as_str()).collect();
        ys.sort_unstable();
        let digest = json!({ "kind": "receive", "wallet": wallet.id, "ys": ys });
        let command_id = origin.command_id.clone().unwrap_or_else(|| {
            let name = Hash::of(digest.to_string().as_bytes()).to_hex();
            format!("token:{name}")
        });
        let origin = Origin {
            command_id: Some(command_id),
            ..origin.clone()
        };
        let command = Command::Receive(ReceiveCommand {
            ys: opened.ys,
            amount: opened.amount,
            input_fee: opened.input_fee,
            sealed: Some(opened.sealed),
            deadline: self.clock.now() + time_delta(origin.timeout),
        });
        self.adopt(
            &origin,
            Valid {
                id,
                wallet,
                command,
                digest,
            },
        )
        .await
    }
}
