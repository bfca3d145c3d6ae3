//! An audit consumer: reads the stream of events from its beginning, drops what it has seen, and
//! checks order, gaps and the chain of every saga by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use meltd::ports::{Begin, Bus, Stored, Stream, header};
use meltd::saga::chain::{self, Hash};
use meltd::saga::ids::{SagaId, Seq};

use super::rig::Sagas;

/// What it has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    tails: BTreeMap<SagaId, (Seq, Hash)>,
    pub(crate) messages: usize,
    pub(crate) repeats: usize,
    /// Messages that came before the one that they follow.
    pub(crate) early: usize,
}

/// Reads everything that is in the stream now.
pub(crate) async fn consume<B: Bus>(bus: &B) -> Seen {
    let facts = bus.facts(Stream::Events).await.unwrap().unwrap();
    let mut seen = Seen::default();
    let mut next = facts.first;
    while next <= facts.last {
        let wait = Duration::from_secs(5);
        let page = bus.read(Stream::Events, Begin::At(next), None, 500, wait);
        let page = page.await.unwrap();
        assert!(!page.is_empty(), "nothing at {next} of {facts:?}");
        for stored in page {
            next = stored.sequence + 1;
            seen.take(&stored);
        }
    }
    seen
}

impl Seen {
    fn take(&mut self, stored: &Stored) {
        self.messages += 1;
        let message = &stored.message;
        let header = |name: &str| {
            let found = message.headers.iter().find(|(n, _)| n == name);
            found.map(|(_, value)| value.clone()).unwrap()
        };
        let saga = SagaId::new(header(header::SAGA));
        let seq: Seq = header(header::SEQ).parse().unwrap();
        assert_eq!(message.id, format!("{saga}:{seq:06}"));
        let body: serde_json::Value = serde_json::from_str(&message.body).unwrap();
        assert_eq!(
            (body["saga"].as_str(), body["seq"].as_u64()),
            (Some(saga.as_str()), Some(seq.into()))
        );
        assert_eq!(
            message.subject,
            format!("melt.events.{}", body["type"].as_str().unwrap())
        );

        let start = (0, chain::genesis(&saga));
        let (last, tail) = self.tails.get(&saga).copied().unwrap_or(start);
        if seq <= last {
            self.repeats += 1;
        } else if seq > last + 1 {
            self.early += 1;
        } else {
            let hash = chain::link(tail, &message.body);
            assert_eq!(header(header::PREV_HASH), tail.to_hex(), "{}", message.id);
            assert_eq!(header(header::HASH), hash.to_hex(), "{}", message.id);
            self.tails.insert(saga, (seq, hash));
        }
    }

    /// How many of these sagas were not seen to their end.
    pub(crate) fn misses(&self, sagas: &Sagas) -> usize {
        let seen = |saga: &SagaId| self.tails.get(saga).map_or(0, |(seq, _)| *seq);
        sagas.iter().filter(|(saga, n)| seen(saga) != **n).count()
    }

    /// Every event of these sagas was seen, in order, and nothing else.
    pub(crate) fn is_whole(&self, sagas: &Sagas) {
        let seen: Sagas = self
            .tails
            .iter()
            .map(|(saga, (seq, _))| (saga.clone(), *seq))
            .collect();
        let missing: Vec<_> = sagas
            .iter()
            .filter(|(saga, seq)| seen.get(saga) != Some(seq))
            .collect();
        assert!(
            missing.is_empty(),
            "{} of {} incomplete: {:?}",
            missing.len(),
            sagas.len(),
            missing.first()
        );
        assert_eq!(seen.len(), sagas.len());
    }
}
