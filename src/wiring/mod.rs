//! Options to adapters: what `main` builds before it hands over to the library. Only here are a
//! store, a bus and a mint chosen.
//!
//! | file | holds |
//! |---|---|
//! | `parts.rs` | the parts that several commands need: seed, mints, driver, bus |
//! | `serve.rs` | `meltd serve` |
//! | `bus.rs` | what is asked of a bus: tail, audit, dead letters, relay, doctor |
//! | `demo.rs` | `meltd demo` |

pub(crate) mod bus;
pub(crate) mod demo;
pub(crate) mod parts;
pub(crate) mod serve;
