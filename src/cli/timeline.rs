//! A saga's events in a form that a person can follow: when, what, and the facts that matter. It
//! shows public halves only: no invoice, no quote id, no signature.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::facts::{HASH_DIGITS, facts};
use super::output::table;
use crate::ports::Loaded;
use crate::saga::chain::{self, Tail};

/// One event.
#[derive(Debug, Serialize)]
pub(super) struct Moment {
    /// Its position.
    pub seq: u32,
    /// When it became durable.
    pub at: String,
    /// Its name.
    pub event: &'static str,
    /// What matters in it.
    pub facts: String,
    /// Its place in the chain.
    pub hash: String,
    #[serde(skip)]
    time: DateTime<Utc>,
}

/// The events of a log, up to the first that cannot be read.
pub(super) fn of(loaded: &Loaded) -> Vec<Moment> {
    let new = &loaded.head.new;
    let mut tail = Tail {
        saga: new.id.clone(),
        kind: new.command.kind(),
        seq: 0,
        hash: chain::genesis(&new.id),
    };
    let unit = &new.wallet.unit;
    let opened = loaded.records.iter().map_while(|record| {
        let (entry, envelope) = chain::open(&mut tail, record).ok()?;
        Some(Moment {
            seq: record.seq,
            at: moment(envelope.at),
            event: entry.event.name(),
            facts: facts(&entry.event, unit),
            hash: record.hash.clone(),
            time: envelope.at,
        })
    });
    opened.collect()
}

/// UTC with milliseconds.
pub(super) fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A table. Events that became durable together have the same time.
pub(super) fn human(moments: &[Moment]) -> String {
    let rows = moments.iter().map(|m| {
        let hash: String = m.hash.chars().take(HASH_DIGITS).collect();
        let at = m.time.format("%F %T%.3f").to_string();
        vec![
            m.seq.to_string(),
            at,
            m.event.to_owned(),
            m.facts.clone(),
            hash,
        ]
    });
    table(
        &["seq", "time (UTC)", "event", "facts", "hash"],
        &rows.collect::<Vec<_>>(),
    )
}

/// The same with times relative to the first event, for a saga of a few seconds.
#[cfg(feature = "embedded-mint")]
pub(super) fn brief(moments: &[Moment]) -> String {
    let began = moments.first().map(|m| m.time);
    let lines = moments.iter().map(|m| {
        let since = began.map_or(0, |began| (m.time - began).num_milliseconds());
        let hash: String = m.hash.chars().take(HASH_DIGITS).collect();
        let since = format!("+{}.{:03} s", since / 1000, since % 1000);
        format!(
            "  {:>2} {since:>9}  {hash}  {:<17} {}\n",
            m.seq, m.event, m.facts
        )
    });
    lines.collect()
}
