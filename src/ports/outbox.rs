//! What is still to be published, who publishes it, and how far that has come.
//!
//! Every event is also a row here, written in the transaction of the event. The relay walks over
//! the rows in the order of their ids, publishes, and takes away what the bus has confirmed. There
//! is no cursor to lose: what is in the outbox is what is left to do, and publishing something
//! again is putting its row back.

use std::future::Future;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::saga::ids::{SagaId, Seq};

use super::StoreError;

/// An answer that is to be published with the events that it tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxReply {
    /// Under `melt.reply.<producer>.`.
    pub subject: String,
    /// The exact body.
    pub body: String,
}

impl OutboxReply {
    /// The id of a reply's row: that of the last record it tells of, and `:reply`.
    pub fn id(record: &str) -> String {
        format!("{record}:reply")
    }
}

/// Where an event stands in the chain of its saga: what a consumer checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Position in the saga, from 1.
    pub seq: Seq,
    /// The event's hash, hex.
    pub hash: String,
    /// The hash of the event before it, hex.
    pub prev_hash: String,
}

/// A message that is to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// `<saga>:<seq, 6 digits>`, with `:reply` behind it for a reply.
    pub id: String,
    /// The saga.
    pub saga: SagaId,
    /// `melt.events.<event type>`, or a reply's own.
    pub subject: String,
    /// The exact body.
    pub body: String,
    /// Its place in the chain; `None` for a reply.
    pub link: Option<Link>,
    /// 0 as it was written; another number each time that it is put back. A row is taken away only
    /// in the round in which it was read.
    pub round: u64,
    /// How often the bus did not take it.
    pub attempts: u32,
    /// False while it waits after a failure, by the store's clock.
    pub due: bool,
    /// True: put aside until a person lets it go on.
    pub parked: bool,
    /// Why the bus did not take it, the last time.
    pub last_error: Option<String>,
}

/// How much is left to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxDepth {
    /// All rows.
    pub rows: u64,
    /// Those that are parked.
    pub parked: u64,
    /// Those that were put back to be published again.
    pub again: u64,
    /// When the oldest of them was written, by the store's clock, in whole seconds.
    pub oldest: Option<DateTime<Utc>>,
    /// The store's time now.
    pub now: DateTime<Utc>,
}

/// A position in the stream of events, with what lies there: a stream that was lost, or that went
/// back in time, has something else there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When the stream was created, to the nanosecond.
    pub created: DateTime<Utc>,
    /// The position; 0 = before the first message.
    pub sequence: u64,
    /// The id of the message there; empty at position 0.
    pub id: String,
}

/// A mark, and which sagas can have had events after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Where the stream stood.
    pub mark: Mark,
    /// Every event behind the mark belongs to a saga whose head was written then or later, by the
    /// store's clock.
    pub floor: DateTime<Utc>,
    /// When it was taken, by the store's clock; unique.
    pub taken_at: DateTime<Utc>,
}

/// Which sagas are to be published again, always from their first event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Again {
    /// Those whose head was written then or later.
    Since(DateTime<Utc>),
    /// All of them.
    All,
}

/// One step of putting rows back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refilled {
    /// The last saga that was looked at; `None` = there are no more.
    pub until: Option<SagaId>,
    /// Rows that are in the outbox for it now.
    pub rows: u64,
}

/// Who holds a named lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The process, named at random at its start.
    pub owner: String,
    /// Counts the times that the lease was taken.
    pub epoch: u64,
    /// When it ends, by the store's clock.
    pub until: DateTime<Utc>,
    /// True if that is still to come.
    pub live: bool,
}

/// The outbox, its relay's leases and its marks. All times are the store's.
pub trait Outbox: Send + Sync + 'static {
    /// Rows in id order after this id, whatever their state.
    fn outbox(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<OutboxRow>, StoreError>> + Send;

    /// How much is left. Reads every row's head, so its cost grows with the depth.
    fn outbox_depth(&self) -> impl Future<Output = Result<OutboxDepth, StoreError>> + Send;

    /// Parked rows in id order, the first so many.
    fn outbox_parked(
        &self,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<OutboxRow>, StoreError>> + Send;

    /// The bus did not take a row, for this reason: attempts + 1, and not due for a while.
    fn outbox_put_off(
        &self,
        id: &str,
        wait: Duration,
        why: &str,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The bus never takes a row, for this reason: attempts + 1, and put aside.
    fn outbox_park(
        &self,
        id: &str,
        why: &str,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Lets a parked row go on; false if there is no such row.
    fn outbox_unpark(&self, id: &str) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Advances the mark, then takes away rows, each (id, round), that lie in the stream at the
    /// mark or before it. A lower position does not move the mark back.
    /// [`StoreError::Reload`]: a later holder of the relay's lease has written the mark, and
    /// nothing is taken away.
    fn outbox_settle(
        &self,
        rows: &[(String, u64)],
        mark: &Mark,
        epoch: u64,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Puts the events of up to `limit` sagas after `after` back, those among them that `again`
    /// names. A row that is there already gets a new round, so that nobody takes it away who has
    /// published it before.
    fn outbox_refill(
        &self,
        again: &Again,
        after: Option<&SagaId>,
        limit: u32,
    ) -> impl Future<Output = Result<Refilled, StoreError>> + Send;

    /// Puts the events of one saga back; how many rows that makes.
    fn outbox_refill_saga(
        &self,
        saga: &SagaId,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Resolves when something may have been added. Only a hint: it may come late, too often, or
    /// not at all.
    fn outbox_woken(&self) -> impl Future<Output = ()> + Send;

    /// The mark, once something was taken away.
    fn relay_mark(&self) -> impl Future<Output = Result<Option<Mark>, StoreError>> + Send;

    /// Sets the mark, forwards or back. [`StoreError::Reload`] as with [`Outbox::outbox_settle`].
    fn relay_set_mark(
        &self,
        mark: &Mark,
        epoch: u64,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// All checkpoints, newest first.
    fn relay_checkpoints(&self)
    -> impl Future<Output = Result<Vec<Checkpoint>, StoreError>> + Send;

    /// Keeps a checkpoint.
    fn relay_keep(
        &self,
        checkpoint: &Checkpoint,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Forgets the checkpoints that were taken at these times.
    fn relay_forget(
        &self,
        taken_at: &[DateTime<Utc>],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Takes a named lease if it is free or over; its epoch. `None` = somebody holds it.
    fn lease_take(
        &self,
        name: &str,
        owner: &str,
        ttl: Duration,
    ) -> impl Future<Output = Result<Option<u64>, StoreError>> + Send;

    /// Prolongs a named lease that nobody took since; [`StoreError::Reload`] if somebody did.
    fn lease_renew(
        &self,
        name: &str,
        epoch: u64,
        ttl: Duration,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Ends a named lease; one that is no longer ours is left alone.
    fn lease_end(
        &self,
        name: &str,
        epoch: u64,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Who holds a named lease, or held it last.
    fn lease_holder(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Option<Holder>, StoreError>> + Send;
}
