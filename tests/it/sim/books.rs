//! A mint in memory: the rules of NUT-03, 05, 07, 08 and 09, a Lightning node that does what the
//! script says, and an operator who loses, delays and garbles as told.

use std::collections::{BTreeMap, BTreeSet};

use meltd::saga::code::Code;
use meltd::saga::event::Refusal;
use meltd::saga::ids::{Amount, Coin, KeysetId, Outputs, Range, Signature, SignedCoin, Y};
use meltd::saga::plan::{input_fee, split};
use meltd::saga::step::{Change, MeltWord, QuoteState, Trouble};

pub const KEYSET: &str = "00aaaaaaaaaaaaaa";
pub const FEE_PPK: u64 = 100;
pub const RESERVE: Amount = 5;

/// What becomes of a request or of its answer on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Clean,
    /// It never arrives.
    RequestLost,
    /// It is done; nobody hears of it.
    AnswerLost,
    /// It arrives only after so many further calls; the caller has given up by then.
    Late(u32),
    /// The mint says no, once, for a reason of form.
    Refused(u32),
}

/// What the Lightning node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    Pays,
    Fails,
    /// Pending for so many questions, then paid.
    PendsThenPays(u32),
    /// Pending for so many questions, then failed.
    PendsThenFails(u32),
    /// Paid, but the mint answers the post with 12002 (cdk #2447).
    PaysAndRefuses,
}

/// What comes back of the overpayment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Back {
    All,
    /// Nothing by any way for so many questions after the payment, then all.
    LateBy(u32),
    /// Never in the quote; NUT-09 has it.
    RestoreOnly,
    /// Only the first signature, for ever.
    FirstOnly,
}

/// The questions' weather.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    Clear,
    /// No question is answered for the first so many.
    DeafFor(u32),
    /// The quote is not found for the first so many questions (T6).
    QuoteLostFor(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script {
    pub melt: Wire,
    pub swap: Wire,
    pub node: Node,
    pub back: Back,
    pub asking: Asking,
}

pub struct Quote {
    pub amount: Amount,
    pub state: QuoteState,
    pub inputs: Vec<Coin>,
    pub blanks: Option<Range>,
    pub asked: u32,
    pub asked_since_paid: u32,
    pub change: Vec<(u32, Amount)>,
}

pub enum Request {
    Melt(String, Vec<Coin>, Option<Range>),
    Swap(Vec<Coin>, Outputs),
}

/// What survives every crash of ours: the mint's own database.
pub struct Books {
    pub script: Script,
    pub signed: BTreeMap<u32, Amount>,
    pub spent: BTreeSet<Y>,
    pub pending: BTreeSet<Y>,
    pub quotes: BTreeMap<String, Quote>,
    pub late: Vec<(u32, Request)>,
    pub payments: u32,
    pub calls: Vec<&'static str>,
    pub questions: u32,
    /// Posts of the melt after a fence was first seen: must stay 0.
    pub melts: u32,
    pub fees: Amount,
}

pub fn y_of(counter: u32) -> Y {
    Y::new(format!("02{counter:064x}"))
}

pub fn signed_coin(counter: u32, amount: Amount) -> SignedCoin {
    let coin = Coin {
        y: y_of(counter),
        keyset: KeysetId::new(KEYSET),
        counter,
        amount,
    };
    let text = |what: &str| format!("{what}{counter}");
    SignedCoin {
        coin,
        signature: Signature {
            c: text("c"),
            e: text("e"),
            s: text("s"),
        },
    }
}

pub fn refused<T>(code: u32) -> Result<T, Trouble> {
    Err(Trouble::Refused(Refusal {
        mint_code: Some(code),
        detail: "no".to_owned(),
    }))
}

pub fn silence<T>() -> Result<T, Trouble> {
    Err(Trouble::Unknown {
        code: Code::MintSlow,
        detail: "no answer".to_owned(),
    })
}

impl Books {
    pub fn new(script: Script) -> Self {
        Books {
            script,
            signed: BTreeMap::new(),
            spent: BTreeSet::new(),
            pending: BTreeSet::new(),
            quotes: BTreeMap::new(),
            late: Vec::new(),
            payments: 0,
            calls: Vec::new(),
            questions: 0,
            melts: 0,
            fees: 0,
        }
    }

    /// Value that was signed and not spent.
    pub fn outstanding(&self) -> Amount {
        let free = self
            .signed
            .iter()
            .filter(|(c, _)| !self.spent.contains(&y_of(**c)));
        free.map(|(_, amount)| amount).sum()
    }

    pub fn wire(&mut self, wire: Wire, request: Request) -> Result<Option<MeltWord>, Trouble> {
        match wire {
            Wire::Clean => self.act(request),
            Wire::RequestLost => silence(),
            Wire::AnswerLost => {
                let _ = self.act(request);
                silence()
            }
            Wire::Late(by) => {
                self.late.push((by, request));
                silence()
            }
            Wire::Refused(code) => refused(code),
        }
    }

    pub fn act(&mut self, request: Request) -> Result<Option<MeltWord>, Trouble> {
        match request {
            Request::Melt(quote, inputs, blanks) => self.melt(&quote, inputs, blanks).map(Some),
            Request::Swap(inputs, outputs) => self.swap(&inputs, &outputs).map(|()| None),
        }
    }

    /// Requests that were on their way arrive, some calls later.
    pub fn tick(&mut self, name: &'static str) {
        self.calls.push(name);
        for (by, _) in &mut self.late {
            *by = by.saturating_sub(1);
        }
        let (due, rest) = std::mem::take(&mut self.late)
            .into_iter()
            .partition(|(by, _)| *by == 0);
        self.late = rest;
        for (_, request) in due {
            let _ = self.act(request);
        }
    }

    /// At the end of the world everything that was on its way arrives.
    pub fn deliver_all(&mut self) {
        for (_, request) in std::mem::take(&mut self.late) {
            let _ = self.act(request);
        }
    }

    pub fn check_inputs(&self, inputs: &[Coin]) -> Result<(), Trouble> {
        for coin in inputs {
            if self.spent.contains(&coin.y) {
                return refused(11001);
            }
            if self.pending.contains(&coin.y) {
                return refused(11002);
            }
            assert!(
                self.signed.contains_key(&coin.counter),
                "an input that was never signed"
            );
        }
        Ok(())
    }

    pub fn swap(&mut self, inputs: &[Coin], outputs: &Outputs) -> Result<(), Trouble> {
        self.check_inputs(inputs)?;
        let paid: Amount = inputs.iter().map(|c| c.amount).sum();
        let fee = input_fee(inputs.iter().map(|_| FEE_PPK));
        if paid != fee + outputs.amounts.iter().sum::<Amount>() {
            return refused(11005);
        }
        let counters = outputs.start..;
        for (counter, amount) in counters.zip(&outputs.amounts) {
            assert!(
                self.signed.insert(counter, *amount).is_none(),
                "a counter was used twice"
            );
        }
        self.spent.extend(inputs.iter().map(|c| c.y.clone()));
        self.fees += fee;
        Ok(())
    }

    pub fn melt(
        &mut self,
        id: &str,
        inputs: Vec<Coin>,
        blanks: Option<Range>,
    ) -> Result<MeltWord, Trouble> {
        self.check_inputs(&inputs)?;
        let quote = self.quotes.get_mut(id).unwrap();
        match quote.state {
            QuoteState::Paid => return refused(20006),
            QuoteState::Pending => return refused(20005),
            _ => {}
        }
        let paid: Amount = inputs.iter().map(|c| c.amount).sum();
        if paid < quote.amount + RESERVE + input_fee(inputs.iter().map(|_| FEE_PPK)) {
            return refused(11005);
        }
        quote.inputs = inputs;
        quote.blanks = blanks;
        match self.script.node {
            Node::Pays => {
                self.settle(id);
                Ok(self.word(id))
            }
            Node::PaysAndRefuses => {
                self.settle(id);
                refused(12002)
            }
            Node::Fails => refused(20004),
            Node::PendsThenPays(_) | Node::PendsThenFails(_) => {
                quote.state = QuoteState::Pending;
                self.pending
                    .extend(quote.inputs.iter().map(|c| c.y.clone()));
                silence()
            }
        }
    }

    pub fn settle(&mut self, id: &str) {
        let quote = self.quotes.get_mut(id).unwrap();
        self.payments += 1;
        quote.state = QuoteState::Paid;
        for coin in &quote.inputs {
            self.pending.remove(&coin.y);
            self.spent.insert(coin.y.clone());
        }
        let paid: Amount = quote.inputs.iter().map(|c| c.amount).sum();
        let fee = input_fee(quote.inputs.iter().map(|_| FEE_PPK));
        let back = paid - fee - quote.amount - 1;
        self.fees += fee + 1;
        let powers: Vec<Amount> = (0..32).map(|i| 1 << i).collect();
        let mut parts = split(back, &powers).unwrap();
        if self.script.back == Back::FirstOnly {
            parts.truncate(1);
        }
        let Some(blanks) = &quote.blanks else { return };
        assert!(
            parts.len() <= blanks.count as usize,
            "too few blanks: the mint keeps the rest"
        );
        quote.change = (blanks.start..).zip(parts).collect();
        for (counter, amount) in &quote.change {
            assert!(
                self.signed.insert(*counter, *amount).is_none(),
                "a counter was used twice"
            );
        }
    }

    pub fn word(&self, id: &str) -> MeltWord {
        let quote = &self.quotes[id];
        let shown = match self.script.back {
            Back::All | Back::FirstOnly => true,
            Back::LateBy(n) => quote.asked_since_paid > n,
            Back::RestoreOnly => false,
        };
        let coins = quote
            .change
            .iter()
            .map(|(c, a)| signed_coin(*c, *a))
            .collect();
        let paid = quote.state == QuoteState::Paid;
        MeltWord {
            state: quote.state,
            preimage: paid.then(|| "00".repeat(32)),
            change: (paid && shown && !quote.change.is_empty()).then_some(Change { coins, bad: 0 }),
        }
    }

    pub fn is_deaf(&mut self) -> bool {
        self.questions += 1;
        matches!(self.script.asking, Asking::DeafFor(n) if self.questions <= n)
    }

    pub fn ask_quote(&mut self, id: &str) -> Result<MeltWord, Trouble> {
        if self.is_deaf() {
            return silence();
        }
        if matches!(self.script.asking, Asking::QuoteLostFor(n) if self.questions <= n) {
            return refused(50000);
        }
        let quote = self.quotes.get_mut(id).unwrap();
        quote.asked += 1;
        let asked = quote.asked;
        match (quote.state, self.script.node) {
            (QuoteState::Pending, Node::PendsThenPays(n)) if asked > n => self.settle(id),
            (QuoteState::Pending, Node::PendsThenFails(n)) if asked > n => {
                quote.state = QuoteState::Unpaid;
                self.pending.clear();
            }
            (QuoteState::Paid, _) => quote.asked_since_paid += 1,
            _ => {}
        }
        Ok(self.word(id))
    }

    pub fn restore(&mut self, range: &Range) -> Result<Change, Trouble> {
        if self.is_deaf() {
            return silence();
        }
        let is_blank = self
            .quotes
            .values()
            .any(|q| q.blanks.as_ref() == Some(range));
        let asked = self
            .quotes
            .values()
            .map(|q| q.asked_since_paid)
            .max()
            .unwrap_or(0);
        if is_blank && matches!(self.script.back, Back::LateBy(n) if asked <= n) {
            return Ok(Change::default());
        }
        let signed = self.signed.range(range.start..range.start + range.count);
        Ok(Change {
            coins: signed.map(|(c, a)| signed_coin(*c, *a)).collect(),
            bad: 0,
        })
    }
}
