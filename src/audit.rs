//! The audit: every chain is computed again, every saga folded, every proof row and balance held
//! against the log, and value against its conservation law. It reads only.

use std::collections::{BTreeMap, HashMap};

use crate::driver::read;
use crate::ports::{HeadFilter, Loaded, ProofRow, Store, StoreError};
use crate::saga::command::{Command, Kind};
use crate::saga::event::{Entry, Event};
use crate::saga::ids::{Coin, SagaId, WalletId, Y};
use crate::saga::proofs::{ProofState, ProofWrite, project_proofs, unsigned};
use crate::saga::state::{Saga, State};

/// Heads read at a time.
const PAGE: u32 = 500;

/// What the audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Audit {
    /// Sagas read.
    pub sagas: u64,
    /// Events whose hashes were computed again.
    pub events: u64,
    /// Proof rows held against the log.
    pub proofs: u64,
    /// Per wallet, where its value went.
    pub wallets: BTreeMap<String, Account>,
    /// Everything that is wrong, in sentences. Empty = clean.
    pub problems: Vec<String>,
}

/// A wallet's conservation:
/// `minted + received + restored = paid + fees + lost + written_off + owed + balance`.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Account {
    /// Value signed by the mint for mint quotes.
    pub minted: i128,
    /// Value taken in from tokens, before the swap's fee.
    pub received: i128,
    /// Coins that were found at the mint from the seed, in no event before.
    pub restored: i128,
    /// Value paid to payees.
    pub paid: i128,
    /// Lightning fees, input fees of melts and of swaps.
    pub fees: i128,
    /// Coins that were found spent at the mint by somebody else.
    pub lost: i128,
    /// Value given up by operators.
    pub written_off: i128,
    /// Change that the mint still owes.
    pub owed: i128,
    /// Value of the rows that are not spent.
    pub balance: i128,
}

impl Account {
    /// What is left over when it should be nothing.
    pub fn imbalance(&self) -> i128 {
        self.minted + self.received + self.restored
            - self.paid
            - self.fees
            - self.lost
            - self.written_off
            - self.owed
            - self.balance
    }
}

/// What the log says that a proof row must be.
#[derive(Default)]
struct Expected {
    amount: Option<u64>,
    wallet: Option<WalletId>,
    /// True if it was corrected to spent, by nobody's melt of ours.
    corrected: bool,
    /// Per saga that still holds or has spent it: the state it left it in.
    holders: Vec<(SagaId, ProofState)>,
}

/// Verifies the whole store.
///
/// # Errors
/// Only if the store cannot be read; what is wrong in it is in the [`Audit`].
pub async fn verify<S: Store>(store: &S) -> Result<Audit, StoreError> {
    let mut audit = Audit::default();
    let mut expected: HashMap<Y, Expected> = HashMap::new();
    let mut after = None;
    loop {
        let filter = HeadFilter {
            after: after.take(),
            limit: PAGE,
            ..HeadFilter::default()
        };
        let heads = store.heads(filter).await?;
        let Some(last) = heads.last() else { break };
        after = Some(last.new.id.clone());
        for head in heads {
            match store.load(&head.new.id).await? {
                Some(loaded) => audit.saga(&loaded, &mut expected),
                None => audit.problem(&head.new.id, "its head vanished while it was read"),
            }
        }
    }
    for wallet in store.wallets(None).await? {
        let rows = store.proofs(&wallet.id, &[]).await?;
        audit.rows(&wallet.id, &rows, &mut expected);
    }
    for (y, row) in expected {
        if row.amount.is_some() {
            audit
                .problems
                .push(format!("coin {y}: the log has it, but no row does"));
        }
    }
    for (wallet, account) in &audit.wallets {
        if account.imbalance() != 0 {
            let by = account.imbalance();
            audit
                .problems
                .push(format!("wallet {wallet}: value is not conserved, by {by}"));
        }
    }
    audit.problems.sort();
    Ok(audit)
}

impl Audit {
    fn problem(&mut self, saga: &SagaId, what: &str) {
        self.problems.push(format!("saga {saga}: {what}"));
    }

    fn saga(&mut self, loaded: &Loaded, expected: &mut HashMap<Y, Expected>) {
        let id = &loaded.head.new.id;
        self.sagas += 1;
        self.events += loaded.records.len() as u64;
        let (saga, _, entries) = match read(loaded) {
            Ok(folded) => folded,
            Err(error) => return self.problem(id, &error.to_string()),
        };
        if saga.state.as_str() != loaded.head.state || saga.status() != loaded.head.status {
            self.problem(id, "its head's state differs from its log");
        }
        let wallet = &saga.adoption.wallet;
        // Half of an event may have been erased, or come back from the stream without it.
        let public: Vec<Entry> = entries.iter().map(unsigned).collect();
        let writes = project_proofs(id, &public);
        conserve(self.wallets.entry(wallet.to_string()).or_default(), &saga);
        for y in entries.iter().flat_map(corrected) {
            expected.entry(y.clone()).or_default().corrected = true;
        }
        for write in writes {
            let row = expected.entry(write.y().clone()).or_default();
            match write {
                ProofWrite::Insert { coin, state, .. } => {
                    row.amount = Some(coin.amount);
                    row.wallet = Some(wallet.clone());
                    if state != ProofState::Unspent {
                        row.holders.push((id.clone(), state));
                    }
                }
                ProofWrite::Move { to, .. } if to != ProofState::Unspent => {
                    row.holders.push((id.clone(), to));
                }
                ProofWrite::Move { .. } => {}
            }
        }
    }

    fn rows(&mut self, wallet: &WalletId, rows: &[ProofRow], expected: &mut HashMap<Y, Expected>) {
        for row in rows {
            self.proofs += 1;
            let y = &row.coin.y;
            if row.state != ProofState::Spent {
                let account = self.wallets.entry(wallet.to_string()).or_default();
                account.balance += i128::from(row.coin.amount);
            }
            let Some(want) = expected.remove(y) else {
                self.problems
                    .push(format!("coin {y}: a row has it, but no event does"));
                continue;
            };
            if want.amount != Some(row.coin.amount) || want.wallet.as_ref() != Some(wallet) {
                self.problems.push(format!(
                    "coin {y}: its amount or wallet differs from the log"
                ));
            }
            if want.corrected {
                let account = self.wallets.entry(wallet.to_string()).or_default();
                account.lost += i128::from(row.coin.amount);
            }
            let (state, holder) = match want.holders.as_slice() {
                [] => (ProofState::Unspent, None),
                [(saga, state)] => (*state, Some(saga)),
                _ => {
                    self.problems
                        .push(format!("coin {y}: more than one saga holds it"));
                    continue;
                }
            };
            if state != row.state || holder != row.saga.as_ref() {
                let (is, should) = (row.state.as_str(), state.as_str());
                self.problems
                    .push(format!("coin {y}: the row says {is}, the log {should}"));
            }
        }
    }
}

/// Adds a saga's own terms of the conservation law, from its fold.
pub(crate) fn conserve(account: &mut Account, saga: &Saga) {
    let sum = |coins: &[Coin]| -> i128 { coins.iter().map(|c| i128::from(c.amount)).sum() };
    let gained = sum(&saga.gained);
    account.fees += i128::from(saga.swap_fees);
    if let (Kind::Mint, State::Settled) = (saga.kind(), saga.state) {
        account.minted += gained;
    }
    if let (Command::Receive(command), State::Settled) = (&saga.adoption.command, saga.state) {
        account.received += i128::from(command.amount);
    }
    if saga.kind() == Kind::Reconcile {
        account.restored += gained;
    }
    if let (Some(committed), Some(sent)) = (&saga.committed, &saga.sent) {
        // The fees are what is left of the inputs, so that a mint that returned more than it
        // could shows as a negative fee and not as a hole.
        let owed = i128::from(saga.change_owed);
        let paid = i128::from(committed.amount);
        account.paid += paid;
        account.owed += owed;
        let back = sum(&saga.change) + owed + i128::from(saga.written_off);
        account.fees += i128::from(sent.input_amount) - paid - back;
    }
    account.written_off += i128::from(saga.written_off);
}

/// The coins that an event wrote off because the mint holds them as spent.
pub(crate) fn corrected(entry: &Entry) -> &[Y] {
    match &entry.event {
        Event::PreflightPassed(e) => &e.corrections,
        Event::PreflightBlocked(e) => &e.corrections,
        Event::ProofCorrected(e) => &e.spent,
        _ => &[],
    }
}
