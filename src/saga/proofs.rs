//! The inline projection: what a saga's events do to the proof rows. A caller passes events and
//! never a proof mutation, so it cannot forget one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::event::{Entry, Event};
use super::ids::{Coin, SagaId, Signature, Y};

/// The state of a proof row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProofState {
    /// Free to be chosen.
    Unspent,
    /// Chosen by a saga; nothing was sent.
    Reserved,
    /// In a melt that was, or may have been, sent.
    Pending,
    /// Gone; final.
    Spent,
}

impl ProofState {
    /// The word used in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            ProofState::Unspent => "unspent",
            ProofState::Reserved => "reserved",
            ProofState::Pending => "pending",
            ProofState::Spent => "spent",
        }
    }
}

/// How a token came to be (the seeds' names; `melted` does not exist, because consumed proofs
/// are never stored again).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TransactionType {
    /// From a mint quote.
    Minted,
    /// From somebody's token.
    Received,
    /// Given to somebody.
    Sent,
    /// Left over from a melt or a swap.
    Change,
}

impl TransactionType {
    /// The word used in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            TransactionType::Minted => "minted",
            TransactionType::Received => "received",
            TransactionType::Sent => "sent",
            TransactionType::Change => "change",
        }
    }
}

/// The set of proofs that a new row belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Token {
    /// The set's id, derived from the saga: no randomness, so a replay names it the same.
    pub token_id: String,
    /// How it came to be.
    pub transaction_type: TransactionType,
    /// The seeds' transaction id of this set.
    pub transaction_id: String,
    /// The melt that it is change of.
    pub parent_transaction_id: Option<String>,
}

impl Token {
    /// A set of this saga's, by what it is: `minted`, `received`, `keep`, `send`, `fence`, …
    pub fn of(saga: &SagaId, what: &str, transaction_type: TransactionType) -> Self {
        let change = transaction_type == TransactionType::Change;
        Token {
            token_id: format!("{saga}:{what}"),
            transaction_type,
            transaction_id: if change {
                format!("{saga}_{what}")
            } else {
                saga.to_string()
            },
            parent_transaction_id: change.then(|| saga.to_string()),
        }
    }
}

/// One write to one proof row. Writes of one append never name a Y twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProofWrite {
    /// A new row; never born spent. An existing row of the same wallet with the same C is adopted
    /// (the same coin, found twice); any other existing row is a conflict.
    Insert {
        /// The coin.
        coin: Coin,
        /// The mint's signature.
        signature: Signature,
        /// Its first state.
        state: ProofState,
        /// Its set.
        token: Token,
    },
    /// A change of state, with the condition that was read: the row is in `from`, and is held by
    /// this saga unless `from` is unspent. The holder is this saga in reserved, pending and spent.
    Move {
        /// The row.
        y: Y,
        /// The state it must be in.
        from: ProofState,
        /// The state it gets.
        to: ProofState,
    },
}

impl ProofWrite {
    /// The row that it writes.
    pub fn y(&self) -> &Y {
        match self {
            ProofWrite::Insert { coin, .. } => &coin.y,
            ProofWrite::Move { y, .. } => y,
        }
    }
}

/// The proof rows that these events write, in one transaction: moves of one row are joined, so
/// that reserved → pending in one append is the single move unspent → pending.
pub fn project_proofs(saga: &SagaId, entries: &[Entry]) -> Vec<ProofWrite> {
    let mut writes = Writes {
        saga,
        out: Vec::new(),
    };
    entries.iter().for_each(|entry| writes.apply(entry));
    writes.out
}

/// The coins that an event makes, in the order of its signatures.
pub fn made(event: &Event) -> Vec<&Coin> {
    match event {
        Event::SwapDone(e) => e.send.iter().chain(&e.keep).collect(),
        Event::AtomicCommitted(e) => e.change.iter().collect(),
        Event::ChangeCollected(e) => e.change.iter().collect(),
        Event::Minted(e) => e.coins.iter().collect(),
        Event::Received(e) => e.coins.iter().collect(),
        Event::Restored(e) => e.coins.iter().collect(),
        _ => Vec::new(),
    }
}

/// An event with empty signatures where its private half is not there: whoever counts coins needs
/// none. What is projected from it must not be stored.
pub fn unsigned(entry: &Entry) -> Entry {
    let mut entry = entry.clone();
    let blank = Signature {
        c: String::new(),
        e: String::new(),
        s: String::new(),
    };
    let wanted = made(&entry.event).len();
    entry.private.signatures.resize(wanted, blank);
    entry
}

struct Writes<'a> {
    saga: &'a SagaId,
    out: Vec<ProofWrite>,
}

impl Writes<'_> {
    fn apply(&mut self, entry: &Entry) {
        use ProofState::{Pending, Reserved, Spent, Unspent};
        let signatures = &entry.private.signatures;
        match &entry.event {
            Event::PreflightPassed(e) => {
                self.shift(&e.corrections, Unspent, Spent);
                e.plan
                    .inputs
                    .iter()
                    .for_each(|c| self.step(&c.y, Unspent, Reserved));
            }
            Event::PreflightBlocked(e) => self.shift(&e.corrections, Unspent, Spent),
            Event::SwapDone(e) => self.swap_done(e, signatures),
            Event::ProofsSent(e) if e.attempt == 1 => self.shift(&e.inputs, Reserved, Pending),
            Event::AtomicCommitted(e) => {
                self.shift(&e.inputs, Pending, Spent);
                self.insert(
                    &e.change,
                    signatures,
                    Unspent,
                    "melt_change",
                    TransactionType::Change,
                );
            }
            Event::ChangeCollected(e) => {
                self.insert(
                    &e.change,
                    signatures,
                    Unspent,
                    "melt_change",
                    TransactionType::Change,
                );
            }
            Event::ProofsReleased(e) => self.leave(&e.coins, Unspent),
            Event::OperatorResolved(e) => self.leave(&e.coins, Spent),
            Event::Minted(e) => {
                self.insert(
                    &e.coins,
                    signatures,
                    Unspent,
                    "minted",
                    TransactionType::Minted,
                );
            }
            Event::Received(e) => {
                self.insert(
                    &e.coins,
                    signatures,
                    Unspent,
                    "received",
                    TransactionType::Received,
                );
            }
            Event::Restored(e) => {
                self.insert(
                    &e.coins,
                    signatures,
                    Unspent,
                    "restored",
                    TransactionType::Received,
                );
            }
            Event::ProofCorrected(e) => self.shift(&e.spent, Unspent, Spent),
            Event::MeltRequested(_)
            | Event::QuoteCreated(_)
            | Event::SwapPrepared(_)
            | Event::ProofsSent(_)
            | Event::MeltPaid(_)
            | Event::MeltRefused(_)
            | Event::Rejected(_)
            | Event::CriticalRaised(_)
            | Event::CriticalResolved(_)
            | Event::Parked(_)
            | Event::Resumed(_)
            | Event::MintQuoteCreated(_)
            | Event::MintSent(_)
            | Event::ReceiveRequested(_)
            | Event::ReconcileRequested(_) => {}
        }
    }

    fn swap_done(&mut self, e: &super::event::SwapDone, signatures: &[Signature]) {
        use super::event::Purpose;
        use ProofState::{Pending, Reserved, Spent, Unspent};
        let (from, kept) = match e.purpose {
            Purpose::Fence => (Pending, "fence"),
            Purpose::Plan | Purpose::Receive => (Reserved, "keep"),
        };
        self.shift(&e.inputs, from, Spent);
        let (send, keep) = signatures.split_at(e.send.len().min(signatures.len()));
        self.insert(&e.send, send, Reserved, "send", TransactionType::Change);
        self.insert(&e.keep, keep, Unspent, kept, TransactionType::Change);
    }

    fn insert(
        &mut self,
        coins: &[Coin],
        signatures: &[Signature],
        state: ProofState,
        what: &str,
        transaction_type: TransactionType,
    ) {
        for (coin, signature) in coins.iter().zip(signatures) {
            self.out.push(ProofWrite::Insert {
                coin: coin.clone(),
                signature: signature.clone(),
                state,
                token: Token::of(self.saga, what, transaction_type),
            });
        }
    }

    fn shift(&mut self, ys: &[Y], from: ProofState, to: ProofState) {
        ys.iter().for_each(|y| self.step(y, from, to));
    }

    fn leave(&mut self, coins: &[super::event::Released], to: ProofState) {
        coins.iter().for_each(|r| self.step(&r.y, r.from, to));
    }

    fn step(&mut self, y: &Y, from: ProofState, to: ProofState) {
        match self.out.iter_mut().find(|w| w.y() == y) {
            Some(ProofWrite::Insert { state, .. }) => *state = to,
            Some(ProofWrite::Move { to: last, .. }) => *last = to,
            None => self.out.push(ProofWrite::Move {
                y: y.clone(),
                from,
                to,
            }),
        }
    }
}
