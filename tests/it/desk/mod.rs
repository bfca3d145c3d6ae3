//! The operator's desk with the real binary: looking, parking, resolving on fresh evidence, pausing
//! a mint; on a real mint, behind a front that can make its answers contradict each other.

mod callers;
mod contradictions;
#[cfg(feature = "failpoints")]
mod guards;
mod looking;
mod mints;
mod observing;
mod resolving;
mod scene;
