//! Ready-made wallets, commands, coins and appends for the suite. The events are fillers with a
//! real chain; the proof writes are given as they are, so that each guard is tested by itself.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeZone, Utc};
use meltd::ports::{Adopted, Append, Head, HeadAfter, Lease, NewSaga, Store, StoreError, Wallet};
use meltd::saga::chain::{self, Hash, Tail};
use meltd::saga::command::{
    Cause, Command, MeltCommand, MintCommand, Policy, ReceiveCommand, ReconcileCommand,
};
use meltd::saga::event::{Entry, Event, Private, Refusal};
use meltd::saga::ids::{Amount, Coin, KeysetId, Producer, SagaId, Seq, Signature, WalletId, Y};
use meltd::saga::proofs::{ProofState, ProofWrite, Token, TransactionType};
use meltd::saga::state::Status;

use super::Fixture;

/// The worker of most tests.
pub(crate) const OWNER: &str = "worker-1";
/// Another worker.
pub(crate) const OTHER: &str = "worker-2";
/// A lease that outlives every test.
pub(crate) const LONG: Duration = Duration::from_secs(3600);
/// A lease that is over at once: expiry without a sleep.
pub(crate) const OVER: Duration = Duration::ZERO;

/// A store of this fixture, shared by the tasks of a test.
pub(crate) async fn open<F: Fixture>(fixture: &F) -> Arc<F::Store> {
    Arc::new(fixture.open().await)
}

/// 64 hex digits that nobody else has.
pub(crate) fn unique() -> String {
    Hash::of(uuid::Uuid::now_v7().as_bytes()).to_hex()
}

/// A whole number of seconds, so that every store gives it back as it was.
pub(crate) fn later() -> DateTime<Utc> {
    Utc.timestamp_opt(4_000_000_000, 0).unwrap()
}

pub(crate) fn saga_id() -> SagaId {
    SagaId::new(uuid::Uuid::now_v7().to_string())
}

pub(crate) async fn wallet<S: Store>(store: &S, npub: &str) -> Wallet {
    store
        .wallet(npub, "https://mint.example", "sat")
        .await
        .unwrap()
}

fn new_saga(wallet: &Wallet, command: Command) -> NewSaga {
    NewSaga {
        id: saga_id(),
        wallet: wallet.clone(),
        producer: Producer::new("shop"),
        command_id: unique(),
        intent_key: None,
        request_hash: unique(),
        command,
        reply_to: None,
    }
}

/// A melt that repeats nothing.
pub(crate) fn melt(wallet: &Wallet) -> NewSaga {
    let command = MeltCommand {
        invoice: format!("lnbc-{}", unique()),
        payment_hash: unique(),
        amount_msat: 21_000,
        amountless: false,
        invoice_expires_at: later(),
        fee_limit: Some(3),
        policy: Policy::Block,
        deadline: later(),
    };
    new_saga(wallet, Command::Melt(command))
}

/// A melt of the same invoice as `of`.
pub(crate) fn same_invoice(of: &NewSaga, wallet: &Wallet) -> NewSaga {
    NewSaga {
        command: of.command.clone(),
        ..melt(wallet)
    }
}

/// A mint command: it claims nothing.
pub(crate) fn mint(wallet: &Wallet) -> NewSaga {
    let command = MintCommand {
        amount: 1_000,
        deadline: later(),
    };
    new_saga(wallet, Command::Mint(command))
}

/// A receive command with sealed proofs.
pub(crate) fn receive(wallet: &Wallet, sealed: &str) -> NewSaga {
    let command = ReceiveCommand {
        ys: vec![Y::new(unique())],
        amount: 64,
        input_fee: 1,
        sealed: Some(sealed.to_owned()),
        deadline: later(),
    };
    new_saga(wallet, Command::Receive(command))
}

/// A reconciliation of nothing in particular.
pub(crate) fn reconcile(wallet: &Wallet) -> NewSaga {
    let command = ReconcileCommand {
        cause: Cause::Restore,
        suspects: vec![Y::new(unique())],
        ranges: Vec::new(),
    };
    new_saga(wallet, Command::Reconcile(command))
}

/// Adopts a command that must be new.
pub(crate) async fn adopt_for<S: Store>(store: &S, new: &NewSaga, ttl: Duration) -> Lease {
    match store.adopt(new.clone(), OWNER, ttl).await.unwrap() {
        Adopted::New(lease) => lease,
        Adopted::Existing(head) => panic!("{} exists as {}", new.id, head.new.id),
    }
}

/// Adopts with a long lease, ready to be appended to.
pub(crate) async fn adopt<S: Store>(store: &S, new: &NewSaga) -> Chain {
    let lease = adopt_for(store, new, LONG).await;
    Chain::new(new, &lease)
}

/// The head, which must exist.
pub(crate) async fn head<S: Store>(store: &S, saga: &SagaId) -> Head {
    store.load(saga).await.unwrap().unwrap().head
}

/// A filler event with a private half.
pub(crate) fn entry(text: &str) -> Entry {
    Entry {
        event: Event::MeltRefused(Refusal {
            mint_code: None,
            detail: text.to_owned(),
        }),
        private: Private {
            npub: Some(format!("npub-of-{text}")),
            ..Private::default()
        },
    }
}

/// Where a saga's log ends, from the view of whoever holds its lease.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    tail: Tail,
    pub(crate) wallet: WalletId,
    pub(crate) fence: u64,
}

impl Chain {
    pub(crate) fn new(new: &NewSaga, lease: &Lease) -> Self {
        let tail = Tail {
            saga: new.id.clone(),
            kind: new.command.kind(),
            seq: 0,
            hash: chain::genesis(&new.id),
        };
        Chain {
            tail,
            wallet: new.wallet.id.clone(),
            fence: lease.fence,
        }
    }

    pub(crate) fn saga(&self) -> &SagaId {
        &self.tail.saga
    }

    pub(crate) fn version(&self) -> Seq {
        self.tail.seq
    }

    /// The next append: `events` fillers and these proof writes. The chain itself stays.
    pub(crate) fn append(&self, events: u32, proofs: Vec<ProofWrite>) -> Append {
        let mut tail = self.tail.clone();
        let at = Utc::now();
        let records = (0..events)
            .map(|i| chain::seal(&mut tail, &entry(&format!("filler {i}")), at, "salt").unwrap())
            .collect();
        Append {
            saga: tail.saga.clone(),
            wallet: self.wallet.clone(),
            expected_version: self.tail.seq,
            reply: None,
            fence: self.fence,
            records,
            proofs,
            head: HeadAfter {
                head_hash: tail.hash.to_hex(),
                state: "requested".to_owned(),
                status: Status::Active,
                holds_claims: true,
                erase_sealed: false,
            },
        }
    }

    /// Goes on behind an append that was written.
    pub(crate) fn advance(&mut self, append: &Append) {
        let last = append.records.last().unwrap();
        self.tail.seq = last.seq;
        self.tail.hash = Hash::from_hex(&last.hash).unwrap();
    }

    /// Appends one filler with these proof writes, and goes on behind it if it was written.
    pub(crate) async fn write<S: Store>(
        &mut self,
        store: &S,
        proofs: Vec<ProofWrite>,
    ) -> Result<(), StoreError> {
        let append = self.append(1, proofs);
        store.append(append.clone()).await?;
        self.advance(&append);
        Ok(())
    }

    /// Appends one filler after which the saga is done.
    pub(crate) async fn end<S: Store>(&mut self, store: &S, state: &str, holds_claims: bool) {
        let mut append = self.append(1, Vec::new());
        append.head.state = state.to_owned();
        append.head.status = Status::Done;
        append.head.holds_claims = holds_claims;
        store.append(append.clone()).await.unwrap();
        self.advance(&append);
    }
}

pub(crate) fn coin(amount: Amount) -> Coin {
    Coin {
        y: Y::new(format!("02{}", unique())),
        keyset: KeysetId::new("00ad268c4d1f5826"),
        counter: 7,
        amount,
    }
}

pub(crate) fn signature() -> Signature {
    Signature {
        c: format!("03{}", unique()),
        e: unique(),
        s: unique(),
    }
}

/// A new coin of this saga's.
pub(crate) fn insert(saga: &SagaId, coin: &Coin, state: ProofState) -> ProofWrite {
    ProofWrite::Insert {
        coin: coin.clone(),
        signature: signature(),
        state,
        token: Token::of(saga, "minted", TransactionType::Minted),
    }
}

pub(crate) fn shift(coins: &[Coin], from: ProofState, to: ProofState) -> Vec<ProofWrite> {
    coins
        .iter()
        .map(|coin| ProofWrite::Move {
            y: coin.y.clone(),
            from,
            to,
        })
        .collect()
}

/// Puts `count` unspent coins into a wallet.
pub(crate) async fn fund<S: Store>(store: &S, wallet: &Wallet, count: usize) -> Vec<Coin> {
    let mut chain = adopt(store, &mint(wallet)).await;
    let coins: Vec<Coin> = (0..count).map(|_| coin(8)).collect();
    let writes = coins
        .iter()
        .map(|c| insert(chain.saga(), c, ProofState::Unspent))
        .collect();
    chain.write(store, writes).await.unwrap();
    chain.end(store, "settled", true).await;
    coins
}

pub(crate) fn ys(coins: &[Coin]) -> Vec<Y> {
    let mut ys: Vec<Y> = coins.iter().map(|c| c.y.clone()).collect();
    ys.sort();
    ys
}

/// The Ys of a `ChooseAgain`, sorted; anything else is a failure.
pub(crate) fn chosen_again(result: Result<(), StoreError>) -> Vec<Y> {
    match result {
        Err(StoreError::ChooseAgain(mut ys)) => {
            ys.sort();
            ys
        }
        other => panic!("expected ChooseAgain, got {other:?}"),
    }
}

/// Every row of the store, sorted: equal before and after = nothing was written.
pub(crate) async fn snapshot<S: Store>(store: &S) -> Vec<String> {
    let mut rows = store.dump().await.unwrap();
    rows.sort();
    rows
}
