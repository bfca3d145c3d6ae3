//! The record of everything: sagas, their events, coins, wallets and what is to be published.

use std::future::Future;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::saga::chain::Record;
use crate::saga::code::Code;
use crate::saga::command::{Command, Kind};
use crate::saga::decide::Doubt;
use crate::saga::ids::{Coin, KeysetId, Producer, SagaId, Seq, Signature, WalletId, Y};
use crate::saga::proofs::{ProofState, ProofWrite, Token};
use crate::saga::state::{State, Status};

use super::{Outbox, OutboxReply};

/// One (npub, mint, unit). The id is opaque: it is what events and metrics may name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Wallet {
    /// Opaque id.
    pub id: WalletId,
    /// The owner, `npub1…`.
    pub npub: String,
    /// Canonical mint URL.
    pub mint_url: String,
    /// Unit, `sat`.
    pub unit: String,
}

/// A saga as it is adopted: the head before any event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSaga {
    /// UUIDv7 chosen by the caller.
    pub id: SagaId,
    /// The wallet, which exists already.
    pub wallet: Wallet,
    /// Scope of `command_id` and `intent_key`.
    pub producer: Producer,
    /// The caller's id of the command; unique in its scope for ever.
    pub command_id: String,
    /// One debt, many invoices; unique in its scope while the saga holds its claims.
    pub intent_key: Option<String>,
    /// SHA-256 of the parameters, hex: same id and other hash is a conflict.
    pub request_hash: String,
    /// The command; a melt's payment hash is claimed with it.
    pub command: Command,
    /// Where a reply goes.
    pub reply_to: Option<String>,
}

impl NewSaga {
    /// The payment hash that the head claims, unique over all wallets.
    pub fn payment_hash(&self) -> Option<&str> {
        match &self.command {
            Command::Melt(melt) => Some(&melt.payment_hash),
            Command::Mint(_) | Command::Receive(_) | Command::Reconcile(_) => None,
        }
    }
}

/// A saga's head row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// What was adopted.
    pub new: NewSaga,
    /// Position of the last event; 0 = none. The CAS is on this and on `fence`.
    pub version: Seq,
    /// Hash of the last event, hex; the genesis hash before the first.
    pub head_hash: String,
    /// The state's word, for queries.
    pub state: String,
    /// What the recovery scan sees.
    pub status: Status,
    /// Number of the last lease; writes under an older one are refused.
    pub fence: u64,
    /// Passes without progress since the last event.
    pub attempts: u32,
    /// Not due before this; `None` when done.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// What the last pass waited for, for a person.
    pub last_error: Option<String>,
    /// The contradiction that the last passes have ended with, if they did.
    pub doubt: Option<Doubt>,
    /// When it was adopted, by the store's clock.
    pub created_at: DateTime<Utc>,
    /// When the head last changed, by the store's clock.
    pub updated_at: DateTime<Utc>,
}

impl Head {
    /// True of a funding whose invoice nobody has paid: nothing waits for meltd.
    pub fn is_unpaid_funding(&self) -> bool {
        self.new.command.kind() == Kind::Mint && self.state == State::Quoted.as_str()
    }
}

/// A head with its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The head.
    pub head: Head,
    /// Its events in order.
    pub records: Vec<Record>,
}

/// What adoption did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Adopted {
    /// Inserted, and leased to the caller.
    New(Lease),
    /// The same command, or the same invoice by the same producer: its head.
    Existing(Box<Head>),
}

/// The right to drive a saga for a while, by the store's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The saga.
    pub saga: SagaId,
    /// The fence number to write under.
    pub fence: u64,
}

/// Everything that one append writes, in one transaction.
#[derive(Clone, Debug)]
pub struct Append {
    /// The saga.
    pub saga: SagaId,
    /// The wallet whose rows are written (appends of one wallet are put in order).
    pub wallet: WalletId,
    /// The version that was read: the CAS condition.
    pub expected_version: Seq,
    /// The lease that it is written under: the other CAS condition.
    pub fence: u64,
    /// The new records; the first has seq `expected_version + 1`. Never empty. Each is also an
    /// outbox row with the same id.
    pub records: Vec<Record>,
    /// The proof rows.
    pub proofs: Vec<ProofWrite>,
    /// The answer to the producer, if this append is the saga's answer and somebody waits for it:
    /// one more outbox row, with the id of the last record and `:reply`.
    pub reply: Option<OutboxReply>,
    /// The head after it. `attempts` becomes 0 and the saga is due at once, or never when done.
    pub head: HeadAfter,
}

/// The head's fields after an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadAfter {
    /// Hash of the last record.
    pub head_hash: String,
    /// The state's word.
    pub state: String,
    /// Its status.
    pub status: Status,
    /// False: the payment hash and the intent key are let go.
    pub holds_claims: bool,
    /// True: the sealed proofs of a receive are erased from the head.
    pub erase_sealed: bool,
}

/// A proof row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofRow {
    /// Its wallet.
    pub wallet: WalletId,
    /// The coin.
    pub coin: Coin,
    /// The mint's signature.
    pub signature: Signature,
    /// Its state.
    pub state: ProofState,
    /// The saga that holds it, or that spent it.
    pub saga: Option<SagaId>,
    /// Its set.
    pub token: Token,
    /// When it was spent, by the store's clock.
    pub spent_at: Option<DateTime<Utc>>,
}

/// Why a pass ended without progress, and when the saga is due again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Later {
    /// From now, by the store's clock.
    pub wait: Duration,
    /// What was waited for, for a person.
    pub why: String,
    /// The contradiction that the pass saw, counted.
    pub doubt: Option<Doubt>,
}

impl From<(Duration, String)> for Later {
    fn from((wait, why): (Duration, String)) -> Self {
        let doubt = None;
        Later { wait, why, doubt }
    }
}

/// Which due sagas to find.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DueFilter {
    /// False: the longest due first. True: the youngest sagas first.
    pub newest: bool,
    /// Not those of these mints.
    pub except_mints: Vec<String>,
    /// At most this many.
    pub limit: u32,
}

/// A saga that is due: what recovery plans with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The saga.
    pub saga: SagaId,
    /// Its mint.
    pub mint_url: String,
}

/// A mint that an operator has paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Canonical URL.
    pub mint_url: String,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when, by the store's clock.
    pub at: DateTime<Utc>,
}

/// Which sagas to list.
#[derive(Clone, Debug, Default)]
pub struct HeadFilter {
    /// Only these statuses; empty = all.
    pub statuses: Vec<Status>,
    /// Only this kind.
    pub kind: Option<Kind>,
    /// Only this wallet.
    pub wallet: Option<WalletId>,
    /// Only ids beyond this one in the order of the list (ids sort by time).
    pub after: Option<SagaId>,
    /// Only heads that changed at or after this moment, by the store's clock.
    pub changed_since: Option<DateTime<Utc>>,
    /// From the newest to the oldest, instead of from the oldest on.
    pub newest_first: bool,
    /// At most this many.
    pub limit: u32,
}

/// How a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Product, version and kind, in a few words.
    pub about: String,
    /// The store's clock.
    pub now: DateTime<Utc>,
    /// What is not as it must be, each in a sentence that says what to do.
    pub problems: Vec<String>,
}

/// What can go wrong at the store, named by what the caller does next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Adoption: refuse the command with this code ([`Code::CommandIdReused`],
    /// [`Code::InvoiceInUse`], [`Code::IntentInUse`]).
    #[error("{0}")]
    Refuse(Code),
    /// Somebody else advanced or leased the saga: load it again and decide again.
    #[error("the saga was advanced or leased by another worker")]
    Reload,
    /// These coins are not in the state that was read: choose again.
    #[error("{} coin(s) are no longer as they were read", .0.len())]
    ChooseAgain(Vec<Y>),
    /// A new coin's Y is already stored for another wallet or with another C: CRITICAL.
    #[error("a new coin is already stored with another owner or signature")]
    YConflict(Y),
    /// Not known whether it was written, or the store is away: nothing may be done on the strength
    /// of it; ask again later.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// The store is not what it must be (no replica set, wrong version, damaged row): stop.
    #[error("the store cannot be used: {0}")]
    Unusable(String),
}

/// The record of everything. `append` is the only write path to sagas and proofs.
pub trait Store: Outbox {
    /// The wallet of (npub, mint, unit), created on first sight.
    fn wallet(
        &self,
        npub: &str,
        mint_url: &str,
        unit: &str,
    ) -> impl Future<Output = Result<Wallet, StoreError>> + Send;

    /// Puts a wallet back under the id that it had in a store that was lost. One of the same id, or
    /// of the same (npub, mint, unit), is [`StoreError::Unusable`] unless it is this very wallet.
    fn put_wallet(&self, wallet: &Wallet) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// All wallets, or those of one owner.
    fn wallets(
        &self,
        npub: Option<&str>,
    ) -> impl Future<Output = Result<Vec<Wallet>, StoreError>> + Send;

    /// Inserts a head and leases it to `owner` for `ttl`, in one write. Repeats are recognised by
    /// the unique keys, in this order: command id, payment hash, intent key.
    fn adopt(
        &self,
        new: NewSaga,
        owner: &str,
        ttl: Duration,
    ) -> impl Future<Output = Result<Adopted, StoreError>> + Send;

    /// What [`Store::adopt`] would answer to a repeat or a conflict, without inserting anything:
    /// the head that holds one of the unique keys, or the refusal. `None` = it is new.
    fn known(&self, new: &NewSaga)
    -> impl Future<Output = Result<Option<Head>, StoreError>> + Send;

    /// A head and its log.
    fn load(
        &self,
        saga: &SagaId,
    ) -> impl Future<Output = Result<Option<Loaded>, StoreError>> + Send;

    /// The transaction. On `Ok` it is durable (majority and journal).
    fn append(&self, append: Append) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Takes the lease if it is free or over, with `fence + 1`; `None` = somebody holds it.
    fn lease(
        &self,
        saga: &SagaId,
        owner: &str,
        ttl: Duration,
    ) -> impl Future<Output = Result<Option<Lease>, StoreError>> + Send;

    /// Prolongs a lease that is still ours; [`StoreError::Reload`] if it is not.
    fn renew(
        &self,
        lease: &Lease,
        owner: &str,
        ttl: Duration,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Ends a lease. `later` = the pass made no progress: attempts + 1, not due before then, and
    /// why. A lease that is no longer ours is left alone.
    fn release(
        &self,
        lease: &Lease,
        owner: &str,
        later: Option<Later>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Sagas that are active, owing or parked, due and unleased.
    fn due(&self, filter: DueFilter) -> impl Future<Output = Result<Vec<Due>, StoreError>> + Send;

    /// Pauses a mint for all processes; one that is paused already keeps who, why and since when.
    fn pause_mint(
        &self,
        mint_url: &str,
        by: &str,
        reason: &str,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Ends a pause; false if there was none.
    fn resume_mint(&self, mint_url: &str) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Every pause, by URL.
    fn pauses(&self) -> impl Future<Output = Result<Vec<Pause>, StoreError>> + Send;

    /// Heads in id order, or in the reverse of it.
    fn heads(
        &self,
        filter: HeadFilter,
    ) -> impl Future<Output = Result<Vec<Head>, StoreError>> + Send;

    /// Proof rows of a wallet in these states (empty = all), by Y.
    fn proofs(
        &self,
        wallet: &WalletId,
        states: &[ProofState],
    ) -> impl Future<Output = Result<Vec<ProofRow>, StoreError>> + Send;

    /// The rows of these Ys, wherever they belong.
    fn proofs_by_y(
        &self,
        ys: &[Y],
    ) -> impl Future<Output = Result<Vec<ProofRow>, StoreError>> + Send;

    /// Takes `count` counters of a keyset in one atomic, majority-durable increment; returns the
    /// first. A range is never handed out twice; a lost one is a gap. One that would reach over
    /// [`KeysetId::counters_end`] is refused as [`StoreError::Unusable`].
    fn take_counters(
        &self,
        wallet: &WalletId,
        keyset: &KeysetId,
        count: u32,
    ) -> impl Future<Output = Result<u32, StoreError>> + Send;

    /// Makes the next counter of a keyset at least this; a higher one stays. Majority-durable.
    /// For counters that a restored backup has forgotten, or that were used before this store.
    fn raise_counters(
        &self,
        wallet: &WalletId,
        keyset: &KeysetId,
        at_least: u32,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The next counter of each keyset that the wallet has used.
    fn counters(
        &self,
        wallet: &WalletId,
    ) -> impl Future<Output = Result<Vec<(KeysetId, u32)>, StoreError>> + Send;

    /// Writes a fact about the whole store once, for ever, and returns what stands there: the value
    /// given, or the one of whoever was first.
    fn stamp(
        &self,
        name: &str,
        value: &str,
    ) -> impl Future<Output = Result<String, StoreError>> + Send;

    /// How the store is: what it runs on, its clock, and what is not as it must be.
    fn health(&self) -> impl Future<Output = Result<Health, StoreError>> + Send;

    /// Every row of every collection or table as text: for the test that looks for secrets.
    fn dump(&self) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send;
}
