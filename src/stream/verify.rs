//! `meltd audit verify --stream`: the stream against itself, and against the database.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::chains::{Chains, From, Taken};
use super::fold::Folds;
use super::heads::{HeadLine, HeadsMessage, Ledger, Page, Signed, Statement, slot_of_heads};
use super::message::Published;
use super::read::Walk;
use crate::audit::Account;
use crate::ports::{Begin, Bus, BusError, CheckSignature, HeadFilter, Store, StoreError, Stream};
use crate::saga::chain::{Hash, Record};
use crate::saga::ids::{SagaId, Seq};

/// How long events that a checkpoint names may be on their way from the database to the stream.
const LAG: Duration = Duration::from_secs(5);

/// Heads of the database read at a time.
const SCAN: u32 = 500;

/// What the audit of a stream found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct StreamAudit {
    /// Messages read.
    pub messages: u64,
    /// Messages that repeat an event: at least once is what is promised.
    pub repeats: u64,
    /// Sagas seen.
    pub sagas: u64,
    /// Events whose hashes were computed again.
    pub events: u64,
    /// The checkpoints.
    pub heads: HeadsFound,
    /// Per wallet, where its value went.
    pub wallets: BTreeMap<String, Account>,
    /// The database beside it, if it was asked for.
    pub database: Option<Beside>,
    /// Everything that is wrong, in sentences. Empty = clean.
    pub problems: Vec<String>,
}

/// The signed checkpoints that were found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct HeadsFound {
    /// How many.
    pub checkpoints: u64,
    /// When the heads of the last one were read, UTC.
    pub last_at: Option<DateTime<Utc>>,
    /// The key that signed them.
    pub key: Option<String>,
    /// Heads that were looked for in the stream.
    pub sagas: u64,
}

/// How the database stands to the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Beside {
    /// Events of the database that were compared byte for byte.
    pub equal: u64,
    /// Sagas of which the database has events that the stream has not yet: (saga, how many).
    pub database_ahead: Vec<(SagaId, u32)>,
    /// Sagas of which the stream has events that the database has lost: (saga, how many).
    pub stream_ahead: Vec<(SagaId, u32)>,
}

/// Why there is no audit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// The stream cannot be read.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The database cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who may have signed: a key that was given, or any, and how it is checked.
#[derive(Clone, Copy, Debug)]
pub struct Signers<'a> {
    /// The only key that counts; `None` = whichever signed the first checkpoint.
    pub key: Option<&'a str>,
    /// The check.
    pub check: CheckSignature,
}

/// The heads that the checkpoints name: the newest of each saga.
pub(super) type Signs = HashMap<SagaId, (Seq, String)>;

/// Audits the stream, and the database beside it if one is given.
///
/// # Errors
/// Only if something cannot be read; what is wrong is in the [`StreamAudit`].
pub async fn verify<B: Bus, S: Store>(
    bus: &B,
    store: Option<&S>,
    signers: Signers<'_>,
) -> Result<StreamAudit, AuditError> {
    let mut audit = StreamAudit::default();
    // The checkpoints first: whatever they name is in the stream by the time that it is read.
    let reader = checkpoints(bus, signers, &mut audit.problems).await?;
    let signed = reader.signed;
    audit.heads = reader.found;
    let mut chains = Chains::new(From::Start);
    let mut folds = Folds::default();
    let mut next = Begin::First;
    let deadline = tokio::time::Instant::now() + LAG;
    loop {
        next = audit.read(bus, next, &mut chains, &mut folds).await?;
        if missing(&signed, &chains).next().is_none() || tokio::time::Instant::now() >= deadline {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    audit.heads.sagas = signed.len() as u64;
    audit.problems.extend(missing(&signed, &chains));
    audit.sagas = chains.len() as u64;
    let (wallets, problems) = folds.finish();
    audit.wallets = wallets;
    audit.problems.extend(problems);
    if let Some(store) = store {
        let beside = audit.compare(store, &chains).await?;
        audit.database = Some(beside);
    }
    audit.problems.sort();
    Ok(audit)
}

/// The heads that the checkpoints in the stream sign for.
pub(super) async fn signed_heads<B: Bus>(
    bus: &B,
    signers: Signers<'_>,
    problems: &mut Vec<String>,
) -> Result<Signs, AuditError> {
    Ok(checkpoints(bus, signers, problems).await?.signed)
}

/// Reads the checkpoints, checks what they say of themselves, and collects what they sign for.
async fn checkpoints<B: Bus>(
    bus: &B,
    signers: Signers<'_>,
    problems: &mut Vec<String>,
) -> Result<HeadsReader, AuditError> {
    let mut reader = HeadsReader::default();
    if bus.facts(Stream::Heads).await?.is_none() {
        return Ok(reader);
    }
    let mut walk = Walk::begin(bus, Stream::Heads, Begin::First).await?;
    loop {
        let page = walk.stored(Stream::Heads).await?;
        if page.is_empty() {
            return Ok(reader);
        }
        for stored in page {
            match serde_json::from_str(&stored.message.body) {
                Ok(HeadsMessage::Page(page)) => reader.page(page),
                Ok(HeadsMessage::Checkpoint(signed)) => {
                    let done = reader.checkpoint(&signed, signers);
                    problems.extend(done.err().into_iter().flatten());
                }
                Err(why) => {
                    let at = stored.sequence;
                    problems.push(format!("message {at} of the heads: {why}"));
                }
            }
        }
    }
}

/// What the checkpoints name and the stream does not hold, in sentences.
pub(super) fn missing<'a>(
    signed: &'a Signs,
    chains: &'a Chains,
) -> impl Iterator<Item = String> + 'a {
    signed.iter().filter_map(|(saga, (seq, hash))| {
        let Some((last, _)) = chains.head(saga) else {
            return Some(format!(
                "saga {saga}: it is signed for, and the stream does not have it"
            ));
        };
        if last < *seq {
            return Some(format!(
                "saga {saga}: its tail is cut: event {seq} is signed for, the stream ends at {last}"
            ));
        }
        let held = Hash::from_hex(hash).and_then(|hash| chains.holds(saga, *seq, hash));
        (held != Some(true)).then(|| {
            format!("saga {saga}: event {seq} in the stream is not the one that was signed for")
        })
    })
}

impl StreamAudit {
    /// Reads what has come since, and returns where to go on.
    async fn read<B: Bus>(
        &mut self,
        bus: &B,
        from: Begin,
        chains: &mut Chains,
        folds: &mut Folds,
    ) -> Result<Begin, AuditError> {
        let mut walk = Walk::begin(bus, Stream::Events, from).await?;
        let mut next = from;
        loop {
            let page = walk.page().await?;
            if page.is_empty() {
                return Ok(next);
            }
            for message in page {
                self.messages += 1;
                match message {
                    Ok(event) => {
                        next = Begin::At(event.sequence.saturating_add(1));
                        self.event(&event, chains, folds);
                    }
                    Err(why) => self.problems.push(why),
                }
            }
        }
    }

    fn event(&mut self, event: &Published, chains: &mut Chains, folds: &mut Folds) {
        let saga = &event.record.saga;
        match chains.take(&event.record, &event.envelope) {
            Ok(Taken::Repeat) => self.repeats += 1,
            Ok(Taken::Next) => {
                self.events += 1;
                if let Err(why) = folds.take(&event.envelope) {
                    self.problems.push(why);
                }
            }
            Err(broken) => self.problems.push(format!(
                "saga {saga}, message {} of the stream: {broken}",
                event.sequence
            )),
        }
    }

    /// Every event of the database must be in the stream with the same hash: the hash is over the
    /// bytes and over everything before them.
    async fn compare<S: Store>(
        &mut self,
        store: &S,
        chains: &Chains,
    ) -> Result<Beside, AuditError> {
        let mut beside = Beside::default();
        let mut heads: HashMap<SagaId, Seq> = HashMap::new();
        let mut after = None;
        loop {
            let filter = HeadFilter {
                after: after.take(),
                limit: SCAN,
                ..HeadFilter::default()
            };
            let page = store.heads(filter).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.new.id.clone());
            for head in page {
                let Some(loaded) = store.load(&head.new.id).await? else {
                    continue;
                };
                self.saga(&loaded.records, chains, &mut beside);
                let version = loaded.records.last().map_or(0, |record| record.seq);
                heads.insert(head.new.id, version);
            }
        }
        for (saga, seq, _) in chains.heads() {
            let version = heads.get(saga).copied().unwrap_or(0);
            if seq > version {
                beside.stream_ahead.push((saga.clone(), seq - version));
                self.problems.push(format!(
                    "saga {saga}: the stream is at event {seq}, the database at {version}: run \
                     meltd recover --from-stream"
                ));
            }
        }
        beside.stream_ahead.sort();
        Ok(beside)
    }

    fn saga(&mut self, records: &[Record], chains: &Chains, beside: &mut Beside) {
        let mut unpublished = 0;
        for record in records {
            let hash = Hash::from_hex(&record.hash);
            match hash.and_then(|hash| chains.holds(&record.saga, record.seq, hash)) {
                Some(true) => beside.equal += 1,
                Some(false) => self.problems.push(format!(
                    "saga {}: event {} is not the same in the database and in the stream",
                    record.saga, record.seq
                )),
                None => unpublished += 1,
            }
        }
        if let Some(record) = records.first().filter(|_| unpublished > 0) {
            beside
                .database_ahead
                .push((record.saga.clone(), unpublished));
        }
    }
}

/// Pages that wait for their checkpoint, and what the checkpoints add up to.
#[derive(Default)]
struct HeadsReader {
    ledger: Ledger,
    pages: HashMap<(String, String), BTreeMap<u32, Page>>,
    signed: Signs,
    found: HeadsFound,
}

impl HeadsReader {
    fn page(&mut self, page: Page) {
        let slot = (page.slot.clone(), page.root.clone());
        self.pages.entry(slot).or_default().insert(page.part, page);
    }

    fn checkpoint(&mut self, signed: &Signed, signers: Signers<'_>) -> Result<(), Vec<String>> {
        let found = &mut self.found;
        found.checkpoints += 1;
        let nth = found.checkpoints;
        let read: Result<Statement, _> = serde_json::from_str(&signed.statement);
        let statement = read.map_err(|why| vec![format!("checkpoint {nth}: {why}")])?;
        let number = statement.number;
        let key = signers.key.map(str::to_owned).or(found.key.clone());
        let key = key.unwrap_or_else(|| statement.key.clone());
        let is_signed = (signers.check)(&key, &signed.statement, &signed.signature);
        if !is_signed || statement.key != key {
            // Anybody who may publish there could have made it: nothing of it counts.
            return Err(vec![format!("checkpoint {number} is not signed by {key}")]);
        }
        found.key = Some(key);
        found.last_at = Some(statement.at);
        let mut problems = Vec::new();
        problems.extend(self.ledger.take(&signed.statement, &statement).err());
        for slot in &statement.changed {
            let pages = self.pages.remove(&(slot.slot.clone(), slot.root.clone()));
            let pages = pages.into_iter().flat_map(BTreeMap::into_values);
            let heads: Vec<HeadLine> = pages.flat_map(|page| page.heads).collect();
            if slot_of_heads(&slot.slot, &heads) != *slot {
                let slot = &slot.slot;
                problems.push(format!(
                    "checkpoint {number}: the heads of slot {slot} are missing"
                ));
                continue;
            }
            for HeadLine(saga, seq, hash) in heads {
                self.forward(saga, seq, hash, &mut problems);
            }
        }
        match problems.is_empty() {
            true => Ok(()),
            false => Err(problems),
        }
    }

    /// A head never goes back: what was signed for once stays signed for.
    fn forward(&mut self, saga: SagaId, seq: Seq, hash: String, problems: &mut Vec<String>) {
        match self.signed.get(&saga) {
            Some((before, _)) if *before > seq => problems.push(format!(
                "saga {saga}: event {before} was signed for, and later only {seq}"
            )),
            Some((before, known)) if *before == seq && *known != hash => problems.push(format!(
                "saga {saga}: two different events {seq} were signed for"
            )),
            _ => {
                self.signed.insert(saga, (seq, hash));
            }
        }
    }
}
