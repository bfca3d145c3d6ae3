//! Events for those who follow (server-sent events): what the log has behind the last event that
//! they know, then every change. At least once, in order for each melt, from the log alone.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use futures::stream::{self, Stream};
use tokio::sync::broadcast;
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError};
use tokio_util::sync::CancellationToken;

use super::Api;
use super::answer::{Answer, Failure};
use super::extract::invalid;
use super::feed::{Change, Topic};
use crate::ports::{Access, Clock, Head, HeadFilter, Loaded, Mint, Store};
use crate::saga::code::Code;
use crate::saga::ids::{SagaId, Seq};
use crate::saga::state::Status;

/// A comment this often keeps proxies from closing a quiet connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How far a follower's mark reaches back: a transaction that began before it may have committed
/// behind it.
const OVERLAP: TimeDelta = TimeDelta::seconds(10);

/// Heads read at a time.
const PAGE: u32 = 500;

/// What one follower has been sent, and what it gets next.
struct Follower {
    changes: broadcast::Receiver<Change>,
    waiting: std::vec::IntoIter<Event>,
    sent: HashMap<SagaId, Seq>,
    /// The marks are those of one melt's events; otherwise they carry a time too.
    only: Option<SagaId>,
    over: bool,
    stop: CancellationToken,
    _place: OwnedSemaphorePermit,
}

/// One melt's events, behind `Last-Event-ID`; 204, which ends a browser's asking, if it has ended
/// and there are no more.
pub(super) async fn of_melt<S: Store + Access, M: Mint, C: Clock>(
    api: &Api<S, M, C>,
    saga: SagaId,
    headers: &HeaderMap,
) -> Answer<Response> {
    let known = match last_event_id(headers)? {
        Some(mark) => position(mark, &saga)?,
        None => 0,
    };
    // First the receiver, then the log: nothing falls between the two.
    let mut follower = Follower::new(api, Topic::Saga(saga.clone()))?;
    follower.only = Some(saga.clone());
    let loaded = api.load(&saga).await?;
    if loaded.head.status == Status::Done && loaded.head.version <= known {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    follower.sent.insert(saga, known);
    follower.take(&loaded);
    Ok(answer(follower))
}

/// An owner's events from now on, or from the mark in `Last-Event-ID` on.
pub(super) async fn of_owner<S: Store + Access, M: Mint, C: Clock>(
    api: &Api<S, M, C>,
    npub: String,
    headers: &HeaderMap,
) -> Answer<Response> {
    let since = last_event_id(headers)?.map(moment).transpose()?;
    let mut follower = Follower::new(api, Topic::Owner(npub.clone()))?;
    let store = &*api.pool.driver.store;
    for wallet in store.wallets(Some(&npub)).await? {
        let of_wallet = HeadFilter {
            wallet: Some(wallet.id),
            limit: PAGE,
            ..HeadFilter::default()
        };
        match since {
            Some(since) => {
                let since = Some(since - OVERLAP);
                for head in changed(store, of_wallet, since).await? {
                    follower.take(&api.load(&head.new.id).await?);
                }
            }
            None => follower.skip(known(api, of_wallet).await?),
        }
    }
    Ok(answer(follower))
}

/// What a follower without a mark is not told of: all that was recorded before it came. What it is
/// told twice, it can drop; so this machine's clock is good enough here.
async fn known<S: Store + Access, M: Mint, C: Clock>(
    api: &Api<S, M, C>,
    of_wallet: HeadFilter,
) -> Answer<Vec<Head>> {
    let (store, now) = (&*api.pool.driver.store, api.pool.driver.clock.now());
    let unfinished = HeadFilter {
        statuses: vec![Status::Active, Status::Owing, Status::Parked],
        ..of_wallet.clone()
    };
    let mut heads = changed(store, unfinished, None).await?;
    heads.extend(changed(store, of_wallet, Some(now - OVERLAP * 2)).await?);
    Ok(heads)
}

/// Every head that fits and has changed since.
async fn changed<S: Store>(
    store: &S,
    mut filter: HeadFilter,
    since: Option<DateTime<Utc>>,
) -> Answer<Vec<Head>> {
    filter.changed_since = since;
    let mut heads = Vec::new();
    loop {
        let page = store.heads(filter.clone()).await?;
        let Some(last) = page.last() else {
            return Ok(heads);
        };
        filter.after = Some(last.new.id.clone());
        heads.extend(page);
    }
}

impl Follower {
    fn new<S: Store + Access, M: Mint, C: Clock>(api: &Api<S, M, C>, topic: Topic) -> Answer<Self> {
        let place = api.followers.clone().try_acquire_owned();
        let place = place.map_err(|full: TryAcquireError| {
            Failure::new(Code::RateLimited, format!("too many follow events: {full}"))
        })?;
        Ok(Follower {
            changes: api.feed.follow(topic),
            waiting: Vec::new().into_iter(),
            sent: HashMap::new(),
            only: None,
            over: false,
            stop: api.stop.clone(),
            _place: place,
        })
    }

    /// Takes these for told.
    fn skip(&mut self, heads: Vec<Head>) {
        for head in heads {
            self.sent.insert(head.new.id, head.version);
        }
    }

    /// Puts what is new in a log behind what waits already.
    fn take(&mut self, loaded: &Loaded) {
        let saga = &loaded.head.new.id;
        let known = self.sent.get(saga).copied().unwrap_or(0);
        let fresh = loaded.records.iter().filter(|record| record.seq > known);
        let fresh = fresh.map(|record| {
            let mark = match self.only {
                Some(_) => record.id(),
                None => format!(
                    "{}.{}",
                    loaded.head.updated_at.timestamp_millis(),
                    record.id()
                ),
            };
            let event = Event::default().event(&record.name).id(mark);
            event.data(&record.body)
        });
        let fresh: Vec<Event> = fresh.collect();
        let left: Vec<Event> = self.waiting.by_ref().chain(fresh).collect();
        self.waiting = left.into_iter();
        self.over = self.only.is_some() && loaded.head.status == Status::Done;
        self.sent.insert(saga.clone(), loaded.head.version);
    }

    /// The next event, or the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.next() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            tokio::select! {
                () = self.stop.cancelled() => return None,
                changed = self.changes.recv() => match changed {
                    Ok(loaded) => self.take(&loaded),
                    // Too far behind, or nobody tells any more: it comes back with its mark.
                    Err(_) => return None,
                },
            }
        }
    }
}

fn answer(follower: Follower) -> Response {
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    sse(events).into_response()
}

fn sse(
    events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static,
) -> impl IntoResponse {
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

fn last_event_id(headers: &HeaderMap) -> Answer<Option<&str>> {
    let mark = headers.get("last-event-id");
    let mark = mark.map(|value| value.to_str()).transpose();
    mark.map_err(|_| invalid("Last-Event-ID must be an id that was sent"))
}

/// The position in `<saga>:<position>`.
fn position(mark: &str, saga: &SagaId) -> Answer<Seq> {
    let own = mark
        .strip_prefix(saga.as_str())
        .and_then(|rest| rest.strip_prefix(':'));
    own.and_then(|seq| seq.parse().ok())
        .ok_or_else(|| invalid("Last-Event-ID must be the id of an event of this melt"))
}

/// The moment in `<milliseconds>.<event>`.
fn moment(mark: &str) -> Answer<DateTime<Utc>> {
    let millis = mark.split('.').next().and_then(|ms| ms.parse().ok());
    millis
        .and_then(DateTime::from_timestamp_millis)
        .ok_or_else(|| invalid("Last-Event-ID must be the id of an event of this stream"))
}
