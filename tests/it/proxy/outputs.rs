//! Every blinded message comes from one counter, so two uses of one message are two uses of one
//! counter: the second signature would be of no use to anybody. The wire shows all of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What each blinded message was sent with.
#[derive(Default)]
pub(super) struct Outputs(BTreeMap<String, BTreeSet<String>>);

impl Outputs {
    /// Notes the outputs of a request that asks for signatures. NUT-09 asks for old ones.
    pub(super) fn note(&mut self, line: &str, body: &[u8]) {
        let asks = [
            "POST /v1/melt/bolt11",
            "POST /v1/swap",
            "POST /v1/mint/bolt11",
        ];
        if !asks.contains(&line) {
            return;
        }
        let Ok(json) = serde_json::from_slice::<Value>(body) else {
            return;
        };
        let purpose = match json.get("quote") {
            Some(quote) => format!("{line} {quote}"),
            None => format!("{line} {}", secrets(&json)),
        };
        for output in json["outputs"].as_array().into_iter().flatten() {
            let message = output["B_"].as_str().unwrap_or_default();
            let uses = self.0.entry(message.to_owned()).or_default();
            uses.insert(purpose.clone());
        }
    }

    /// The messages with more than one use.
    pub(super) fn twice(&self) -> Vec<&BTreeSet<String>> {
        self.0.values().filter(|uses| uses.len() > 1).collect()
    }
}

fn secrets(json: &Value) -> String {
    let inputs = json["inputs"].as_array().into_iter().flatten();
    let secrets: BTreeSet<&str> = inputs
        .filter_map(|input| input["secret"].as_str())
        .collect();
    secrets.into_iter().collect()
}
