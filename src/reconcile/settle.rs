//! Correcting: what was found differing goes to sagas, which look once more by themselves. One
//! such saga of a wallet lives at a time: it claims the wallet as its intent, so that a coin is
//! never added twice.

use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::Stopped;
use crate::driver::Driver;
use crate::ports::{Adopted, Clock, HeadFilter, Lease, Mint, NewSaga, Store, StoreError, Wallet};
use crate::saga::chain::Hash;
use crate::saga::code::Code;
use crate::saga::command::{Cause, Command, Kind, ReconcileCommand};
use crate::saga::ids::{Amount, Producer, Range, SagaId, Y, sum};
use crate::saga::state::{Saga, Status};

/// Coins that one saga is to correct: its events stay small.
const SUSPECTS_MAX: usize = 100;

/// The scope of these sagas' command ids and claims.
const PRODUCER: &str = "operator";

/// How long a saga is driven here; then recovery takes it on.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often another reconciliation of the same wallet is waited for.
const ROUNDS: u32 = 10;

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Settled {
    /// Coins that were marked as spent.
    pub corrected: u64,
    /// Their value: it is lost.
    pub corrected_amount: Amount,
    /// Coins that were added.
    pub restored: u64,
    /// Their value.
    pub restored_amount: Amount,
    /// The sagas that did it.
    pub sagas: Vec<SagaId>,
    /// Sagas that wait for something: recovery takes them on.
    pub waiting: Vec<(SagaId, String)>,
}

impl<S: Store, M: Mint, C: Clock> Driver<S, M, C> {
    /// Corrects these coins and adds what is found at these counters, each if it is still so, and
    /// adds to `settled` what was done, as it is done.
    ///
    /// # Errors
    /// [`Stopped`]; what was adopted until then is taken on by recovery.
    pub(crate) async fn settle_differences(
        &self,
        wallet: &Wallet,
        cause: Cause,
        suspects: Vec<Y>,
        ranges: Vec<Range>,
        settled: &mut Settled,
    ) -> Result<(), Stopped> {
        let corrections = suspects.chunks(SUSPECTS_MAX).map(|ys| ReconcileCommand {
            cause,
            suspects: ys.to_vec(),
            ranges: Vec::new(),
        });
        let additions = ranges.into_iter().map(|range| ReconcileCommand {
            cause,
            suspects: Vec::new(),
            ranges: vec![range],
        });
        for command in corrections.chain(additions) {
            self.settle_one(wallet, command, settled).await?;
        }
        Ok(())
    }

    async fn settle_one(
        &self,
        wallet: &Wallet,
        command: ReconcileCommand,
        settled: &mut Settled,
    ) -> Result<(), Stopped> {
        let suspects = command.suspects.clone();
        let (id, lease) = self.adopt_reconciliation(wallet, command).await?;
        let driven = self.drive_until(&id, Some(lease), PATIENCE).await?;
        match driven {
            Some(pass) if pass.saga.status() == Status::Done => {
                self.count(&pass.saga, &suspects, settled).await?;
                settled.sagas.push(id);
            }
            Some(pass) => {
                let why = pass.later.map_or_else(String::new, |(_, why)| why);
                settled.waiting.push((id, why));
            }
            None => settled
                .waiting
                .push((id, "another worker has it".to_owned())),
        }
        Ok(())
    }

    /// Adopts it as soon as no other reconciliation of this wallet lives, driving those that do.
    async fn adopt_reconciliation(
        &self,
        wallet: &Wallet,
        command: ReconcileCommand,
    ) -> Result<(SagaId, Lease), Stopped> {
        for _ in 0..ROUNDS {
            let new = new_saga(wallet, command.clone());
            let id = new.id.clone();
            let ttl = self.tuning.lease_ttl;
            match self.store.adopt(new, &self.owner, ttl).await {
                Ok(Adopted::New(lease)) => return Ok((id, lease)),
                // Its id is new, so nothing else can be repeated by it.
                Ok(Adopted::Existing(head)) => {
                    let why = format!("a new saga's id is taken by {}", head.new.id);
                    return Err(StoreError::Unusable(why).into());
                }
                Err(StoreError::Refuse(Code::IntentInUse)) => self.finish_others(wallet).await?,
                Err(error) => return Err(error.into()),
            }
        }
        let why = "another reconciliation of this wallet does not end: see meltd saga list";
        Err(Stopped::Mint(Code::NotFinished, why.to_owned()))
    }

    async fn finish_others(&self, wallet: &Wallet) -> Result<(), Stopped> {
        let filter = HeadFilter {
            statuses: vec![Status::Active, Status::Parked],
            kind: Some(Kind::Reconcile),
            wallet: Some(wallet.id.clone()),
            limit: 1,
            ..HeadFilter::default()
        };
        for head in self.store.heads(filter).await? {
            // Whatever hinders it is told by the next try to adopt.
            let patience = self.tuning.lease_ttl;
            drop(self.drive_until(&head.new.id, None, patience).await);
        }
        Ok(())
    }

    async fn count(
        &self,
        saga: &Saga,
        suspects: &[Y],
        settled: &mut Settled,
    ) -> Result<(), StoreError> {
        let rows = self.store.proofs_by_y(suspects).await?;
        let ours = rows
            .iter()
            .filter(|row| row.saga.as_ref() == Some(&saga.adoption.id));
        for row in ours {
            settled.corrected += 1;
            settled.corrected_amount = settled.corrected_amount.saturating_add(row.coin.amount);
        }
        settled.restored += saga.gained.len() as u64;
        let gained = sum(saga.gained.iter().map(|coin| coin.amount)).unwrap_or(Amount::MAX);
        settled.restored_amount = settled.restored_amount.saturating_add(gained);
        Ok(())
    }
}

fn new_saga(wallet: &Wallet, command: ReconcileCommand) -> NewSaga {
    let id = SagaId::new(uuid::Uuid::now_v7().to_string());
    let digest = json!({ "kind": "reconcile", "wallet": wallet.id, "command": command });
    NewSaga {
        wallet: wallet.clone(),
        producer: Producer::new(PRODUCER),
        command_id: format!("{}:{id}", command.cause.as_str()),
        intent_key: Some(format!("reconcile:{}", wallet.id)),
        request_hash: Hash::of(digest.to_string().as_bytes()).to_hex(),
        command: Command::Reconcile(command),
        reply_to: None,
        id,
    }
}
