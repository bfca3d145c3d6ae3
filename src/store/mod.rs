//! The adapters behind [`crate::ports::Store`]. Each knows its own driver crate and nothing of
//! the others; what they must do is one contract suite, `tests/it/store_contract.rs`.

pub mod sqlite;
//! The stores: one contract ([`crate::ports::Store`]), kept by each in its own way.
pub mod mongo;
