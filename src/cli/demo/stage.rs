//! What the scenes stand on: the loop, the mint, the owners, and a list of what has to hold.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use cdk::Bolt11Invoice;
use serde::Serialize;

use crate::audit::Audit;
use crate::balance::{Value, value};
use crate::cli::Act;
use crate::cli::exit::{Exit, Failure};
use crate::cli::follow::stored;
use crate::cli::output::print;
use crate::driver::DriveError;
use crate::intake::{MeltRequest, Submitted, Target};
use crate::mint::embedded::{EmbeddedMint, InvoiceSpec, Script};
use crate::ports::{Clock, Mint, Store, Wallet};
use crate::saga::code::Code;
use crate::saga::command::{Kind, Policy};
use crate::saga::ids::{Amount, SagaId};
use crate::saga::state::Saga;

/// No scene takes longer, unless something is wrong; then the demo says so instead of hanging.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// The demo's surroundings.
pub struct Stage<S, M, C> {
    /// The loop and where words go.
    pub act: Act<S, M, C>,
    /// The mint in this process.
    pub mint: EmbeddedMint,
    /// Where the data is.
    pub folder: PathBuf,
    /// The variables with which another meltd finds the same store, seed and mint.
    pub environment: Vec<(&'static str, String)>,
    pub(super) sagas: Vec<SagaId>,
    pub(super) checks: Vec<Check>,
}

/// Something that has to hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) what: String,
    pub(super) holds: bool,
}

/// Somebody with a wallet.
pub(super) struct Owner {
    pub(super) name: &'static str,
    pub(super) npub: String,
    pub(super) wallet: Wallet,
}

/// Something that the demo needs is not there.
pub(super) fn broken(why: impl Display) -> Failure {
    Failure {
        exit: Exit::Unusable,
        code: Code::ConfigInvalid,
        message: format!("the demo cannot go on: {why}"),
        saga: None,
    }
}

impl<S: Store, M: Mint, C: Clock> Stage<S, M, C> {
    /// A stage on which nothing has happened.
    pub fn new(
        act: Act<S, M, C>,
        mint: EmbeddedMint,
        folder: PathBuf,
        environment: Vec<(&'static str, String)>,
    ) -> Self {
        Stage {
            act,
            mint,
            folder,
            environment,
            sagas: Vec::new(),
            checks: Vec::new(),
        }
    }

    /// A line for a person, at once.
    pub(super) fn say(&self, line: &str) {
        if !self.act.out.is_json() {
            print(&format!("{line}\n"));
        }
    }

    /// Something has to hold; the verdict lists it.
    pub(super) fn check(&mut self, holds: bool, what: &str) {
        let what = what.to_owned();
        self.checks.push(Check { what, holds });
    }

    /// Somebody new.
    pub(super) async fn owner(&self, name: &'static str) -> Result<Owner, Failure> {
        let mut key = [0u8; 32];
        getrandom::fill(&mut key).map_err(broken)?;
        let hrp = bech32::Hrp::parse("npub").map_err(broken)?;
        let npub = bech32::encode::<bech32::Bech32>(hrp, &key).map_err(broken)?;
        let wallet = self.act.driver.wallet(&self.target(&npub)).await?;
        Ok(Owner { name, npub, wallet })
    }

    pub(super) fn target(&self, npub: &str) -> Target {
        self.act.target(npub.to_owned(), None)
    }

    /// What an owner has now.
    pub(super) async fn value(&self, owner: &Owner) -> Result<Value, Failure> {
        Ok(value(&*self.act.driver.store, &owner.wallet).await?)
    }

    /// An invoice of the node behind the mint, which does this when it is paid.
    pub(super) fn invoice(&self, sat: Amount, script: Script) -> Result<Bolt11Invoice, Failure> {
        let spec = InvoiceSpec {
            amount_msat: Some(sat.saturating_mul(1000)),
            description: "demo".to_owned(),
            script: Some(script),
            ..InvoiceSpec::default()
        };
        self.mint
            .lightning()
            .create_invoice_as(&spec)
            .map_err(broken)
    }

    /// Submits a melt and drives it to its answer.
    pub(super) async fn pay(
        &self,
        owner: &Owner,
        invoice: &Bolt11Invoice,
    ) -> Result<Saga, Failure> {
        let request = MeltRequest {
            target: self.target(&owner.npub),
            invoice: invoice.to_string(),
            amount: None,
            fee_limit: None,
            policy: Policy::Block,
        };
        let origin = self.act.origin(None, None, PATIENCE);
        let submitted = self.act.driver.submit_melt(&origin, &request).await?;
        self.drive(submitted).await
    }

    /// Drives an adopted saga to its answer.
    pub(super) async fn drive(&self, submitted: Submitted) -> Result<Saga, Failure> {
        let Submitted {
            saga: id, lease, ..
        } = submitted;
        let driver = &self.act.driver;
        match driver.drive_until(&id, lease, PATIENCE).await {
            Ok(Some(pass)) => Ok(pass.saga),
            Ok(None) | Err(DriveError::Lost) => Ok(stored(&*driver.store, &id).await?.saga),
            Err(error) => Err(Failure::of_drive(&error, &id)),
        }
    }

    /// How often the node behind the mint has really paid an invoice.
    pub(super) fn times_paid(&self, invoice: &Bolt11Invoice) -> usize {
        self.mint.lightning().times_paid(invoice.payment_hash())
    }

    /// True if the saga has the very preimage that the payee made.
    pub(super) fn has_preimage(&self, saga: &Saga, invoice: &Bolt11Invoice) -> bool {
        let known = self.mint.lightning().preimage(invoice.payment_hash());
        let paid = saga.paid.as_ref().filter(|paid| paid.proven);
        let told = paid.and_then(|paid| paid.preimage.as_deref());
        told.is_some() && told.map(str::to_owned) == known.map(hex::encode)
    }

    /// The log's sums, against what went through the node.
    pub(super) async fn check_against_node(&mut self, audit: &Audit) -> Result<(), Failure> {
        let minted: i128 = audit.wallets.values().map(|a| a.minted).sum();
        let received = i128::from(self.mint.lightning().received_sat());
        self.check(
            minted == received,
            &format!("the node received {received} sat, and that much was minted"),
        );
        let mut sent = 0;
        for id in &self.sagas {
            let saga = stored(&*self.act.driver.store, id).await?.saga;
            if let (Kind::Melt, Some(committed)) = (saga.kind(), &saga.committed) {
                sent += committed.amount + saga.fee_paid;
            }
        }
        let spent = self.mint.lightning().spent_sat();
        let what = format!("the node paid out {spent} sat, and that much was paid and charged");
        self.check(spent == sent, &what);
        Ok(())
    }
}
