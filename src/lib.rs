//! meltd
pub mod ports;
pub mod saga;
pub mod store;
