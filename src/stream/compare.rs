//! Is the stream ahead of the database? Then the database was restored from an old backup, and
//! nothing may be driven until it was brought forward.

use std::collections::BTreeMap;
use std::time::Duration;

use super::message;
use super::verify::AuditError;
use crate::ports::{Begin, Bus, Loaded, Store, Stream};
use crate::saga::code::Code;
use crate::saga::event::Event;
use crate::saga::ids::SagaId;

/// Messages looked at. An event is published after it is durable, and soon; so what a restored
/// database lacks is what was published last.
const LOOK: u64 = 1000;

/// How long the newest messages may take to come.
const WAIT: Duration = Duration::from_secs(5);

/// How the newest events of the stream stand to the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Sagas of which the database has lost events.
    pub ahead: Vec<SagaId>,
    /// Sagas of which database and stream have different events at the same place.
    pub diverged: Vec<SagaId>,
    /// Messages of the stream that could not be read.
    pub unreadable: Vec<String>,
}

impl Standing {
    /// Why nothing may be driven, if so: the code, and what was seen.
    pub fn refusal(&self) -> Option<(Code, String)> {
        let list = |sagas: &[SagaId]| {
            let first = sagas.first().map(ToString::to_string).unwrap_or_default();
            format!("{} saga(s), {first} the first", sagas.len())
        };
        if !self.diverged.is_empty() {
            let seen = list(&self.diverged);
            let code = Code::StreamDiverged;
            return Some((code, format!("{seen}. {}", code.advice())));
        }
        if !self.ahead.is_empty() {
            let seen = list(&self.ahead);
            let code = Code::StreamAhead;
            return Some((code, format!("{seen}. {}", code.advice())));
        }
        None
    }
}

/// Compares the newest events of the stream with the database. No stream, or an empty one, is not
/// ahead of anything.
///
/// # Errors
/// [`AuditError`] if one of them cannot be read.
pub async fn compare_heads<S: Store, B: Bus>(store: &S, bus: &B) -> Result<Standing, AuditError> {
    let mut standing = Standing::default();
    let Some(facts) = bus.facts(Stream::Events).await? else {
        return Ok(standing);
    };
    if facts.messages == 0 {
        return Ok(standing);
    }
    let first = facts.last.saturating_sub(LOOK - 1).max(facts.first);
    let mut newest = BTreeMap::new();
    let mut next = first;
    while next <= facts.last {
        let left = usize::try_from(facts.last - next + 1).unwrap_or(1);
        let page = bus
            .read(Stream::Events, Begin::At(next), None, left, WAIT)
            .await?;
        let Some(last) = page.last() else { break };
        next = last.sequence.saturating_add(1);
        for stored in &page {
            match message::read(stored) {
                Ok(event) => {
                    newest.insert(event.record.id(), event);
                }
                Err(why) => standing.unreadable.push(why),
            }
        }
    }
    let mut known: Option<(SagaId, Option<Loaded>)> = None;
    for event in newest.into_values() {
        let record = event.record;
        if known.as_ref().is_none_or(|(saga, _)| *saga != record.saga) {
            known = Some((record.saga.clone(), store.load(&record.saga).await?));
        }
        let loaded = known.as_ref().and_then(|(_, loaded)| loaded.as_ref());
        let ours = loaded.map(|loaded| loaded.records.iter().find(|r| r.seq == record.seq));
        match ours {
            Some(Some(ours)) if ours.hash == record.hash => {}
            Some(Some(_)) => standing.diverged.push(record.saga),
            // Refused at once: no wallet, no coin and no claim hangs on it.
            None if matches!(event.envelope.event, Event::Rejected(_)) && record.seq == 1 => {}
            Some(None) | None => standing.ahead.push(record.saga),
        }
    }
    standing.ahead.dedup();
    standing.diverged.dedup();
    Ok(standing)
}
