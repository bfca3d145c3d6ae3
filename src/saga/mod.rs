//! PURE: the melt, mint, receive and reconcile sagas. No async, no I/O, no clock, no randomness:
//! what it needs of these comes in as values. Everything that meltd promises is decided in this
//! folder.
//!
//! Four functions make a saga:
//!
//! | function | from | to |
//! |---|---|---|
//! | [`evolve::evolve`] | the folded saga, one event | the folded saga |
//! | [`step::next_step`] | the folded saga | the next thing to do |
//! | [`decide::decide`] | the folded saga, what was seen | events |
//! | [`proofs::project_proofs`] | events | writes to proof rows |
//!
//! The driver (`crate::driver`) runs them in a circle, for a first run and for a recovery alike.
//!
//! # The melt
//!
//! ```text
//!   Adopted ── MeltRequested ──▶ Requested ── QuoteCreated ──▶ Quoted ── PreflightPassed ──┐
//!      │                          │   ▲                         │  │                       │
//!      └──────── Rejected ────────┴───┼──────── Rejected ───────┘  └ PreflightBlocked ▶ Blocked
//!                                     │                                                   │
//!                    ProofsReleased, to be planned again                                  ▼
//!                                     │                                                Planned
//!                                     │               ┌──────────── ProofsSent ───────────┤
//!                                     │               │                       SwapPrepared│
//!                                     │               │                                   ▼
//!                                     │               │◀ ProofsSent ─ Ready ◀ SwapDone ─ Swapping
//!                                     │               ▼
//!                                     │    ┌──────── Sent ◀── ProofsSent: the same request again
//!                                     │    │          │ ◀──── MeltRefused: evidence, no more
//!                          SwapPrepared{fence}        │
//!                                     │    ▼          │ MeltPaid
//!                                     └─ Fencing ─────┼──── MeltPaid ──▶ Paid
//!          SwapDone{fence}, ProofsReleased │          └─────────────────▶ │
//!                                          ▼                              │ AtomicCommitted
//!                                       Released                          ▼
//!                                                   Settled ◀───────── Settled, or Owing
//!                                                         ChangeCollected
//! ```
//!
//! From `Sent` on only evidence frees coins: no time, error code or operator's order takes an arrow
//! out of `Sent` that would. The one way back leads through `Fencing`: a swap of one input to
//! ourselves, after which a late melt can only bounce. What an operator gives up (`WrittenOff`) is
//! never free again.
//!
//! `ProofsReleased` is also possible from `Planned`, `Swapping` and `Ready`, where no melt was
//! posted. `Parked` is not a state but a flag on any of them: nothing that moves money happens
//! while it is set, and asking goes on.
//!
//! # Mint and receive
//!
//! ```text
//!  Adopted ─MintQuoteCreated→ Quoted ─MintSent→ Issuing ─Minted→ Settled
//!  Adopted ─ReceiveRequested→ Requested ─SwapPrepared{receive}→ Swapping ─Received→ Settled
//! ```
//!
//! # Reconcile
//!
//! ```text
//!  Adopted ─ReconcileRequested→ Requested ─ProofCorrected, Restored→ Settled
//!                                   └──── Rejected: nothing differs any more
//! ```

pub mod chain;
pub mod code;
pub mod command;
pub mod decide;
pub mod event;
pub mod evolve;
pub mod ids;
pub mod plan;
pub mod proofs;
pub mod quote;
pub mod ranges;
pub mod state;
pub mod step;
pub mod upcast;
