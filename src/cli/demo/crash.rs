//! The scene in which a process dies: another meltd, with the same store, seed and mint, is killed
//! after the mint has paid and before a word of it is written down.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cdk::Bolt11Invoice;

use super::scenes::LN_FEE;
use super::stage::{Owner, PATIENCE, Stage, broken};
use crate::cli::exit::Failure;
use crate::cli::follow::stored;
use crate::cli::sagas::outcome;
use crate::mint::embedded::Script;
use crate::ports::{Clock, Mint, Store};
use crate::saga::ids::{Amount, SagaId};
use crate::saga::state::State;

/// What the dying process pays.
const AMOUNT: Amount = 300;

/// The point at which it ends itself, as `kill -9` would: the mint has answered PAID.
const FAILPOINT: &str = "step.after.post_melt";

/// Without failpoints it is killed from here while a payment of this length is under way.
const SLOW_MS: u64 = 1500;

/// How often the child is looked at.
const LOOK: Duration = Duration::from_millis(10);

impl<S: Store, M: Mint, C: Clock> Stage<S, M, C> {
    /// Kills a melt between payment and commit, and recovers it.
    pub(super) async fn crash_and_recover(&mut self, owner: &Owner) -> Result<(), Failure> {
        let name = owner.name;
        self.say(&format!(
            "\n5. Another process pays {AMOUNT} sat from {name}'s wallet and dies between payment \
             and commit."
        ));
        let script = if cfg!(feature = "failpoints") {
            Script::Paid { ln_fee: LN_FEE }
        } else {
            Script::Slow {
                ms: SLOW_MS,
                ln_fee: LN_FEE,
            }
        };
        let invoice = self.invoice(AMOUNT, script)?;
        let id = self.killed(owner, &invoice).await?;
        self.sagas.push(id.clone());
        let left = stored(&*self.act.driver.store, &id).await?.saga;
        let paid = self.times_paid(&invoice);
        self.say(&format!(
            "   {id}  {} in the store; the Lightning node has paid it {}",
            left.state.as_str(),
            times(paid)
        ));
        let between = paid == 1 && left.state == State::Sent;
        self.check(between, "the process died between payment and commit");
        self.recover(&id, &invoice).await
    }

    /// What `meltd recover` does: the saga is taken over when the dead process's lease is over.
    async fn recover(&mut self, id: &SagaId, invoice: &Bolt11Invoice) -> Result<(), Failure> {
        let began = Instant::now();
        let driver = &self.act.driver;
        let these = vec![(id.clone(), PATIENCE)];
        driver.recover_these(these, |_, _| {}).await;
        let saga = stored(&*driver.store, id).await?.saga;
        let seconds = began.elapsed().as_secs_f64();
        let ttl = driver.tuning.lease_ttl.as_secs_f64();
        self.say(&format!(
            "   recovered after {seconds:.1} s (the dead process's lease lasts {ttl} s)"
        ));
        let paid = self.times_paid(invoice);
        let (outcome, times) = (outcome(&saga), times(paid));
        self.say(&format!(
            "   {id}  {outcome}; the Lightning node has paid it {times}"
        ));
        let once = paid == 1;
        let settled = saga.state == State::Settled && self.has_preimage(&saga, invoice);
        self.check(
            once && settled,
            "the killed melt was recovered, and paid exactly once",
        );
        Ok(())
    }

    /// Runs a melt in another process until it is dead; returns its saga.
    async fn killed(&self, owner: &Owner, invoice: &Bolt11Invoice) -> Result<SagaId, Failure> {
        let known = self.unfinished().await?;
        let mut child = self.spawn(owner, invoice)?;
        let ended = self.until_dead(&mut child, invoice).await;
        let _ = child.kill();
        let _ = child.wait();
        ended?;
        let now = self.unfinished().await?;
        let new = now.into_iter().find(|id| !known.contains(id));
        new.ok_or_else(|| broken("the other process left no unfinished saga; see child.log"))
    }

    async fn unfinished(&self) -> Result<Vec<SagaId>, Failure> {
        let heads = self.act.driver.unfinished().await?;
        Ok(heads.into_iter().map(|head| head.new.id).collect())
    }

    fn spawn(&self, owner: &Owner, invoice: &Bolt11Invoice) -> Result<Child, Failure> {
        let program = std::env::current_exe().map_err(broken)?;
        let log = File::create(self.folder.join("child.log")).map_err(broken)?;
        let mut child = Command::new(program);
        child
            .args(["melt", "--npub", &owner.npub, &invoice.to_string()])
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(broken)?)
            .stderr(log);
        if cfg!(feature = "failpoints") {
            child.env("MELTD_FAILPOINT", FAILPOINT);
        }
        child.spawn().map_err(broken)
    }

    /// With failpoints it dies by itself; without, it is killed while the mint pays, and the
    /// payment is waited for, which goes on without it.
    async fn until_dead(&self, child: &mut Child, invoice: &Bolt11Invoice) -> Result<(), Failure> {
        let end = Instant::now() + PATIENCE;
        let under_way = || self.mint.lightning().times_tried(invoice.payment_hash()) > 0;
        while Instant::now() < end {
            let ended = child.try_wait().map_err(broken)?.is_some();
            if !ended && !cfg!(feature = "failpoints") && under_way() {
                child.kill().map_err(broken)?;
                self.say("   killed while the mint is paying");
            } else if ended && (cfg!(feature = "failpoints") || self.times_paid(invoice) > 0) {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(broken(
            "the other process did not come so far; see child.log",
        ))
    }
}

fn times(n: usize) -> String {
    match n {
        0 => "never".to_owned(),
        1 => "once".to_owned(),
        n => format!("{n} times"),
    }
}
