//! The embedded store: one SQLite file in WAL mode with `synchronous=FULL`.
//!
//! All writes go through one thread, which commits those that wait together ([`writer`]); reads
//! have a few connections of their own ([`reader`]). Several processes may open the same file: the
//! lease and the compare-and-swap decide, never what one of them remembers. The only clock is
//! SQLite's. Nothing here may decide anything about a saga: it stores what it is given, or says
//! why not.

mod access;
mod append;
mod fault;
mod health;
mod migrate;
mod mints;
mod outbox;
mod proofs;
mod publish;
mod query;
mod reader;
mod relay;
mod rows;
mod sagas;
mod schema;
mod wallets;
mod writer;

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::Notify;

use crate::ports::{
    Access, Adopted, ApiToken, Append, Due, DueFilter, Head, HeadFilter, Health, Later, Lease,
    Loaded, NewSaga, Pause, ProofRow, Store, StoreError, Wallet,
};
use crate::saga::ids::{KeysetId, SagaId, WalletId, Y};
use crate::saga::proofs::ProofState;

use reader::Readers;
use writer::Writer;

/// The store in one file. Dropping it finishes the writes that were begun and closes the file.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    /// Told of every append, for the relay in this process.
    appended: Notify,
}

impl SqliteStore {
    /// Opens the file, or makes it with mode 0600. Blocks for a few milliseconds.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] with what to do: the directory is missing, the file is not ours or
    /// is of a newer version. [`StoreError::Unavailable`] while another process holds it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let conn = schema::open(path)?;
        Ok(SqliteStore {
            writer: Writer::start(conn)?,
            readers: Readers::new(path),
            appended: Notify::new(),
        })
    }
}

impl Store for SqliteStore {
    async fn wallet(&self, npub: &str, mint_url: &str, unit: &str) -> Result<Wallet, StoreError> {
        let key = wallets::Key::new(npub, mint_url, unit);
        let wanted = key.clone();
        let known = self.readers.run(move |conn| wallets::find(conn, &wanted));
        if let Some(wallet) = known.await? {
            return Ok(wallet);
        }
        self.writer
            .run(move |conn| wallets::create(conn, &key))
            .await
    }

    async fn put_wallet(&self, wallet: &Wallet) -> Result<(), StoreError> {
        let wallet = wallet.clone();
        self.writer
            .run(move |conn| wallets::put(conn, &wallet))
            .await
    }

    async fn wallets(&self, npub: Option<&str>) -> Result<Vec<Wallet>, StoreError> {
        let npub = npub.map(str::to_owned);
        self.readers
            .run(move |conn| wallets::list(conn, npub.as_deref()))
            .await
    }

    async fn adopt(&self, new: NewSaga, owner: &str, ttl: Duration) -> Result<Adopted, StoreError> {
        let owner = owner.to_owned();
        self.writer
            .run(move |conn| sagas::adopt(conn, &new, &owner, ttl))
            .await
    }

    async fn known(&self, new: &NewSaga) -> Result<Option<Head>, StoreError> {
        let new = new.clone();
        self.readers.run(move |conn| sagas::known(conn, &new)).await
    }

    async fn load(&self, saga: &SagaId) -> Result<Option<Loaded>, StoreError> {
        let saga = saga.clone();
        self.readers.run(move |conn| query::load(conn, &saga)).await
    }

    async fn append(&self, append: Append) -> Result<(), StoreError> {
        self.writer
            .run(move |conn| append::append(conn, &append))
            .await?;
        self.appended.notify_one();
        Ok(())
    }

    async fn lease(
        &self,
        saga: &SagaId,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let (saga, owner) = (saga.clone(), owner.to_owned());
        self.writer
            .run(move |conn| sagas::lease(conn, &saga, &owner, ttl))
            .await
    }

    async fn renew(&self, lease: &Lease, owner: &str, ttl: Duration) -> Result<(), StoreError> {
        let (lease, owner) = (lease.clone(), owner.to_owned());
        self.writer
            .run(move |conn| sagas::renew(conn, &lease, &owner, ttl))
            .await
    }

    async fn release(
        &self,
        lease: &Lease,
        owner: &str,
        later: Option<Later>,
    ) -> Result<(), StoreError> {
        let (lease, owner) = (lease.clone(), owner.to_owned());
        self.writer
            .run(move |conn| sagas::release(conn, &lease, &owner, later))
            .await
    }

    async fn due(&self, filter: DueFilter) -> Result<Vec<Due>, StoreError> {
        self.readers
            .run(move |conn| query::due(conn, &filter))
            .await
    }

    async fn pause_mint(&self, mint_url: &str, by: &str, reason: &str) -> Result<(), StoreError> {
        let [mint_url, by, reason] = [mint_url, by, reason].map(str::to_owned);
        self.writer
            .run(move |conn| mints::pause(conn, &mint_url, &by, &reason))
            .await
    }

    async fn resume_mint(&self, mint_url: &str) -> Result<bool, StoreError> {
        let mint_url = mint_url.to_owned();
        self.writer
            .run(move |conn| mints::resume(conn, &mint_url))
            .await
    }

    async fn pauses(&self) -> Result<Vec<Pause>, StoreError> {
        self.readers.run(query::pauses).await
    }

    async fn heads(&self, filter: HeadFilter) -> Result<Vec<Head>, StoreError> {
        self.readers
            .run(move |conn| query::heads(conn, &filter))
            .await
    }

    async fn proofs(
        &self,
        wallet: &WalletId,
        states: &[ProofState],
    ) -> Result<Vec<ProofRow>, StoreError> {
        let (wallet, states) = (wallet.clone(), states.to_vec());
        self.readers
            .run(move |conn| query::proofs(conn, &wallet, &states))
            .await
    }

    async fn proofs_by_y(&self, ys: &[Y]) -> Result<Vec<ProofRow>, StoreError> {
        let ys = ys.to_vec();
        self.readers
            .run(move |conn| query::proofs_by_y(conn, &ys))
            .await
    }

    async fn take_counters(
        &self,
        wallet: &WalletId,
        keyset: &KeysetId,
        count: u32,
    ) -> Result<u32, StoreError> {
        let (wallet, keyset) = (wallet.clone(), keyset.clone());
        self.writer
            .run(move |conn| wallets::take_counters(conn, &wallet, &keyset, count))
            .await
    }

    async fn raise_counters(
        &self,
        wallet: &WalletId,
        keyset: &KeysetId,
        at_least: u32,
    ) -> Result<(), StoreError> {
        let (wallet, keyset) = (wallet.clone(), keyset.clone());
        self.writer
            .run(move |conn| wallets::raise_counters(conn, &wallet, &keyset, at_least))
            .await
    }

    async fn stamp(&self, name: &str, value: &str) -> Result<String, StoreError> {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.writer
            .run(move |conn| health::stamp(conn, &name, &value))
            .await
    }

    async fn health(&self) -> Result<Health, StoreError> {
        self.readers.run(health::of).await
    }

    async fn counters(&self, wallet: &WalletId) -> Result<Vec<(KeysetId, u32)>, StoreError> {
        let wallet = wallet.clone();
        self.readers
            .run(move |conn| wallets::counters(conn, &wallet))
            .await
    }

    async fn dump(&self) -> Result<Vec<String>, StoreError> {
        self.readers.run(query::dump).await
    }
}

impl Access for SqliteStore {
    async fn add_token(&self, token: ApiToken, hash: &str) -> Result<(), StoreError> {
        let hash = hash.to_owned();
        self.writer
            .run(move |conn| access::add(conn, &token, &hash))
            .await
    }

    async fn token(&self, hash: &str) -> Result<Option<ApiToken>, StoreError> {
        let hash = hash.to_owned();
        self.readers
            .run(move |conn| access::by_hash(conn, &hash))
            .await
    }

    async fn tokens(&self) -> Result<Vec<ApiToken>, StoreError> {
        self.readers.run(access::list).await
    }

    async fn revoke_token(&self, id: &str, at: DateTime<Utc>) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.writer
            .run(move |conn| access::revoke(conn, &id, at))
            .await
    }

    async fn use_once(&self, id: &str, ttl: Duration) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.writer
            .run(move |conn| access::use_once(conn, &id, ttl))
            .await
    }
}
