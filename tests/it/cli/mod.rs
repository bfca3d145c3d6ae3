//! The binary from outside: exit codes, answers and errors, on SQLite and a real mint.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the functions that tests share are tests too, which clippy cannot see"
)]

mod demo;
mod fakes;
pub(crate) mod happy;
mod refusals;
mod relay;
pub(crate) mod scene;
mod unfinished;
