//! Acts chosen by a seed. The n-th request of a kind always meets the same act, so a seed brings
//! the same faults again; which melt the n-th request belongs to is the processes' race.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::rule::Act;
use super::{ASK, MELT, MINT, QUOTE, RESTORE, STATES, SWAP};

/// The kinds that are told apart; what is left is keys and mint quotes.
const KINDS: [&str; 7] = [MELT, QUOTE, ASK, STATES, SWAP, RESTORE, MINT];

/// How many requests of a thousand are disturbed, and by which seed.
pub(crate) struct Chaos {
    seed: u64,
    per_mille: u64,
    counts: HashMap<&'static str, u64>,
}

impl Chaos {
    pub(crate) fn new(seed: u64, per_mille: u64) -> Self {
        let counts = HashMap::new();
        Chaos {
            seed,
            per_mille,
            counts,
        }
    }

    /// What this request meets.
    pub(super) fn act(&mut self, line: &str) -> Option<Act> {
        let kind = KINDS.iter().find(|kind| line.contains(*kind));
        let kind = kind.copied().unwrap_or("other");
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        let of_kind = kind.bytes().fold(0, |h: u64, b| mix(h ^ u64::from(b)));
        let mut dice = Dice::new(mix(self.seed ^ of_kind) ^ *count);
        (dice.below(1000) < self.per_mille).then(|| any(&mut dice))
    }
}

fn any(dice: &mut Dice) -> Act {
    let time = Duration::from_millis(20 + dice.below(1500));
    match dice.below(13) {
        0 | 1 => Act::LoseRequest,
        2 | 3 => Act::LoseReply,
        4 => Act::HoldRequest(time),
        5 => Act::HoldReply(time),
        6 => Act::Twice,
        7 => Act::TruncateRequest,
        8 => Act::TruncateReply,
        9 => Act::GarbleRequest,
        10 => Act::GarbleReply,
        11 => Act::Forge,
        _ => Act::Answer(
            if time.as_millis().is_multiple_of(2) {
                503
            } else {
                429
            },
            json!({}),
        ),
    }
}

/// Numbers that follow from a seed (SplitMix64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Dice(seed)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0) % end
    }
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Bytes that no JSON holds, in the middle. A change that could still be read would make the mint
/// sign something else than was asked for: then the value is gone, whatever a client does.
pub(super) fn garble(body: &mut [u8]) {
    let middle = body.len() / 2;
    body.iter_mut().skip(middle).take(4).for_each(|b| *b = 0xff);
}

/// Another digit in the last signature of a reply, if it has any.
pub(super) fn forge(body: &mut Vec<u8>) {
    let Ok(mut json) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    let fields = ["change", "signatures"];
    let list = fields.iter().find_map(|field| json.get(*field)?.as_array());
    let Some(last) = list.and_then(|list| list.len().checked_sub(1)) else {
        return;
    };
    let field = if json["change"].is_array() {
        "change"
    } else {
        "signatures"
    };
    let e = &mut json[field][last]["dleq"]["e"];
    let Some(text) = e.as_str() else { return };
    let other = if text.ends_with('0') { '1' } else { '0' };
    *e = json!(format!("{}{other}", &text[..text.len() - 1]));
    *body = json.to_string().into_bytes();
}
