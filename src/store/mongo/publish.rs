//! [`Outbox`] on the collections: each call bounded like all others.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{MongoStore, bounded, outbox, refill, relay};
use crate::ports::{
    Again, Checkpoint, Holder, Mark, Outbox, OutboxDepth, OutboxRow, Refilled, StoreError,
};
use crate::saga::ids::SagaId;

impl Outbox for MongoStore {
    async fn outbox(&self, after: Option<&str>, limit: u32) -> Result<Vec<OutboxRow>, StoreError> {
        let after = after.map(str::to_owned);
        bounded(outbox::page(self.db.clone(), after, limit)).await
    }

    async fn outbox_depth(&self) -> Result<OutboxDepth, StoreError> {
        bounded(outbox::depth(self.db.clone())).await
    }

    async fn outbox_parked(&self, limit: u32) -> Result<Vec<OutboxRow>, StoreError> {
        bounded(outbox::parked(self.db.clone(), limit)).await
    }

    async fn outbox_put_off(&self, id: &str, wait: Duration, why: &str) -> Result<(), StoreError> {
        let (id, why) = (id.to_owned(), why.to_owned());
        bounded(outbox::fail(self.db.clone(), id, Some(wait), why)).await
    }

    async fn outbox_park(&self, id: &str, why: &str) -> Result<(), StoreError> {
        let (id, why) = (id.to_owned(), why.to_owned());
        bounded(outbox::fail(self.db.clone(), id, None, why)).await
    }

    async fn outbox_unpark(&self, id: &str) -> Result<bool, StoreError> {
        bounded(outbox::unpark(self.db.clone(), id.to_owned())).await
    }

    async fn outbox_settle(
        &self,
        rows: &[(String, u64)],
        mark: &Mark,
        epoch: u64,
    ) -> Result<(), StoreError> {
        let (rows, mark) = (rows.to_vec(), mark.clone());
        bounded(outbox::settle(self.db.clone(), rows, mark, epoch)).await
    }

    async fn outbox_refill(
        &self,
        again: &Again,
        after: Option<&SagaId>,
        limit: u32,
    ) -> Result<Refilled, StoreError> {
        let (again, after) = (again.clone(), after.cloned());
        bounded(refill::refill(self.db.clone(), again, after, limit)).await
    }

    async fn outbox_refill_saga(&self, saga: &SagaId) -> Result<u64, StoreError> {
        bounded(refill::refill_saga(self.db.clone(), saga.clone())).await
    }

    async fn outbox_woken(&self) {
        self.wake.woken().await;
    }

    async fn relay_mark(&self) -> Result<Option<Mark>, StoreError> {
        bounded(relay::mark(self.db.clone())).await
    }

    async fn relay_set_mark(&self, mark: &Mark, epoch: u64) -> Result<(), StoreError> {
        let (db, mark) = (self.db.clone(), mark.clone());
        bounded(async move { relay::write_mark(&db, &mark, epoch, true).await }).await
    }

    async fn relay_checkpoints(&self) -> Result<Vec<Checkpoint>, StoreError> {
        bounded(relay::checkpoints(self.db.clone())).await
    }

    async fn relay_keep(&self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        bounded(relay::keep(self.db.clone(), checkpoint.clone())).await
    }

    async fn relay_forget(&self, taken_at: &[DateTime<Utc>]) -> Result<(), StoreError> {
        bounded(relay::forget(self.db.clone(), taken_at.to_vec())).await
    }

    async fn lease_take(
        &self,
        name: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<u64>, StoreError> {
        let (name, owner) = (name.to_owned(), owner.to_owned());
        bounded(relay::take(self.db.clone(), name, owner, ttl)).await
    }

    async fn lease_renew(&self, name: &str, epoch: u64, ttl: Duration) -> Result<(), StoreError> {
        let name = name.to_owned();
        bounded(relay::renew(self.db.clone(), name, epoch, ttl)).await
    }

    async fn lease_end(&self, name: &str, epoch: u64) -> Result<(), StoreError> {
        bounded(relay::end(self.db.clone(), name.to_owned(), epoch)).await
    }

    async fn lease_holder(&self, name: &str) -> Result<Option<Holder>, StoreError> {
        bounded(relay::holder(self.db.clone(), name.to_owned())).await
    }
}
