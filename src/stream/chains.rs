//! The chains of many sagas at once: each event must be the next of its saga, or a repeat of one
//! that was seen. Nothing else is normal: delivery is at least once, and ordered per saga.

use std::collections::HashMap;

use crate::saga::chain::{self, Broken, Hash, Record, Tail};
use crate::saga::event::Envelope;
use crate::saga::ids::{SagaId, Seq};

/// What an event was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The next of its saga.
    Next,
    /// Seen before, with the same hash.
    Repeat,
}

/// How a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// At the very first event: every saga must begin with its first.
    Start,
    /// Somewhere: the first event that is seen of a saga is taken as given.
    Middle,
}

/// The chains read so far.
#[derive(Debug)]
pub struct Chains {
    from: From,
    sagas: HashMap<SagaId, Chain>,
}

/// One saga: where it stands, and what was seen of it.
#[derive(Debug)]
struct Chain {
    tail: Tail,
    first: Seq,
    /// The first eight bytes of each hash from `first` on: enough to tell a repeat from another
    /// event at the same place, at a quarter of the memory.
    seen: Vec<u64>,
}

impl Chains {
    /// Nothing read yet.
    pub fn new(from: From) -> Self {
        Chains {
            from,
            sagas: HashMap::new(),
        }
    }

    /// Takes an event in. After a fault the saga goes on from this event, so that each fault is
    /// reported once.
    ///
    /// # Errors
    /// [`Broken`]: a gap, another hash, or another event at a place that was seen.
    pub fn take(&mut self, record: &Record, envelope: &Envelope) -> Result<Taken, Broken> {
        let seq = record.seq;
        let claimed = Hash::from_hex(&record.hash).ok_or(Broken::Hash { seq })?;
        let given = Hash::from_hex(&record.prev_hash).ok_or(Broken::Hash { seq })?;
        let chain = self.sagas.entry(record.saga.clone()).or_insert_with(|| {
            let at_start = self.from == From::Start || seq <= 1;
            let (first, hash) = match at_start {
                true => (1, chain::genesis(&record.saga)),
                false => (seq, given),
            };
            Chain {
                tail: Tail {
                    saga: record.saga.clone(),
                    kind: envelope.kind,
                    seq: first.saturating_sub(1),
                    hash,
                },
                first,
                seen: Vec::new(),
            }
        });
        if seq <= chain.tail.seq {
            return chain.repeat(seq, claimed);
        }
        match chain::open(&mut chain.tail, record) {
            Ok(_) => {
                chain.seen.push(short(claimed));
                Ok(Taken::Next)
            }
            Err(broken) => {
                chain.tail.seq = seq;
                chain.tail.hash = claimed;
                chain.first = seq;
                chain.seen = vec![short(claimed)];
                Err(broken)
            }
        }
    }

    /// The sagas seen, each with its last position and hash.
    pub fn heads(&self) -> impl Iterator<Item = (&SagaId, Seq, Hash)> {
        let heads = self.sagas.values();
        heads.map(|chain| (&chain.tail.saga, chain.tail.seq, chain.tail.hash))
    }

    /// Where a saga stands.
    pub fn head(&self, saga: &SagaId) -> Option<(Seq, Hash)> {
        let chain = self.sagas.get(saga)?;
        Some((chain.tail.seq, chain.tail.hash))
    }

    /// True if this place was seen with this hash; `None` if it was not seen.
    pub fn holds(&self, saga: &SagaId, seq: Seq, hash: Hash) -> Option<bool> {
        let seen = self.sagas.get(saga)?.at(seq)?;
        Some(seen == short(hash))
    }

    /// How many sagas were seen.
    pub fn len(&self) -> usize {
        self.sagas.len()
    }

    /// True if nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.sagas.is_empty()
    }
}

impl Chain {
    fn at(&self, seq: Seq) -> Option<u64> {
        let index = usize::try_from(seq.checked_sub(self.first)?).ok()?;
        self.seen.get(index).copied()
    }

    /// A place that lies before everything seen cannot be compared: it is older than the beginning.
    fn repeat(&self, seq: Seq, hash: Hash) -> Result<Taken, Broken> {
        match self.at(seq) {
            Some(seen) if seen != short(hash) => Err(Broken::Hash { seq }),
            Some(_) | None => Ok(Taken::Repeat),
        }
    }
}

fn short(hash: Hash) -> u64 {
    let bytes = hash.as_bytes().first_chunk::<8>();
    bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
