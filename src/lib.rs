//! meltd pays Lightning invoices out of Cashu ecash, and never loses, strands or doubles a sat.
//!
//! The tour, in the order in which to read:
//!
//! 1. [`saga`] is the heart, and pure: events, the folded state, what to do next, and what an answer
//!    makes of it. Its diagram is in the module's own page.
//! 2. [`ports`] names what the heart needs from outside: a store, a mint, a clock.
//! 3. [`driver`] is the one loop: load → fold → next step → do it → decide → append.
//!    [`perform`] does a step and reports what was seen.
//! 4. [`intake`] adopts commands, [`recovery`] finishes what is unfinished, [`audit`] proves that
//!    the store agrees with its own history.
//! 5. [`store`] and [`mint`] are the adapters: MongoDB, SQLite, and a cdk mint over HTTP.
//! 6. [`config`] and [`cli`] are the face; `main.rs` wires it all together.

/// Chains, folds, rows and conservation, verified from the log.
pub mod audit;
/// The commands, their output and their exit codes.
pub mod cli;
/// The only place that reads the time.
pub mod clock;
/// Options: flags and `MELTD_*` variables.
pub mod config;
/// The one loop, for a first run and for a recovery alike.
pub mod driver;
/// Named points at which tests kill the process.
pub mod failpoint;
/// From a request to an adopted saga.
pub mod intake;
/// The mint, over HTTP; every secret lives and dies in here.
pub mod mint;
/// The owner of a wallet, checked and in one spelling.
pub mod npub;
/// Step → Seen: the I/O of one step.
pub mod perform;
/// What the loops need from outside.
pub mod ports;
/// Finds what is due and drives it.
pub mod recovery;
/// The pure core.
pub mod saga;
/// MongoDB and SQLite, behind one contract.
pub mod store;
