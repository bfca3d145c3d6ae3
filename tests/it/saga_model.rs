//! A model of a mint and of the network before it, for walks of the pure core. It is honest and
//! consistent, as cdk is; what is not reliable is everything between it and meltd: requests and
//! answers get lost, and requests arrive late, even after the saga has ended.
//!
//! Every choice comes from a tape. An exhausted tape always chooses 0, which is the kind choice.

use std::collections::{BTreeMap, BTreeSet};

use meltd::saga::event::{Entry, Refusal};
use meltd::saga::ids::{Amount, Coin, KeysetId, Outputs, Range, SagaId, SignedCoin, Y};
use meltd::saga::plan::{Keyset, input_fee, split};
use meltd::saga::proofs::{ProofState, ProofWrite, project_proofs};
use meltd::saga::step::{Change, MeltWord, MintState, QuoteState, Trouble};

use crate::saga_kit::{PREIMAGE, SAGA, coin, signed, unknown};

/// The choices of one walk.
#[derive(Clone, Debug)]
pub(crate) struct Tape {
    bytes: std::vec::IntoIter<u8>,
}

impl Tape {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Tape {
            bytes: bytes.into_iter(),
        }
    }

    /// One of 0..n; 0 at the end of the tape.
    pub(crate) fn pick(&mut self, n: u8) -> u8 {
        self.bytes.next().unwrap_or(0) % n
    }

    pub(crate) fn is_over(&self) -> bool {
        self.bytes.len() == 0
    }
}

/// A request that is under way to the mint.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Melt {
        quote: usize,
        inputs: Vec<Y>,
        blanks: Option<Range>,
    },
    Swap {
        inputs: Vec<Y>,
        outputs: Outputs,
    },
    Mint {
        outputs: Outputs,
    },
}

/// What the mint answers.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Melt(MeltWord),
    Signed(Vec<SignedCoin>),
}

pub(crate) type Answer = Result<Reply, Refusal>;

#[derive(Clone, Debug)]
pub(crate) struct Quote {
    pub amount: Amount,
    pub reserve: Amount,
    pub state: QuoteState,
    inputs: Vec<Y>,
    blanks: Option<Range>,
    /// Y of each change signature.
    change: Vec<Y>,
    preimage: Option<String>,
}

/// The mint and the network.
pub(crate) struct Mint {
    pub tape: Tape,
    pub coins: BTreeMap<Y, (Amount, MintState)>,
    /// Outputs that were signed, by their Y.
    pub signed: BTreeMap<Y, SignedCoin>,
    /// Change that is signed but not shown yet.
    hidden: BTreeSet<Y>,
    pub quotes: Vec<Quote>,
    pub flying: Vec<Request>,
    /// The funding quote of a mint saga.
    pub funding: QuoteState,
    /// The keyset that signs: 0, or 1 after a rotation.
    pub active: usize,
    pub ppk: u64,
    /// Payments that left the mint.
    pub paid: u32,
}

pub(crate) fn refusal(code: u32) -> Refusal {
    Refusal {
        mint_code: Some(code),
        detail: "refused".to_owned(),
    }
}

pub(crate) fn keyset_id(n: usize) -> KeysetId {
    KeysetId::new(format!("00{n:014x}"))
}

/// The coin of one counter. Counters are never shared between the two keysets of the model.
pub(crate) fn derived(keyset: &KeysetId, counter: u32, amount: Amount) -> Coin {
    Coin {
        keyset: keyset.clone(),
        ..coin(counter, amount)
    }
}

impl Mint {
    pub(crate) fn new(tape: Tape, ppk: u64) -> Self {
        Mint {
            tape,
            coins: BTreeMap::new(),
            signed: BTreeMap::new(),
            hidden: BTreeSet::new(),
            quotes: Vec::new(),
            flying: Vec::new(),
            funding: QuoteState::Unpaid,
            active: 0,
            ppk,
            paid: 0,
        }
    }

    pub(crate) fn keysets(&self) -> Vec<Keyset> {
        let amounts: Vec<Amount> = (0..20).map(|n| 1 << n).collect();
        let set = |n| Keyset {
            id: keyset_id(n),
            active: n == self.active,
            fee_ppk: self.ppk,
            amounts: amounts.clone(),
        };
        vec![set(0), set(1)]
    }

    pub(crate) fn quote(&mut self, amount: Amount) -> usize {
        let reserve = u64::from(self.tape.pick(7));
        self.quotes.push(Quote {
            amount,
            reserve,
            state: QuoteState::Unpaid,
            inputs: Vec::new(),
            blanks: None,
            change: Vec::new(),
            preimage: None,
        });
        self.quotes.len() - 1
    }

    /// Sends a request: it arrives and is answered, or the answer or the request gets lost, or it
    /// stays under way.
    pub(crate) fn post(&mut self, request: Request) -> Result<Reply, Trouble> {
        match self.tape.pick(4) {
            0 => self.execute(&request).map_err(Trouble::Refused),
            1 => {
                let _lost = self.execute(&request);
                unknown()
            }
            2 => unknown(),
            _ => {
                self.flying.push(request);
                unknown()
            }
        }
    }

    /// Something happens at the mint while meltd is not looking.
    pub(crate) fn stir(&mut self) {
        match self.tape.pick(12) {
            1 | 2 if !self.flying.is_empty() => {
                let request = self.flying.remove(0);
                let _answer = self.execute(&request);
            }
            3 if !self.flying.is_empty() => drop(self.flying.remove(0)),
            4 => self.resolve(),
            5 => self.hidden.clear(),
            6 if self.tape.pick(4) == 3 => self.active = 1,
            7 if self.funding == QuoteState::Unpaid => self.funding = QuoteState::Paid,
            _ => {}
        }
    }

    /// No change is held back any more.
    pub(crate) fn show_change(&mut self) {
        self.hidden.clear();
    }

    /// Everything that is late happens now: requests arrive, payments end, change is shown.
    pub(crate) fn settle(&mut self) {
        while !self.flying.is_empty() {
            let request = self.flying.remove(0);
            let _answer = self.execute(&request);
        }
        self.resolve();
        self.hidden.clear();
    }

    /// Pending payments end, one way or the other.
    fn resolve(&mut self) {
        for at in 0..self.quotes.len() {
            if self.quotes[at].state == QuoteState::Pending {
                let is_paid = self.tape.pick(2) == 0;
                self.finish(at, is_paid);
            }
        }
    }

    pub(crate) fn execute(&mut self, request: &Request) -> Answer {
        match request {
            Request::Melt {
                quote,
                inputs,
                blanks,
            } => self.melt(*quote, inputs, blanks.as_ref()),
            Request::Swap { inputs, outputs } => self.swap(inputs, outputs),
            Request::Mint { outputs } => self.issue(outputs),
        }
    }

    fn check_inputs(&self, inputs: &[Y]) -> Result<Amount, Refusal> {
        let state = |y: &Y| self.coins[y].1;
        if inputs.iter().any(|y| state(y) == MintState::Spent) {
            return Err(refusal(11001));
        }
        if inputs.iter().any(|y| state(y) == MintState::Pending) {
            return Err(refusal(11002));
        }
        let total: Amount = inputs.iter().map(|y| self.coins[y].0).sum();
        Ok(total - input_fee(inputs.iter().map(|_| self.ppk)))
    }

    fn check_outputs(&self, outputs: &Outputs) -> Result<Vec<Coin>, Refusal> {
        if outputs.keyset != keyset_id(self.active) {
            return Err(refusal(12002));
        }
        let coins = (outputs.start..).zip(&outputs.amounts);
        let coins: Vec<Coin> = coins
            .map(|(n, a)| derived(&outputs.keyset, n, *a))
            .collect();
        if coins.iter().any(|c| self.signed.contains_key(&c.y)) {
            return Err(refusal(11003));
        }
        Ok(coins)
    }

    fn sign(&mut self, coins: Vec<Coin>) -> Vec<SignedCoin> {
        let coins = coins.into_iter().map(signed);
        coins
            .inspect(|s| {
                let row = (s.coin.amount, MintState::Unspent);
                self.coins.insert(s.coin.y.clone(), row);
                self.signed.insert(s.coin.y.clone(), s.clone());
            })
            .collect()
    }

    fn mark(&mut self, inputs: &[Y], state: MintState) {
        for y in inputs {
            self.coins.get_mut(y).unwrap().1 = state;
        }
    }

    fn swap(&mut self, inputs: &[Y], outputs: &Outputs) -> Answer {
        let worth = self.check_inputs(inputs)?;
        let coins = self.check_outputs(outputs)?;
        if coins.iter().map(|c| c.amount).sum::<Amount>() != worth {
            return Err(refusal(11005));
        }
        self.mark(inputs, MintState::Spent);
        Ok(Reply::Signed(self.sign(coins)))
    }

    fn issue(&mut self, outputs: &Outputs) -> Answer {
        match self.funding {
            QuoteState::Paid => {}
            QuoteState::Issued => return Err(refusal(20002)),
            _ => return Err(refusal(20001)),
        }
        let coins = self.check_outputs(outputs)?;
        self.funding = QuoteState::Issued;
        Ok(Reply::Signed(self.sign(coins)))
    }

    fn melt(&mut self, at: usize, inputs: &[Y], blanks: Option<&Range>) -> Answer {
        match self.quotes[at].state {
            QuoteState::Paid => return Err(refusal(20006)),
            QuoteState::Pending => return Err(refusal(20005)),
            _ => {}
        }
        let worth = self.check_inputs(inputs)?;
        if worth < self.quotes[at].amount + self.quotes[at].reserve {
            return Err(refusal(11005));
        }
        // Refusals of the form, and of a payment that failed at once.
        let codes = [11005, 11010, 12001, 20004, 20004];
        let outcome = self.tape.pick(10);
        if outcome >= 5 {
            return Err(refusal(codes[usize::from(outcome - 5)]));
        }
        self.mark(inputs, MintState::Pending);
        let quote = &mut self.quotes[at];
        (quote.state, quote.inputs) = (QuoteState::Pending, inputs.to_vec());
        quote.blanks = blanks.cloned();
        if outcome < 3 {
            self.finish(at, outcome != 2);
        }
        let (word, is_failed) = (self.word(at), self.quotes[at].state == QuoteState::Unpaid);
        if is_failed && self.tape.pick(2) == 0 {
            return Err(refusal(20004));
        }
        Ok(Reply::Melt(word))
    }

    /// The payment ends: the inputs are spent and the change is signed, or nothing has happened.
    fn finish(&mut self, at: usize, is_paid: bool) {
        let inputs = std::mem::take(&mut self.quotes[at].inputs);
        if !is_paid {
            self.mark(&inputs, MintState::Unspent);
            self.quotes[at].state = QuoteState::Unpaid;
            return;
        }
        self.paid += 1;
        self.mark(&inputs, MintState::Spent);
        let fee = u64::from(self.tape.pick(7)).min(self.quotes[at].reserve);
        let total: Amount = inputs.iter().map(|y| self.coins[y].0).sum();
        let in_fee = input_fee(inputs.iter().map(|_| self.ppk));
        let back = total - in_fee - fee - self.quotes[at].amount;
        self.quotes[at].state = QuoteState::Paid;
        self.quotes[at].preimage = match self.tape.pick(3) {
            0 => Some(PREIMAGE.to_owned()),
            1 => Some(String::new()),
            _ => None,
        };
        // A rotated keyset signs no change any more (cdk #2447).
        let Some(range) = self.quotes[at].blanks.clone() else {
            return;
        };
        if range.keyset != keyset_id(self.active) {
            return;
        }
        let powers: Vec<Amount> = (0..20).map(|n| 1 << n).collect();
        let parts = split(back, &powers).unwrap();
        assert!(
            parts.len() <= range.count as usize,
            "too few blanks for {back}"
        );
        let coins = (range.start..).zip(parts);
        let coins = coins
            .map(|(n, amount)| derived(&range.keyset, n, amount))
            .collect();
        let names: Vec<Y> = self.sign(coins).into_iter().map(|s| s.coin.y).collect();
        if self.tape.pick(4) == 3 {
            self.hidden.extend(names.iter().cloned());
        }
        self.quotes[at].change = names;
    }

    /// The mint's word on a melt quote. It tells the change of a paid one, mostly.
    pub(crate) fn word(&mut self, at: usize) -> MeltWord {
        let quote = self.quotes[at].clone();
        let shown = quote.change.iter().filter(|y| !self.hidden.contains(*y));
        let coins: Vec<SignedCoin> = shown.map(|y| self.signed[y].clone()).collect();
        let is_told = !coins.is_empty() && self.tape.pick(3) != 2;
        MeltWord {
            state: quote.state,
            preimage: quote.preimage,
            change: is_told.then_some(Change { coins, bad: 0 }),
        }
    }

    /// NUT-09: what was signed of these counters.
    pub(crate) fn restore(&self, range: &Range) -> Vec<SignedCoin> {
        let named = (range.start..range.start + range.count).map(crate::saga_kit::y);
        let shown = named.filter(|y| !self.hidden.contains(y));
        let found = shown.filter_map(|y| self.signed.get(&y).cloned());
        found.filter(|s| s.coin.keyset == range.keyset).collect()
    }
}

/// The wallet's rows, as the store would keep them.
#[derive(Default)]
pub(crate) struct Rows(pub BTreeMap<Y, (Coin, ProofState)>);

impl Rows {
    pub(crate) fn unspent(&self) -> Vec<Coin> {
        let rows = self.0.values().filter(|(_, s)| *s == ProofState::Unspent);
        rows.map(|(c, _)| c.clone()).collect()
    }

    /// Each write finds the state that it names.
    pub(crate) fn apply(&mut self, entries: &[Entry]) {
        for write in project_proofs(&SagaId::new(SAGA), entries) {
            match write {
                ProofWrite::Insert { coin, state, .. } => {
                    assert_ne!(state, ProofState::Spent, "born spent");
                    let before = self.0.insert(coin.y.clone(), (coin, state));
                    assert!(before.is_none(), "stored twice: {before:?}");
                }
                ProofWrite::Move { y, from, to } => {
                    let row = self.0.get_mut(&y).unwrap();
                    assert_eq!(row.1, from, "{y} moves to {to:?}");
                    row.1 = to;
                }
            }
        }
    }
}
