//! What a mint's silence, refusal or nonsense means, as a [`Trouble`], and the cleaning of every
//! text that came from a mint.
//!
//! cdk's own client is not used for this: its error type keeps neither the mint's words nor all of
//! the codes (11004 becomes 11002), so the status and the body are read here, as they came.
//!
//! | what came | trouble |
//! |---|---|
//! | a 4xx with `{code, detail}` and a code of NUT-00's list (10000 to 39999) | `Refused` |
//! | any other 4xx with a detail that says that a quote is not known | `Refused` |
//! | status 429, whatever the body | `Unknown`, [`Code::MintRateLimited`] |
//! | nothing within the time | `Unknown`, [`Code::MintSlow`] |
//! | no connection, or a broken one | `Unknown`, [`Code::MintUnreachable`] |
//! | 5xx, 408, 425, 3xx, 404, 405, 410; codes outside of the list (50000) | the same |
//! | any other status, an unreadable or wrong body | `Unknown`, [`Code::MintNonsense`] |
//!
//! "Unknown quote" has no code of its own: cdk sends 50000, which otherwise is an internal error of
//! the mint, and other mints send no code or 0. It is told by its words, because a quote that the
//! mint does not know is an answer, and asking again would never end.

#[cfg(test)]
mod tests;

use std::time::Duration;

use ::cdk::http_client::HttpError;
use serde_json::Value;

use crate::saga::code::Code;
use crate::saga::event::Refusal;
use crate::saga::step::Trouble;

/// The codes that NUT-00's list gives to refusals, with room for new ones.
const REFUSALS: std::ops::RangeInclusive<u64> = 10_000..=39_999;
/// A mint's words are cut to this many characters.
const DETAIL_MAX: usize = 200;
/// A run of this many letters and digits may be a secret, a token, an invoice, a quote's id or a
/// key, and is taken out. The longest English word and a version 1 keyset id are shorter.
const RUN_MAX: usize = 32;
/// Tokens and payment requests begin with these, and are taken out however short they are.
const TOKENS: [&str; 5] = ["cashua", "cashub", "creqa", "creqb", "crawb"];
/// What stands in place of what was taken out.
const REMOVED: &str = "[removed]";

/// Nothing is known, for this reason.
pub(super) fn unknown(code: Code, detail: impl AsRef<str>) -> Trouble {
    Trouble::Unknown {
        code,
        detail: clean(detail.as_ref()),
    }
}

/// The answer breaks the protocol or contradicts the request.
pub(super) fn nonsense(detail: impl AsRef<str>) -> Trouble {
    unknown(Code::MintNonsense, detail)
}

/// A row does not fit the seed: nothing was sent.
pub(super) fn damaged(detail: impl AsRef<str>) -> Trouble {
    unknown(Code::SeedFileInvalid, detail)
}

/// Nothing came in time.
pub(super) fn slow(limit: Duration) -> Trouble {
    let limit = limit.as_secs_f32();
    unknown(
        Code::MintSlow,
        format!("the mint did not answer within {limit} s"),
    )
}

/// There was no answer at all.
pub(super) fn from_silence(error: &HttpError) -> Trouble {
    match error {
        HttpError::Timeout => unknown(Code::MintSlow, "the mint did not answer in time"),
        HttpError::Serialization(why) => nonsense(format!("the answer cannot be read: {why}")),
        HttpError::Status { status, .. } => nonsense(format!("the mint answered HTTP {status}")),
        HttpError::Connection(why)
        | HttpError::Proxy(why)
        | HttpError::Build(why)
        | HttpError::Other(why) => unknown(
            Code::MintUnreachable,
            format!("the mint cannot be reached: {why}"),
        ),
    }
}

/// There was an answer, with a status that is not a success.
pub(super) fn from_answer(status: u16, body: &[u8]) -> Trouble {
    if status == 429 {
        return unknown(Code::MintRateLimited, "the mint answered HTTP 429");
    }
    let (mint_code, words) = words_of(body);
    let plain = matches!(status, 400..=499) && !matches!(status, 408 | 425);
    let listed = mint_code.filter(|code| REFUSALS.contains(code));
    if plain && (listed.is_some() || names_unknown_quote(&words)) {
        return Trouble::Refused(Refusal {
            mint_code: mint_code
                .filter(|code| *code != 0)
                .and_then(|code| u32::try_from(code).ok()),
            detail: clean(&words),
        });
    }
    let code = match (status, mint_code) {
        (300..=399 | 404 | 405 | 408 | 410 | 425 | 500..=599, _) | (_, Some(_)) => {
            Code::MintUnreachable
        }
        (_, None) => Code::MintNonsense,
    };
    let with_code = mint_code.map_or_else(String::new, |code| format!(" with code {code}"));
    unknown(
        code,
        format!("the mint answered HTTP {status}{with_code}: {words}"),
    )
}

/// The code and the words of an error body (NUT-00); a body of another kind has neither.
fn words_of(body: &[u8]) -> (Option<u64>, String) {
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else {
        return (None, String::new());
    };
    let code = fields.get("code").and_then(Value::as_u64);
    let words = match fields.get("detail").or_else(|| fields.get("error")) {
        Some(Value::String(words)) => words.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    (code, words)
}

/// True if the mint says that it has no such quote.
fn names_unknown_quote(words: &str) -> bool {
    let words = words.to_lowercase();
    let missing = [
        "unknown",
        "not found",
        "not known",
        "does not exist",
        "no such",
    ];
    words.contains("quote") && missing.iter().any(|m| words.contains(m))
}

/// A text that came from a mint, made fit for events, logs and people: control characters become
/// spaces, anything that could be a secret, a token, an invoice or an id is taken out, and the rest
/// is cut to 200 characters.
pub(super) fn clean(text: &str) -> String {
    let spaced: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let words = spaced.split(' ').filter(|word| !word.is_empty());
    let kept: Vec<String> = words.map(clean_word).collect();
    kept.join(" ").chars().take(DETAIL_MAX).collect()
}

fn clean_word(word: &str) -> String {
    let lower = word.to_lowercase();
    if TOKENS.iter().any(|token| lower.contains(token)) {
        return REMOVED.to_owned();
    }
    let mut out = String::new();
    let mut run = String::new();
    for c in word.chars().map(Some).chain([None]) {
        match c {
            Some(c) if c.is_alphanumeric() || matches!(c, '-' | '_' | '+' | '/') => run.push(c),
            other => {
                let long = run.chars().count() >= RUN_MAX;
                out.push_str(if long { REMOVED } else { &run });
                run.clear();
                out.extend(other);
            }
        }
    }
    out
}
