//! What goes over the wire: plain structs, golden-tested field by field. Deviations from the
//! seeds' bodies are listed in `docs/api.md`.

pub mod fund;
pub mod log;
pub mod melt;
pub mod operator;
pub mod problem;
pub mod wallet;
