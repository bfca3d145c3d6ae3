//! Putting the lost events back.

use std::collections::{BTreeMap, HashMap, HashSet};

use tokio::time::Instant;
use tracing::warn;

use super::{Bringer, Brought};
use crate::driver::fold;
use crate::ports::{
    Adopted, Append, Bus, Clock, HeadAfter, Lease, Mint, NewSaga, Store, StoreError, Wallet,
};
use crate::saga::chain::{self, Record, Tail};
use crate::saga::code::Code;
use crate::saga::command::Command;
use crate::saga::event::{Entry, Event, Parked};
use crate::saga::evolve::evolve;
use crate::saga::ids::{Coin, Producer, Range, SagaId, Signature, WalletId, Y};
use crate::saga::proofs::{made, project_proofs};
use crate::saga::state::{Saga, State};
use crate::stream::fold::adoption;
use crate::stream::message::Published;
use crate::stream::verify::AuditError;

/// Who submitted a saga that only the stream remembers.
const PRODUCER: &str = "stream";

/// Why an event was not appended.
enum Held {
    /// Another saga's events have to come first, or another process has it.
    Later(String),
    /// It cannot be appended in this run.
    Never(String),
    /// The database is away.
    Store(StoreError),
}

impl From<StoreError> for Held {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::ChooseAgain(_) | StoreError::Reload | StoreError::Refuse(_) => {
                Held::Later(error.to_string())
            }
            StoreError::YConflict(_) => Held::Never(error.to_string()),
            StoreError::Unavailable(_) | StoreError::Unusable(_) => Held::Store(error),
        }
    }
}

/// A saga that is being brought forward.
struct Run {
    saga: Saga,
    tail: Tail,
    lease: Lease,
    renewed: Instant,
}

/// All of them.
pub(super) struct Runs<'a, S, B, M, C> {
    with: &'a Bringer<S, B, M, C>,
    wallets: &'a BTreeMap<WalletId, Wallet>,
    runs: HashMap<SagaId, Run>,
}

impl<'a, S: Store, B: Bus, M: Mint, C: Clock> Runs<'a, S, B, M, C> {
    pub(super) fn new(
        with: &'a Bringer<S, B, M, C>,
        wallets: &'a BTreeMap<WalletId, Wallet>,
    ) -> Self {
        Runs {
            with,
            wallets,
            runs: HashMap::new(),
        }
    }

    /// Appends the events, oldest first. The clocks of several processes may differ, so one that
    /// needs another saga's event first is tried again when that is there.
    pub(super) async fn events(
        &mut self,
        mut lost: Vec<Published>,
        brought: &mut Brought,
    ) -> Result<(), AuditError> {
        loop {
            let before = lost.len();
            let mut held: HashMap<SagaId, String> = HashMap::new();
            let mut over: HashSet<SagaId> = HashSet::new();
            let mut rest = Vec::new();
            for event in lost {
                let id = event.record.saga.clone();
                if over.contains(&id) {
                    continue;
                }
                if held.contains_key(&id) {
                    rest.push(event);
                    continue;
                }
                match self.event(&event, brought).await {
                    Ok(()) => brought.events += 1,
                    Err(Held::Later(why)) => {
                        held.insert(id, why);
                        rest.push(event);
                    }
                    Err(Held::Never(why)) => {
                        brought.left.push((id.clone(), why));
                        over.insert(id);
                    }
                    Err(Held::Store(error)) => return Err(error.into()),
                }
            }
            if rest.is_empty() || rest.len() == before {
                brought.left.extend(held);
                return Ok(());
            }
            lost = rest;
        }
    }

    async fn event(&mut self, event: &Published, brought: &mut Brought) -> Result<(), Held> {
        let id = &event.record.saga;
        if !self.runs.contains_key(id) {
            let run = self.begin(event, brought).await?;
            self.runs.insert(id.clone(), run);
        }
        let Some(run) = self.runs.get_mut(id) else {
            return Ok(());
        };
        let mut tail = run.tail.clone();
        let opened = chain::open(&mut tail, &event.record);
        let (mut entry, _) = opened.map_err(|broken| {
            Held::Never(format!("the database and the stream differ: {broken}"))
        })?;
        let next = evolve(run.saga.clone(), &entry);
        let next = next.map_err(|illegal| Held::Never(illegal.to_string()))?;
        entry.private.signatures = self.with.signatures(&next, &entry.event).await?;
        self.with
            .append(run, next, tail, event.record.clone(), &entry)
            .await?;
        if !brought.sagas.contains(id) {
            brought.sagas.push(id.clone());
        }
        Ok(())
    }

    /// Leases the saga, or adopts it if only the stream knows it.
    async fn begin(&self, event: &Published, brought: &mut Brought) -> Result<Run, Held> {
        let (with, id) = (self.with, &event.record.saga);
        let ttl = with.lease_ttl;
        let lease = match with.store.load(id).await? {
            Some(_) => with.store.lease(id, &with.owner, ttl).await?,
            None => {
                let lease = self.adopt(event).await?;
                brought.new.push(id.clone());
                Some(lease)
            }
        };
        let lease = lease.ok_or_else(|| {
            Held::Never("another process works on it: stop all of them first".to_owned())
        })?;
        let loaded = with.store.load(id).await?;
        let loaded = loaded.ok_or_else(|| Held::Never("its head vanished".to_owned()))?;
        let (saga, tail) = fold(&loaded).map_err(|why| Held::Never(why.to_string()))?;
        Ok(Run {
            saga,
            tail,
            lease,
            renewed: Instant::now(),
        })
    }

    async fn adopt(&self, event: &Published) -> Result<Lease, Held> {
        let with = self.with;
        let adoption = adoption(&event.envelope).ok_or_else(|| {
            Held::Never("it was refused at once, and nothing hangs on it".to_owned())
        })?;
        let wallet = self.wallets.get(&adoption.wallet).cloned().ok_or_else(|| {
            let wallet = &adoption.wallet;
            Held::Never(format!(
                "its wallet {wallet} is not in the database: name its owner with --npub"
            ))
        })?;
        let new = NewSaga {
            id: adoption.id.clone(),
            wallet,
            producer: Producer::new(PRODUCER),
            command_id: adoption.id.to_string(),
            intent_key: None,
            request_hash: adoption.request_hash,
            command: adoption.command,
            reply_to: None,
        };
        match with.store.adopt(new, &with.owner, with.lease_ttl).await? {
            Adopted::New(lease) => Ok(lease),
            Adopted::Existing(head) => Err(Held::Later(format!(
                "saga {} holds its invoice",
                head.new.id
            ))),
        }
    }

    /// Puts those on a person's desk that cannot go on without what the stream does not hold.
    pub(super) async fn park(&mut self, brought: &mut Brought) -> Result<(), AuditError> {
        for run in self.runs.values_mut() {
            if run.saga.parked.is_some() || !lacks(&run.saga) {
                continue;
            }
            let code = Code::PrivateHalfLost;
            let entry = Entry::from(Event::Parked(Parked {
                code,
                evidence: code.advice().to_owned(),
                by: "meltd".to_owned(),
            }));
            let id = run.saga.adoption.id.clone();
            let Ok(next) = evolve(run.saga.clone(), &entry) else {
                continue;
            };
            let mut tail = run.tail.clone();
            // No private half, so no salt.
            let record = chain::seal(&mut tail, &entry, self.with.clock.now(), "");
            let Ok(record) = record else { continue };
            match self.with.append(run, next, tail, record, &entry).await {
                Ok(()) => brought.parked.push(id),
                Err(Held::Store(error)) => return Err(error.into()),
                Err(Held::Later(why) | Held::Never(why)) => brought.left.push((id, why)),
            }
        }
        Ok(())
    }

    /// Gives the leases back.
    pub(super) async fn release(&self) {
        let with = self.with;
        for run in self.runs.values() {
            if let Err(why) = with.store.release(&run.lease, &with.owner, None).await {
                warn!(saga_id = %run.lease.saga, %why, "the lease could not be given back");
            }
        }
    }
}

impl<S: Store, B: Bus, M: Mint, C: Clock> Bringer<S, B, M, C> {
    async fn append(
        &self,
        run: &mut Run,
        next: Saga,
        tail: Tail,
        record: Record,
        entry: &Entry,
    ) -> Result<(), Held> {
        if run.renewed.elapsed() > self.lease_ttl / 3 {
            let renewed = self.store.renew(&run.lease, &self.owner, self.lease_ttl);
            renewed.await?;
            run.renewed = Instant::now();
        }
        let id = &next.adoption.id;
        let append = Append {
            saga: id.clone(),
            wallet: next.adoption.wallet.clone(),
            expected_version: run.tail.seq,
            fence: run.lease.fence,
            proofs: project_proofs(id, std::slice::from_ref(entry)),
            head: HeadAfter {
                head_hash: tail.hash.to_hex(),
                state: next.state.as_str().to_owned(),
                status: next.status(),
                holds_claims: next.holds_claims(),
                erase_sealed: next.state.is_terminal(),
            },
            records: vec![record],
            reply: None,
        };
        self.store.append(append).await?;
        run.saga = next;
        run.tail = tail;
        Ok(())
    }

    /// The signatures of the coins that an event makes, from the mint: NUT-09 gives them for spent
    /// coins too.
    async fn signatures(&self, saga: &Saga, event: &Event) -> Result<Vec<Signature>, Held> {
        let coins = made(event);
        let wallet = crate::perform::wallet_of(saga);
        let mut known: HashMap<Y, Signature> = HashMap::new();
        for range in neighbours(&coins) {
            let found = self.mint.restore(&wallet, &range).await;
            let found = found.map_err(|trouble| Held::Never(trouble.explain().1))?;
            for signed in found.coins {
                if coins.contains(&&signed.coin) {
                    known.insert(signed.coin.y, signed.signature);
                }
            }
        }
        let missing = |y| Held::Never(format!("the mint does not give the signature of coin {y}"));
        let mut signatures = Vec::with_capacity(coins.len());
        for coin in coins {
            let signature = known.get(&coin.y).cloned();
            signatures.push(signature.ok_or_else(|| missing(&coin.y))?);
        }
        Ok(signatures)
    }
}

/// The counters of some coins, those that follow each other as one range.
fn neighbours(coins: &[&Coin]) -> Vec<Range> {
    let mut counters: Vec<_> = coins.iter().map(|c| (&c.keyset, c.counter)).collect();
    counters.sort();
    let mut ranges: Vec<Range> = Vec::new();
    for (keyset, counter) in counters {
        match ranges.last_mut() {
            Some(last)
                if last.keyset == *keyset && last.start.saturating_add(last.count) == counter =>
            {
                last.count = last.count.saturating_add(1);
            }
            _ => ranges.push(Range {
                keyset: keyset.clone(),
                start: counter,
                count: 1,
            }),
        }
    }
    ranges
}

/// True if a saga cannot go on by itself without what the stream does not hold. A melt that was
/// sent can: its inputs' states, its change and the fence need no quote.
fn lacks(saga: &Saga) -> bool {
    let no_quote = saga.quote.as_ref().is_none_or(|quote| quote.id.is_none());
    match (&saga.adoption.command, saga.state) {
        (_, state) if state.is_terminal() => false,
        (Command::Melt(_), State::Sent | State::Fencing | State::Paid | State::Owing) => false,
        (Command::Melt(melt), State::Requested) => melt.invoice.is_empty(),
        (Command::Melt(_) | Command::Mint(_), _) => no_quote,
        (Command::Receive(receive), _) => receive.sealed.is_none(),
        // Its whole log is written with its adoption: nothing is left to be done.
        (Command::Reconcile(_), _) => false,
    }
}
