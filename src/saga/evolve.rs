//! Event → state: the only way a saga changes. One arm a line of the diagram in [`super`].

use super::code::Code;
use super::command::{Command, Kind};
use super::event::{
    AtomicCommitted, Entry, Event, OperatorResolved, ProofsReleased, Purpose, QuoteCreated,
    Resolution, SwapDone, SwapPrepared,
};
use super::ids::{Coin, SagaId, Seq};
use super::state::{Adoption, Ended, Paid, Quote, Saga, State, Swap};
use super::step::fenced;

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
    if !belongs(&entry.event, saga.kind()) {
        return Err(saga.illegal(&entry.event));
    }
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
        (S::Planned, Event::SwapPrepared(p)) if p.purpose == Purpose::Plan => saga.prepare(p),
        (S::Requested | S::Swapping, Event::SwapPrepared(p)) if p.purpose == Purpose::Receive => {
            saga.prepare(p)
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
            saga.prepare(p)
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
        (S::Adopted | S::Requested | S::Quoted, Event::Rejected(r)) => {
            saga.end(S::Rejected, r.code, &r.reason)
        }
        (S::Swapping, Event::Rejected(r)) if saga.kind() == Kind::Receive => {
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

/// True when an event can be one of a saga of this kind.
fn belongs(event: &Event, kind: Kind) -> bool {
    match event {
        Event::MeltRequested(_)
        | Event::QuoteCreated(_)
        | Event::PreflightPassed(_)
        | Event::PreflightBlocked(_)
        | Event::ProofsSent(_)
        | Event::MeltPaid(_)
        | Event::AtomicCommitted(_)
        | Event::ChangeCollected(_)
        | Event::MeltRefused(_)
        | Event::ProofsReleased(_) => kind == Kind::Melt,
        Event::SwapPrepared(SwapPrepared { purpose, .. })
        | Event::SwapDone(SwapDone { purpose, .. }) => match purpose {
            Purpose::Plan | Purpose::Fence => kind == Kind::Melt,
            Purpose::Receive => kind == Kind::Receive,
        },
        Event::MintQuoteCreated(_) | Event::MintSent(_) | Event::Minted(_) => kind == Kind::Mint,
        Event::ReceiveRequested(_) | Event::Received(_) => kind == Kind::Receive,
        Event::ReconcileRequested(_) => kind == Kind::Reconcile,
        Event::Rejected(_)
        | Event::CriticalRaised(_)
        | Event::CriticalResolved(_)
        | Event::Parked(_)
        | Event::Resumed(_)
        | Event::OperatorResolved(_)
        | Event::Restored(_)
        | Event::ProofCorrected(_) => true,
    }
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

    fn illegal(&self, event: &Event) -> IllegalTransition {
        IllegalTransition {
            seq: self.seq.saturating_add(1),
            saga: self.adoption.id.clone(),
            state: self.state.as_str(),
            event: event.name(),
        }
    }

    /// Events that annotate a state instead of leaving it; anything else cannot follow.
    fn note(mut self, state: State, event: &Event) -> Result<Saga, IllegalTransition> {
        match event {
            Event::CriticalRaised(c) => {
                if !self.criticals.contains(&c.code) {
                    self.criticals.push(c.code);
                }
            }
            Event::CriticalResolved(c) => self.criticals.retain(|code| *code != c.code),
            Event::ProofCorrected(_) | Event::Restored(_) => {}
            Event::Parked(p) if self.can_park() => self.parked = Some(p.clone()),
            Event::Resumed(_) if self.parked.is_some() => self.parked = None,
            Event::OperatorResolved(r) => match self.resolved(state, r) {
                Some(next) => self.state = next,
                None => return Err(self.illegal(event)),
            },
            other => return Err(self.illegal(other)),
        }
        self.seq = self.seq.saturating_add(1);
        Ok(self)
    }

    /// False once it has ended; and for a funding whose invoice may be paid at any time, because
    /// parked and with nothing sent it would never be looked at again.
    pub fn can_park(&self) -> bool {
        let waits_for_payer = self.kind() == Kind::Mint && self.state == State::Quoted;
        !self.state.is_terminal() && !waits_for_payer
    }

    /// True where an operator's decision can be carried out: `written-off` and `paid` only where
    /// something was sent, `released` only before it is known to be paid.
    pub fn can_resolve(&self, resolution: Resolution) -> bool {
        use State as S;
        match (resolution, self.kind()) {
            (Resolution::Paid, Kind::Melt) => {
                matches!(self.state, S::Paid)
                    || matches!(self.state, S::Sent | S::Fencing) && !fenced(self)
            }
            (Resolution::Released, Kind::Melt) => matches!(
                self.state,
                S::Adopted
                    | S::Requested
                    | S::Quoted
                    | S::Planned
                    | S::Swapping
                    | S::Ready
                    | S::Sent
                    | S::Fencing
            ),
            (Resolution::WrittenOff, Kind::Melt) => {
                matches!(self.state, S::Swapping | S::Sent | S::Owing)
                    || self.state == S::Fencing && !fenced(self)
            }
            (Resolution::WrittenOff, Kind::Mint) => self.state == S::Issuing,
            (Resolution::WrittenOff, Kind::Receive) => self.state == S::Swapping,
            (Resolution::Paid | Resolution::Released, Kind::Mint | Kind::Receive)
            | (_, Kind::Reconcile) => false,
        }
    }

    /// The state after an operator's decision; `None` where it makes no sense.
    fn resolved(&mut self, state: State, r: &OperatorResolved) -> Option<State> {
        if !self.can_resolve(r.resolution) {
            return None;
        }
        self.parked = None;
        self.resolution = Some(r.clone());
        if r.resolution != Resolution::WrittenOff {
            return Some(state);
        }
        self.written_off = self.written_off.saturating_add(r.written_off);
        if state == State::Owing {
            self.change_owed = self.change_owed.saturating_sub(r.written_off);
            self.change_open = false;
            return Some(self.settled_or_owing());
        }
        self.given_up.extend(r.coins.iter().map(|c| c.y.clone()));
        let given_up = &self.given_up;
        self.send.retain(|coin| !given_up.contains(&coin.y));
        // What is left is fenced and let go.
        Some(if self.send.is_empty() {
            State::WrittenOff
        } else {
            state
        })
    }

    /// The intent of a swap.
    fn prepare(&mut self, prepared: &SwapPrepared) -> State {
        self.swaps.push(Swap {
            prepared: prepared.clone(),
            done: false,
        });
        match prepared.purpose {
            Purpose::Plan | Purpose::Receive => State::Swapping,
            Purpose::Fence => State::Fencing,
        }
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
