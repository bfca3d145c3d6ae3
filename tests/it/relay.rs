//! The relay: the plan by a table and by chance, the loop on every store and bus, and what happens
//! when the bus loses what it has confirmed (T11).

mod check;
mod history;
mod loops;
mod plan;
mod rig;
mod t11;
