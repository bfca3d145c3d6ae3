//! meltd pays Lightning invoices out of Cashu ecash, and never loses, strands or doubles a sat.
//!
//! # The tour
//!
//! A payment is a *saga*: a log of events, a state that is folded from them, and pure functions
//! that say what to do next. A first run and a recovery after a crash are the same loop:
//!
//! ```text
//!          request                                        answer
//!             │                                             ▲
//!          intake ── adopt ──┐                              │
//!                            ▼                              │
//!          ┌──────────── driver: load → fold → next_step ───┴── Stop
//!          │                 ▲              │
//!          │ append          │ decide       │ perform
//!          ▼                 │              ▼
//!        Store            Seen ◀───────── Mint
//!   (sqlite, mongo)                      (cdk)
//! ```
//!
//! Read in this order: [`saga`], where every decision is made without doing anything; [`ports`],
//! what the outside has to offer; [`driver`] and [`perform`], which do it. The rest is small.
//!
//! | module | may use |
//! |---|---|
//! | [`saga`] | nothing of this crate: no async, no I/O, no clock, no randomness |
//! | [`ports`] | `saga` |
//! | [`wire`] | `saga`, `ports` |
//! | [`driver`], [`pool`], [`perform`], [`intake`], [`recovery`], [`breaker`] | those three |
//! | [`reconcile`], [`restore`], [`doctor`], [`mod@desk`] | the same |
//! | [`audit`], [`stream`] | `saga`, `ports`, and how a log is folded |
//! | [`queue`], [`relay`] | the same, over the bus |
//! | [`store`], [`bus`], [`mint`] | `saga`, `ports`, and the one library that they adapt |
//! | [`api`] | `saga`, `ports`, the loops |
//! | [`serve`] | `saga`, `ports`, the loops, `api` |
//! | [`cli`] | `saga`, `ports`, the loops; its demo also the mint in this process |
//! | `main` | everything: it chooses the adapters |

/// The pure core: states, events, plans, decisions, the hash chain.
pub mod saga;

/// What the loops need from outside: a store, mints, a clock.
pub mod ports;

/// The public shapes on the bus: commands, replies, dead letters.
pub mod wire;

/// From a request to an adopted saga, or a refusal that leaves nothing behind.
pub mod intake;

/// The one loop, and when something becomes durable.
pub mod driver;

/// The sagas that this process drives at once, and how it stops.
pub mod pool;

/// The input and output of one step.
pub mod perform;

/// Which mints may be given something new.
pub mod breaker;
/// Publishes what is in the outbox, and publishes it again when the stream has lost it.
pub mod relay;

/// Commands from the queue.
pub mod queue;

/// Whether this process can do its work now.
pub mod readiness;

/// `meltd serve`: the roles of a process, and how they end together.
pub mod serve;

/// Finds what was left unfinished, and drives it with the same loop.
pub mod recovery;

/// Holds whole wallets against their mint, and corrects what differs.
pub mod reconcile;

/// Finds the coins of wallets again from the seed and the mint alone.
pub mod restore;

/// Looks at everything that meltd stands on, and says what to do.
pub mod doctor;

/// Proves that the store agrees with its own history, and that value is conserved.
pub mod audit;

/// The event stream as an audit consumer reads it, and what can be done with it.
pub mod stream;

/// The JSON Schemas of what is published, made from the types.
pub mod schemas;

/// Where sagas and coins are kept: SQLite and MongoDB.
pub mod store;

/// The way to producers and audit consumers: NATS JetStream, or streams in this process.
pub mod bus;

/// The way to mints; and, for tests and the demo, a whole mint.
pub mod mint;

/// What a wallet holds.
pub mod balance;

/// What an operator sees before anything is decided.
pub mod desk;

/// The HTTP API.
pub mod api;

/// What an operator watches.
pub mod metrics;

/// The command line.
pub mod cli;

/// Every option that all commands share.
pub mod config;

/// The only place that reads the time.
pub mod clock;

/// The owner of a wallet.
pub mod npub;

/// Where a test may end the process.
pub mod failpoint;
