//! Random walks of the pure core: a driver that may die anywhere, before a network that loses,
//! delays and repeats, at a mint that is honest. What must hold is checked at every event, and the
//! value is counted at the end, after every late request has arrived.

use meltd::saga::command::Command;
use meltd::saga::decide::{Ctx, Doubt, Limits, Mode, Then, decide};
use meltd::saga::event::{Entry, Event, Refusal};
use meltd::saga::evolve::evolve;
use meltd::saga::ids::Amount;
use meltd::saga::plan;
use meltd::saga::proofs::ProofState;
use meltd::saga::state::{Saga, State};
use meltd::saga::step::{MintState, QuoteState, Seen, Step, Trouble, fenced, next_step};
use proptest::prelude::*;

use crate::saga_events::resumed;
use crate::saga_kit::*;
use crate::saga_model::{Mint, Rows, Tape, derived, keyset_id};

mod perform;

/// A worker with its saga, its wallet and its mint.
struct Walk {
    mint: Mint,
    rows: Rows,
    durable: Saga,
    saga: Saga,
    buffer: Vec<Entry>,
    fresh: bool,
    refused: Option<Refusal>,
    tries: u32,
    doubt: Option<Doubt>,
    minutes: i64,
    counter: u32,
    log: Vec<&'static str>,
}

/// Whether the worker is still alive.
#[derive(PartialEq)]
enum Alive {
    Yes,
    No,
}

impl Walk {
    fn new(command: Command, tape: Vec<u8>) -> Self {
        let mut tape = Tape::new(tape);
        let ppk = [0, 100, 1000][usize::from(tape.pick(3))];
        let saga = Saga::adopted(adoption(command));
        Walk {
            mint: Mint::new(tape, ppk),
            rows: Rows::default(),
            durable: saga.clone(),
            saga,
            buffer: Vec::new(),
            fresh: false,
            refused: None,
            tries: 0,
            doubt: None,
            minutes: 0,
            counter: 1_000,
            log: Vec::new(),
        }
    }

    /// Gives the wallet coins that the mint knows.
    fn fund(&mut self, amounts: &[Amount]) {
        for (n, amount) in (1..).zip(amounts) {
            let coin = derived(&keyset_id(0), n, *amount);
            self.mint
                .coins
                .insert(coin.y.clone(), (*amount, MintState::Unspent));
            self.rows
                .0
                .insert(coin.y.clone(), (coin, ProofState::Unspent));
        }
    }

    fn take(&mut self, count: usize) -> u32 {
        let start = self.counter;
        self.counter += count as u32;
        start
    }

    /// The worker dies here: what was not durable is gone.
    fn dies(&mut self) -> Alive {
        if self.mint.tape.pick(16) != 15 {
            return Alive::Yes;
        }
        self.log.push("dies");
        self.saga = self.durable.clone();
        self.buffer.clear();
        (self.fresh, self.refused) = (false, None);
        Alive::No
    }

    fn flush(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        self.rows.apply(&self.buffer);
        self.buffer.clear();
        self.durable = self.saga.clone();
        self.tries = 0;
    }

    /// One pass of the driver.
    fn pass(&mut self) {
        (self.fresh, self.refused) = (false, None);
        let mut step = next_step(&self.saga, false);
        for _ in 0..60 {
            if step == Step::Stop {
                return self.flush();
            }
            if step.is_irreversible() {
                if self.dies() == Alive::No {
                    return;
                }
                self.flush();
                self.check_post(&step);
            }
            if self.dies() == Alive::No {
                return;
            }
            self.mint.stir();
            self.log.push(step.name());
            let seen = self.perform(&step);
            if self.dies() == Alive::No {
                return;
            }
            match self.decide(&step, seen) {
                Then::Next => step = next_step(&self.saga, self.fresh),
                Then::Do(next) => step = next,
                Then::Later(_) => {
                    self.flush();
                    self.tries += 1;
                    self.doubt = None;
                    return;
                }
                Then::Doubt(code, _) => {
                    let before = self.doubt.filter(|d| d.code == code);
                    let passes = before.map_or(0, |d| d.passes) + 1;
                    self.flush();
                    self.tries += 1;
                    self.doubt = Some(Doubt { code, passes });
                    return;
                }
            }
        }
        panic!("a pass without end: {:?}", self.log);
    }

    fn decide(&mut self, step: &Step, seen: Seen) -> Then {
        let refused = match &seen {
            Seen::Swapped(Err(Trouble::Refused(r)))
            | Seen::Minted(Err(Trouble::Refused(r)))
            | Seen::Melted(Err(Trouble::Refused(r))) => Some(r.clone()),
            _ => None,
        };
        self.refused = refused.or(self.refused.take());
        self.fresh = false;
        let ctx = Ctx {
            now: at(self.minutes),
            tries: self.tries,
            doubt: self.doubt,
            refused: self.refused.clone(),
            mode: Mode::Normal,
            limits: Limits::default(),
        };
        let decision = decide(&self.saga, step, seen, &ctx);
        for entry in decision.entries {
            self.check_event(&entry.event);
            self.log.push(entry.event.name());
            self.tries = 0;
            self.doubt = None;
            self.saga = evolve(self.saga.clone(), &entry).unwrap();
            self.fresh = entry.event.is_intent();
            if self.fresh {
                self.refused = None;
            }
            self.buffer.push(entry);
        }
        decision.then
    }

    /// A post follows its durable intent, or an inquiry that found nothing.
    fn check_post(&mut self, step: &Step) {
        assert_eq!(self.durable, self.saga, "posted before it was durable");
        assert!(self.saga.parked.is_none(), "posted while parked");
        let inquired = self.log.last() == Some(&"inquire");
        match step {
            Step::PostMelt => {
                assert!(self.fresh, "posted without a fresh intent");
                assert_eq!(self.saga.state, State::Sent, "posted after a fence");
            }
            Step::PostSwap(swap) => {
                assert!(self.fresh || inquired, "a swap posted blindly");
                assert_eq!(self.saga.open_swap(), Some(swap));
            }
            Step::PostMint(sent) => {
                assert!(self.fresh || inquired, "a minting posted blindly");
                assert_eq!(self.saga.minting.last(), Some(sent));
            }
            other => panic!("{other:?} is no post"),
        }
    }

    /// Coins are let go before any post, or after a fence that the mint knows of.
    fn check_event(&mut self, event: &Event) {
        let Event::ProofsReleased(released) = event else {
            return;
        };
        let held = &self.saga.send;
        if self.saga.sent.is_some() {
            assert!(fenced(&self.saga), "released without a fence");
            assert!(
                held.iter()
                    .any(|c| self.mint.coins[&c.y].1 == MintState::Spent)
            );
            assert!(released.coins.iter().all(|r| r.from == ProofState::Pending));
        } else {
            assert!(
                released
                    .coins
                    .iter()
                    .all(|r| r.from == ProofState::Reserved)
            );
        }
    }

    /// Passes until the saga has ended, or until nothing is left to wait for.
    fn drive(&mut self) {
        for n in 0..600 {
            if self.saga.state.is_terminal() {
                break;
            }
            let is_over = self.mint.tape.is_over();
            self.minutes += if is_over {
                30
            } else {
                i64::from(self.mint.tape.pick(3))
            };
            if is_over {
                self.mint.settle();
                self.resume();
            }
            // A mint shows its change before meltd gives the unpromised part of it up.
            if self.tries > 5 {
                self.mint.show_change();
            }
            if n > 560 && self.saga.state == State::Owing {
                break;
            }
            self.pass();
        }
    }

    /// An operator takes the saga off the desk.
    fn resume(&mut self) {
        if self.saga.parked.is_some() {
            let entry = resumed();
            self.saga = evolve(self.saga.clone(), &entry).unwrap();
            self.buffer.push(entry);
            self.flush();
        }
    }

    /// Late requests arrive after the end; then nothing may be stranded, doubled or in the air.
    fn check_end(&mut self) {
        let ends = self.saga.state.is_terminal() || self.saga.state == State::Owing;
        assert!(ends, "stuck in {:?}: {:?}", self.saga.state, self.log);
        self.mint.settle();
        for (coin, state) in self.rows.0.values() {
            let at_mint = self.mint.coins[&coin.y].1;
            match state {
                ProofState::Unspent => assert_eq!(at_mint, MintState::Unspent, "{coin:?}"),
                ProofState::Spent => assert_eq!(at_mint, MintState::Spent, "{coin:?}"),
                ProofState::Reserved | ProofState::Pending => panic!("{coin:?} is held"),
            }
        }
        let stranded: Vec<_> = self
            .mint
            .signed
            .values()
            .filter(|s| self.mint.coins[&s.coin.y].1 == MintState::Unspent)
            .filter(|s| !self.rows.0.contains_key(&s.coin.y))
            .collect();
        assert!(stranded.is_empty(), "{stranded:?} after {:?}", self.log);
    }

    fn balance(&self) -> Amount {
        self.rows.unspent().iter().map(|c| c.amount).sum()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn a_melt_pays_once_or_never_and_conserves_value(
        tape in prop::collection::vec(any::<u8>(), 0..400),
        exponents in prop::collection::vec(3u32..8, 2..10),
    ) {
        let mut walk = Walk::new(Command::Melt(melt_command()), tape);
        let amounts: Vec<Amount> = exponents.iter().map(|n| 1 << n).collect();
        walk.fund(&amounts);
        let before = walk.balance();
        walk.drive();
        walk.check_end();
        let saga = &walk.saga;
        let is_paid = matches!(saga.state, State::Settled | State::Owing);
        prop_assert_eq!(walk.mint.paid, u32::from(is_paid), "{:?}", walk.log);
        let paid = saga.committed.as_ref().map_or(0, |c| c.amount + c.input_fee);
        let lost = paid + saga.fee_paid + saga.swap_fees + saga.change_owed;
        prop_assert_eq!(walk.balance() + lost, before, "{:?}", walk.log);
    }

    #[test]
    fn a_funding_is_issued_once_and_never_stranded(
        tape in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut walk = Walk::new(Command::Mint(mint_command()), tape);
        walk.drive();
        walk.check_end();
        let is_issued = walk.saga.state == State::Settled;
        prop_assert_eq!(walk.balance(), if is_issued { 96 } else { 0 });
        prop_assert_eq!(walk.mint.funding == QuoteState::Issued, is_issued);
    }

    #[test]
    fn a_token_is_received_once_and_never_stranded(
        tape in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut command = receive_command();
        let mut walk = Walk::new(Command::Receive(command.clone()), tape);
        command.input_fee = plan::input_fee([walk.mint.ppk; 2]);
        walk.saga.adoption.command = Command::Receive(command.clone());
        walk.durable = walk.saga.clone();
        for (y, amount) in command.ys.iter().zip([64, 32]) {
            walk.mint.coins.insert(y.clone(), (amount, MintState::Unspent));
        }
        walk.drive();
        walk.check_end();
        let is_received = walk.saga.state == State::Settled;
        prop_assert_eq!(walk.balance(), if is_received { 96 - command.input_fee } else { 0 });
    }
}
