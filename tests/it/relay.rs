//! The relay: the plan by a table and by chance, the loop on every store and bus, and what happens
//! when the bus loses what it has confirmed (T11).

pub(crate) mod check;
mod history;
mod loops;
#[cfg(feature = "embedded-mint")]
mod mongod;
mod plan;
pub(crate) mod rig;
mod t11;
