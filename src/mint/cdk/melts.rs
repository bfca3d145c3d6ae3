//! Melts: quote, payment, and the mint's word on it (NUT-05, NUT-08, NUT-23).

use std::sync::Arc;

use ::cdk::nuts::{MeltOptions, MeltRequest};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::answers::{self, MeltAnswer};
use super::errors;
use super::keys::Keyring;
use super::outputs::{self, Output};
use super::requests::{Request, quote_id};
use super::signatures;
use crate::saga::code::Code;
use crate::saga::ids::{Coin, Range, Signature};
use crate::saga::step::{MeltQuote, MeltWord, Trouble};

/// Hex digits of a preimage.
const PREIMAGE_DIGITS: usize = 64;

/// The request of a melt quote. The invoice goes as the text that was checked, not parsed again.
#[derive(Serialize)]
struct MeltQuoteBody<'a> {
    request: &'a str,
    unit: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<MeltOptions>,
}

/// The blanks of a melt, and the keys of their keyset.
type Blanks = (Vec<Output>, Arc<Keyring>);

impl Request<'_> {
    pub(super) async fn quote_melt(
        &self,
        invoice: &str,
        amount_msat: Option<u64>,
    ) -> Result<MeltQuote, Trouble> {
        let body = MeltQuoteBody {
            request: invoice,
            unit: self.unit.to_string(),
            options: amount_msat.map(MeltOptions::new_amountless),
        };
        let path = ["v1", "melt", "quote", "bolt11"];
        let wire = &self.site.wire;
        let answer: MeltAnswer = wire.post(&path, &body, self.timeouts().ask).await?;
        let missing = || errors::nonsense("the mint's quote is not complete");
        Ok(MeltQuote {
            id: quote_id(answer.quote.ok_or_else(missing)?)?,
            invoice: answer.request,
            unit: answer.unit,
            amount: answer.amount.ok_or_else(missing)?,
            fee_reserve: answer.fee_reserve.ok_or_else(missing)?,
            state: answers::quote_state(&answer.state),
            expires_at: moment(answer.expiry).unwrap_or(DateTime::<Utc>::MAX_UTC),
        })
    }

    /// What cannot be known of the blanks' keys for good does not hide what the mint says about
    /// the payment: the change is then said not to have come, and is asked for again (NUT-09).
    pub(super) async fn melt_quote(
        &self,
        quote_id: &str,
        blanks: Option<&Range>,
    ) -> Result<MeltWord, Trouble> {
        let blanks = match self.blanks(blanks).await {
            Ok(blanks) => blanks,
            Err(
                trouble @ (Trouble::Refused(_)
                | Trouble::Unknown {
                    code: Code::MintNonsense,
                    ..
                }),
            ) => {
                let (_, why) = trouble.explain();
                tracing::warn!(why, "the keys of the change's keyset cannot be had");
                None
            }
            Err(trouble) => return Err(trouble),
        };
        let path = ["v1", "melt", "quote", "bolt11", quote_id];
        let answer = self.site.wire.get(&path, self.timeouts().pay).await?;
        word(quote_id, answer, blanks)
    }

    /// Posts the melt and waits for its outcome. Whatever goes wrong before it is sent is
    /// `Unknown`, because only the mint refuses.
    pub(super) async fn melt(
        &self,
        quote_id: &str,
        inputs: &[(Coin, Signature)],
        blanks: Option<&Range>,
    ) -> Result<MeltWord, Trouble> {
        let inputs = outputs::proofs(&self.seed(), inputs)?;
        let blanks = self.blanks(blanks).await.map_err(|trouble| match trouble {
            Trouble::Refused(refusal) => errors::nonsense(refusal.explain()),
            unknown @ Trouble::Unknown { .. } => unknown,
        })?;
        let messages = blanks.as_ref().map(|(b, _)| outputs::messages(b));
        let body = MeltRequest::new(quote_id.to_owned(), inputs, messages).prefer_async(false);
        let path = ["v1", "melt", "bolt11"];
        let wire = &self.site.wire;
        let answer = wire.post(&path, &body, self.timeouts().pay).await?;
        word(quote_id, answer, blanks)
    }

    async fn blanks(&self, range: Option<&Range>) -> Result<Option<Blanks>, Trouble> {
        let Some(range) = range.filter(|range| range.count > 0) else {
            return Ok(None);
        };
        let keyring = self.keyring(&range.keyset).await?;
        let blanks = outputs::blanks(&self.seed(), range)?;
        Ok(Some((blanks, keyring)))
    }
}

/// The mint's word. Signatures for blanks that were not given are of no use to anyone, and are left
/// out.
fn word(asked: &str, answer: MeltAnswer, blanks: Option<Blanks>) -> Result<MeltWord, Trouble> {
    if answer.quote.is_some_and(|id| id != asked) {
        return Err(errors::nonsense("the mint answered about another quote"));
    }
    let signatures = answer.change.unwrap_or_default();
    let change = blanks
        .filter(|_| !signatures.is_empty())
        .and_then(|(blanks, keyring)| signatures::change(&blanks, &signatures, &keyring));
    Ok(MeltWord {
        state: answers::quote_state(&answer.state),
        preimage: answer.payment_preimage.and_then(preimage),
        change,
    })
}

/// A preimage, in lower case; mints also send empty texts and words.
fn preimage(text: String) -> Option<String> {
    let digits = text.len() == PREIMAGE_DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit());
    digits.then(|| text.to_lowercase())
}

/// A Unix time; 0 and none both mean that there is no end.
pub(super) fn moment(seconds: Option<u64>) -> Option<DateTime<Utc>> {
    let seconds = seconds.filter(|s| *s > 0)?;
    let seconds = i64::try_from(seconds).ok()?;
    DateTime::from_timestamp(seconds, 0)
}
