//! The stores: one contract ([`crate::ports::Store`]), kept by each in its own way.
pub mod mongo;
