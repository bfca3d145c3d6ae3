//! The check of the mint's melt quote, before anything is reserved.

use chrono::{DateTime, Utc};

use super::code::Code;
use super::command::MeltCommand;
use super::event::QuoteCreated;
use super::step::{MeltQuote, QuoteState};

/// Accepts a quote that is for what was asked: our invoice, our unit, the invoice's amount, a fee
/// reserve under the caller's limit, UNPAID and not expired.
///
/// # Errors
/// The code and a sentence with the figures.
pub fn check(
    command: &MeltCommand,
    unit: &str,
    quote: &MeltQuote,
    now: DateTime<Utc>,
) -> Result<QuoteCreated, (Code, String)> {
    let mismatch = |what: String| Err((Code::QuoteMismatch, what));
    if quote
        .invoice
        .as_ref()
        .is_some_and(|i| !i.eq_ignore_ascii_case(&command.invoice))
    {
        return mismatch("the mint quoted another invoice than the one asked for".to_owned());
    }
    if quote.unit.as_ref().is_some_and(|u| u != unit) {
        return mismatch(format!("the mint quoted in another unit than {unit}"));
    }
    if quote.amount != command.amount() {
        let asked = command.amount();
        return mismatch(format!(
            "the mint quoted {} for an invoice of {asked} {unit}",
            quote.amount
        ));
    }
    if quote.state != QuoteState::Unpaid {
        return mismatch("the mint's fresh quote is not unpaid".to_owned());
    }
    if let Some(limit) = command.fee_limit.filter(|limit| quote.fee_reserve > *limit) {
        let reserve = quote.fee_reserve;
        let text = format!("the fee reserve is {reserve} {unit}, over the limit of {limit} {unit}");
        return Err((Code::FeeOverLimit, text));
    }
    if quote.expires_at <= now {
        return Err((
            Code::QuoteExpired,
            "the mint's quote had already expired".to_owned(),
        ));
    }
    Ok(QuoteCreated {
        amount: quote.amount,
        fee_reserve: quote.fee_reserve,
        expires_at: quote.expires_at,
    })
}
