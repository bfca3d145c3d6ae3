//! Mintings: quote, state, and the coins (NUT-04, NUT-20, NUT-23); and what a mint supports
//! (NUT-06).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ::cdk::nuts::{MintQuoteBolt11Request, MintRequest};
use serde_json::Value;
use tokio::time::Instant;

use super::answers::{MintAnswer, Signed};
use super::errors;
use super::melts::moment;
use super::outputs;
use super::requests::{Request, quote_id};
use super::signatures;
use crate::ports::About;
use crate::saga::event::Refusal;
use crate::saga::ids::{Amount, Outputs, SagaId, SignedCoin};
use crate::saga::step::{MintQuote, QuoteState, Trouble};

/// The mint's code for a signature that it does not accept.
const BAD_QUOTE_SIGNATURE: u32 = 20_008;
/// A mint is updated rarely, and is asked again after this long.
const FEATURES_TTL: Duration = Duration::from_secs(3600);

/// The NUTs that meltd asks mints for, beside those that every mint has.
const ASKED_FOR: [u32; 6] = [4, 5, 7, 8, 9, 20];

/// What a mint says that it supports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// It gives change of melts (NUT-08).
    pub change: bool,
    /// It restores signatures (NUT-09).
    pub restore: bool,
    /// It locks mint quotes to keys (NUT-20).
    pub locked_quotes: bool,
}

/// What a mint has said, and when.
#[derive(Debug, Default)]
pub(super) struct FeatureCache(Mutex<Option<(Instant, Features)>>);

impl Request<'_> {
    /// The quote is always asked to be locked to a key of the saga's. A mint without NUT-20 does
    /// not read the key; one with it repeats the key in its answer, and only then is it locked.
    pub(super) async fn quote_mint(
        &self,
        saga: &SagaId,
        amount: Amount,
    ) -> Result<MintQuote, Trouble> {
        let key = self.mint.keychain.quote_key(saga);
        let pubkey = key.map(|key| key.public_key());
        let body = MintQuoteBolt11Request {
            amount: amount.into(),
            unit: self.unit.clone(),
            description: None,
            pubkey,
        };
        let path = ["v1", "mint", "quote", "bolt11"];
        let wire = &self.site.wire;
        let answer: MintAnswer = wire.post(&path, &body, self.timeouts().ask).await?;
        let echo = answer.pubkey.as_ref().map(|text| text.to_lowercase());
        Ok(MintQuote {
            id: quote_id(answer.quote)?,
            invoice: answer.request,
            amount: answer.amount,
            unit: answer.unit,
            expires_at: moment(answer.expiry),
            locked: pubkey.is_some() && echo == pubkey.map(|key| key.to_hex()),
        })
    }

    pub(super) async fn mint_quote(&self, quote_id: &str) -> Result<QuoteState, Trouble> {
        let path = ["v1", "mint", "quote", "bolt11", quote_id];
        let wire = &self.site.wire;
        let answer: MintAnswer = wire.get(&path, self.timeouts().ask).await?;
        if answer.quote != quote_id {
            return Err(errors::nonsense("the mint answered about another quote"));
        }
        Ok(answer.state())
    }

    /// Signed with the saga's key, whether the quote is locked or not: a mint looks at the
    /// signature only if it is. Older mints expect another text to be signed; they
    /// refuse ours without doing anything, and the request is made once more for them. This is the
    /// only call that ever makes two requests.
    pub(super) async fn mint(
        &self,
        saga: &SagaId,
        quote_id: &str,
        wanted: &Outputs,
    ) -> Result<Vec<SignedCoin>, Trouble> {
        let outputs = outputs::outputs(&self.seed(), wanted)?;
        let keyring = self.keyring(&wanted.keyset).await?;
        let mut body = MintRequest {
            quote: quote_id.to_owned(),
            outputs: outputs::messages(&outputs),
            signature: None,
        };
        let key = self.mint.keychain.quote_key(saga);
        let unsigned = |_| errors::damaged("the request cannot be signed");
        if let Some(key) = &key {
            body.sign(key).map_err(unsigned)?;
        }
        let path = ["v1", "mint", "bolt11"];
        let (wire, limit) = (&self.site.wire, self.timeouts().sign);
        let answer: Result<Signed, Trouble> = wire.post(&path, &body, limit).await;
        let answer = match (answer, key) {
            (Err(trouble), Some(key)) if is_bad_signature(&trouble) => {
                body.sign_legacy(key).map_err(unsigned)?;
                wire.post(&path, &body, limit).await?
            }
            (answer, _) => answer?,
        };
        signatures::all_signed(&outputs, &answer.signatures, &keyring)
    }

    pub(super) async fn about(&self) -> Result<About, Trouble> {
        let info: Value = self.info().await?;
        let version = info.get("version").and_then(Value::as_str);
        let nuts = ASKED_FOR.into_iter().filter(|nut| {
            let says = |field| info.pointer(&format!("/nuts/{nut}/{field}"));
            let is_on = says("supported").and_then(Value::as_bool);
            // NUT-04 and NUT-05 have no "supported", but may be disabled.
            is_on.unwrap_or(says("disabled").and_then(Value::as_bool) == Some(false))
        });
        Ok(About {
            version: errors::clean(version.unwrap_or_default()),
            nuts: nuts.collect(),
        })
    }

    async fn info(&self) -> Result<Value, Trouble> {
        let path = ["v1", "info"];
        self.site.wire.get(&path, self.timeouts().ask).await
    }

    pub(super) async fn features(&self) -> Result<Features, Trouble> {
        let cache = &self.site.features.0;
        let known = *cache.lock().unwrap_or_else(PoisonError::into_inner);
        match known {
            Some((at, features)) if at.elapsed() < FEATURES_TTL => return Ok(features),
            _ => {}
        }
        let info = self.info().await?;
        let supports = |nut: &str| {
            let says = info.pointer(&format!("/nuts/{nut}/supported"));
            says.and_then(Value::as_bool).unwrap_or(false)
        };
        let features = Features {
            change: supports("8"),
            restore: supports("9"),
            locked_quotes: supports("20"),
        };
        *cache.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), features));
        Ok(features)
    }
}

fn is_bad_signature(trouble: &Trouble) -> bool {
    let code = Some(BAD_QUOTE_SIGNATURE);
    matches!(trouble, Trouble::Refused(Refusal { mint_code, .. }) if *mint_code == code)
}
