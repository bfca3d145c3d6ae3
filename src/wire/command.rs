//! What a producer sends: pay this invoice.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::saga::code::Code;
use crate::saga::command::Policy;
use crate::saga::ids::Amount;

/// The largest command, in bytes of JSON: an invoice has some hundreds, rarely some thousands.
pub const COMMAND_BYTES: usize = 16 * 1024;

const NPUB: usize = 128;
const INVOICE: usize = 8192;
const NAME: usize = 200;
const URL: usize = 512;
const TIMEOUT_S: u32 = 86_400;

/// The version of a shape on the bus: the number 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Version;

/// By hand: a derived schema would know the type of the number and not its value.
impl JsonSchema for Version {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Version".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "const": 1 })
    }
}

impl TryFrom<u32> for Version {
    type Error = &'static str;

    fn try_from(number: u32) -> Result<Self, Self::Error> {
        match number {
            1 => Ok(Version),
            _ => Err("the version must be 1"),
        }
    }
}

impl From<Version> for u32 {
    fn from(_: Version) -> u32 {
        1
    }
}

/// Pay a Lightning invoice out of a wallet's ecash. The body of a message on
/// `melt.cmd.<producer>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MeltSubmit {
    /// The version of this shape: 1.
    pub version: Version,
    /// Whose coins pay: the owner as a Nostr public key, `npub1…`.
    #[schemars(length(max = 128))]
    pub npub: String,
    /// The BOLT11 invoice to pay.
    #[schemars(length(max = 8192))]
    pub invoice: String,
    /// The producer's id of this command, unique among its own for ever: the same id with the same
    /// parameters gets the same answer, with others it is refused. Without it the message's
    /// `Nats-Msg-Id` is the id; without that, equal parameters within five minutes are one command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub command_id: Option<String>,
    /// The debt that this pays: while a payment for it is live or done, a second invoice for it is
    /// refused with `INTENT_IN_USE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub intent_key: Option<String>,
    /// How much to pay, in the wallet's unit, if the invoice names no amount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub amount: Option<Amount>,
    /// The largest Lightning fee reserve to accept, in the wallet's unit; without it the mint's,
    /// under the producer's own limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fee_limit: Option<Amount>,
    /// One of the configured mints; without it the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub mint_url: Option<String>,
    /// What to do when a chosen coin turns out to be spent at the mint.
    #[serde(default)]
    pub policy: Policy,
    /// How many seconds from its adoption new attempts may be started; then the payment is finished
    /// or made impossible. Without it 60.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub timeout_s: Option<u32>,
}

impl MeltSubmit {
    /// Reads a command.
    ///
    /// # Errors
    /// [`Code::CommandTooLarge`] or [`Code::CommandInvalid`] with a sentence that repeats nothing
    /// of the body: it goes into a header and into logs.
    pub fn read(body: &str) -> Result<Self, (Code, String)> {
        if body.len() > COMMAND_BYTES {
            let seen = format!("{} bytes, of {COMMAND_BYTES} at most", body.len());
            return Err((Code::CommandTooLarge, seen));
        }
        let command: MeltSubmit = serde_json::from_str(body).map_err(|error| invalid(&error))?;
        command.check().map_err(|why| (Code::CommandInvalid, why))?;
        Ok(command)
    }

    /// For how long attempts may be started.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_s.unwrap_or(60).into())
    }

    fn check(&self) -> Result<(), String> {
        let texts = [
            ("npub", Some(&self.npub), NPUB),
            ("invoice", Some(&self.invoice), INVOICE),
            ("command_id", self.command_id.as_ref(), NAME),
            ("intent_key", self.intent_key.as_ref(), NAME),
            ("mint_url", self.mint_url.as_ref(), URL),
        ];
        for (name, text, most) in texts {
            let Some(text) = text else { continue };
            if text.is_empty() || text.len() > most || text.chars().any(char::is_control) {
                return Err(format!(
                    "{name} must have 1 to {most} bytes and no control characters"
                ));
            }
        }
        match self.timeout_s {
            Some(0) => Err("timeout_s must be at least 1".to_owned()),
            Some(seconds) if seconds > TIMEOUT_S => {
                Err(format!("timeout_s must be at most {TIMEOUT_S}"))
            }
            _ => Ok(()),
        }
    }
}

/// Where the body breaks the shape, without its words: serde's own sentence repeats them.
fn invalid(error: &serde_json::Error) -> (Code, String) {
    let (line, column) = (error.line(), error.column());
    let missing = error
        .to_string()
        .strip_prefix("missing field `")
        .and_then(|rest| rest.split('`').next().map(str::to_owned));
    let why = match (missing, error.is_data()) {
        (Some(field), _) => format!("the field {field} is missing"),
        (None, true) => {
            format!("a field is unknown, given twice or of a wrong type at line {line}:{column}")
        }
        (None, false) => format!("the body is not JSON at line {line}:{column}"),
    };
    (Code::CommandInvalid, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = r#"{"version":1,"npub":"npub1x","invoice":"lnbc1secret"}"#;

    #[test]
    fn the_least_and_the_most_are_read() {
        let least = MeltSubmit::read(LEAST).unwrap();
        assert_eq!(least.policy, Policy::Block);
        assert_eq!(least.timeout(), Duration::from_secs(60));
        let text = serde_json::to_string(&least).unwrap();
        assert_eq!(MeltSubmit::read(&text).unwrap(), least);
        let most = r#"{"version":1,"npub":"npub1x","invoice":"lnbc1","command_id":"a",
            "intent_key":"b","amount":3,"fee_limit":0,"mint_url":"https://m","policy":"reselect",
            "timeout_s":86400}"#;
        assert_eq!(MeltSubmit::read(most).unwrap().amount, Some(3));
    }

    /// Guards that a slip is refused, and that the sentence repeats nothing of the body.
    #[test]
    fn everything_else_is_refused_without_its_words() {
        let least = |from: &str, to: &str| LEAST.replace(from, to);
        let more = |field: &str| LEAST.replace('}', &format!(",{field}}}"));
        let bodies = [
            String::new(),
            "lnbc1secret".to_owned(),
            "[]".to_owned(),
            r#"{"npub":"npub1x","invoice":"lnbc1secret"}"#.to_owned(),
            least("1,", "2,"),
            least(":1", ":\"lnbc1secret\""),
            least("npub\"", "lnbc1secret\""),
            least("lnbc1secret", &"secret".repeat(1500)),
            more(r#""lnbc1secret":1"#),
            more(r#""npub":"lnbc1secret""#),
            more(r#""amount":-1"#),
            more(r#""amount":1.5"#),
            more(r#""command_id":"""#),
            more(r#""command_id":"a\nlnbc1secret""#),
            more(r#""timeout_s":0"#),
            more(r#""timeout_s":86401"#),
            more(r#""policy":"lnbc1secret""#),
        ];
        for body in bodies {
            let (code, why) = MeltSubmit::read(&body).unwrap_err();
            assert_eq!(code, Code::CommandInvalid, "{body}");
            assert!(!why.contains("secret"), "{why}");
        }
        let huge = " ".repeat(COMMAND_BYTES + 1);
        let (code, _) = MeltSubmit::read(&huge).unwrap_err();
        assert_eq!(code, Code::CommandTooLarge);
    }
}
