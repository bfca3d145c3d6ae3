//! What to do next, and what was seen when it was done. [`next_step`] looks only at the folded
//! saga and at whether this pass has just made an intent durable: a first run and a recovery
//! differ in nothing else.

use chrono::{DateTime, Utc};

use super::code::Code;
use super::command::Kind;
use super::event::{Finding, MintSent, Plan, Purpose, Refusal, Resolution, SwapPrepared, Way};
use super::ids::{Amount, Coin, KeysetId, Outputs, Range, SignedCoin, Y};
use super::state::{Saga, State, Swap};

/// One thing to do. Those that move money are [`Step::is_irreversible`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Record the adopted command.
    Accept,
    /// Ask the mint for a melt quote.
    QuoteMelt,
    /// Choose coins and compare them with the mint.
    Preflight,
    /// Take counters for the blanks of the melt, and describe it.
    PrepareMelt {
        /// Keyset of the blanks.
        keyset: KeysetId,
        /// How many.
        blanks: u32,
    },
    /// Take counters for a plan swap's outputs, and describe it.
    PrepareSwap {
        /// Keyset of the outputs.
        keyset: KeysetId,
        /// Send amounts, then keep amounts.
        amounts: Vec<Amount>,
    },
    /// Choose one input to fence with, and take counters for its replacement.
    PrepareFence {
        /// The melt's inputs.
        inputs: Vec<Coin>,
        /// Fence ranges used before.
        attempt: u32,
    },
    /// Choose denominations for a received token, and take counters.
    PrepareReceive {
        /// What the outputs must sum to.
        amount: Amount,
        /// Ranges used before.
        attempt: u32,
    },
    /// Ask for the mint quote; if it is paid, take counters for its outputs.
    PrepareMint {
        /// Ranges used before.
        attempt: u32,
    },
    /// Ask the mint for a mint quote.
    QuoteMint,
    /// `POST /v1/swap`.
    PostSwap(SwapPrepared),
    /// `POST /v1/melt/bolt11`.
    PostMelt,
    /// `POST /v1/mint/bolt11`.
    PostMint(MintSent),
    /// Ask everything the mint can tell, in the order that makes the answers mean something.
    Inquire(Inquiry),
    /// Ask the mint for the coins and counters of a reconciliation, then the store.
    Reconcile,
    /// The fence is through: let the other coins go.
    ReleaseRest,
    /// Nothing to do, for ever or until somebody resumes the saga.
    Stop,
}

impl Step {
    /// True for the three posts: everything decided so far must be durable before them.
    pub fn is_irreversible(&self) -> bool {
        matches!(self, Step::PostSwap(_) | Step::PostMelt | Step::PostMint(_))
    }

    /// The word for logs, metrics and failpoints.
    pub fn name(&self) -> &'static str {
        match self {
            Step::Accept => "accept",
            Step::QuoteMelt => "quote_melt",
            Step::Preflight => "preflight",
            Step::PrepareMelt { .. } => "prepare_melt",
            Step::PrepareSwap { .. } => "prepare_swap",
            Step::PrepareFence { .. } => "prepare_fence",
            Step::PrepareReceive { .. } => "prepare_receive",
            Step::PrepareMint { .. } => "prepare_mint",
            Step::QuoteMint => "quote_mint",
            Step::PostSwap(_) => "post_swap",
            Step::PostMelt => "post_melt",
            Step::PostMint(_) => "post_mint",
            Step::Inquire(_) => "inquire",
            Step::Reconcile => "reconcile",
            Step::ReleaseRest => "release_rest",
            Step::Stop => "stop",
        }
    }
}

/// What to ask: NUT-07 states first (they never block), then the quote, then NUT-09.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inquiry {
    /// The inputs whose states decide.
    pub ys: Vec<Y>,
    /// The melt's or the mint's quote.
    pub quote: Option<(Kind, String)>,
    /// The melt's blanks, where change may be.
    pub blanks: Option<Range>,
    /// Outputs of swaps or mintings that may have been signed.
    pub outputs: Vec<Outputs>,
}

/// Why the mint did not do what was asked, named by what the caller does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The mint said no. For anything but a melt that is an answer; for a melt it is evidence.
    Refused(Refusal),
    /// Nothing is known: ask, never conclude.
    Unknown {
        /// Which kind of silence, for the caller's message.
        code: Code,
        /// What was seen, cleaned.
        detail: String,
    },
}

impl Trouble {
    /// The code and sentence for a person.
    pub fn explain(&self) -> (Code, String) {
        match self {
            Trouble::Refused(r) => (Code::MintRefused, r.explain()),
            Trouble::Unknown { code, detail } => (*code, detail.clone()),
        }
    }
}

impl Refusal {
    /// The refusal in a sentence.
    pub fn explain(&self) -> String {
        match self.mint_code {
            Some(code) => format!("the mint refused with code {code}: {}", self.detail),
            None => format!("the mint refused: {}", self.detail),
        }
    }
}

/// A proof's state at the mint (NUT-07).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MintState {
    /// Free.
    Unspent,
    /// In a payment.
    Pending,
    /// Gone.
    Spent,
}

/// A quote's state at the mint (NUT-04, NUT-05).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuoteState {
    /// Not paid, as far as the mint knows now.
    Unpaid,
    /// The payment is under way.
    Pending,
    /// Paid.
    Paid,
    /// The mint says that the payment failed.
    Failed,
    /// Mint quote: the proofs were issued.
    Issued,
    /// The mint does not know.
    Unknown,
}

/// A melt quote as the mint gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeltQuote {
    /// The mint's id.
    pub id: String,
    /// Its invoice.
    pub invoice: Option<String>,
    /// Its unit.
    pub unit: Option<String>,
    /// Price of the payment.
    pub amount: Amount,
    /// Fee reserve.
    pub fee_reserve: Amount,
    /// State.
    pub state: QuoteState,
    /// Expiry.
    pub expires_at: DateTime<Utc>,
}

/// A mint quote as the mint gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MintQuote {
    /// The mint's id.
    pub id: String,
    /// The invoice to pay.
    pub invoice: String,
    /// Amount, if the mint repeats it.
    pub amount: Option<Amount>,
    /// Unit, if the mint repeats it.
    pub unit: Option<String>,
    /// Expiry, if any.
    pub expires_at: Option<DateTime<Utc>>,
    /// Locked to our key (NUT-20).
    pub locked: bool,
}

/// Change signatures, verified against the keys of the blanks' own keyset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Good ones, unblinded.
    pub coins: Vec<SignedCoin>,
    /// How many did not verify: owed, never a balance.
    pub bad: u32,
}

impl Change {
    /// The last counter of `range` that the mint has signed, as far as it can be told: a signature
    /// that does not verify may be for any of them.
    pub fn last_counter(&self, range: &Range) -> Option<u32> {
        if self.bad > 0 {
            return Some(range.start.saturating_add(range.count.saturating_sub(1)));
        }
        self.coins.iter().map(|c| c.coin.counter).max()
    }
}

/// The mint's word on a melt quote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeltWord {
    /// State.
    pub state: QuoteState,
    /// Preimage, hex, if given.
    pub preimage: Option<String>,
    /// Change; `None` = the mint sent no signatures, which does not mean that there is none.
    pub change: Option<Change>,
}

/// The outcome of the pre-flight check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preflight {
    /// The plan, or why there is none.
    pub plan: Result<Plan, (Code, String)>,
    /// Differences found.
    pub findings: Vec<Finding>,
    /// Coins spent at the mint.
    pub corrections: Vec<Y>,
}

/// The answers to an [`Inquiry`]; by default to one that asked nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// One state a Y, in the inquiry's order.
    pub states: Result<Vec<MintState>, Trouble>,
    /// The quote; `None` = not asked.
    pub quote: Option<Result<MeltWord, Trouble>>,
    /// Change found by quote or by NUT-09; `None` = not asked, or nothing is known.
    pub change: Option<Change>,
    /// What NUT-09 returned for each of the inquiry's outputs, in its order.
    pub restored: Vec<Result<Vec<SignedCoin>, Trouble>>,
}

impl Default for Evidence {
    fn default() -> Self {
        Evidence {
            states: Ok(Vec::new()),
            quote: None,
            change: None,
            restored: Vec::new(),
        }
    }
}

/// What [`Step::PrepareMint`] saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Funding {
    /// Not paid yet.
    Unpaid,
    /// Paid: counters are taken.
    Ready(Outputs),
    /// The mint says that it issued already.
    Issued,
}

/// What differs between the store and the mint, as both were seen just now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// Coins that the store holds as free and the mint as spent.
    pub spent: Vec<Y>,
    /// Coins that the mint has signed and holds as free, that the store does not have, and that no
    /// living saga is about to store.
    pub found: Vec<SignedCoin>,
}

/// What was seen when a step was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing to see ([`Step::Accept`], [`Step::ReleaseRest`]).
    Done,
    /// Answer to [`Step::QuoteMelt`].
    MeltQuote(Result<MeltQuote, Trouble>),
    /// Answer to [`Step::QuoteMint`].
    MintQuote(Result<MintQuote, Trouble>),
    /// Answer to [`Step::Preflight`]; trouble = the mint could not be asked.
    Preflight(Result<Preflight, Trouble>),
    /// Counters for the melt's blanks; `None` = none needed.
    MeltPrepared(Option<Range>),
    /// Outputs for a plan swap.
    SwapPrepared(Outputs),
    /// A fence, ready to be recorded; `None` = no input is worth more than its fee.
    FencePrepared(Result<Option<SwapPrepared>, Trouble>),
    /// A receive swap's outputs.
    ReceivePrepared(Result<Outputs, Trouble>),
    /// Answer to [`Step::PrepareMint`].
    MintPrepared(Result<Funding, Trouble>),
    /// Answer to a swap: every output signed and verified, in order.
    Swapped(Result<Vec<SignedCoin>, Trouble>),
    /// Answer to the melt.
    Melted(Result<MeltWord, Trouble>),
    /// Answer to minting.
    Minted(Result<Vec<SignedCoin>, Trouble>),
    /// Answers to an inquiry.
    Evidence(Evidence),
    /// Answer to [`Step::Reconcile`].
    Truth(Result<Truth, Trouble>),
    /// No counters were given out, whatever they were for: the mint may have signed ahead of them.
    NoCounters(Trouble),
}

/// The next thing to do. `fresh` = this very pass has just made the saga's last event, an intent,
/// durable, and has not acted on it: only then may a post be made without asking first.
pub fn next_step(saga: &Saga, fresh: bool) -> Step {
    if saga.parked.is_some() {
        return if has_coins_at_mint(saga) {
            Step::Inquire(inquiry(saga))
        } else {
            Step::Stop
        };
    }
    match (saga.kind(), saga.state) {
        (Kind::Melt | Kind::Receive | Kind::Reconcile, State::Adopted) => Step::Accept,
        (Kind::Mint, State::Adopted) => Step::QuoteMint,
        (Kind::Receive, State::Requested) => prepare_receive(saga),
        (Kind::Reconcile, State::Requested) => Step::Reconcile,
        (_, State::Requested) => Step::QuoteMelt,
        (Kind::Mint, State::Quoted) => Step::PrepareMint { attempt: 0 },
        (_, State::Quoted) => Step::Preflight,
        (_, State::Planned | State::Ready) => prepare(saga),
        (_, State::Swapping) => match saga.open_swap() {
            Some(swap) if fresh => Step::PostSwap(swap.clone()),
            _ => Step::Inquire(inquiry(saga)),
        },
        (_, State::Sent) if fresh => Step::PostMelt,
        (_, State::Sent | State::Paid | State::Owing) => Step::Inquire(inquiry(saga)),
        (_, State::Fencing) => fencing(saga, fresh),
        (_, State::Issuing) => match saga.minting.last() {
            Some(sent) if fresh => Step::PostMint(sent.clone()),
            _ => Step::Inquire(inquiry(saga)),
        },
        (
            _,
            State::Settled | State::Released | State::Rejected | State::Blocked | State::WrittenOff,
        ) => Step::Stop,
    }
}

/// True while something of this saga may be known to the mint: then asking never ends.
pub fn has_coins_at_mint(saga: &Saga) -> bool {
    matches!(
        saga.state,
        State::Swapping
            | State::Sent
            | State::Fencing
            | State::Paid
            | State::Owing
            | State::Issuing
    )
}

/// True when an operator has ordered the coins to be let go: by the fence, once they are sent.
/// Whoever gives up a part of the coins wants the others back.
pub fn release_ordered(saga: &Saga) -> bool {
    is_ordered(saga, Resolution::Released) || is_ordered(saga, Resolution::WrittenOff)
}

/// True when an operator has found out that the payment happened.
pub fn paid_ordered(saga: &Saga) -> bool {
    is_ordered(saga, Resolution::Paid)
}

fn is_ordered(saga: &Saga, resolution: Resolution) -> bool {
    let ordered = saga.resolution.as_ref();
    ordered.is_some_and(|r| r.resolution == resolution)
}

fn prepare(saga: &Saga) -> Step {
    let Some(plan) = &saga.plan else {
        return Step::Stop;
    };
    match &plan.way {
        Way::Swap { send, keep, .. } if saga.state == State::Planned => Step::PrepareSwap {
            keyset: plan.change_keyset.clone(),
            amounts: send.iter().chain(keep).copied().collect(),
        },
        Way::Swap { .. } | Way::Direct => Step::PrepareMelt {
            keyset: plan.change_keyset.clone(),
            blanks: plan.blanks,
        },
    }
}

/// The outputs of a received token: what it is worth after the input fee.
pub(super) fn prepare_receive(saga: &Saga) -> Step {
    let amount = match &saga.adoption.command {
        super::command::Command::Receive(r) => r.amount.saturating_sub(r.input_fee),
        _ => 0,
    };
    Step::PrepareReceive {
        amount,
        attempt: u32::try_from(saga.swaps.len()).unwrap_or(u32::MAX),
    }
}

/// The fence that is prepared next: another range each time, over the same coin. A fence that was
/// refused could still win later; over another coin it would spend one that was let go.
pub(super) fn prepare_fence(saga: &Saga) -> Step {
    let mut fences = fences(saga).peekable();
    let Some(first) = fences.peek().map(|s| s.prepared.clone()) else {
        return Step::PrepareFence {
            inputs: saga.send.clone(),
            attempt: 0,
        };
    };
    let same = saga.send.iter().filter(|c| first.inputs.contains(&c.y));
    Step::PrepareFence {
        inputs: same.cloned().collect(),
        attempt: u32::try_from(fences.count()).unwrap_or(u32::MAX),
    }
}

/// The fences over the melt's present coins; those of an earlier round had others.
fn fences(saga: &Saga) -> impl Iterator<Item = &Swap> {
    let ours = |y: &Y| saga.send.iter().any(|c| &c.y == y);
    let fences = saga
        .swaps
        .iter()
        .filter(|s| s.prepared.purpose == Purpose::Fence);
    fences.filter(move |s| s.prepared.inputs.iter().any(ours))
}

fn fencing(saga: &Saga, fresh: bool) -> Step {
    match saga.swaps.last() {
        Some(swap) if fenced(saga) || swap.done => Step::ReleaseRest,
        Some(swap) if fresh => Step::PostSwap(swap.prepared.clone()),
        _ => Step::Inquire(inquiry(saga)),
    }
}

/// The last fence over the melt's present coins that is not known to be through.
pub(super) fn open_fence(saga: &Saga) -> Option<&SwapPrepared> {
    let open = fences(saga).filter(|s| !s.done);
    open.last().map(|s| &s.prepared)
}

/// True when a fence over one of the melt's present inputs is through.
pub fn fenced(saga: &Saga) -> bool {
    fences(saga).any(|s| s.done)
}

/// Everything worth asking in the present state.
pub fn inquiry(saga: &Saga) -> Inquiry {
    let ys = match saga.state {
        State::Swapping => saga
            .open_swap()
            .map(|s| s.inputs.clone())
            .unwrap_or_default(),
        _ => saga.sent_ys(),
    };
    let quote = saga.quote.as_ref().and_then(|q| q.id.clone());
    let asks_quote = !matches!(saga.state, State::Swapping);
    let swaps = saga
        .swaps
        .iter()
        .filter(|s| !s.done)
        .map(|s| s.prepared.outputs.clone());
    let minting = saga.minting.iter().map(|m| m.outputs.clone());
    Inquiry {
        ys,
        quote: quote.filter(|_| asks_quote).map(|id| (saga.kind(), id)),
        blanks: saga.sent.as_ref().and_then(|s| s.blanks.clone()),
        outputs: swaps.chain(minting).collect(),
    }
}
