//! The scenes in which everybody lives.

use std::time::{Duration, Instant};

use futures::future::try_join_all;

use super::stage::{Owner, PATIENCE, Stage};
use crate::cli::exit::Failure;
use crate::cli::sagas::{outcome, short};
use crate::mint::embedded::Script;
use crate::ports::{Clock, Mint, Store};
use crate::saga::ids::{Amount, sum};
use crate::saga::state::{Saga, State};

/// What the payments at once are for: several coins each, and change from each.
const AMOUNTS: [Amount; 6] = [21, 55, 100, 144, 200, 210];

/// What the owners begin with.
const FUNDS: [(&str, Amount); 2] = [("alice", 2000), ("bob", 1000)];

/// How long the slow payment is pending: longer than the demo's post waits for its answer.
const PENDING_MS: u64 = 3000;

/// What every payment costs on the Lightning side.
pub(super) const LN_FEE: u64 = 1;

impl<S: Store, M: Mint, C: Clock> Stage<S, M, C> {
    /// Two wallets, funded through mint quotes that get paid at once.
    pub(super) async fn fund(&mut self) -> Result<[Owner; 2], Failure> {
        self.say("\n1. Two wallets are funded through mint quotes.");
        let [alice, bob] = FUNDS;
        let alice = self.funded(alice.0, alice.1).await?;
        let bob = self.funded(bob.0, bob.1).await?;
        Ok([alice, bob])
    }

    async fn funded(&mut self, name: &'static str, amount: Amount) -> Result<Owner, Failure> {
        let owner = self.owner(name).await?;
        let origin = self.act.origin(None, None, PATIENCE);
        let target = self.target(&owner.npub);
        let driver = &self.act.driver;
        let submitted = driver.submit_mint(&origin, &target, amount).await?;
        let saga = self.drive(submitted).await?;
        let got = sum(saga.gained.iter().map(|c| c.amount)).unwrap_or(0);
        let (coins, npub) = (saga.gained.len(), short(&owner.npub));
        self.say(&format!("   {name:<5} {npub}  {got} sat in {coins} coins"));
        self.check(
            got == amount,
            &format!("{name} was funded with {amount} sat"),
        );
        self.sagas.push(saga.adoption.id);
        Ok(owner)
    }

    /// Several melts of one wallet at the same time: they choose coins beside each other.
    pub(super) async fn many_at_once(&mut self, owner: &Owner) -> Result<(), Failure> {
        let count = AMOUNTS.len();
        let name = owner.name;
        self.say(&format!("\n2. {count} melts at once from {name}'s wallet."));
        let began = Instant::now();
        let mut invoices = Vec::new();
        for amount in AMOUNTS {
            invoices.push(self.invoice(amount, Script::Paid { ln_fee: LN_FEE })?);
        }
        let melts = invoices.iter().map(|invoice| self.pay(owner, invoice));
        let sagas: Vec<Saga> = try_join_all(melts).await?;
        let seconds = began.elapsed().as_secs_f64();
        let mut right = 0;
        for (saga, invoice) in sagas.iter().zip(&invoices) {
            let once = self.times_paid(invoice) == 1;
            let settled = saga.state == State::Settled && self.has_preimage(saga, invoice);
            right += usize::from(once && settled);
            self.say(&format!("   {}  {}", saga.adoption.id, outcome(saga)));
        }
        self.say(&format!("   {count} answers in {seconds:.1} s"));
        let what = format!("{count} melts at once: each paid exactly once, with its preimage");
        self.check(right == count, &what);
        self.sagas.extend(sagas.into_iter().map(|s| s.adoption.id));
        Ok(())
    }

    /// The payment fails. No answer proves that it can never be made later, so the coins are
    /// fenced before they are let go.
    pub(super) async fn refused(&mut self, owner: &Owner) -> Result<(), Failure> {
        let name = owner.name;
        self.say(&format!(
            "\n3. A payment of {name}'s that fails on Lightning."
        ));
        let before = self.value(owner).await?;
        let invoice = self.invoice(300, Script::Failed)?;
        let saga = self.pay(owner, &invoice).await?;
        let after = self.value(owner).await?;
        self.say(&format!("   {}  {}", saga.adoption.id, outcome(&saga)));
        let (had, has, fee) = (before.available, after.available, saga.swap_fees);
        self.say(&format!(
            "   {name} had {had} sat and has {has} sat: the fence cost {fee} sat"
        ));
        let back = has + fee == had && saga.state == State::Released;
        let unpaid = self.times_paid(&invoice) == 0;
        self.check(
            back && unpaid,
            "the failed payment was never made, and the coins are back",
        );
        self.sagas.push(saga.adoption.id);
        Ok(())
    }

    /// The payment hangs for a while. No clock frees its coins; somebody asks until it is decided.
    pub(super) async fn pending(&mut self, owner: &Owner) -> Result<(), Failure> {
        let name = owner.name;
        self.say(&format!(
            "\n4. A payment of {name}'s that is pending for a while."
        ));
        let script = Script::PendingThenPaid {
            ms: PENDING_MS,
            ln_fee: LN_FEE,
        };
        let invoice = self.invoice(150, script)?;
        let meanwhile = async {
            tokio::time::sleep(Duration::from_millis(PENDING_MS / 2)).await;
            let value = self.value(owner).await?;
            self.say(&format!(
                "   meanwhile {} sat are in flight",
                value.in_flight
            ));
            Ok::<_, Failure>(value)
        };
        let (saga, during) = tokio::join!(self.pay(owner, &invoice), meanwhile);
        let (saga, during) = (saga?, during?.in_flight);
        self.say(&format!("   {}  {}", saga.adoption.id, outcome(&saga)));
        let paid = self.times_paid(&invoice) == 1 && self.has_preimage(&saga, &invoice);
        let held = during > 0 && saga.state == State::Settled;
        self.check(
            paid && held,
            "the pending payment kept its coins until it was decided",
        );
        self.sagas.push(saga.adoption.id);
        Ok(())
    }
}
