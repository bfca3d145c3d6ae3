//! Who may send commands, and what each of them may move: the file of `MELTD_PRODUCERS`.
//!
//! ```json
//! {
//!   "shop": { "wallets": ["npub1…"], "max_amount": 100000, "max_fee": 500 },
//!   "app":  { "wallets": "*", "max_unresolved": 2000000 }
//! }
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use crate::intake::{Caps, Scope};
use crate::npub;
use crate::ports::subject;
use crate::saga::ids::Amount;

/// Every producer, by the last part of its subject.
#[derive(Clone, Debug, Default)]
pub struct Producers(BTreeMap<String, Scope>);

/// A producer as the file has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    wallets: Wallets,
    max_amount: Option<Amount>,
    max_fee: Option<Amount>,
    max_unresolved: Option<Amount>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Wallets {
    Word(String),
    List(Vec<String>),
}

impl Producers {
    /// Reads the file.
    ///
    /// # Errors
    /// A sentence that says what is wrong, and where.
    pub fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|why| format!("the producers' file {shown} cannot be read: {why}"))?;
        Producers::parse(&text).map_err(|why| format!("the producers' file {shown}: {why}"))
    }

    /// Reads the file's text.
    ///
    /// # Errors
    /// A sentence that says what is wrong, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let entries: BTreeMap<String, Entry> =
            serde_json::from_str(text).map_err(|why| why.to_string())?;
        if entries.is_empty() {
            return Err("it names no producer, so no command could ever be taken".to_owned());
        }
        let scopes = entries.into_iter().map(|(name, entry)| {
            if !subject::is_token(&name) {
                return Err(format!(
                    "the name {name:?} must have 1 to 64 of the characters a-z A-Z 0-9 _ -"
                ));
            }
            let scope = scope(entry).map_err(|why| format!("{name}: {why}"))?;
            Ok((name, scope))
        });
        scopes.collect::<Result<_, _>>().map(Producers)
    }

    /// One producer's scope.
    pub fn get(&self, name: &str) -> Option<&Scope> {
        self.0.get(name)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

fn scope(entry: Entry) -> Result<Scope, String> {
    let wallets = match entry.wallets {
        Wallets::Word(word) if word == "*" => None,
        Wallets::Word(_) => return Err("wallets must be \"*\" or a list of npubs".to_owned()),
        Wallets::List(npubs) if npubs.is_empty() => {
            return Err("wallets is empty: list npubs, or write \"*\" for all".to_owned());
        }
        Wallets::List(npubs) => {
            let checked: Result<_, _> = npubs.iter().map(|text| npub::check(text)).collect();
            Some(Arc::new(checked?))
        }
    };
    if entry.max_amount == Some(0) || entry.max_unresolved == Some(0) {
        return Err("a limit of 0 allows nothing: leave the producer out instead".to_owned());
    }
    Ok(Scope {
        wallets,
        caps: Caps {
            melt_max: entry.max_amount,
            fee_max: entry.max_fee,
            unresolved_max: entry.max_unresolved,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6";

    #[test]
    fn a_scope_names_wallets_and_limits() {
        let text = format!(
            r#"{{"shop":{{"wallets":["{}"],"max_amount":5,"max_fee":0}},"app":{{"wallets":"*"}}}}"#,
            ALICE.to_uppercase()
        );
        let producers = Producers::parse(&text).unwrap();
        assert_eq!(producers.count(), 2);
        assert!(producers.get("nobody").is_none());
        let shop = producers.get("shop").unwrap();
        assert_eq!((shop.caps.melt_max, shop.caps.fee_max), (Some(5), Some(0)));
        let wallets = shop.wallets.as_ref().unwrap();
        assert!(wallets.contains(ALICE), "one spelling: {wallets:?}");
        assert!(producers.get("app").unwrap().wallets.is_none());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, why) in [
            ("", "EOF"),
            ("{}", "no producer"),
            (r#"{"a.b":{"wallets":"*"}}"#, "a.b"),
            (r#"{"a":{}}"#, "wallets"),
            (r#"{"a":{"wallets":"all"}}"#, "list of npubs"),
            (r#"{"a":{"wallets":[]}}"#, "empty"),
            (r#"{"a":{"wallets":["npub1"]}}"#, "npub"),
            (r#"{"a":{"wallets":"*","max":1}}"#, "unknown field"),
            (r#"{"a":{"wallets":"*","max_amount":0}}"#, "limit of 0"),
        ] {
            let error = Producers::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
