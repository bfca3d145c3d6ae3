//! What the database has lost, by reading stream and heads; nothing is written.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Brought;
use crate::ports::{Begin, Bus, HeadFilter, Store, Stream};
use crate::saga::event::{Envelope, Event};
use crate::saga::ids::{Coin, KeysetId, Outputs, Range, SagaId, Seq, WalletId};
use crate::saga::proofs::made;
use crate::stream::chains::{Chains, From};
use crate::stream::fold::adoption;
use crate::stream::message::Published;
use crate::stream::read::Walk;
use crate::stream::verify::{AuditError, Signers, missing, signed_heads};

/// Heads of the database read at a time.
const SCAN: u32 = 500;

/// What there is to do.
#[derive(Default)]
pub(super) struct Plan {
    /// The events that the database lacks, in the order of their times.
    pub(super) lost: Vec<Published>,
    /// Per wallet, the first counter of each keyset that no range in the stream holds.
    pub(super) counters: BTreeMap<WalletId, BTreeMap<KeysetId, u32>>,
    /// Wallets of lost sagas: where they are, and a coin that only their owner's seed makes.
    pub(super) wallets: BTreeMap<WalletId, Place>,
}

/// Where a wallet is.
#[derive(Clone, Default)]
pub(super) struct Place {
    pub(super) mint_url: String,
    pub(super) unit: String,
    pub(super) coin: Option<Coin>,
}

pub(super) async fn plan<S: Store, B: Bus>(
    store: &S,
    bus: &B,
    signers: Signers<'_>,
    brought: &mut Brought,
) -> Result<Plan, AuditError> {
    let signed = signed_heads(bus, signers, &mut brought.problems).await?;
    let mut plan = Plan::default();
    let mut chains = Chains::new(From::Start);
    let mut broken: HashSet<SagaId> = HashSet::new();
    let mut owners: HashMap<SagaId, WalletId> = HashMap::new();
    let mut walk = Walk::begin(bus, Stream::Events, Begin::First).await?;
    loop {
        let page = walk.page().await?;
        if page.is_empty() {
            break;
        }
        for message in page {
            match message {
                Ok(event) => {
                    plan.note(&event.envelope, &mut owners);
                    let taken = chains.take(&event.record, &event.envelope);
                    if let Err(why) = taken
                        && broken.insert(event.record.saga.clone())
                    {
                        let saga = event.record.saga;
                        brought
                            .left
                            .push((saga, format!("its chain is broken: {why}")));
                    }
                }
                Err(why) => brought.problems.push(why),
            }
        }
    }
    brought.problems.extend(missing(&signed, &chains));
    let versions = versions(store).await?;
    let lost: HashMap<SagaId, Seq> = chains
        .heads()
        .filter(|(saga, ..)| !broken.contains(*saga))
        .filter_map(|(saga, seq, _)| {
            let version = versions.get(saga).copied().unwrap_or(0);
            (seq > version).then(|| (saga.clone(), version))
        })
        .collect();
    plan.collect(bus, lost).await?;
    Ok(plan)
}

/// Where each saga of the database stands.
async fn versions<S: Store>(store: &S) -> Result<HashMap<SagaId, Seq>, AuditError> {
    let mut versions = HashMap::new();
    let mut after = None;
    loop {
        let filter = HeadFilter {
            after: after.take(),
            limit: SCAN,
            ..HeadFilter::default()
        };
        let page = store.heads(filter).await?;
        let Some(last) = page.last() else {
            return Ok(versions);
        };
        after = Some(last.new.id.clone());
        versions.extend(page.into_iter().map(|head| (head.new.id, head.version)));
    }
}

impl Plan {
    /// Notes wallets, coins and counters.
    fn note(&mut self, envelope: &Envelope, owners: &mut HashMap<SagaId, WalletId>) {
        let saga = SagaId::new(&envelope.saga);
        if let Some(adoption) = adoption(envelope) {
            let place = self.wallets.entry(adoption.wallet.clone()).or_default();
            place.mint_url = adoption.mint_url;
            place.unit = adoption.unit;
            owners.insert(saga.clone(), adoption.wallet);
        }
        let Some(wallet) = owners.get(&saga) else {
            return;
        };
        if let Some(place) = self.wallets.get_mut(wallet)
            && place.coin.is_none()
        {
            place.coin = made(&envelope.event).first().map(|coin| (*coin).clone());
        }
        let counters = self.counters.entry(wallet.clone()).or_default();
        for range in ranges(&envelope.event) {
            let next = counters.entry(range.keyset).or_default();
            *next = (*next).max(range.start.saturating_add(range.count));
        }
    }

    /// Reads the events of these sagas that follow the position given.
    async fn collect<B: Bus>(
        &mut self,
        bus: &B,
        mut lost: HashMap<SagaId, Seq>,
    ) -> Result<(), AuditError> {
        if lost.is_empty() {
            return Ok(());
        }
        let mut walk = Walk::begin(bus, Stream::Events, Begin::First).await?;
        loop {
            let page = walk.page().await?;
            if page.is_empty() {
                break;
            }
            for event in page.into_iter().flatten() {
                if let Some(last) = lost.get_mut(&event.record.saga)
                    && event.record.seq == last.saturating_add(1)
                {
                    *last = event.record.seq;
                    self.lost.push(event);
                }
            }
        }
        self.lost.sort_by(|a, b| {
            let key = |event: &Published| (event.at(), event.record.id());
            key(a).cmp(&key(b))
        });
        Ok(())
    }
}

/// The counters that an event says were taken, or were used by a coin.
fn ranges(event: &Event) -> Vec<Range> {
    let of = |outputs: &Outputs| vec![outputs.range()];
    let mut ranges = match event {
        Event::SwapPrepared(e) => of(&e.outputs),
        Event::MintSent(e) => of(&e.outputs),
        Event::ProofsSent(e) => e.blanks.iter().cloned().collect(),
        _ => Vec::new(),
    };
    ranges.extend(made(event).into_iter().map(|coin| Range {
        keyset: coin.keyset.clone(),
        start: coin.counter,
        count: 1,
    }));
    ranges
}
