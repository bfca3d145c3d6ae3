//! The operator's desk with the real binary: looking, parking, resolving on fresh evidence, pausing
//! a mint; on a real mint, behind a front that can make its answers contradict each other.

mod contradictions;
mod looking;
mod mints;
mod observing;
mod resolving;
mod scene;
