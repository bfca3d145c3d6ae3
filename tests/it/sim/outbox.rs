//! The outbox of the store in memory, with its relay's leases and marks.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use meltd::ports::{
    Again, Append, Checkpoint, Clock, Holder, Link, Mark, Outbox, OutboxDepth, OutboxReply,
    OutboxRow, Refilled, StoreError,
};
use meltd::saga::chain::Record;
use meltd::saga::ids::SagaId;

use super::store::{Disk, SimStore};

/// A row and what only the store looks at.
struct Kept {
    row: OutboxRow,
    written_at: DateTime<Utc>,
    next_attempt_at: Option<DateTime<Utc>>,
}

#[derive(Default)]
pub struct Outgoing {
    rows: BTreeMap<String, Kept>,
    rounds: u64,
    mark: Option<(Mark, u64)>,
    checkpoints: BTreeMap<DateTime<Utc>, Checkpoint>,
    leases: BTreeMap<String, Holder>,
}

fn row_of(record: &Record) -> OutboxRow {
    OutboxRow {
        id: record.id(),
        saga: record.saga.clone(),
        subject: format!("melt.events.{}", record.name),
        body: record.body.clone(),
        link: Some(Link {
            seq: record.seq,
            hash: record.hash.clone(),
            prev_hash: record.prev_hash.clone(),
        }),
        round: 0,
        attempts: 0,
        due: true,
        parked: false,
        last_error: None,
    }
}

impl Outgoing {
    pub fn append(&mut self, append: &Append, now: DateTime<Utc>) {
        let mut rows: Vec<OutboxRow> = append.records.iter().map(row_of).collect();
        if let (Some(reply), Some(last)) = (&append.reply, rows.last().cloned()) {
            rows.push(OutboxRow {
                id: OutboxReply::id(&last.id),
                subject: reply.subject.clone(),
                body: reply.body.clone(),
                link: None,
                ..last
            });
        }
        for row in rows {
            self.keep(row, now);
        }
    }

    fn keep(&mut self, row: OutboxRow, written_at: DateTime<Utc>) {
        let kept = Kept {
            row,
            written_at,
            next_attempt_at: None,
        };
        self.rows.insert(kept.row.id.clone(), kept);
    }

    fn write_mark(&mut self, mark: &Mark, epoch: u64, back: bool) -> Result<(), StoreError> {
        if let Some((old, by)) = &mut self.mark {
            if *by > epoch {
                return Err(StoreError::Reload);
            }
            *by = epoch;
            if back || old.created != mark.created || mark.sequence > old.sequence {
                *old = mark.clone();
            }
        } else {
            self.mark = Some((mark.clone(), epoch));
        }
        Ok(())
    }
}

impl Disk {
    fn put_back(&mut self, saga: &str, now: DateTime<Utc>) -> u64 {
        let records = self.records.get(saga).cloned().unwrap_or_default();
        for record in &records {
            let round = self.outgoing.rounds;
            match self.outgoing.rows.get_mut(&record.id()) {
                Some(kept) => kept.row.round = round,
                None => self.outgoing.keep(
                    OutboxRow {
                        round,
                        ..row_of(record)
                    },
                    now,
                ),
            }
        }
        records.len() as u64
    }
}

fn shown(kept: &Kept, now: DateTime<Utc>) -> OutboxRow {
    OutboxRow {
        due: kept.next_attempt_at.is_none_or(|at| at <= now),
        ..kept.row.clone()
    }
}

impl SimStore {
    async fn fail(&self, id: &str, until: Option<DateTime<Utc>>, why: &str) {
        self.call(|disk| {
            if let Some(kept) = disk.outgoing.rows.get_mut(id) {
                kept.row.attempts += 1;
                kept.row.parked = until.is_none();
                kept.row.last_error = Some(why.to_owned());
                kept.next_attempt_at = until;
            }
        })
        .await;
    }
}

impl Outbox for SimStore {
    async fn outbox(&self, after: Option<&str>, limit: u32) -> Result<Vec<OutboxRow>, StoreError> {
        let now = self.clock.now();
        let after = after.unwrap_or_default().to_owned();
        self.call(|disk| {
            let rows = disk.outgoing.rows.range(after.clone()..);
            let rows = rows.filter(|(id, _)| **id != after).take(limit as usize);
            Ok(rows.map(|(_, kept)| shown(kept, now)).collect())
        })
        .await
    }

    async fn outbox_depth(&self) -> Result<OutboxDepth, StoreError> {
        let now = self.clock.now();
        self.call(|disk| {
            let rows = disk.outgoing.rows.values();
            let count = |wanted: fn(&OutboxRow) -> bool| {
                rows.clone().filter(|kept| wanted(&kept.row)).count() as u64
            };
            Ok(OutboxDepth {
                rows: count(|_| true),
                parked: count(|row| row.parked),
                again: count(|row| row.round > 0),
                oldest: rows.clone().map(|kept| kept.written_at).min(),
                now,
            })
        })
        .await
    }

    async fn outbox_parked(&self, limit: u32) -> Result<Vec<OutboxRow>, StoreError> {
        let now = self.clock.now();
        self.call(|disk| {
            let rows = disk.outgoing.rows.values().filter(|kept| kept.row.parked);
            Ok(rows
                .take(limit as usize)
                .map(|kept| shown(kept, now))
                .collect())
        })
        .await
    }

    async fn outbox_put_off(&self, id: &str, wait: Duration, why: &str) -> Result<(), StoreError> {
        self.fail(id, Some(self.until(wait)), why).await;
        Ok(())
    }

    async fn outbox_park(&self, id: &str, why: &str) -> Result<(), StoreError> {
        self.fail(id, None, why).await;
        Ok(())
    }

    async fn outbox_unpark(&self, id: &str) -> Result<bool, StoreError> {
        self.call(|disk| {
            let kept = disk.outgoing.rows.get_mut(id);
            Ok(kept.is_some_and(|kept| std::mem::take(&mut kept.row.parked)))
        })
        .await
    }

    async fn outbox_settle(
        &self,
        rows: &[(String, u64)],
        mark: &Mark,
        epoch: u64,
    ) -> Result<(), StoreError> {
        self.call(|disk| {
            disk.outgoing.write_mark(mark, epoch, false)?;
            for (id, round) in rows {
                if disk
                    .outgoing
                    .rows
                    .get(id)
                    .is_some_and(|kept| kept.row.round == *round)
                {
                    disk.outgoing.rows.remove(id);
                }
            }
            Ok(())
        })
        .await
    }

    async fn outbox_refill(
        &self,
        again: &Again,
        after: Option<&SagaId>,
        limit: u32,
    ) -> Result<Refilled, StoreError> {
        let now = self.clock.now();
        let after = after.map_or_else(String::new, |saga| saga.to_string());
        self.call(|disk| {
            let heads = disk.heads.range(after.clone()..);
            let heads = heads
                .filter(|(id, _)| **id != after)
                .map(|(id, head)| (id.clone(), head.updated_at));
            let heads: Vec<_> = heads.take(limit as usize).collect();
            disk.outgoing.rounds += 1;
            let mut rows = 0;
            for (saga, updated_at) in &heads {
                let chosen = match again {
                    Again::Since(since) => updated_at >= since,
                    Again::All => true,
                };
                if chosen {
                    rows += disk.put_back(saga, now);
                }
            }
            let full = heads.len() == limit as usize;
            let last = heads.last().filter(|_| full);
            let until = last.map(|(saga, _)| SagaId::new(saga.clone()));
            Ok(Refilled { until, rows })
        })
        .await
    }

    async fn outbox_refill_saga(&self, saga: &SagaId) -> Result<u64, StoreError> {
        let now = self.clock.now();
        self.call(|disk| {
            disk.outgoing.rounds += 1;
            Ok(disk.put_back(saga.as_str(), now))
        })
        .await
    }

    async fn outbox_woken(&self) {
        std::future::pending().await
    }

    async fn relay_mark(&self) -> Result<Option<Mark>, StoreError> {
        let mark = |disk: &mut Disk| disk.outgoing.mark.clone();
        Ok(self.call(mark).await.map(|(mark, _)| mark))
    }

    async fn relay_set_mark(&self, mark: &Mark, epoch: u64) -> Result<(), StoreError> {
        self.call(|disk| disk.outgoing.write_mark(mark, epoch, true))
            .await
    }

    async fn relay_checkpoints(&self) -> Result<Vec<Checkpoint>, StoreError> {
        self.call(|disk| {
            let newest_first = disk.outgoing.checkpoints.values().rev();
            Ok(newest_first.cloned().collect())
        })
        .await
    }

    async fn relay_keep(&self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.call(|disk| {
            let points = &mut disk.outgoing.checkpoints;
            points.insert(checkpoint.taken_at, checkpoint.clone());
        })
        .await;
        Ok(())
    }

    async fn relay_forget(&self, taken_at: &[DateTime<Utc>]) -> Result<(), StoreError> {
        self.call(|disk| {
            let points = &mut disk.outgoing.checkpoints;
            points.retain(|time, _| !taken_at.contains(time));
        })
        .await;
        Ok(())
    }

    async fn lease_take(
        &self,
        name: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<u64>, StoreError> {
        let (now, until) = (self.clock.now(), self.until(ttl));
        self.call(|disk| {
            let held = disk.outgoing.leases.get(name);
            if held.is_some_and(|held| held.until > now) {
                return Ok(None);
            }
            let epoch = held.map_or(1, |held| held.epoch + 1);
            let holder = Holder {
                owner: owner.to_owned(),
                epoch,
                until,
                live: true,
            };
            disk.outgoing.leases.insert(name.to_owned(), holder);
            Ok(Some(epoch))
        })
        .await
    }

    async fn lease_renew(&self, name: &str, epoch: u64, ttl: Duration) -> Result<(), StoreError> {
        let until = self.until(ttl);
        self.call(|disk| match disk.outgoing.leases.get_mut(name) {
            Some(held) if held.epoch == epoch => {
                held.until = until;
                Ok(())
            }
            _ => Err(StoreError::Reload),
        })
        .await
    }

    async fn lease_end(&self, name: &str, epoch: u64) -> Result<(), StoreError> {
        let over = self.clock.now() - TimeDelta::milliseconds(1);
        self.call(|disk| {
            if let Some(held) = disk.outgoing.leases.get_mut(name)
                && held.epoch == epoch
            {
                held.until = over;
            }
        })
        .await;
        Ok(())
    }

    async fn lease_holder(&self, name: &str) -> Result<Option<Holder>, StoreError> {
        let now = self.clock.now();
        self.call(|disk| {
            let held = disk.outgoing.leases.get(name).cloned();
            Ok(held.map(|held| Holder {
                live: held.until > now,
                ..held
            }))
        })
        .await
    }
}
