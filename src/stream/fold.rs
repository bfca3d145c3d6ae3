//! The public halves of many sagas, folded as they come, and where their value went. Sagas are
//! independent of each other in the stream, so coins are counted in any order.

use std::collections::{BTreeMap, HashMap};

use crate::audit::{Account, conserve, corrected};
use crate::saga::command::{Command, MeltCommand, MintCommand, ReceiveCommand};
use crate::saga::event::{Entry, Envelope, Event};
use crate::saga::evolve::evolve;
use crate::saga::ids::{Amount, SagaId, WalletId, Y};
use crate::saga::proofs::{ProofState, ProofWrite, project_proofs, unsigned};
use crate::saga::state::{Adoption, Saga};

/// What a saga's first event says of its adoption. The invoice, the owner and a sealed token are
/// private, and so are empty here. `None`: the event tells of no wallet (a command that was refused
/// at once, or one that is no first event).
pub(super) fn adoption(envelope: &Envelope) -> Option<Adoption> {
    let (wallet, mint_url, unit, request_hash, command) = match &envelope.event {
        Event::MeltRequested(e) => {
            let command = Command::Melt(MeltCommand {
                invoice: String::new(),
                payment_hash: e.payment_hash.clone(),
                amount_msat: e.amount_msat,
                amountless: e.amountless,
                invoice_expires_at: e.invoice_expires_at,
                fee_limit: e.fee_limit,
                policy: e.policy,
                deadline: e.deadline,
            });
            (
                &e.wallet,
                &e.mint_url,
                &e.unit,
                e.request_hash.clone(),
                command,
            )
        }
        Event::MintQuoteCreated(e) => {
            let command = Command::Mint(MintCommand {
                amount: e.amount,
                deadline: envelope.at,
            });
            (&e.wallet, &e.mint_url, &e.unit, String::new(), command)
        }
        Event::ReceiveRequested(e) => {
            let command = Command::Receive(ReceiveCommand {
                ys: e.ys.clone(),
                amount: e.amount,
                input_fee: 0,
                sealed: None,
                deadline: envelope.at,
            });
            (
                &e.wallet,
                &e.mint_url,
                &e.unit,
                e.request_hash.clone(),
                command,
            )
        }
        _ => return None,
    };
    Some(Adoption {
        id: SagaId::new(&envelope.saga),
        wallet: wallet.clone(),
        npub: String::new(),
        mint_url: mint_url.clone(),
        unit: unit.clone(),
        request_hash,
        command,
    })
}

/// A coin that is not settled yet: not spent, or seen spent before it was seen made.
#[derive(Default)]
struct Known {
    amount: Option<Amount>,
    wallet: Option<WalletId>,
    is_spent: bool,
    is_lost: bool,
}

/// All sagas of a stream.
#[derive(Default)]
pub(super) struct Folds {
    /// Sagas that have not ended. An ended one is counted and forgotten.
    open: HashMap<SagaId, Saga>,
    coins: HashMap<Y, Known>,
    /// Where each wallet's value went, as far as sagas have ended.
    wallets: BTreeMap<String, Account>,
}

impl Folds {
    /// Takes the next event of a saga in.
    ///
    /// # Errors
    /// A sentence if it cannot follow.
    pub(super) fn take(&mut self, envelope: &Envelope) -> Result<(), String> {
        let id = SagaId::new(&envelope.saga);
        let entry = Entry::from(envelope.event.clone());
        let saga = match self.open.remove(&id) {
            Some(saga) => saga,
            None if envelope.seq == 1 => match adoption(envelope) {
                Some(adoption) => Saga::adopted(adoption),
                None if matches!(envelope.event, Event::Rejected(_)) => return Ok(()),
                None => return Err(format!("saga {id} begins with {}", envelope.event.name())),
            },
            None => return self.note(&id, envelope),
        };
        let wallet = saga.adoption.wallet.clone();
        let saga = evolve(saga, &entry).map_err(|illegal| illegal.to_string())?;
        self.coins(&id, Some(&wallet), &entry);
        if saga.state.is_terminal() {
            conserve(self.account(&wallet), &saga);
        } else {
            self.open.insert(id, saga);
        }
        Ok(())
    }

    /// What follows an end is a note, which changes no value but by its coins.
    fn note(&mut self, id: &SagaId, envelope: &Envelope) -> Result<(), String> {
        let entry = Entry::from(envelope.event.clone());
        match &envelope.event {
            Event::CriticalRaised(_) | Event::CriticalResolved(_) => {}
            Event::ProofCorrected(_) => self.coins(id, None, &entry),
            Event::Restored(e) => self.coins(id, Some(&e.wallet), &entry),
            other => {
                let (name, seq) = (other.name(), envelope.seq);
                return Err(format!("saga {id}: {name} follows its end at seq {seq}"));
            }
        }
        Ok(())
    }

    /// Counts what has not ended, and what is left.
    pub(super) fn finish(mut self) -> (BTreeMap<String, Account>, Vec<String>) {
        for saga in std::mem::take(&mut self.open).into_values() {
            let wallet = saga.adoption.wallet.clone();
            conserve(self.account(&wallet), &saga);
        }
        let mut problems = Vec::new();
        for (y, coin) in std::mem::take(&mut self.coins) {
            match (coin.amount, &coin.wallet) {
                (Some(amount), Some(wallet)) => {
                    self.account(wallet).balance += i128::from(amount);
                }
                _ => problems.push(format!("coin {y} is used, and no event made it")),
            }
        }
        for (wallet, account) in &self.wallets {
            let by = account.imbalance();
            if by != 0 {
                problems.push(format!("wallet {wallet}: value is not conserved, by {by}"));
            }
        }
        (self.wallets, problems)
    }

    fn account(&mut self, wallet: &WalletId) -> &mut Account {
        self.wallets.entry(wallet.to_string()).or_default()
    }

    fn coins(&mut self, id: &SagaId, wallet: Option<&WalletId>, entry: &Entry) {
        for y in corrected(entry) {
            self.coins.entry(y.clone()).or_default().is_lost = true;
        }
        for write in project_proofs(id, &[unsigned(entry)]) {
            // Sagas come in any order: a coin may be seen spent by one before it is seen let go by
            // another, so what leaves a coin in the wallet says nothing here.
            if matches!(&write, ProofWrite::Move { to, .. } if *to != ProofState::Spent) {
                continue;
            }
            let y = write.y().clone();
            let coin = self.coins.entry(y.clone()).or_default();
            match write {
                ProofWrite::Insert { coin: made, .. } => {
                    coin.amount = Some(made.amount);
                    coin.wallet = wallet.cloned();
                }
                ProofWrite::Move { .. } => coin.is_spent = true,
            }
            if coin.amount.is_none() || !coin.is_spent {
                continue;
            }
            let Some(Known {
                amount: Some(amount),
                wallet: Some(owner),
                is_lost: true,
                ..
            }) = self.coins.remove(&y)
            else {
                continue;
            };
            self.account(&owner).lost += i128::from(amount);
        }
    }
}
