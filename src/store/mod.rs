//! The adapters behind [`crate::ports::Store`]. Each knows its own driver crate and nothing of
//! the others; what they must do is one contract suite, `tests/it/store_contract.rs`.

pub mod mongo;
pub mod sqlite;
