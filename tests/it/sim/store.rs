//! A store in memory with the same rules as the real ones. The contract suite holds the real
//! stores; this one only has to be fast, exact and able to lose its answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use meltd::ports::{
    Adopted, Append, Clock, Due, DueFilter, Head, HeadFilter, Health, Later, Lease, Loaded,
    NewSaga, Pause, ProofRow, Store, StoreError, Wallet,
};
use meltd::saga::chain::{Record, genesis};
use meltd::saga::ids::{KeysetId, SagaId, WalletId, Y};
use meltd::saga::proofs::{ProofState, ProofWrite};
use meltd::saga::state::Status;

use super::outbox::Outgoing;
use super::world::{Life, SimClock};

/// What survives a crash.
#[derive(Default)]
pub struct Disk {
    pub heads: BTreeMap<String, Head>,
    leases: BTreeMap<String, (String, DateTime<Utc>)>,
    pub records: BTreeMap<String, Vec<Record>>,
    pub proofs: BTreeMap<Y, ProofRow>,
    counters: BTreeMap<String, u32>,
    pub outgoing: Outgoing,
    /// Transactions so far, and head inserts: the happy path is counted.
    pub appends: u32,
    pub adoptions: u32,
    /// So many settlements are not taken, because the store is away.
    pub away_for: u32,
}

/// One process's view of the disk.
pub struct SimStore {
    pub disk: Arc<Mutex<Disk>>,
    pub life: Life,
    pub clock: SimClock,
}

impl SimStore {
    pub(super) async fn call<T>(&self, act: impl FnOnce(&mut Disk) -> T) -> T {
        self.life.call(|| act(&mut self.disk.lock().unwrap())).await
    }

    pub(super) fn until(&self, ttl: Duration) -> DateTime<Utc> {
        self.clock.now() + TimeDelta::from_std(ttl).unwrap()
    }
}

impl Disk {
    fn append(&mut self, append: &Append, now: DateTime<Utc>) -> Result<(), StoreError> {
        let head = self
            .heads
            .get(append.saga.as_str())
            .ok_or(StoreError::Reload)?;
        if head.version != append.expected_version || head.fence != append.fence {
            return Err(StoreError::Reload);
        }
        let mut proofs = self.proofs.clone();
        let mut busy = Vec::new();
        for write in &append.proofs {
            apply(&mut proofs, write, append, &mut busy)?;
        }
        if !busy.is_empty() {
            return Err(StoreError::ChooseAgain(busy));
        }
        self.proofs = proofs;
        let records = self.records.entry(append.saga.to_string()).or_default();
        records.extend(append.records.iter().cloned());
        let head = self.heads.get_mut(append.saga.as_str()).unwrap();
        head.version = append.records.last().unwrap().seq;
        head.head_hash = append.head.head_hash.clone();
        head.state = append.head.state.clone();
        head.status = append.head.status;
        head.attempts = 0;
        head.doubt = None;
        head.next_attempt_at = (append.head.status != Status::Done).then_some(now);
        head.updated_at = now;
        self.outgoing.append(append, now);
        self.appends += 1;
        Ok(())
    }
}

fn apply(
    proofs: &mut BTreeMap<Y, ProofRow>,
    write: &ProofWrite,
    append: &Append,
    busy: &mut Vec<Y>,
) -> Result<(), StoreError> {
    match write {
        ProofWrite::Insert {
            coin,
            signature,
            state,
            token,
        } => {
            if proofs.contains_key(&coin.y) {
                return Err(StoreError::YConflict(coin.y.clone()));
            }
            let row = ProofRow {
                wallet: append.wallet.clone(),
                coin: coin.clone(),
                signature: signature.clone(),
                state: *state,
                saga: (*state != ProofState::Unspent).then(|| append.saga.clone()),
                token: token.clone(),
                spent_at: None,
            };
            proofs.insert(coin.y.clone(), row);
        }
        ProofWrite::Move { y, from, to } => {
            let holder = (*from != ProofState::Unspent).then(|| append.saga.clone());
            match proofs.get_mut(y) {
                Some(row) if row.state == *from && row.saga == holder => {
                    row.state = *to;
                    row.saga = (*to != ProofState::Unspent).then(|| append.saga.clone());
                }
                _ => busy.push(y.clone()),
            }
        }
    }
    Ok(())
}

impl Store for SimStore {
    async fn wallet(&self, npub: &str, mint_url: &str, unit: &str) -> Result<Wallet, StoreError> {
        let id = WalletId::new(format!("w-{npub}"));
        let (npub, mint_url, unit) = (npub.to_owned(), mint_url.to_owned(), unit.to_owned());
        Ok(Wallet {
            id,
            npub,
            mint_url,
            unit,
        })
    }

    async fn put_wallet(&self, _: &Wallet) -> Result<(), StoreError> {
        unimplemented!("no schedule restores a backup")
    }

    async fn wallets(&self, _: Option<&str>) -> Result<Vec<Wallet>, StoreError> {
        let disk = self.disk.lock().unwrap();
        let mut wallets: Vec<Wallet> = disk.heads.values().map(|h| h.new.wallet.clone()).collect();
        wallets.dedup();
        Ok(wallets)
    }

    async fn adopt(&self, new: NewSaga, me: &str, ttl: Duration) -> Result<Adopted, StoreError> {
        let (now, until) = (self.clock.now(), self.until(ttl));
        self.call(|disk| {
            disk.adoptions += 1;
            let id = new.id.to_string();
            let head = Head {
                version: 0,
                head_hash: genesis(&new.id).to_hex(),
                state: "adopted".to_owned(),
                status: Status::Active,
                fence: 1,
                attempts: 0,
                next_attempt_at: Some(now),
                last_error: None,
                doubt: None,
                created_at: now,
                updated_at: now,
                new,
            };
            let lease = Lease {
                saga: head.new.id.clone(),
                fence: 1,
            };
            disk.heads.insert(id.clone(), head);
            disk.leases.insert(id, (me.to_owned(), until));
            Ok(Adopted::New(lease))
        })
        .await
    }

    /// The fake's sagas are adopted once each.
    async fn known(&self, _: &NewSaga) -> Result<Option<Head>, StoreError> {
        Ok(None)
    }

    async fn load(&self, saga: &SagaId) -> Result<Option<Loaded>, StoreError> {
        self.call(|disk| {
            let head = disk.heads.get(saga.as_str()).cloned();
            let records = disk.records.get(saga.as_str()).cloned().unwrap_or_default();
            Ok(head.map(|head| Loaded { head, records }))
        })
        .await
    }

    async fn append(&self, append: Append) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.call(|disk| {
            let is_paid = append.records.iter().any(|r| r.name == "MeltPaid");
            if is_paid && disk.away_for > 0 {
                disk.away_for -= 1;
                return Err(StoreError::Unavailable("away".to_owned()));
            }
            disk.append(&append, now)
        })
        .await
    }

    async fn lease(
        &self,
        saga: &SagaId,
        me: &str,
        ttl: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let (now, until) = (self.clock.now(), self.until(ttl));
        self.call(|disk| {
            if disk
                .leases
                .get(saga.as_str())
                .is_some_and(|(_, until)| *until > now)
            {
                return Ok(None);
            }
            let Some(head) = disk.heads.get_mut(saga.as_str()) else {
                return Ok(None);
            };
            head.fence += 1;
            disk.leases.insert(saga.to_string(), (me.to_owned(), until));
            Ok(Some(Lease {
                saga: saga.clone(),
                fence: head.fence,
            }))
        })
        .await
    }

    async fn renew(&self, lease: &Lease, me: &str, ttl: Duration) -> Result<(), StoreError> {
        let until = self.until(ttl);
        self.call(|disk| {
            let fence = disk.heads.get(lease.saga.as_str()).map(|h| h.fence);
            match disk.leases.get_mut(lease.saga.as_str()) {
                Some(held) if held.0 == me && fence == Some(lease.fence) => {
                    held.1 = until;
                    Ok(())
                }
                _ => Err(StoreError::Reload),
            }
        })
        .await
    }

    async fn release(
        &self,
        lease: &Lease,
        me: &str,
        later: Option<Later>,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.call(|disk| {
            let Some(head) = disk.heads.get_mut(lease.saga.as_str()) else {
                return Ok(());
            };
            let ours = disk
                .leases
                .get(lease.saga.as_str())
                .is_some_and(|(who, _)| who == me);
            if !ours || head.fence != lease.fence {
                return Ok(());
            }
            disk.leases.remove(lease.saga.as_str());
            if let Some(Later { wait, why, doubt }) = later {
                head.attempts += 1;
                head.doubt = doubt;
                head.last_error = Some(why);
                head.next_attempt_at = Some(now + TimeDelta::from_std(wait).unwrap());
            }
            Ok(())
        })
        .await
    }

    async fn due(&self, _: DueFilter) -> Result<Vec<Due>, StoreError> {
        let disk = self.disk.lock().unwrap();
        let open = disk.heads.values().filter(|h| h.status != Status::Done);
        let due = |h: &Head| Due {
            saga: h.new.id.clone(),
            mint_url: h.new.wallet.mint_url.clone(),
        };
        Ok(open.map(due).collect())
    }

    async fn pause_mint(&self, _: &str, _: &str, _: &str) -> Result<(), StoreError> {
        Ok(())
    }

    async fn resume_mint(&self, _: &str) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn pauses(&self) -> Result<Vec<Pause>, StoreError> {
        Ok(Vec::new())
    }

    async fn heads(&self, filter: HeadFilter) -> Result<Vec<Head>, StoreError> {
        let disk = self.disk.lock().unwrap();
        let after = filter.after.map(|a| a.to_string()).unwrap_or_default();
        Ok(disk
            .heads
            .range(after.clone()..)
            .filter(|(k, _)| **k != after)
            .map(|(_, h)| h.clone())
            .collect())
    }

    async fn proofs(
        &self,
        wallet: &WalletId,
        _: &[ProofState],
    ) -> Result<Vec<ProofRow>, StoreError> {
        let rows = |disk: &mut Disk| {
            disk.proofs
                .values()
                .filter(|r| r.wallet == *wallet)
                .cloned()
                .collect()
        };
        self.call(|disk| Ok(rows(disk))).await
    }

    async fn proofs_by_y(&self, ys: &[Y]) -> Result<Vec<ProofRow>, StoreError> {
        self.call(|disk| {
            Ok(ys
                .iter()
                .filter_map(|y| disk.proofs.get(y).cloned())
                .collect())
        })
        .await
    }

    async fn take_counters(
        &self,
        wallet: &WalletId,
        keyset: &KeysetId,
        count: u32,
    ) -> Result<u32, StoreError> {
        self.call(|disk| {
            let next = disk
                .counters
                .entry(format!("{wallet}/{keyset}"))
                .or_insert(1000);
            let start = *next;
            *next += count;
            Ok(start)
        })
        .await
    }

    async fn raise_counters(
        &self,
        wallet: &WalletId,
        keyset: &KeysetId,
        at_least: u32,
    ) -> Result<(), StoreError> {
        self.call(|disk| {
            let next = disk.counters.entry(format!("{wallet}/{keyset}"));
            let next = next.or_insert(1000);
            *next = at_least.max(*next);
            Ok(())
        })
        .await
    }

    async fn stamp(&self, _: &str, value: &str) -> Result<String, StoreError> {
        Ok(value.to_owned())
    }

    async fn health(&self) -> Result<Health, StoreError> {
        Ok(Health {
            about: "memory".to_owned(),
            now: self.clock.now(),
            problems: Vec::new(),
        })
    }

    async fn counters(&self, _: &WalletId) -> Result<Vec<(KeysetId, u32)>, StoreError> {
        Ok(Vec::new())
    }

    async fn dump(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }
}
