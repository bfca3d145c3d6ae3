//! The doctor: looks at everything that meltd stands on, and says what to do. It changes nothing.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::driver::Driver;
use crate::ports::{
    Bus, BusError, Clock, DueFilter, Head, Mint, Store, StoreError, Stream, Wallet,
};
use crate::saga::code::Code;
use crate::saga::ids::{SagaId, WalletId};
use crate::saga::proofs::ProofState;
use crate::saga::state::Status;

/// Clocks further apart than this are worth a word: deadlines and leases are compared across them.
const SKEW_WARNING: TimeDelta = TimeDelta::seconds(2);

/// Further apart than a lease lives, and quotes seem expired that are not.
const SKEW_BAD: TimeDelta = TimeDelta::seconds(15);

/// A mint that needs longer for its info will need too long for a payment's questions.
const SLOW: Duration = Duration::from_secs(2);

/// Due sagas that are read: more need not be told apart.
const DUE_MAX: u32 = 10_000;

/// A relay publishes within seconds.
const OUTBOX_OLD: TimeDelta = TimeDelta::minutes(5);

/// Without these nothing can be paid, or not with the care that is taken here.
const NEEDED: [u32; 3] = [4, 5, 7];

/// Without these change, lost answers or funding quotes are not as safe as they could be.
const WANTED: [u32; 3] = [8, 9, 20];

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// As it must be.
    Ok,
    /// Worth a look.
    Warning,
    /// To be mended before money moves.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What.
    pub what: String,
    /// How it is.
    pub grade: Grade,
    /// What was seen.
    pub found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Line {
    /// As it must be.
    pub fn ok(what: impl Into<String>, found: impl Into<String>) -> Self {
        Line {
            what: what.into(),
            grade: Grade::Ok,
            found: found.into(),
            advice: None,
        }
    }

    /// Not as it must be, and what to do.
    pub fn not_ok(
        grade: Grade,
        what: impl Into<String>,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Line {
            grade,
            advice: Some(advice.into()),
            ..Line::ok(what, found)
        }
    }

    fn of_code(grade: Grade, what: impl Into<String>, found: String, code: Code) -> Self {
        Line::not_ok(grade, what, format!("{code}: {found}"), code.advice())
    }
}

/// What an examination is about, and from when on it is worried.
#[derive(Clone, Debug)]
pub struct Checks<'a> {
    /// The unit of the wallets.
    pub unit: &'a str,
    /// Of so many wallets the counters are compared with the mint.
    pub wallets_max: usize,
    /// A saga that is under way for longer is told.
    pub stuck_after: Duration,
    /// A saga that is due for longer has nobody who drives it.
    pub overdue_after: Duration,
}

impl<S: Store, M: Mint, C: Clock> Driver<S, M, C> {
    /// Looks at the store, the clocks, the mints, counters, unfinished sagas and who drives them,
    /// the outbox and coins that are held back.
    pub async fn examine(&self, checks: &Checks<'_>) -> Vec<Line> {
        let mut lines = self.examine_store().await;
        for url in self.mint.urls() {
            lines.push(self.examine_mint(&url, checks.unit).await);
        }
        if self.mint.urls().is_empty() {
            let code = Code::MintUnknown;
            let found = "no mint is configured".to_owned();
            lines.push(Line::of_code(Grade::Bad, "mint", found, code));
        }
        let counters = self.examine_counters(checks.wallets_max).await;
        lines.push(counters.unwrap_or_else(|why| unread("counters", &why)));
        let sagas = self.examine_sagas(checks).await;
        lines.extend(sagas.unwrap_or_else(|why| vec![unread("sagas", &why)]));
        let held = self.examine_held().await;
        lines.push(held.unwrap_or_else(|why| unread("held coins", &why)));
        let outbox = self.examine_outbox().await;
        lines.push(outbox.unwrap_or_else(|why| unread("outbox", &why)));
        lines
    }

    async fn examine_store(&self) -> Vec<Line> {
        let before = self.clock.now();
        let health = match self.store.health().await {
            Ok(health) => health,
            Err(why) => return vec![unread("store", &why)],
        };
        let after = self.clock.now();
        let mut lines = vec![Line::ok("store", health.about)];
        for problem in health.problems {
            let (found, advice) = problem.split_once(": ").unwrap_or((&problem, "see above"));
            lines.push(Line::not_ok(Grade::Bad, "store", found, advice));
        }
        lines.push(clock(health.now, before, after));
        lines
    }

    async fn examine_mint(&self, url: &str, unit: &str) -> Line {
        let what = format!("mint {url}");
        let wallet = Wallet {
            id: WalletId::new("doctor"),
            npub: String::new(),
            mint_url: url.to_owned(),
            unit: unit.to_owned(),
        };
        let began = std::time::Instant::now();
        let about = self.mint.about(&wallet).await;
        let took = began.elapsed();
        let answer = match about {
            Ok(about) => self.mint.keysets(&wallet).await.map(|sets| (about, sets)),
            Err(trouble) => Err(trouble),
        };
        let (about, keysets) = match answer {
            Ok(answer) => answer,
            Err(trouble) => {
                let (code, why) = trouble.explain();
                return Line::of_code(Grade::Bad, what, why, code);
            }
        };
        let active = keysets.iter().filter(|keyset| keyset.active).count();
        let version = match about.version.as_str() {
            "" => "of unknown version",
            version => version,
        };
        let found = format!(
            "{version}, {active} active and {} retired keyset(s) for {unit}, answered in {} ms",
            keysets.len() - active,
            took.as_millis()
        );
        let missing = |nuts: [u32; 3]| {
            let missing = nuts.into_iter().filter(|nut| !about.nuts.contains(nut));
            missing
                .map(|nut| format!("NUT-{nut:02}"))
                .collect::<Vec<_>>()
        };
        let (needed, wanted) = (missing(NEEDED), missing(WANTED));
        if active == 0 {
            return Line::of_code(Grade::Bad, what, found, Code::UnitUnknown);
        }
        if !needed.is_empty() {
            let advice = "use another mint: payments cannot be followed safely without it";
            let found = format!("{found}; without {}", needed.join(", "));
            return Line::not_ok(Grade::Bad, what, found, advice);
        }
        if !wanted.is_empty() {
            let advice = "it can be used; without NUT-08 change is made by swaps, without NUT-09 \
                          lost answers and lost stores cannot be found again";
            let found = format!("{found}; without {}", wanted.join(", "));
            return Line::not_ok(Grade::Warning, what, found, advice);
        }
        if took > SLOW {
            let code = Code::MintSlow;
            return Line::of_code(Grade::Warning, what, found, code);
        }
        Line::ok(what, found)
    }

    /// NUT-09 ahead of the counters: a hit means that the store is older than the mint.
    async fn examine_counters(&self, wallets_max: usize) -> Result<Line, StoreError> {
        let wallets = self.store.wallets(None).await?;
        let all = wallets.len();
        let (mut looked, mut silent) = (0usize, 0usize);
        for wallet in wallets.into_iter().take(wallets_max) {
            if !self.mint.restores(&wallet).await {
                silent += 1;
                continue;
            }
            match self.signed_ahead(&wallet).await? {
                Ok(ahead) if ahead.is_empty() => looked += 1,
                Ok(_) => {
                    let found = format!("wallet {} and perhaps others", wallet.id);
                    let code = Code::CountersBehind;
                    return Ok(Line::of_code(Grade::Bad, "counters", found, code));
                }
                Err(_) => silent += 1,
            }
        }
        let found = format!("{looked} of {all} wallet(s): nothing is signed ahead of them");
        if silent > 0 {
            let found = format!("{found}; for {silent} the mint does not say");
            let advice = "run it again when the mint answers";
            return Ok(Line::not_ok(Grade::Warning, "counters", found, advice));
        }
        if looked < all {
            let advice = "look at more of them with --wallets";
            return Ok(Line::not_ok(Grade::Warning, "counters", found, advice));
        }
        Ok(Line::ok("counters", found))
    }

    async fn examine_sagas(&self, checks: &Checks<'_>) -> Result<Vec<Line>, StoreError> {
        let heads = self.unfinished().await?;
        let parked = heads.iter().filter(|head| head.status == Status::Parked);
        let parked = parked.count();
        let now = self.clock.now();
        // What a mint owes for ever has an alarm of its own.
        let is_active = |head: &&Head| head.status == Status::Active && is_waited_for(head);
        let stuck = heads.iter().filter(is_active);
        let is_old = |head: &&Head| is_older(head.created_at, now, checks.stuck_after);
        let stuck: Vec<_> = stuck.filter(is_old).collect();
        let mut lines = Vec::new();
        if parked > 0 {
            let found = format!("{parked} parked for a person");
            let advice = "look at each: meltd saga list --status parked, meltd saga show ID";
            lines.push(Line::not_ok(Grade::Bad, "sagas", found, advice));
        }
        if let Some(oldest) = stuck.first() {
            let (since, after) = (oldest.created_at, checks.stuck_after.as_secs());
            let found = format!(
                "{} under way for over {after} s, the first since {}",
                stuck.len(),
                since.format("%F %T UTC")
            );
            let advice = "see what they wait for: meltd saga list --status active";
            lines.push(Line::not_ok(Grade::Warning, "sagas", found, advice));
        }
        if lines.is_empty() {
            let found = format!("{} unfinished, none stuck or parked", heads.len());
            lines.push(Line::ok("sagas", found));
        }
        lines.push(self.examine_recovery(&heads, checks).await?);
        Ok(lines)
    }

    /// Whether anybody drives what is due. The store alone shows it: a worker that is dead says
    /// nothing, and has said nothing for 26 hours in real life.
    async fn examine_recovery(
        &self,
        heads: &[Head],
        checks: &Checks<'_>,
    ) -> Result<Line, StoreError> {
        let filter = DueFilter {
            limit: DUE_MAX,
            ..DueFilter::default()
        };
        let due: HashSet<SagaId> = self
            .store
            .due(filter)
            .await?
            .into_iter()
            .map(|d| d.saga)
            .collect();
        let (now, after) = (self.clock.now(), checks.overdue_after);
        let is_overdue = |head: &&Head| {
            let since = head.next_attempt_at.filter(|_| due.contains(&head.new.id));
            since.is_some_and(|since| is_older(since, now, after))
        };
        let overdue = heads.iter().filter(|head| is_waited_for(head));
        let overdue = overdue.filter(is_overdue).count();
        let found = format!(
            "{overdue} due for over {} s with nobody to drive them",
            after.as_secs()
        );
        if overdue > 0 {
            let advice = "no recovery runs: start meltd serve with the role recovery, or run \
                          meltd recover";
            return Ok(Line::not_ok(Grade::Bad, "recovery", found, advice));
        }
        Ok(Line::ok("recovery", found))
    }

    /// Coins that are held by sagas that have ended.
    async fn examine_held(&self) -> Result<Line, StoreError> {
        let mut ended: HashMap<SagaId, bool> = HashMap::new();
        let (mut held, mut leaked) = (0u64, 0u64);
        for wallet in self.store.wallets(None).await? {
            let states = [ProofState::Reserved, ProofState::Pending];
            for row in self.store.proofs(&wallet.id, &states).await? {
                held += 1;
                let Some(saga) = row.saga else { continue };
                if !ended.contains_key(&saga) {
                    let loaded = self.store.load(&saga).await?;
                    let done = loaded.is_none_or(|l| l.head.status == Status::Done);
                    ended.insert(saga.clone(), done);
                }
                leaked += u64::from(ended.get(&saga) == Some(&true));
            }
        }
        if leaked > 0 {
            let found = format!("{leaked} of {held} coin(s) are held by sagas that have ended");
            let advice = "see which: meltd wallet reconcile --all --dry-run";
            return Ok(Line::not_ok(Grade::Bad, "held coins", found, advice));
        }
        let found = format!("{held}, all by sagas that live");
        Ok(Line::ok("held coins", found))
    }

    async fn examine_outbox(&self) -> Result<Line, StoreError> {
        let depth = self.store.outbox_depth().await?;
        let age = depth.oldest.map_or(TimeDelta::zero(), |at| depth.now - at);
        let found = format!(
            "{} event(s) to publish, {} parked",
            depth.rows, depth.parked
        );
        if depth.parked > 0 {
            let advice = "the bus never takes these: see why with meltd relay status";
            return Ok(Line::not_ok(Grade::Bad, "outbox", found, advice));
        }
        // Nobody is late where nobody ever published: with a bus these are published, all of them.
        if depth.rows > 0 && self.store.relay_mark().await?.is_none() {
            let found = format!("{} event(s) kept for a bus; none was ever used", depth.rows);
            return Ok(Line::ok("outbox", found));
        }
        if age > OUTBOX_OLD {
            let found = format!("{found}, the first {} min old", age.num_minutes());
            let advice = "where a bus is used, its relay does not keep up: check that it runs";
            return Ok(Line::not_ok(Grade::Warning, "outbox", found, advice));
        }
        Ok(Line::ok("outbox", found))
    }
}

/// True of what somebody waits for: not of a funding invoice that nobody pays, and not of what
/// waits for a person.
fn is_waited_for(head: &Head) -> bool {
    matches!(head.status, Status::Active | Status::Owing) && !head.is_unpaid_funding()
}

fn is_older(since: DateTime<Utc>, now: DateTime<Utc>, than: Duration) -> bool {
    (now - since).to_std().is_ok_and(|age| age > than)
}

/// Whether every stream is there and as it must be. Nothing is made.
pub async fn examine_bus<B: Bus>(bus: &B) -> Vec<Line> {
    let mut lines = Vec::new();
    for stream in Stream::ALL {
        let what = format!("stream {}", stream.name());
        lines.push(match bus.facts(stream).await {
            Ok(None) => {
                let advice = "meltd serve makes it at its start";
                Line::not_ok(Grade::Warning, what, "not there", advice)
            }
            // It is there, so preparing it only compares.
            Ok(Some(facts)) => match bus.prepare(&[stream]).await {
                Ok(()) => Line::ok(what, format!("{} message(s)", facts.messages)),
                Err(why) => bad_bus(what, &why),
            },
            Err(why) => bad_bus(what, &why),
        });
    }
    lines
}

/// The line of a bus that cannot be reached.
pub fn bus_is_away(why: &BusError) -> Line {
    bad_bus("bus".to_owned(), why)
}

fn bad_bus(what: String, why: &BusError) -> Line {
    let advice = "check MELTD_BUS, the server, and the permissions of its user";
    Line::not_ok(Grade::Bad, what, why.to_string(), advice)
}

/// The store's clock against this one, which was read before and after it.
fn clock(store: DateTime<Utc>, before: DateTime<Utc>, after: DateTime<Utc>) -> Line {
    let skew = (before - store).max(store - after).max(TimeDelta::zero());
    let found = format!("{} ms from the store's", skew.num_milliseconds());
    let advice = "let both machines keep their time by NTP";
    match skew {
        skew if skew > SKEW_BAD => Line::not_ok(Grade::Bad, "clock", found, advice),
        skew if skew > SKEW_WARNING => Line::not_ok(Grade::Warning, "clock", found, advice),
        _ => Line::ok("clock", found),
    }
}

fn unread(what: &str, why: &StoreError) -> Line {
    let code = match why {
        StoreError::Unusable(_) => Code::StoreUnusable,
        _ => Code::StoreUnreachable,
    };
    Line::of_code(Grade::Bad, what, why.to_string(), code)
}
