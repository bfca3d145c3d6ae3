//! The most that an owner may melt in 24 hours, counted from the record: it holds over all
//! processes and restarts. Two processes that adopt at the same moment may both fit in.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::answer::{Answer, Failure};
use crate::ports::{HeadFilter, Store};
use crate::saga::code::Code;
use crate::saga::command::{Command, Kind, MeltCommand};
use crate::saga::ids::{Amount, SagaId};
use crate::saga::state::State;

/// Heads read at a time.
const PAGE: u32 = 500;

/// The limit, and the lock under which it is checked and used.
#[derive(Clone, Debug, Default)]
pub(super) struct Day {
    max: Option<Amount>,
    /// One for all owners: it is held for a count and an insert, and only where a limit is set.
    checking: Arc<Mutex<()>>,
}

impl Day {
    /// With this limit.
    pub(super) fn new(max: Option<Amount>) -> Self {
        Day {
            max,
            checking: Arc::default(),
        }
    }

    /// Lets a melt of `amount` in, or not; what it returns is held until it is adopted. A melt of
    /// an invoice that is counted already is a repeat, and gets its answer.
    ///
    /// # Errors
    /// 422.
    pub(super) async fn admit<S: Store>(
        &self,
        store: &S,
        npub: &str,
        (amount, payment_hash): (Amount, &str),
        now: DateTime<Utc>,
    ) -> Answer<Option<OwnedMutexGuard<()>>> {
        let Some(max) = self.max else {
            return Ok(None);
        };
        let guard = self.checking.clone().lock_owned().await;
        let melts = melted(store, npub, now - TimeDelta::days(1)).await?;
        if melts.iter().any(|melt| melt.payment_hash == payment_hash) {
            return Ok(None);
        }
        let used = melts
            .iter()
            .fold(0, |sum: Amount, melt| sum.saturating_add(melt.amount()));
        if used.saturating_add(amount) > max {
            let seen = format!("{used} of {max} are used, and this melt is over {amount}");
            return Err(Failure::new(Code::DayLimit, seen));
        }
        Ok(Some(guard))
    }
}

/// The owner's melts since then, without those that can never be paid.
async fn melted<S: Store>(store: &S, npub: &str, since: DateTime<Utc>) -> Answer<Vec<MeltCommand>> {
    let seconds = u64::try_from(since.timestamp()).unwrap_or(0);
    let bound = uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0);
    let bound = SagaId::new(uuid::Uuid::new_v7(bound).to_string());
    let mut melts = Vec::new();
    for wallet in store.wallets(Some(npub)).await? {
        let mut after = Some(bound.clone());
        loop {
            let filter = HeadFilter {
                wallet: Some(wallet.id.clone()),
                kind: Some(Kind::Melt),
                after: after.take(),
                limit: PAGE,
                ..HeadFilter::default()
            };
            let page = store.heads(filter).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.new.id.clone());
            let counted = page.into_iter().filter(|head| may_be_paid(&head.state));
            melts.extend(counted.filter_map(|head| match head.new.command {
                Command::Melt(melt) => Some(melt),
                Command::Mint(_) | Command::Receive(_) | Command::Reconcile(_) => None,
            }));
        }
    }
    Ok(melts)
}

fn may_be_paid(state: &str) -> bool {
    let ended = [State::Released, State::Rejected, State::Blocked];
    ended.iter().all(|ended| ended.as_str() != state)
}
