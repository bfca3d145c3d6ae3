//! The mint adapter against cdk's own mint, honest and not, over real HTTP.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "the functions that tests share are tests too, which clippy cannot see"
)]

mod coins;
mod faults;
pub(crate) mod front;
mod hostile;
mod melting;
mod scene;
mod tokens;
mod wire;
