//! Signed checkpoints of all saga heads, on `melt.heads`. A hash chain shows neither that its tail
//! was cut nor that a whole saga is missing; a signed list of heads shows both.
//!
//! Heads are kept in *slots*: all sagas whose ids begin with the same seven hex digits, which are
//! those adopted in the same 17.5 minutes. A slot's root is a digest of its heads, so a checkpoint
//! has to list only the slots that changed since the one before:
//!
//! ```text
//! page       slot 0193abc, part 1 of 2: [[saga, seq, hash], …]      ┐ any number, unsigned:
//! page       slot 0193abc, part 2 of 2: …                           ┘ the slot's root binds them
//! checkpoint statement: { number, at, prev, changed: [{slot, sagas, events, root}],
//!                         sagas, events, root }                       signed, exact text
//! ```
//!
//! `root` of the statement is a digest of all slots, and `prev` is the hash of the statement before
//! it. Whoever reads from the beginning holds all heads and can check both; a checkpoint is made
//! even if nothing changed, so that silence means a cut. Rules of reading: [`Ledger`].

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::saga::chain::Hash;
use crate::saga::ids::{SagaId, Seq};

/// Version of this format.
pub const VERSION: u32 = 1;

/// Hex digits of a saga's id that name its slot.
const SLOT_DIGITS: usize = 7;

/// Heads on a page: about 120 bytes each, so that a page stays under half of the 1 MB that a NATS
/// server takes.
pub const PAGE_HEADS: usize = 4000;

/// Slots that one checkpoint lists; with more to tell, the next one follows at once.
pub const MAX_CHANGED: usize = 3000;

/// A message on `melt.heads`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "data", rename_all = "lowercase")]
pub enum HeadsMessage {
    /// Some heads of a slot; it counts once a checkpoint names its root.
    Page(Page),
    /// A signed statement.
    Checkpoint(Signed),
}

/// One head: the saga, the position of its last event, and that event's hash in hex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeadLine(pub SagaId, pub Seq, pub String);

/// Some heads of a slot, in the order of the sagas' ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Page {
    /// Version of this format: 1.
    pub v: u32,
    /// The first seven hex digits of its sagas' ids.
    pub slot: String,
    /// The root of the whole slot that this is a part of.
    pub root: String,
    /// Which part, from 1.
    pub part: u32,
    /// How many parts there are.
    pub parts: u32,
    /// `[saga, seq, hash]` each.
    pub heads: Vec<HeadLine>,
}

/// A statement with its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Signed {
    /// The exact text that is signed: a [`Statement`] in JSON.
    pub statement: String,
    /// BIP-340 Schnorr signature over SHA-256(`meltd/heads/v1` ‖ newline ‖ statement), 128 hex
    /// digits.
    pub signature: String,
}

/// What is known of a slot without its heads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Slot {
    /// The first seven hex digits of its sagas' ids.
    pub slot: String,
    /// How many sagas it holds that have an event.
    pub sagas: u64,
    /// How many events they have.
    pub events: u64,
    /// SHA-256 over `meltd-heads/v1`, newline, and `saga:seq:hash`, newline, for each head, in the
    /// order of the ids; hex.
    pub root: String,
}

/// What a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Statement {
    /// Version of this format: 1.
    pub v: u32,
    /// Counts from 1.
    pub number: u64,
    /// When the heads were read, UTC.
    pub at: DateTime<Utc>,
    /// The key that signs it: 64 hex digits, x only.
    pub key: String,
    /// SHA-256 of the statement before it, hex; null for the first.
    pub prev: Option<String>,
    /// The slots that differ from what the checkpoints before it said.
    pub changed: Vec<Slot>,
    /// How many sagas there are in all.
    pub sagas: u64,
    /// How many events.
    pub events: u64,
    /// SHA-256 over `meltd-slots/v1`, newline, and `slot:sagas:events:root`, newline, for each slot
    /// there is, in order; hex.
    pub root: String,
}

/// The slot of a saga.
pub fn slot_of(saga: &SagaId) -> &str {
    saga.as_str().get(..SLOT_DIGITS).unwrap_or_default()
}

/// The slot that these heads make, all of its heads, in order.
pub fn slot_of_heads(slot: &str, heads: &[HeadLine]) -> Slot {
    let mut text = String::from("meltd-heads/v1\n");
    for HeadLine(saga, seq, hash) in heads {
        text += &format!("{saga}:{seq}:{hash}\n");
    }
    Slot {
        slot: slot.to_owned(),
        sagas: heads.len() as u64,
        events: heads.iter().map(|head| u64::from(head.1)).sum(),
        root: Hash::of(text.as_bytes()).to_hex(),
    }
}

/// What the checkpoints so far add up to: every slot, and the last statement. Writer and reader use
/// the same: statements count in the order of the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Number of the last statement; 0 = none yet.
    pub number: u64,
    /// Its hash.
    pub last: Option<String>,
    /// When its heads were read.
    pub at: Option<DateTime<Utc>>,
    slots: BTreeMap<String, Slot>,
}

impl Ledger {
    /// What a slot was said to be.
    pub fn slot(&self, slot: &str) -> Option<&Slot> {
        self.slots.get(slot)
    }

    /// The slots, in order.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.values()
    }

    /// The statement that follows, in which these slots changed.
    pub fn next(&self, key: &str, at: DateTime<Utc>, changed: Vec<Slot>) -> Statement {
        let mut after = self.clone();
        after.put(&changed);
        let (sagas, events, root) = after.total();
        Statement {
            v: VERSION,
            number: self.number.saturating_add(1),
            at,
            key: key.to_owned(),
            prev: self.last.clone(),
            changed,
            sagas,
            events,
            root,
        }
    }

    /// Takes a statement in; `text` is what was signed.
    ///
    /// # Errors
    /// A sentence if it does not follow, or does not add up. It is taken in all the same, so that
    /// each fault is reported once.
    pub fn take(&mut self, text: &str, statement: &Statement) -> Result<(), String> {
        let number = statement.number;
        let follows = statement.prev == self.last && number == self.number.saturating_add(1);
        self.put(&statement.changed);
        let adds_up = self.total() == (statement.sagas, statement.events, statement.root.clone());
        let expected = self.number.saturating_add(1);
        self.number = number;
        self.at = Some(statement.at);
        self.last = Some(Hash::of(text.as_bytes()).to_hex());
        if !follows {
            return Err(format!(
                "checkpoint {number} does not follow the one before it: {expected} was expected"
            ));
        }
        if !adds_up {
            return Err(format!("checkpoint {number} does not add up"));
        }
        Ok(())
    }

    fn put(&mut self, changed: &[Slot]) {
        for slot in changed {
            self.slots.insert(slot.slot.clone(), slot.clone());
        }
    }

    fn total(&self) -> (u64, u64, String) {
        let mut text = String::from("meltd-slots/v1\n");
        let (mut all_sagas, mut all_events) = (0u64, 0u64);
        for Slot {
            slot,
            sagas,
            events,
            root,
        } in self.slots.values()
        {
            all_sagas = all_sagas.saturating_add(*sagas);
            all_events = all_events.saturating_add(*events);
            text += &format!("{slot}:{sagas}:{events}:{root}\n");
        }
        (all_sagas, all_events, Hash::of(text.as_bytes()).to_hex())
    }
}
