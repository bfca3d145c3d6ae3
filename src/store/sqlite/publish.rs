//! [`Outbox`] on the file: each call is one job of the writer, or one read.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::ports::{
    Again, Checkpoint, Holder, Mark, Outbox, OutboxDepth, OutboxRow, Refilled, StoreError,
};
use crate::saga::ids::SagaId;

use super::{SqliteStore, outbox, relay};

impl Outbox for SqliteStore {
    async fn outbox(&self, after: Option<&str>, limit: u32) -> Result<Vec<OutboxRow>, StoreError> {
        let after = after.unwrap_or_default().to_owned();
        self.readers
            .run(move |conn| outbox::page(conn, &after, limit))
            .await
    }

    async fn outbox_depth(&self) -> Result<OutboxDepth, StoreError> {
        self.readers.run(outbox::depth).await
    }

    async fn outbox_parked(&self, limit: u32) -> Result<Vec<OutboxRow>, StoreError> {
        self.readers
            .run(move |conn| outbox::parked(conn, limit))
            .await
    }

    async fn outbox_put_off(&self, id: &str, wait: Duration, why: &str) -> Result<(), StoreError> {
        let (id, why) = (id.to_owned(), why.to_owned());
        self.writer
            .run(move |conn| outbox::fail(conn, &id, Some(wait), &why))
            .await
    }

    async fn outbox_park(&self, id: &str, why: &str) -> Result<(), StoreError> {
        let (id, why) = (id.to_owned(), why.to_owned());
        self.writer
            .run(move |conn| outbox::fail(conn, &id, None, &why))
            .await
    }

    async fn outbox_unpark(&self, id: &str) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.writer.run(move |conn| outbox::unpark(conn, &id)).await
    }

    async fn outbox_settle(
        &self,
        rows: &[(String, u64)],
        mark: &Mark,
        epoch: u64,
    ) -> Result<(), StoreError> {
        let (rows, mark) = (rows.to_vec(), mark.clone());
        self.writer
            .run(move |conn| outbox::settle(conn, &rows, &mark, epoch))
            .await
    }

    async fn outbox_refill(
        &self,
        again: &Again,
        after: Option<&SagaId>,
        limit: u32,
    ) -> Result<Refilled, StoreError> {
        let again = again.clone();
        let after = after.map_or_else(String::new, |saga| saga.as_str().to_owned());
        self.writer
            .run(move |conn| outbox::refill(conn, &again, &after, limit))
            .await
    }

    async fn outbox_refill_saga(&self, saga: &SagaId) -> Result<u64, StoreError> {
        let saga = saga.clone();
        self.writer
            .run(move |conn| outbox::refill_saga(conn, saga.as_str()))
            .await
    }

    /// Wakes for what this process appends; other processes' appends are left to the poll.
    async fn outbox_woken(&self) {
        self.appended.notified().await;
    }

    async fn relay_mark(&self) -> Result<Option<Mark>, StoreError> {
        self.readers.run(relay::mark).await
    }

    async fn relay_set_mark(&self, mark: &Mark, epoch: u64) -> Result<(), StoreError> {
        let mark = mark.clone();
        self.writer
            .run(move |conn| relay::set_mark(conn, &mark, epoch))
            .await
    }

    async fn relay_checkpoints(&self) -> Result<Vec<Checkpoint>, StoreError> {
        self.readers.run(relay::checkpoints).await
    }

    async fn relay_keep(&self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let point = checkpoint.clone();
        self.writer.run(move |conn| relay::keep(conn, &point)).await
    }

    async fn relay_forget(&self, taken_at: &[DateTime<Utc>]) -> Result<(), StoreError> {
        let taken_at = taken_at.to_vec();
        self.writer
            .run(move |conn| relay::forget(conn, &taken_at))
            .await
    }

    async fn lease_take(
        &self,
        name: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<u64>, StoreError> {
        let (name, owner) = (name.to_owned(), owner.to_owned());
        self.writer
            .run(move |conn| relay::take(conn, &name, &owner, ttl))
            .await
    }

    async fn lease_renew(&self, name: &str, epoch: u64, ttl: Duration) -> Result<(), StoreError> {
        let name = name.to_owned();
        self.writer
            .run(move |conn| relay::renew(conn, &name, epoch, ttl))
            .await
    }

    async fn lease_end(&self, name: &str, epoch: u64) -> Result<(), StoreError> {
        let name = name.to_owned();
        self.writer
            .run(move |conn| relay::end(conn, &name, epoch))
            .await
    }

    async fn lease_holder(&self, name: &str) -> Result<Option<Holder>, StoreError> {
        let name = name.to_owned();
        self.readers
            .run(move |conn| relay::holder(conn, &name))
            .await
    }
}
