//! What can only be counted in the store. Read in pages, every half minute, by one process or by
//! all: it changes nothing.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};

use super::labels::StatusLabel;
use super::{metrics, whole};
use crate::driver::fold;
use crate::ports::{Head, HeadFilter, OutboxDepth, Store, StoreError};
use crate::saga::command::Command;
use crate::saga::ids::{Amount, SagaId};
use crate::saga::proofs::ProofState;
use crate::saga::state::Status;

/// Heads read at a time.
const PAGE: u32 = 500;

/// The statuses that are not an end.
const UNRESOLVED: [Status; 3] = [Status::Active, Status::Owing, Status::Parked];

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Unfinished sagas by status.
    pub unresolved: BTreeMap<&'static str, u64>,
    /// When the oldest was adopted that waits for a mint: not of those that wait for a person, for
    /// change, or for somebody to pay a funding invoice.
    pub oldest: Option<DateTime<Utc>>,
    /// What unfinished melts are to pay.
    pub in_flight: Amount,
    /// Change that mints owe.
    pub change_owed: Amount,
    /// Coins that a finished saga still holds.
    pub leaked: u64,
    /// What is still to be published.
    pub outbox: Option<OutboxDepth>,
}

/// Counts.
///
/// # Errors
/// [`StoreError`] if the store cannot be read; the gauges then keep their last values, and
/// `survey_timestamp_seconds` tells their age.
pub async fn survey<S: Store>(store: &S) -> Result<Survey, StoreError> {
    let mut found = Survey::default();
    let mut holders = HashSet::new();
    for status in UNRESOLVED {
        let count = found.unresolved.entry(status.as_str()).or_default();
        *count = 0;
        let mut after = None;
        loop {
            let filter = HeadFilter {
                statuses: vec![status],
                after,
                limit: PAGE,
                ..HeadFilter::default()
            };
            let page = store.heads(filter).await?;
            after = page.last().map(|head| head.new.id.clone());
            for head in page {
                found.note(&head, status);
                if status == Status::Owing {
                    let owed = owed(store, &head.new.id).await?;
                    found.change_owed = found.change_owed.saturating_add(owed);
                }
                holders.insert(head.new.id);
            }
            if after.is_none() {
                break;
            }
        }
    }
    found.leaked = leaked(store, &holders).await?;
    found.outbox = Some(store.outbox_depth().await?);
    Ok(found)
}

impl Survey {
    fn note(&mut self, head: &Head, status: Status) {
        let count = self.unresolved.entry(status.as_str()).or_default();
        *count = count.saturating_add(1);
        if let (Command::Melt(melt), true) = (&head.new.command, status != Status::Owing) {
            self.in_flight = self.in_flight.saturating_add(melt.amount());
        }
        if status == Status::Active && !head.is_unpaid_funding() {
            let since = head.created_at;
            self.oldest = Some(self.oldest.map_or(since, |oldest| oldest.min(since)));
        }
    }

    /// Shows it.
    pub fn publish(&self, now: DateTime<Utc>) {
        let m = metrics();
        for (status, count) in &self.unresolved {
            let label = StatusLabel { status };
            m.unresolved.get_or_create(&label).set(whole(*count));
        }
        let age = self.oldest.map_or(0, |since| (now - since).num_seconds());
        m.oldest.set(age.max(0));
        m.in_flight.set(whole(self.in_flight));
        m.change_owed.set(whole(self.change_owed));
        m.leaked.set(whole(self.leaked));
        if let Some(depth) = &self.outbox {
            // Both times are the store's.
            let age = depth.oldest.map_or(0, |at| (depth.now - at).num_seconds());
            m.outbox.set(whole(depth.rows));
            m.outbox_age.set(age.max(0));
            m.outbox_parked.set(whole(depth.parked));
        }
        m.surveyed.set(now.timestamp());
    }
}

async fn owed<S: Store>(store: &S, saga: &SagaId) -> Result<Amount, StoreError> {
    let loaded = store.load(saga).await?;
    let folded = loaded.as_ref().map(fold);
    Ok(match folded {
        Some(Ok((saga, _))) => saga.change_owed,
        _ => 0,
    })
}

/// Held rows whose saga was not among the unfinished ones. A saga may have ended, or begun, while
/// the pages were read, so each is asked for once more before it counts.
async fn leaked<S: Store>(store: &S, holders: &HashSet<SagaId>) -> Result<u64, StoreError> {
    let mut leaked = 0u64;
    for wallet in store.wallets(None).await? {
        let held = [ProofState::Reserved, ProofState::Pending];
        for row in store.proofs(&wallet.id, &held).await? {
            let Some(holder) = row.saga.as_ref().filter(|saga| !holders.contains(*saga)) else {
                continue;
            };
            let still = store.proofs_by_y(std::slice::from_ref(&row.coin.y)).await?;
            let still_held = still.iter().any(|now| now.state == row.state);
            let done = match store.load(holder).await? {
                Some(loaded) => loaded.head.status == Status::Done,
                None => true,
            };
            leaked = leaked.saturating_add(u64::from(still_held && done));
        }
    }
    Ok(leaked)
}
