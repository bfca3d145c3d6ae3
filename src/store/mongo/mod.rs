//! The MongoDB store: the reference implementation of [`Store`].
//!
//! | file | what it holds |
//! |---|---|
//! | `connect` | client options, and the refusal of servers without transactions |
//! | `schema`, `indexes`, `rows` | collections; documents to our types and back |
//! | `plan`, `commit`, `transact` | `append`: what to write, with whom, in one transaction |
//! | `settle`, `verdict` | what to do when it did not go as planned, and what to answer |
//! | `orphans` | the transactions that dead processes leave open |
//! | `access`, `adopt`, `lease`, `mints`, `wallets`, `query` | everything else, one call each |
//! | `health` | how the server is, and facts that are written once |
//! | `outbox`, `refill`, `relay`, `wake` | what is to be published, and how far that has come |
//! | `fault` | driver errors in the caller's words |
//!
//! It never retries on the strength of an error's text, never reads the clock of this machine into
//! a document, and never says `Ok` for a write that is not on a majority's journal.

mod access;
mod adopt;
mod commit;
mod connect;
mod fault;
mod health;
mod indexes;
mod lease;
mod mints;
mod orphans;
mod outbox;
mod plan;
mod publish;
mod query;
mod refill;
mod relay;
mod rows;
mod schema;
mod settle;
mod transact;
mod verdict;
mod wake;
mod wallets;

use std::future::Future;
use std::time::Duration;

use chrono::{DateTime, Utc};
use mongodb::{Client, Collection, Database};

use self::commit::Committers;
use self::wake::Wake;
use crate::ports::{
    Access, Adopted, ApiToken, Append, Due, DueFilter, Head, HeadFilter, Health, Later, Lease,
    Loaded, NewSaga, Pause, ProofRow, Store, StoreError, Wallet,
};
use crate::saga::ids::{KeysetId, SagaId, WalletId, Y};
use crate::saga::proofs::ProofState;

/// How long a caller waits for any one call. The driver's own retries block for a whole fail-over
/// (11 s was measured with default timeouts), and a caller must be free to go on before that.
const CALL_DEADLINE: Duration = Duration::from_secs(10);

/// How long a clean close waits for work in hand before it cuts the connections.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);

/// The MongoDB store.
pub struct MongoStore {
    db: Db,
    committers: Committers,
    wake: Wake,
}

impl MongoStore {
    /// Connects, checks the server, creates what is missing and starts the committers. The
    /// database is the one that the URI names, or `meltd`.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when the server has no transactions (the text then begins with
    /// `STORE_NO_REPLICA_SET`) or the URI cannot be read; [`StoreError::Unavailable`] when nobody
    /// answers.
    pub async fn connect(uri: &str) -> Result<Self, StoreError> {
        let db = connect::open(uri).await?;
        let ready = db.clone();
        bounded(async move { schema::prepare(&ready).await }).await?;
        let committers = Committers::start(&db);
        let wake = Wake::new(&db);
        Ok(MongoStore {
            db,
            committers,
            wake,
        })
    }

    /// Finishes the appends that wait, then closes the connections. Calls after it fail.
    pub async fn shutdown(&self) {
        let work = async {
            self.wake.stop().await;
            self.committers.stop().await;
            self.db.client.clone().shutdown().await;
        };
        if tokio::time::timeout(CLOSE_DEADLINE, work).await.is_err() {
            let client = self.db.client.clone();
            client.shutdown().immediate(true).await;
        }
    }
}

/// The database and its collections, under the names that both stores use.
#[derive(Clone)]
struct Db {
    client: Client,
    database: Database,
    /// The name under which the server knows our connections.
    app_name: String,
}

impl Db {
    fn sagas<T: Send + Sync>(&self) -> Collection<T> {
        self.database.collection(schema::SAGAS)
    }

    fn events<T: Send + Sync>(&self) -> Collection<T> {
        self.database.collection(schema::EVENTS)
    }

    fn outbox<T: Send + Sync>(&self) -> Collection<T> {
        self.database.collection(schema::OUTBOX)
    }

    fn proofs<T: Send + Sync>(&self) -> Collection<T> {
        self.database.collection(schema::PROOFS)
    }

    fn meta<T: Send + Sync>(&self) -> Collection<T> {
        self.database.collection(schema::META)
    }

    fn leases<T: Send + Sync>(&self) -> Collection<T> {
        self.database.collection(schema::LEASES)
    }

    fn wallets<T: Send + Sync>(&self) -> Collection<T> {
        self.database.collection(schema::WALLETS)
    }

    fn mints<T: Send + Sync>(&self) -> Collection<T> {
        self.database.collection(schema::MINTS)
    }

    fn tokens<T: Send + Sync>(&self) -> Collection<T> {
        self.database.collection(schema::TOKENS)
    }

    fn used_ids<T: Send + Sync>(&self) -> Collection<T> {
        self.database.collection(schema::USED_IDS)
    }
}

/// Runs a call to its end in a task of its own and stops waiting for it at the deadline: the
/// driver's futures must not be dropped half-way, so the task goes on and only the caller leaves.
async fn bounded<T, F>(call: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, StoreError>> + Send + 'static,
{
    match tokio::time::timeout(CALL_DEADLINE, tokio::spawn(call)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(StoreError::Unavailable("the call was stopped".to_owned())),
        Err(_) => Err(late()),
    }
}

fn late() -> StoreError {
    StoreError::Unavailable(format!("no answer in {} s", CALL_DEADLINE.as_secs()))
}

impl Store for MongoStore {
    async fn wallet(&self, npub: &str, mint_url: &str, unit: &str) -> Result<Wallet, StoreError> {
        let key = [npub, mint_url, unit].map(str::to_owned);
        bounded(wallets::get_or_create(self.db.clone(), key)).await
    }

    async fn put_wallet(&self, wallet: &Wallet) -> Result<(), StoreError> {
        bounded(wallets::put(self.db.clone(), wallet.clone())).await
    }

    async fn wallets(&self, npub: Option<&str>) -> Result<Vec<Wallet>, StoreError> {
        bounded(wallets::list(self.db.clone(), npub.map(str::to_owned))).await
    }

    async fn adopt(&self, new: NewSaga, owner: &str, ttl: Duration) -> Result<Adopted, StoreError> {
        bounded(adopt::adopt(self.db.clone(), new, owner.to_owned(), ttl)).await
    }

    async fn known(&self, new: &NewSaga) -> Result<Option<Head>, StoreError> {
        bounded(adopt::known(self.db.clone(), new.clone())).await
    }

    async fn load(&self, saga: &SagaId) -> Result<Option<Loaded>, StoreError> {
        bounded(query::load(self.db.clone(), saga.clone())).await
    }

    async fn append(&self, append: Append) -> Result<(), StoreError> {
        self.committers.append(append).await
    }

    async fn lease(
        &self,
        saga: &SagaId,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let (saga, owner) = (saga.clone(), owner.to_owned());
        bounded(lease::take(self.db.clone(), saga, owner, ttl)).await
    }

    async fn renew(&self, lease: &Lease, owner: &str, ttl: Duration) -> Result<(), StoreError> {
        let (lease, owner) = (lease.clone(), owner.to_owned());
        bounded(lease::renew(self.db.clone(), lease, owner, ttl)).await
    }

    async fn release(
        &self,
        lease: &Lease,
        owner: &str,
        later: Option<Later>,
    ) -> Result<(), StoreError> {
        let (lease, owner) = (lease.clone(), owner.to_owned());
        bounded(lease::release(self.db.clone(), lease, owner, later)).await
    }

    async fn due(&self, filter: DueFilter) -> Result<Vec<Due>, StoreError> {
        bounded(lease::due(self.db.clone(), filter)).await
    }

    async fn pause_mint(&self, mint_url: &str, by: &str, reason: &str) -> Result<(), StoreError> {
        let words = [mint_url, by, reason].map(str::to_owned);
        bounded(mints::pause(self.db.clone(), words)).await
    }

    async fn resume_mint(&self, mint_url: &str) -> Result<bool, StoreError> {
        bounded(mints::resume(self.db.clone(), mint_url.to_owned())).await
    }

    async fn pauses(&self) -> Result<Vec<Pause>, StoreError> {
        bounded(mints::list(self.db.clone())).await
    }

    async fn heads(&self, filter: HeadFilter) -> Result<Vec<Head>, StoreError> {
        bounded(query::heads(self.db.clone(), filter)).await
    }

    async fn proofs(
        &self,
        wallet: &WalletId,
        states: &[ProofState],
    ) -> Result<Vec<ProofRow>, StoreError> {
        bounded(query::proofs(
            self.db.clone(),
            wallet.clone(),
            states.to_vec(),
        ))
        .await
    }

    async fn proofs_by_y(&self, ys: &[Y]) -> Result<Vec<ProofRow>, StoreError> {
        bounded(query::proofs_by_y(self.db.clone(), ys.to_vec())).await
    }

    async fn take_counters(
        &self,
        wallet: &WalletId,
        keyset: &KeysetId,
        count: u32,
    ) -> Result<u32, StoreError> {
        let (wallet, keyset) = (wallet.clone(), keyset.clone());
        bounded(wallets::take_counters(
            self.db.clone(),
            wallet,
            keyset,
            count,
        ))
        .await
    }

    async fn raise_counters(
        &self,
        wallet: &WalletId,
        keyset: &KeysetId,
        at_least: u32,
    ) -> Result<(), StoreError> {
        let (wallet, keyset) = (wallet.clone(), keyset.clone());
        bounded(wallets::raise_counters(
            self.db.clone(),
            wallet,
            keyset,
            at_least,
        ))
        .await
    }

    async fn stamp(&self, name: &str, value: &str) -> Result<String, StoreError> {
        let (name, value) = (name.to_owned(), value.to_owned());
        bounded(health::stamp(self.db.clone(), name, value)).await
    }

    async fn health(&self) -> Result<Health, StoreError> {
        bounded(health::of(self.db.clone())).await
    }

    async fn counters(&self, wallet: &WalletId) -> Result<Vec<(KeysetId, u32)>, StoreError> {
        bounded(wallets::counters(self.db.clone(), wallet.clone())).await
    }

    async fn dump(&self) -> Result<Vec<String>, StoreError> {
        bounded(query::dump(self.db.clone())).await
    }
}

impl Access for MongoStore {
    async fn add_token(&self, token: ApiToken, hash: &str) -> Result<(), StoreError> {
        bounded(access::add(self.db.clone(), token, hash.to_owned())).await
    }

    async fn token(&self, hash: &str) -> Result<Option<ApiToken>, StoreError> {
        bounded(access::by_hash(self.db.clone(), hash.to_owned())).await
    }

    async fn tokens(&self) -> Result<Vec<ApiToken>, StoreError> {
        bounded(access::list(self.db.clone())).await
    }

    async fn revoke_token(&self, id: &str, at: DateTime<Utc>) -> Result<bool, StoreError> {
        bounded(access::revoke(self.db.clone(), id.to_owned(), at)).await
    }

    async fn use_once(&self, id: &str, ttl: Duration) -> Result<bool, StoreError> {
        bounded(access::use_once(self.db.clone(), id.to_owned(), ttl)).await
    }
}
