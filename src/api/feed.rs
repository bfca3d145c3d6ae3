//! What has changed, for those who follow. One poller for all of them: it asks the store for the
//! heads that changed lately, once for any number of followers, and not at all without any.
//! Reads nothing but the log; what it delivers is at least once, in order for each melt.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::ports::{Head, HeadFilter, Loaded, Store, StoreError};
use crate::saga::ids::{SagaId, Seq};

/// Between two looks for changes of other processes; our own wake the poller at once.
const LOOK: Duration = Duration::from_millis(500);

/// How far each look reaches back behind the newest change seen: a transaction that began earlier
/// may commit later. Much longer than a transaction lives.
const OVERLAP: TimeDelta = TimeDelta::seconds(10);

/// Heads read at a time.
const PAGE: u32 = 500;

/// Changes that a follower may be behind before it is sent away to come back.
const BEHIND: usize = 64;

/// What somebody follows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Topic {
    /// One saga.
    Saga(SagaId),
    /// All sagas of an owner.
    Owner(String),
}

/// A saga as it is after a change.
pub(super) type Change = Arc<Loaded>;

/// Who follows what. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Feed(Arc<Inner>);

#[derive(Default)]
struct Inner {
    topics: Mutex<HashMap<Topic, broadcast::Sender<Change>>>,
    wake: Notify,
}

/// What the poller remembers between two looks.
#[derive(Default)]
struct Cursor {
    newest: Option<DateTime<Utc>>,
    told: HashMap<SagaId, (Seq, DateTime<Utc>)>,
}

impl Feed {
    /// Follows a topic from now on.
    pub(super) fn follow(&self, topic: Topic) -> broadcast::Receiver<Change> {
        let receiver = {
            let mut topics = self.topics();
            let sender = topics.entry(topic);
            sender
                .or_insert_with(|| broadcast::channel(BEHIND).0)
                .subscribe()
        };
        self.0.wake.notify_one();
        receiver
    }

    /// Something has changed in this process: look at once.
    pub(super) fn wake(&self) {
        self.0.wake.notify_one();
    }

    fn topics(&self) -> std::sync::MutexGuard<'_, HashMap<Topic, broadcast::Sender<Change>>> {
        self.0.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets topics that nobody follows any more; true if there are none left.
    fn is_idle(&self) -> bool {
        let mut topics = self.topics();
        topics.retain(|_, sender| sender.receiver_count() > 0);
        topics.is_empty()
    }

    fn is_followed(&self, head: &Head) -> bool {
        let topics = self.topics();
        topics.contains_key(&Topic::Saga(head.new.id.clone()))
            || topics.contains_key(&Topic::Owner(head.new.wallet.npub.clone()))
    }

    fn tell(&self, change: &Change) {
        let new = &change.head.new;
        let named = [
            Topic::Saga(new.id.clone()),
            Topic::Owner(new.wallet.npub.clone()),
        ];
        let topics = self.topics();
        for sender in named.iter().filter_map(|topic| topics.get(topic)) {
            // Nobody is left there: forgotten at the next look.
            drop(sender.send(change.clone()));
        }
    }

    /// Looks for changes until it is told to stop.
    pub(super) async fn run<S: Store>(self, store: Arc<S>, stop: CancellationToken) {
        let mut cursor = Cursor::default();
        loop {
            let idle = self.is_idle();
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.0.wake.notified() => {}
                () = tokio::time::sleep(LOOK), if !idle => {}
            }
            if self.is_idle() {
                cursor = Cursor::default();
                continue;
            }
            if let Err(why) = self.look(&*store, &mut cursor).await {
                warn!(%why, "those who follow events are told later");
            }
            // Many changes at once are one look.
            tokio::time::sleep(LOOK / 10).await;
        }
    }

    async fn look<S: Store>(&self, store: &S, cursor: &mut Cursor) -> Result<(), StoreError> {
        let newest = match cursor.newest {
            Some(newest) => newest,
            None => beginning(store).await?,
        };
        let mut filter = HeadFilter {
            changed_since: Some(newest - OVERLAP),
            limit: PAGE,
            ..HeadFilter::default()
        };
        let mut latest = newest;
        loop {
            let page = store.heads(filter.clone()).await?;
            let Some(last) = page.last() else { break };
            filter.after = Some(last.new.id.clone());
            for head in &page {
                latest = latest.max(head.updated_at);
                let known = cursor.told.get(&head.new.id).map(|(seq, _)| *seq);
                if known == Some(head.version) || !self.is_followed(head) {
                    continue;
                }
                if let Some(loaded) = store.load(&head.new.id).await? {
                    let told = (loaded.head.version, loaded.head.updated_at);
                    cursor.told.insert(head.new.id.clone(), told);
                    self.tell(&Arc::new(loaded));
                }
            }
        }
        cursor.newest = Some(latest);
        cursor.told.retain(|_, (_, at)| *at >= latest - OVERLAP);
        Ok(())
    }
}

/// A moment by the store's clock, before which nothing of interest has changed: the newest
/// adoption. This machine's clock may be another.
async fn beginning<S: Store>(store: &S) -> Result<DateTime<Utc>, StoreError> {
    let newest = HeadFilter {
        newest_first: true,
        limit: 1,
        ..HeadFilter::default()
    };
    let heads = store.heads(newest).await?;
    Ok(heads
        .first()
        .map_or(DateTime::UNIX_EPOCH, |head| head.created_at))
}
