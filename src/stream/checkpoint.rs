//! Makes the checkpoints of [`super::heads`] and publishes them.

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::heads::{
    HeadLine, HeadsMessage, Ledger, MAX_CHANGED, PAGE_HEADS, Page, Signed, Slot, Statement,
    VERSION, slot_of, slot_of_heads,
};
use super::read::Walk;
use crate::ports::{
    Begin, Bus, BusError, Clock, HeadFilter, Message, Notary, Store, StoreError, Stream,
};
use crate::saga::chain::Hash;
use crate::saga::ids::SagaId;

/// Heads read at a time.
const SCAN: u32 = 1000;

/// Why there is no checkpoint; the next attempt starts from the beginning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The heads could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It could not be published, or the checkpoints before it not be read.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// It could not be written or signed.
    #[error("a checkpoint cannot be signed: {0}")]
    Sign(String),
}

/// The maker of checkpoints. One at a time makes them: the holder of the relay's lease.
pub struct Checkpoints<S, B, C> {
    store: Arc<S>,
    bus: Arc<B>,
    clock: Arc<C>,
    notary: Arc<dyn Notary>,
}

impl<S: Store, B: Bus, C: Clock> Checkpoints<S, B, C> {
    /// Over these.
    pub fn new(store: Arc<S>, bus: Arc<B>, clock: Arc<C>, notary: Arc<dyn Notary>) -> Self {
        Checkpoints {
            store,
            bus,
            clock,
            notary,
        }
    }

    /// Makes a checkpoint now and then, for as long as `is_leader` says so at the time; ends with
    /// the task that it runs in. What goes wrong is logged and tried again at the next time.
    pub async fn run(&self, every: Duration, is_leader: impl Fn() -> bool) {
        loop {
            tokio::time::sleep(every).await;
            if !is_leader() {
                continue;
            }
            match self.make().await {
                Ok(number) => info!(number, "checkpoint of all heads published"),
                Err(why) => warn!(%why, "no checkpoint of the heads: it is tried again later"),
            }
        }
    }

    /// Makes one checkpoint of everything, or several if more has changed than one can list; the
    /// number of the last one.
    ///
    /// # Errors
    /// [`CheckpointError`]. What was published of it counts for nothing, or for what it says.
    pub async fn make(&self) -> Result<u64, CheckpointError> {
        let mut ledger = recall(&*self.bus).await?;
        let mut scan = Scan {
            store: &*self.store,
            after: None,
            ahead: Vec::new(),
            is_done: false,
        };
        loop {
            let at = self.clock.now();
            let mut changed = Vec::new();
            while changed.len() < MAX_CHANGED
                && let Some(heads) = scan.slot().await?
            {
                let Some(first) = heads.first() else { continue };
                let slot = slot_of_heads(slot_of(&first.0), &heads);
                if ledger.slot(&slot.slot) != Some(&slot) {
                    self.pages(&slot, heads).await?;
                    changed.push(slot);
                }
            }
            let statement = ledger.next(&self.notary.key(), at, changed);
            let text = self.sign(&statement).await?;
            ledger
                .take(&text, &statement)
                .map_err(CheckpointError::Sign)?;
            if scan.is_over() {
                return Ok(ledger.number);
            }
        }
    }

    /// Publishes a slot's heads.
    async fn pages(&self, slot: &Slot, heads: Vec<HeadLine>) -> Result<(), CheckpointError> {
        let parts = u32::try_from(heads.len().div_ceil(PAGE_HEADS)).unwrap_or(u32::MAX);
        for (part, heads) in (1..).zip(heads.chunks(PAGE_HEADS)) {
            let page = HeadsMessage::Page(Page {
                v: VERSION,
                slot: slot.slot.clone(),
                root: slot.root.clone(),
                part,
                parts,
                heads: heads.to_vec(),
            });
            let id = format!("heads:{}:{}:{part}", slot.slot, slot.root);
            self.publish(id, &page).await?;
        }
        Ok(())
    }

    async fn sign(&self, statement: &Statement) -> Result<String, CheckpointError> {
        let text = serde_json::to_string(statement);
        let text = text.map_err(|why| CheckpointError::Sign(why.to_string()))?;
        let signature = self.notary.sign(&text);
        let signature =
            signature.ok_or_else(|| CheckpointError::Sign("no signature was made".to_owned()))?;
        let id = format!("heads:{}", Hash::of(text.as_bytes()).to_hex());
        let signed = HeadsMessage::Checkpoint(Signed {
            statement: text.clone(),
            signature,
        });
        self.publish(id, &signed).await?;
        Ok(text)
    }

    async fn publish(&self, id: String, message: &HeadsMessage) -> Result<(), CheckpointError> {
        let body = serde_json::to_string(message);
        let body = body.map_err(|why| CheckpointError::Sign(why.to_string()))?;
        let message = Message {
            subject: Stream::Heads.subjects().to_owned(),
            id,
            headers: Vec::new(),
            body,
        };
        self.bus.publish(message).await?;
        Ok(())
    }
}

/// What the checkpoints in the stream add up to. They are our own, so faults are an auditor's.
async fn recall<B: Bus>(bus: &B) -> Result<Ledger, BusError> {
    let mut ledger = Ledger::default();
    let mut walk = Walk::begin(bus, Stream::Heads, Begin::First).await?;
    loop {
        let page = walk.stored(Stream::Heads).await?;
        if page.is_empty() {
            return Ok(ledger);
        }
        for stored in page {
            let read = serde_json::from_str(&stored.message.body);
            let Ok(HeadsMessage::Checkpoint(signed)) = read else {
                continue;
            };
            if let Ok(statement) = serde_json::from_str::<Statement>(&signed.statement)
                && let Err(why) = ledger.take(&signed.statement, &statement)
            {
                warn!(why, "a checkpoint in the stream");
            }
        }
    }
}

/// All heads of the store, slot by slot. Ids sort by time, so a slot's heads are neighbours.
struct Scan<'a, S> {
    store: &'a S,
    after: Option<SagaId>,
    ahead: Vec<HeadLine>,
    is_done: bool,
}

impl<S: Store> Scan<'_, S> {
    /// The next slot's heads; `None` at the end.
    async fn slot(&mut self) -> Result<Option<Vec<HeadLine>>, StoreError> {
        loop {
            let slot = self.ahead.first().map(|head| slot_of(&head.0).to_owned());
            let end = slot.and_then(|slot| {
                let other = |head: &HeadLine| slot_of(&head.0) != slot;
                self.ahead.iter().position(other)
            });
            if let Some(end) = end {
                let rest = self.ahead.split_off(end);
                return Ok(Some(std::mem::replace(&mut self.ahead, rest)));
            }
            if self.is_done {
                let last = std::mem::take(&mut self.ahead);
                return Ok(Some(last).filter(|heads| !heads.is_empty()));
            }
            let filter = HeadFilter {
                after: self.after.take(),
                limit: SCAN,
                ..HeadFilter::default()
            };
            let page = self.store.heads(filter).await?;
            self.after = page.last().map(|head| head.new.id.clone());
            self.is_done = self.after.is_none();
            // A saga without events has nothing that an auditor could look for.
            let heads = page.into_iter().filter(|head| head.version > 0);
            let lines = heads.map(|head| HeadLine(head.new.id, head.version, head.head_hash));
            self.ahead.extend(lines);
        }
    }

    fn is_over(&self) -> bool {
        self.is_done && self.ahead.is_empty()
    }
}
