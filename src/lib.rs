//! meltd
pub mod ports;
pub mod saga;
