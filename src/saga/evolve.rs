//! Event → state: the only way a saga changes. One arm a line of the diagram in [`super`].

use super::code::Code;
use super::command::{Command, Kind};
use super::event::{
    AtomicCommitted, Entry, Event, ProofsReleased, Purpose, QuoteCreated, Resolution, SwapDone,
};
use super::ids::{Coin, SagaId, Seq};
use super::state::{Adoption, Ended, Paid, Quote, Saga, State, Swap};

/// An event that cannot follow the state: the log is damaged or the code is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IllegalTransition {
    /// The saga.
    pub saga: SagaId,
    /// The position that the event would have had.
    pub seq: Seq,
    /// The state it met.
    pub state: &'static str,
    /// The event's name.
    pub event: &'static str,
}

impl std::fmt::Display for IllegalTransition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            saga,
            seq,
            state,
            event,
        } = self;
        write!(
            f,
            "event {event} cannot follow state {state} of saga {saga} at seq {seq}"
        )
    }
}

impl std::error::Error for IllegalTransition {}

/// The state after one more event. Pure and total: an event that cannot follow is an error.
///
/// # Errors
/// [`IllegalTransition`].
pub fn evolve(mut saga: Saga, entry: &Entry) -> Result<Saga, IllegalTransition> {
    use State as S;
    let private = &entry.private;
    let next = match (saga.state, &entry.event) {
        (
            S::Adopted,
            Event::MeltRequested(_) | Event::ReceiveRequested(_) | Event::ReconcileRequested(_),
        ) => S::Requested,
        (S::Requested, Event::QuoteCreated(q)) => {
            saga.quote = Some(melt_quote(&saga, q, private.quote_id.clone()));
            S::Quoted
        }
        (S::Quoted, Event::PreflightPassed(p)) => {
            saga.send = p.plan.inputs.clone();
            saga.plan = Some(p.plan.clone());
            S::Planned
        }
        (S::Quoted, Event::PreflightBlocked(b)) => saga.end(S::Blocked, b.code, &b.reason),
        (S::Planned | S::Swapping | S::Requested, Event::SwapPrepared(p)) => {
            saga.swaps.push(Swap {
                prepared: p.clone(),
                done: false,
            });
            S::Swapping
        }
        (S::Swapping, Event::SwapDone(d)) if d.purpose == Purpose::Plan => {
            saga.swap_done(d);
            saga.send = d.send.clone();
            S::Ready
        }
        (S::Planned | S::Ready | S::Sent, Event::ProofsSent(sent)) => {
            saga.sent = Some(sent.clone());
            S::Sent
        }
        (S::Sent | S::Fencing, Event::MeltRefused(r)) => {
            saga.refusal.get_or_insert_with(|| r.clone());
            saga.state
        }
        (S::Sent | S::Fencing, Event::SwapPrepared(p)) if p.purpose == Purpose::Fence => {
            saga.swaps.push(Swap {
                prepared: p.clone(),
                done: false,
            });
            S::Fencing
        }
        (S::Fencing, Event::SwapDone(d)) if d.purpose == Purpose::Fence => {
            saga.swap_done(d);
            S::Fencing
        }
        (S::Planned | S::Swapping | S::Ready | S::Fencing, Event::ProofsReleased(r)) => {
            saga.release(r)
        }
        (S::Sent | S::Fencing, Event::MeltPaid(p)) => {
            saga.paid = Some(Paid {
                proven: p.proven,
                preimage: private.preimage.clone(),
            });
            S::Paid
        }
        (S::Paid, Event::AtomicCommitted(c)) => saga.commit(c),
        (S::Owing, Event::ChangeCollected(c)) => {
            saga.change.extend(c.change.iter().cloned());
            saga.change_owed = c.change_owed;
            saga.fee_paid = c.fee_paid;
            saga.change_open = c.change_open;
            saga.settled_or_owing()
        }
        (S::Adopted | S::Requested | S::Quoted | S::Swapping, Event::Rejected(r)) => {
            saga.end(S::Rejected, r.code, &r.reason)
        }
        (S::Adopted, Event::MintQuoteCreated(q)) => {
            saga.quote = Some(Quote {
                id: private.quote_id.clone(),
                amount: q.amount,
                fee_reserve: 0,
                expires_at: q.expires_at,
                invoice: private.invoice.clone(),
            });
            S::Quoted
        }
        (S::Quoted | S::Issuing, Event::MintSent(m)) => {
            saga.minting.push(m.clone());
            S::Issuing
        }
        (S::Issuing, Event::Minted(m)) => {
            saga.gained = m.coins.clone();
            S::Settled
        }
        (S::Swapping, Event::Received(r)) => {
            saga.gained = r.coins.clone();
            saga.swap_fees = saga.swap_fees.saturating_add(r.fee);
            if let Some(swap) = saga.swaps.iter_mut().rev().find(|s| !s.done) {
                swap.done = true;
            }
            S::Settled
        }
        (S::Requested, Event::ProofCorrected(_)) if saga.kind() == Kind::Reconcile => S::Settled,
        (S::Requested | S::Settled, Event::Restored(r)) if saga.kind() == Kind::Reconcile => {
            saga.gained = r.coins.clone();
            S::Settled
        }
        (state, event) => return saga.note(state, event),
    };
    saga.state = next;
    saga.seq = saga.seq.saturating_add(1);
    Ok(saga)
}

/// The quote of a melt, with the invoice it is for.
fn melt_quote(saga: &Saga, q: &QuoteCreated, id: Option<String>) -> Quote {
    let invoice = match &saga.adoption.command {
        Command::Melt(melt) => Some(melt.invoice.clone()),
        Command::Mint(_) | Command::Receive(_) | Command::Reconcile(_) => None,
    };
    Quote {
        id,
        amount: q.amount,
        fee_reserve: q.fee_reserve,
        expires_at: Some(q.expires_at),
        invoice,
    }
}

impl Saga {
    /// The fold of a whole log.
    ///
    /// # Errors
    /// [`IllegalTransition`] where an event cannot follow.
    pub fn fold<'a>(
        adoption: Adoption,
        entries: impl IntoIterator<Item = &'a Entry>,
    ) -> Result<Self, IllegalTransition> {
        entries
            .into_iter()
            .try_fold(Saga::adopted(adoption), evolve)
    }

    /// Events that annotate a state instead of leaving it; anything else cannot follow.
    fn note(mut self, state: State, event: &Event) -> Result<Saga, IllegalTransition> {
        match event {
            Event::CriticalRaised(_) | Event::CriticalResolved(_) => {}
            Event::ProofCorrected(_) | Event::Restored(_) => {}
            Event::Parked(p) if !state.is_terminal() => self.parked = Some(p.clone()),
            Event::Resumed(_) if self.parked.is_some() => self.parked = None,
            Event::OperatorResolved(r) if !state.is_terminal() => {
                self.parked = None;
                self.resolution = Some(r.clone());
                match r.resolution {
                    Resolution::WrittenOff => self.state = State::WrittenOff,
                    Resolution::Paid | Resolution::Released => {}
                }
            }
            other => {
                return Err(IllegalTransition {
                    seq: self.seq.saturating_add(1),
                    saga: self.adoption.id,
                    state: state.as_str(),
                    event: other.name(),
                });
            }
        }
        self.seq = self.seq.saturating_add(1);
        Ok(self)
    }

    fn swap_done(&mut self, done: &SwapDone) {
        self.swap_fees = self.swap_fees.saturating_add(done.fee);
        let outputs: Option<&Coin> = done.send.first().or(done.keep.first());
        for swap in self
            .swaps
            .iter_mut()
            .filter(|s| s.prepared.purpose == done.purpose)
        {
            let range = swap.prepared.outputs.range();
            swap.done |= outputs.is_some_and(|c| range.holds(c));
        }
    }

    fn release(&mut self, released: &ProofsReleased) -> State {
        self.parked = None;
        if released.is_final {
            return self.end(State::Released, released.code, &released.reason);
        }
        // A fresh quote and a fresh choice; the replan counter bounds how often.
        self.replans = self.replans.saturating_add(1);
        self.quote = None;
        self.plan = None;
        self.send.clear();
        self.sent = None;
        self.refusal = None;
        State::Requested
    }

    fn commit(&mut self, committed: &AtomicCommitted) -> State {
        self.parked = None;
        self.change = committed.change.clone();
        self.change_owed = committed.change_owed;
        self.fee_paid = committed.fee_paid;
        self.committed = Some(committed.clone());
        self.change_open = committed.change_open;
        self.settled_or_owing()
    }

    fn settled_or_owing(&self) -> State {
        let complete = self.change_owed == 0 && !self.change_open;
        if complete {
            State::Settled
        } else {
            State::Owing
        }
    }

    fn end(&mut self, state: State, code: Code, reason: &str) -> State {
        self.ended = Some(Ended {
            code,
            reason: reason.to_owned(),
        });
        state
    }
}
