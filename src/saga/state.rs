//! The folded saga: what the log says, and nothing else. [`evolve`] is the only way to get one.

use chrono::{DateTime, Utc};

use super::code::Code;
use super::command::{Command, Kind};
use super::event::{
    AtomicCommitted, MintSent, OperatorResolved, Parked, Plan, ProofsSent, Refusal, SwapPrepared,
};
use super::ids::{Amount, Coin, SagaId, Seq, SignedCoin, WalletId, Y};

/// Where a saga stands. One enum for all kinds; the diagram is in [`super`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The head exists; nothing is recorded yet.
    Adopted,
    /// The command is recorded.
    Requested,
    /// The mint quoted it.
    Quoted,
    /// Coins are reserved.
    Planned,
    /// The intent of a plan swap, or of a receive swap, is durable.
    Swapping,
    /// The exact coins for the melt are there, reserved.
    Ready,
    /// The intent of the melt is durable: from here only evidence frees coins.
    Sent,
    /// The intent of a fence is durable: the melt is never posted again.
    Fencing,
    /// The mint says PAID; the commit follows.
    Paid,
    /// Settled, with change still owed by the mint.
    Owing,
    /// The intent of minting is durable.
    Issuing,
    /// Done: paid, funded, received or reconciled.
    Settled,
    /// Ended with every coin back.
    Released,
    /// Refused before any coin was touched.
    Rejected,
    /// Stopped by the pre-flight check.
    Blocked,
    /// An operator gave the value up.
    WrittenOff,
}

impl State {
    /// Every state, in the order of a saga's life: validators and tests go through them.
    pub const ALL: [State; 16] = [
        State::Adopted,
        State::Requested,
        State::Quoted,
        State::Planned,
        State::Swapping,
        State::Ready,
        State::Sent,
        State::Fencing,
        State::Paid,
        State::Owing,
        State::Issuing,
        State::Settled,
        State::Released,
        State::Rejected,
        State::Blocked,
        State::WrittenOff,
    ];

    /// True when nothing can follow but an operator's note.
    pub fn is_terminal(self) -> bool {
        match self {
            State::Settled
            | State::Released
            | State::Rejected
            | State::Blocked
            | State::WrittenOff => true,
            State::Adopted
            | State::Requested
            | State::Quoted
            | State::Planned
            | State::Swapping
            | State::Ready
            | State::Sent
            | State::Fencing
            | State::Paid
            | State::Owing
            | State::Issuing => false,
        }
    }

    /// The word used in the store, in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Adopted => "adopted",
            State::Requested => "requested",
            State::Quoted => "quoted",
            State::Planned => "planned",
            State::Swapping => "swapping",
            State::Ready => "ready",
            State::Sent => "sent",
            State::Fencing => "fencing",
            State::Paid => "paid",
            State::Owing => "owing",
            State::Issuing => "issuing",
            State::Settled => "settled",
            State::Released => "released",
            State::Rejected => "rejected",
            State::Blocked => "blocked",
            State::WrittenOff => "written_off",
        }
    }
}

/// What the recovery scan needs to know of a saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Steps remain.
    Active,
    /// Settled; change is being collected.
    Owing,
    /// On a person's desk; only asking goes on.
    Parked,
    /// Terminal.
    Done,
}

impl Status {
    /// The word used in the store and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Active => "active",
            Status::Owing => "owing",
            Status::Parked => "parked",
            Status::Done => "done",
        }
    }
}

/// What the driver knows of a saga before its first event: the adopted head's constants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adoption {
    /// The saga.
    pub id: SagaId,
    /// Its wallet.
    pub wallet: WalletId,
    /// The owner, `npub1…`.
    pub npub: String,
    /// The mint.
    pub mint_url: String,
    /// The unit.
    pub unit: String,
    /// SHA-256 of the command's parameters, hex.
    pub request_hash: String,
    /// The command.
    pub command: Command,
}

/// A saga as folded from its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saga {
    /// The constants of the head.
    pub adoption: Adoption,
    /// Position of the last event; 0 = none.
    pub seq: Seq,
    /// Where it stands.
    pub state: State,
    /// The quote in use.
    pub quote: Option<Quote>,
    /// The plan in use.
    pub plan: Option<Plan>,
    /// Every swap that was ever prepared, with its outcome: each range is looked at again before
    /// the saga concludes anything about its inputs.
    pub swaps: Vec<Swap>,
    /// The melt's own coins: what is, or will be, in the request.
    pub send: Vec<Coin>,
    /// The last intent of the melt, and how many posts it announced.
    pub sent: Option<ProofsSent>,
    /// The first refusal that the mint gave to a post.
    pub refusal: Option<Refusal>,
    /// The intent of minting, and earlier ranges.
    pub minting: Vec<MintSent>,
    /// Payment: proven or claimed, with the preimage if there is one.
    pub paid: Option<Paid>,
    /// The settlement.
    pub committed: Option<AtomicCommitted>,
    /// Change stored so far.
    pub change: Vec<Coin>,
    /// Change still owed by the mint.
    pub change_owed: Amount,
    /// No change signature has come yet, though blanks were sent.
    pub change_open: bool,
    /// Lightning fee as it stands.
    pub fee_paid: Amount,
    /// Input fees of the swaps that were done.
    pub swap_fees: Amount,
    /// Coins gained by a mint, a receive or a reconciliation.
    pub gained: Vec<Coin>,
    /// How often it was planned again.
    pub replans: u32,
    /// Why it ended without success, if it did.
    pub ended: Option<Ended>,
    /// The desk, if it is on one.
    pub parked: Option<Parked>,
    /// The operator's last decision: it is carried out, or it was.
    pub resolution: Option<OperatorResolved>,
    /// Coins that an operator has given up: no part of the saga any more.
    pub given_up: Vec<Y>,
    /// Value that operators have given up here, coins and owed change.
    pub written_off: Amount,
    /// What was raised as CRITICAL and has not ended.
    pub criticals: Vec<Code>,
}

/// The mint's quote, private id included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The mint's id; `None` once the private half was erased.
    pub id: Option<String>,
    /// Price of the payment (melt) or value asked for (mint).
    pub amount: Amount,
    /// Fee reserve; 0 for a mint quote.
    pub fee_reserve: Amount,
    /// When it expires.
    pub expires_at: Option<DateTime<Utc>>,
    /// The invoice to pay (mint) or being paid (melt).
    pub invoice: Option<String>,
}

/// A prepared swap and whether it was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swap {
    /// The intent.
    pub prepared: SwapPrepared,
    /// True after its `SwapDone` (or `Received`).
    pub done: bool,
}

/// The mint's word on the payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paid {
    /// SHA-256(preimage) is the payment hash.
    pub proven: bool,
    /// The preimage as given.
    pub preimage: Option<String>,
}

/// How a saga ended without success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Why.
    pub code: Code,
    /// The same in a sentence.
    pub reason: String,
}

impl Saga {
    /// A saga of which nothing is recorded yet.
    pub fn adopted(adoption: Adoption) -> Self {
        Saga {
            adoption,
            seq: 0,
            state: State::Adopted,
            quote: None,
            plan: None,
            swaps: Vec::new(),
            send: Vec::new(),
            sent: None,
            refusal: None,
            minting: Vec::new(),
            paid: None,
            committed: None,
            change: Vec::new(),
            change_owed: 0,
            change_open: false,
            fee_paid: 0,
            swap_fees: 0,
            gained: Vec::new(),
            replans: 0,
            ended: None,
            parked: None,
            resolution: None,
            given_up: Vec::new(),
            written_off: 0,
            criticals: Vec::new(),
        }
    }

    /// Which kind of saga it is.
    pub fn kind(&self) -> Kind {
        self.adoption.command.kind()
    }

    /// What the recovery scan sees.
    pub fn status(&self) -> Status {
        if self.state.is_terminal() {
            Status::Done
        } else if self.parked.is_some() {
            Status::Parked
        } else if self.state == State::Owing {
            Status::Owing
        } else {
            Status::Active
        }
    }

    /// True while the payment hash and the intent key stay taken: always, until the saga ends
    /// without success. From `MeltPaid` on they are taken for ever. A reconciliation claims its
    /// wallet, and only until it ends.
    pub fn holds_claims(&self) -> bool {
        if self.kind() == Kind::Reconcile {
            return !self.state.is_terminal();
        }
        !matches!(
            self.state,
            State::Released | State::Rejected | State::Blocked
        )
    }

    /// The swap intent that is not done yet.
    pub fn open_swap(&self) -> Option<&SwapPrepared> {
        self.swaps
            .iter()
            .rev()
            .find(|s| !s.done)
            .map(|s| &s.prepared)
    }

    /// The Ys in the melt's request, without those that were given up.
    pub fn sent_ys(&self) -> Vec<Y> {
        let sent = self.sent.iter().flat_map(|s| &s.inputs);
        let held = sent.filter(|y| !self.given_up.contains(y));
        held.cloned().collect()
    }
}

impl From<SignedCoin> for Coin {
    fn from(signed: SignedCoin) -> Self {
        signed.coin
    }
}
