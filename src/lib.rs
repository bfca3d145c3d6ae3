//! meltd
pub mod mint;
pub mod ports;
pub mod saga;
