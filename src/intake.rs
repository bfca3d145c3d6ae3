//! From a request to an adopted saga: validation, then the head insert that is also the inbox.
//! A refusal here leaves nothing behind. An adopted command survives any crash.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;

use crate::driver::Driver;
use crate::failpoint;
use crate::npub;
use crate::ports::{Adopted, Clock, Lease, Mint, NewSaga, Store, StoreError, Wallet};
use crate::saga::chain::Hash;
use crate::saga::code::Code;
use crate::saga::command::{Command, MeltCommand, MintCommand, Policy, ReceiveCommand};
use crate::saga::ids::{Amount, Producer, SagaId};

/// Whose wallet: the mint is the first configured one if none is named.
#[derive(Clone, Debug)]
pub struct Target {
    /// The owner, `npub1…`.
    pub npub: String,
    /// One of the configured mints.
    pub mint_url: Option<String>,
    /// The unit.
    pub unit: String,
}

/// Who asks, and under which names.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Scope of the two names below.
    pub producer: Producer,
    /// The caller's id of this command; without one a fresh one is made.
    pub command_id: Option<String>,
    /// The debt that this pays: a second invoice for it is refused while the first is live.
    pub intent_key: Option<String>,
    /// How long new attempts may be started.
    pub timeout: Duration,
}

/// A melt as a caller asks for it.
#[derive(Clone, Debug)]
pub struct MeltRequest {
    /// Whose coins.
    pub target: Target,
    /// The BOLT11 invoice.
    pub invoice: String,
    /// For an amountless invoice: how much to pay, in the wallet's unit.
    pub amount: Option<Amount>,
    /// The largest fee reserve accepted.
    pub fee_limit: Option<Amount>,
    /// What to do about coins that are spent at the mint.
    pub policy: Policy,
}

/// Why a request was refused, or could not be adopted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {reason}")]
pub struct Refused {
    /// The machine-readable reason.
    pub code: Code,
    /// A sentence that says what is wrong and what to do.
    pub reason: String,
}

impl Refused {
    /// A refusal whose sentence is what was seen, then the code's advice.
    pub fn new(code: Code, seen: impl AsRef<str>) -> Self {
        let seen = seen.as_ref().trim_end_matches('.');
        let reason = if seen.is_empty() {
            code.advice().to_owned()
        } else {
            format!("{seen}. {}", code.advice())
        };
        Refused { code, reason }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refuse(code) => Refused::new(code, ""),
            StoreError::Unusable(why) => match coded(&why) {
                // The store has named the reason and said what to do already.
                Some((code, why)) => {
                    let reason = why.to_owned();
                    Refused { code, reason }
                }
                None => Refused::new(Code::StoreUnusable, why),
            },
            StoreError::Unavailable(why) => Refused::new(Code::StoreUnreachable, why),
            other
            @ (StoreError::Reload | StoreError::ChooseAgain(_) | StoreError::YConflict(_)) => {
                Refused::new(Code::StoreUnreachable, other.to_string())
            }
        }
    }
}

/// The code that a store's sentence begins with, and the rest of it.
fn coded(why: &str) -> Option<(Code, &str)> {
    let (word, rest) = why.split_once(": ")?;
    let code = Code::ALL.iter().find(|code| code.as_str() == word)?;
    Some((*code, rest))
}

/// An adopted command: the lease is ours if the saga is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The saga.
    pub saga: SagaId,
    /// The right to drive it at once; `None` for a repeat of a known command.
    pub lease: Option<Lease>,
}

/// A command that passed validation, with the digest of its parameters.
struct Valid {
    id: SagaId,
    wallet: Wallet,
    command: Command,
    request_hash: String,
}

impl<S: Store, M: Mint, C: Clock> Driver<S, M, C> {
    /// Adopts a melt.
    ///
    /// # Errors
    /// [`Refused`]; nothing was stored.
    pub async fn submit_melt(
        &self,
        origin: &Origin,
        request: &MeltRequest,
    ) -> Result<Submitted, Refused> {
        let read = self.mint.read_invoice(request.invoice.trim());
        let invoice = read.map_err(|why| Refused::new(Code::InvalidInvoice, why))?;
        let now = self.clock.now();
        if invoice.expires_at <= now {
            let seen = format!("it expired at {}", invoice.expires_at.format("%F %T UTC"));
            return Err(Refused::new(Code::InvoiceExpired, seen));
        }
        let (amount_msat, amountless) = amount(invoice.amount_msat, request.amount)?;
        let command = MeltCommand {
            invoice: request.invoice.trim().to_lowercase(),
            payment_hash: invoice.payment_hash,
            amount_msat,
            amountless,
            invoice_expires_at: invoice.expires_at,
            fee_limit: request.fee_limit,
            policy: request.policy,
            deadline: now + time_delta(origin.timeout),
        };
        let wallet = self.wallet(&request.target).await?;
        let digest = json!({
            "kind": "melt",
            "wallet": wallet.id,
            "invoice": command.invoice,
            "amount_msat": command.amount_msat,
            "fee_limit": command.fee_limit,
            "policy": command.policy,
            "intent_key": origin.intent_key,
        });
        let request_hash = Hash::of(digest.to_string().as_bytes()).to_hex();
        let command = Command::Melt(command);
        self.adopt(
            origin,
            Valid {
                id: new_id(),
                wallet,
                command,
                request_hash,
            },
        )
        .await
    }

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
        let request_hash = Hash::of(digest.to_string().as_bytes()).to_hex();
        let deadline = self.clock.now() + time_delta(origin.timeout);
        let command = Command::Mint(MintCommand { amount, deadline });
        self.adopt(
            origin,
            Valid {
                id: new_id(),
                wallet,
                command,
                request_hash,
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
        let request_hash = Hash::of(digest.to_string().as_bytes()).to_hex();
        let command_id = origin
            .command_id
            .clone()
            .unwrap_or(format!("token:{request_hash}"));
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
                request_hash,
            },
        )
        .await
    }

    /// The wallet of a target, created on first sight.
    ///
    /// # Errors
    /// [`Refused`] for an npub, mint or store that cannot be used.
    pub async fn wallet(&self, target: &Target) -> Result<Wallet, Refused> {
        let npub = npub::check(&target.npub).map_err(|why| Refused::new(Code::InvalidNpub, why))?;
        let mint_url = self.canonical(target.mint_url.as_deref())?;
        if target.unit != "sat" {
            let seen = format!("the unit {} is not served here, only sat", target.unit);
            return Err(Refused::new(Code::UnitUnknown, seen));
        }
        Ok(self.store.wallet(&npub, &mint_url, &target.unit).await?)
    }

    fn canonical(&self, mint_url: Option<&str>) -> Result<String, Refused> {
        self.mint.canonical(mint_url).ok_or_else(|| {
            let seen = match mint_url {
                Some(url) => format!("the mint {url} is not configured"),
                None => "no mint is configured".to_owned(),
            };
            Refused::new(Code::MintUnknown, seen)
        })
    }

    async fn adopt(&self, origin: &Origin, valid: Valid) -> Result<Submitted, Refused> {
        let Valid {
            id,
            wallet,
            command,
            request_hash,
        } = valid;
        if self.is_known_behind(&wallet)
            && let Err(trouble) = self.check_counters(&wallet).await?
        {
            let (code, why) = trouble.explain();
            return Err(Refused::new(code, why));
        }
        let command_id = origin.command_id.clone().unwrap_or_else(|| id.to_string());
        let new = NewSaga {
            id: id.clone(),
            wallet,
            producer: origin.producer.clone(),
            command_id,
            intent_key: origin.intent_key.clone(),
            request_hash,
            command,
            reply_to: None,
        };
        let adopted = self
            .store
            .adopt(new, &self.owner, self.tuning.lease_ttl)
            .await?;
        failpoint::hit("adopt.after");
        Ok(match adopted {
            Adopted::New(lease) => Submitted {
                saga: id,
                lease: Some(lease),
            },
            Adopted::Existing(head) => Submitted {
                saga: head.new.id,
                lease: None,
            },
        })
    }
}

/// What the payee gets, in msat, and whether the caller chose it.
fn amount(invoice: Option<u64>, asked: Option<Amount>) -> Result<(u64, bool), Refused> {
    match (invoice, asked) {
        (Some(msat), _) if msat < 1000 => Err(Refused::new(Code::InvoiceSubSat, "")),
        (Some(msat), Some(asked)) if msat.div_ceil(1000) != asked => {
            let seen = format!(
                "the invoice asks for {} sat, not {asked}",
                msat.div_ceil(1000)
            );
            Err(Refused::new(Code::AmountMismatch, seen))
        }
        (Some(msat), _) => Ok((msat, false)),
        (None, None) => Err(Refused::new(Code::InvoiceAmountless, "")),
        (None, Some(asked)) => match asked.checked_mul(1000).filter(|msat| *msat > 0) {
            Some(msat) => Ok((msat, true)),
            None => Err(Refused::new(Code::AmountInvalid, "")),
        },
    }
}

fn time_delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::days(365))
}

fn new_id() -> SagaId {
    SagaId::new(uuid::Uuid::now_v7().to_string())
}
