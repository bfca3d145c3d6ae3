//! `meltd demo`: the whole thing in seconds. A real mint in this process behind real HTTP, a SQLite
//! file, and only the Lightning network behind the mint played by a node that does what invoices
//! say. It pays, fails, waits, crashes and recovers, and then proves that nothing was lost.

mod crash;
mod scenes;
mod stage;

use std::time::Instant;

use serde::Serialize;

use super::audit::conservation;
use super::exit::{Exit, Failure, inside};
use super::output::{Answer, table};
use super::show::{ShowAnswer, show};
use super::timeline;
use crate::audit::{Audit, verify};
use crate::balance::Value;
use crate::ports::{Clock, Mint, Store};
use crate::saga::code::Code;
pub use stage::Stage;
use stage::{Check, Owner};

/// What an owner had, and has.
#[derive(Debug, Serialize)]
struct Balances {
    name: &'static str,
    npub: String,
    wallet: String,
    before: Value,
    after: Value,
}

/// Everything that the demo has to show.
#[derive(Debug, Serialize)]
pub struct DemoAnswer {
    success: bool,
    seconds: f64,
    balances: Vec<Balances>,
    sagas: Vec<ShowAnswer>,
    audit: Audit,
    checks: Vec<Check>,
    #[serde(flatten, serialize_with = "inside")]
    failure: Option<Failure>,
}

impl<S: Store, M: Mint, C: Clock> Stage<S, M, C> {
    /// Plays every scene, then looks at what is left.
    pub async fn run(mut self) -> Exit {
        let out = self.act.out;
        out.end(self.play().await)
    }

    async fn play(&mut self) -> Result<DemoAnswer, Failure> {
        let began = Instant::now();
        self.say("A Cashu mint in this process, SQLite, no server.");
        self.say(&format!("Data: {}", self.folder.display()));
        let owners = self.fund().await?;
        let mut before = Vec::new();
        for owner in &owners {
            before.push(self.value(owner).await?);
        }
        let [alice, bob] = &owners;
        self.many_at_once(alice).await?;
        self.refused(bob).await?;
        self.pending(bob).await?;
        self.crash_and_recover(alice).await?;
        self.conclude(began, &owners, before).await
    }

    /// The record of it all, against what the Lightning node knows.
    async fn conclude(
        &mut self,
        began: Instant,
        owners: &[Owner],
        before: Vec<Value>,
    ) -> Result<DemoAnswer, Failure> {
        let store = self.act.driver.store.clone();
        let audit = verify(&*store).await?;
        let clean = audit.problems.is_empty();
        self.check(
            clean,
            "every hash chain, state, coin and balance follows from the events",
        );
        self.check_against_node(&audit).await?;
        let mut balances = Vec::new();
        for (owner, before) in owners.iter().zip(before) {
            let after = self.value(owner).await?;
            let idle = after.reserved + after.in_flight == 0;
            self.check(
                idle,
                &format!("nothing of {}'s is still reserved", owner.name),
            );
            balances.push(Balances {
                name: owner.name,
                npub: owner.npub.clone(),
                wallet: owner.wallet.id.to_string(),
                before,
                after,
            });
        }
        let mut sagas = Vec::new();
        for id in &self.sagas {
            sagas.push(show(&*store, id.as_str()).await?);
        }
        let checks = std::mem::take(&mut self.checks);
        let wrong = checks.iter().filter(|check| !check.holds).count();
        let failure = (wrong > 0).then(|| Failure {
            exit: Exit::Critical,
            code: Code::CriticalMeltFailure,
            message: format!("{wrong} of {} checks do not hold", checks.len()),
            saga: None,
        });
        Ok(DemoAnswer {
            success: failure.is_none(),
            seconds: began.elapsed().as_secs_f64(),
            balances,
            sagas,
            audit,
            checks,
            failure,
        })
    }
}

impl DemoAnswer {
    fn timelines(&self) -> String {
        let sagas = self.sagas.iter().map(|saga| {
            let head = format!("{} {}  {}", saga.kind.as_str(), saga.saga, saga.outcome);
            format!("{head}\n{}\n", timeline::brief(&saga.timeline))
        });
        sagas.collect()
    }

    fn balances(&self) -> String {
        let rows = self.balances.iter().map(|b| {
            let (before, after) = (b.before, b.after);
            let numbers = [
                before.available,
                after.available,
                after.reserved,
                after.in_flight,
                after.owed,
            ];
            let numbers = numbers.iter().map(ToString::to_string);
            std::iter::once(b.name.to_owned()).chain(numbers).collect()
        });
        let head = ["sat", "before", "after", "reserved", "in flight", "owed"];
        table(&head, &rows.collect::<Vec<_>>())
    }

    fn accounts(&self) -> String {
        conservation(&self.audit.wallets, |id| {
            let owner = self.balances.iter().find(|b| b.wallet == id);
            owner.map_or(id, |b| b.name).to_owned()
        })
    }
}

impl Answer for DemoAnswer {
    fn human(&self) -> String {
        let mut text = format!("\nTimelines\n\n{}", self.timelines());
        text += &format!("Balances\n\n{}\n", self.balances());
        let law = "minted + received = paid + fees + lost + written off + owed + balance";
        text += &format!("Conservation: {law}\n\n{}\n", self.accounts());
        text += "Checks\n\n";
        for check in &self.checks {
            let mark = if check.holds { "ok" } else { "NO" };
            text += &format!("  {mark}  {}\n", check.what);
        }
        let Audit { sagas, events, .. } = &self.audit;
        let verdict = if self.success {
            "nothing lost, stranded or paid twice"
        } else {
            "SOMETHING IS WRONG, see the checks"
        };
        let seconds = self.seconds;
        text + &format!("\nVerdict: {verdict}. {sagas} sagas, {events} events, {seconds:.1} s.\n")
    }

    fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }
}
