//! PURE: the melt, mint and receive sagas. No async, no I/O, no clock, no randomness.
pub mod chain;
pub mod code;
pub mod command;
pub mod decide;
pub mod event;
pub mod ids;
pub mod plan;
pub mod proofs;
pub mod quote;
pub mod state;
pub mod step;
pub mod upcast;
