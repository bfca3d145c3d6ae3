//! The grammar of the saga tests: `given(events).when(step, seen).then(events).and(then)`, and the
//! fixtures that it speaks of. Everything is fixed: no clock, no randomness.
//!
//! The direct melt pays 100 with coins 1 = 64, 2 = 32, 3 = 16: an input fee of 1, a reserve of 4,
//! so 7 to 11 come back. The swapped melt turns coin 4 = 128 into 105 to send and 22 to keep.
#![allow(clippy::unwrap_used, clippy::panic)]

use chrono::{DateTime, TimeDelta, Utc};
use meltd::saga::chain::Hash;
use meltd::saga::code::Code;
use meltd::saga::command::{Command, MeltCommand, MintCommand, Policy, ReceiveCommand};
use meltd::saga::decide::{Ctx, Decision, Doubt, Limits, Mode, Then, decide, hold};
use meltd::saga::event::{Entry, Plan, Refusal, Way};
use meltd::saga::ids::{
    Amount, Coin, KeysetId, Outputs, Range, SagaId, Signature, SignedCoin, WalletId, Y, sum,
};
use meltd::saga::state::{Adoption, Saga};
use meltd::saga::step::{
    Change, Evidence, MeltWord, MintState, QuoteState, Seen, Step, Trouble, next_step,
};

use crate::saga_events::line;

pub(crate) const SAGA: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
pub(crate) const PREIMAGE: &str =
    "0001020304050607080900010203040506070809000102030405060708090102";
pub(crate) const INVOICE: &str = "lnbc1u1p-the-invoice";
pub(crate) const NPUB: &str = "npub1-the-owner";
pub(crate) const QUOTE: &str = "the-quote-id";

/// Noon of the day on which every test takes place, and so many minutes.
pub(crate) fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_268_800, 0).unwrap() + TimeDelta::minutes(minutes)
}

pub(crate) fn payment_hash() -> String {
    Hash::of(Hash::from_hex(PREIMAGE).unwrap().as_bytes()).to_hex()
}

pub(crate) fn keyset() -> KeysetId {
    KeysetId::new("00ad268c4d1f5826")
}

/// The Y of coin `n`.
pub(crate) fn y(n: u32) -> Y {
    Y::new(format!("02{n:064x}"))
}

/// Coin `n`: its number is its counter and its Y.
pub(crate) fn coin(n: u32, amount: Amount) -> Coin {
    Coin {
        y: y(n),
        keyset: keyset(),
        counter: n,
        amount,
    }
}

pub(crate) fn signed(coin: Coin) -> SignedCoin {
    let signature = Signature {
        c: format!("03cc{:062x}", coin.counter),
        e: format!("ee{:062x}", coin.counter),
        s: format!("55{:062x}", coin.counter),
    };
    SignedCoin { coin, signature }
}

/// Signed outputs, one a counter.
pub(crate) fn outcome(outputs: &Outputs) -> Vec<SignedCoin> {
    (outputs.start..)
        .zip(&outputs.amounts)
        .map(|(n, amount)| signed(coin(n, *amount)))
        .collect()
}

pub(crate) fn outputs(start: u32, amounts: &[Amount]) -> Outputs {
    Outputs {
        keyset: keyset(),
        start,
        amounts: amounts.to_vec(),
    }
}

pub(crate) fn blanks(count: u32) -> Range {
    Range {
        keyset: keyset(),
        start: 100,
        count,
    }
}

pub(crate) fn direct() -> Plan {
    Plan {
        inputs: vec![coin(1, 64), coin(2, 32), coin(3, 16)],
        way: Way::Direct,
        input_fee: 1,
        change_keyset: keyset(),
        blanks: 4,
        max_change: 11,
        guaranteed_change: 7,
    }
}

pub(crate) fn swapped() -> Plan {
    Plan {
        inputs: vec![coin(4, 128)],
        way: Way::Swap {
            send: vec![1, 8, 32, 64],
            keep: vec![2, 4, 16],
            swap_fee: 1,
        },
        input_fee: 1,
        change_keyset: keyset(),
        blanks: 3,
        max_change: 4,
        guaranteed_change: 0,
    }
}

pub(crate) fn adoption(command: Command) -> Adoption {
    Adoption {
        id: SagaId::new(SAGA),
        wallet: WalletId::new("w1"),
        npub: NPUB.to_owned(),
        mint_url: "https://mint.test".to_owned(),
        unit: "sat".to_owned(),
        request_hash: Hash::of(b"request").to_hex(),
        command,
    }
}

pub(crate) fn melt_command() -> MeltCommand {
    MeltCommand {
        invoice: INVOICE.to_owned(),
        payment_hash: payment_hash(),
        amount_msat: 99_001,
        amountless: false,
        invoice_expires_at: at(120),
        fee_limit: Some(10),
        policy: Policy::Block,
        deadline: at(60),
    }
}

pub(crate) fn mint_command() -> MintCommand {
    MintCommand {
        amount: 96,
        deadline: at(60),
    }
}

/// A token of 64 and 32 whose input fee is 1: worth 95.
pub(crate) fn receive_command() -> ReceiveCommand {
    ReceiveCommand {
        ys: vec![y(901), y(902)],
        amount: 96,
        input_fee: 1,
        sealed: Some("sealed".to_owned()),
        deadline: at(60),
    }
}

/// What the test begins with.
#[derive(Clone)]
pub(crate) struct Given {
    pub saga: Saga,
    pub ctx: Ctx,
    pub fresh: bool,
}

pub(crate) fn given(command: Command, entries: &[Entry]) -> Given {
    let saga = Saga::fold(adoption(command), entries).unwrap();
    let ctx = Ctx {
        now: at(0),
        tries: 0,
        doubt: None,
        refused: None,
        mode: Mode::Normal,
        limits: Limits::default(),
    };
    Given {
        saga,
        ctx,
        fresh: false,
    }
}

pub(crate) fn melt(entries: &[Entry]) -> Given {
    given(Command::Melt(melt_command()), entries)
}

pub(crate) fn mint(entries: &[Entry]) -> Given {
    given(Command::Mint(mint_command()), entries)
}

pub(crate) fn receive(entries: &[Entry]) -> Given {
    given(Command::Receive(receive_command()), entries)
}

impl Given {
    /// This pass has just made the last event durable.
    pub(crate) fn fresh(mut self) -> Self {
        self.fresh = true;
        self
    }

    /// So many passes ended without an event.
    pub(crate) fn tries(mut self, tries: u32) -> Self {
        self.ctx.tries = tries;
        self
    }

    /// So many passes in a row ended with this contradiction.
    pub(crate) fn doubts(mut self, code: Code, passes: u32) -> Self {
        self.ctx.doubt = Some(Doubt { code, passes });
        self
    }

    /// The process may do no more than this.
    pub(crate) fn mode(mut self, mode: Mode) -> Self {
        self.ctx.mode = mode;
        self
    }

    /// What the mode makes of the state's own step; `None` = it is done.
    pub(crate) fn held(&self) -> Option<Outcome> {
        let decision = hold(&self.saga, &self.step(), &self.ctx)?;
        let entries = decision.entries.iter();
        let folded = entries
            .into_iter()
            .try_fold(self.saga.clone(), meltd::saga::evolve::evolve);
        let saga = folded.unwrap();
        Some(Outcome { decision, saga })
    }

    /// So many minutes after the beginning.
    pub(crate) fn minutes(mut self, minutes: i64) -> Self {
        self.ctx.now = at(minutes);
        self
    }

    /// The mint has refused this pass's last post.
    pub(crate) fn refused(mut self, code: u32) -> Self {
        self.ctx.refused = Some(refusal(code));
        self
    }

    /// The step that follows from the state.
    pub(crate) fn step(&self) -> Step {
        next_step(&self.saga, self.fresh)
    }

    /// The state's own step brought this.
    pub(crate) fn sees(&self, seen: Seen) -> Outcome {
        self.when(&self.step(), seen)
    }

    /// This step brought this.
    pub(crate) fn when(&self, step: &Step, seen: Seen) -> Outcome {
        let decision = decide(&self.saga, step, seen, &self.ctx);
        // Whatever is decided must be able to follow.
        let folded = decision
            .entries
            .iter()
            .try_fold(self.saga.clone(), meltd::saga::evolve::evolve);
        Outcome {
            saga: folded.unwrap(),
            decision,
        }
    }
}

/// What was decided.
pub(crate) struct Outcome {
    pub decision: Decision,
    pub saga: Saga,
}

impl Outcome {
    /// The events, a line each.
    #[track_caller]
    pub(crate) fn then(self, events: &[&str]) -> Self {
        let lines: Vec<String> = self
            .decision
            .entries
            .iter()
            .map(|e| line(&e.event))
            .collect();
        assert_eq!(lines, events, "then {:?}", self.decision.then);
        self
    }

    /// `next`, `do <step>` or `later`.
    #[track_caller]
    pub(crate) fn and(self, then: &str) -> Self {
        let have = match &self.decision.then {
            Then::Next => "next".to_owned(),
            Then::Do(step) => format!("do {}", step.name()),
            Then::Later(_) => "later".to_owned(),
            Then::Doubt(..) => "doubt".to_owned(),
        };
        assert_eq!(have, then, "{:?}", self.decision);
        self
    }

    /// The word of the state that follows.
    #[track_caller]
    pub(crate) fn is(self, state: &str) -> Self {
        assert_eq!(self.saga.state.as_str(), state);
        self
    }

    /// The reason of `later` holds this text.
    #[track_caller]
    pub(crate) fn because(self, text: &str) -> Self {
        let (Then::Later(why) | Then::Doubt(_, why)) = &self.decision.then else {
            panic!("not later: {:?}", self.decision.then);
        };
        assert!(why.contains(text), "{why}");
        self
    }
}

pub(crate) fn refusal(code: u32) -> Refusal {
    Refusal {
        mint_code: Some(code),
        detail: "as the mint says".to_owned(),
    }
}

pub(crate) fn refused<T>(code: u32) -> Result<T, Trouble> {
    Err(Trouble::Refused(refusal(code)))
}

pub(crate) fn unknown<T>() -> Result<T, Trouble> {
    Err(Trouble::Unknown {
        code: meltd::saga::code::Code::MintUnreachable,
        detail: "no answer".to_owned(),
    })
}

pub(crate) fn word(state: QuoteState) -> MeltWord {
    MeltWord {
        state,
        preimage: None,
        change: None,
    }
}

pub(crate) fn change(coins: &[Coin]) -> Change {
    Change {
        coins: coins.iter().cloned().map(signed).collect(),
        bad: 0,
    }
}

/// Answers to the inquiry of a state; built from what the mint says of the inputs.
#[derive(Clone)]
pub(crate) struct Asked(pub Evidence);

/// The states of the inputs, in order.
pub(crate) fn states(states: &[MintState]) -> Asked {
    Asked(Evidence {
        states: Ok(states.to_vec()),
        quote: None,
        change: None,
        restored: Vec::new(),
    })
}

/// The mint does not tell the inputs' states.
pub(crate) fn silence() -> Asked {
    let mut asked = states(&[]);
    asked.0.states = unknown();
    asked
}

impl Asked {
    pub(crate) fn quote(mut self, state: QuoteState) -> Self {
        self.0.quote = Some(Ok(word(state)));
        self
    }

    pub(crate) fn quote_is(mut self, answer: Result<MeltWord, Trouble>) -> Self {
        self.0.quote = Some(answer);
        self
    }

    pub(crate) fn preimage(mut self, text: &str) -> Self {
        if let Some(Ok(word)) = &mut self.0.quote {
            word.preimage = Some(text.to_owned());
        }
        self
    }

    pub(crate) fn change(mut self, coins: &[Coin]) -> Self {
        self.0.change = Some(change(coins));
        self
    }

    pub(crate) fn bad(mut self, bad: u32) -> Self {
        self.0.change.get_or_insert_default().bad = bad;
        self
    }

    /// NUT-09 found these outputs, complete.
    pub(crate) fn found(mut self, outputs: &Outputs) -> Self {
        self.0.restored.push(Ok(outcome(outputs)));
        self
    }

    /// NUT-09 found nothing for one more of the inquiry's outputs.
    pub(crate) fn empty(mut self) -> Self {
        self.0.restored.push(Ok(Vec::new()));
        self
    }

    /// NUT-09 did not answer for one more of the inquiry's outputs.
    pub(crate) fn mute(mut self) -> Self {
        self.0.restored.push(unknown());
        self
    }

    pub(crate) fn seen(self) -> Seen {
        Seen::Evidence(self.0)
    }
}

/// Σ of some coins.
pub(crate) fn total<'a>(coins: impl IntoIterator<Item = &'a Coin>) -> Amount {
    sum(coins.into_iter().map(|c| c.amount)).unwrap()
}
