//! meltd
pub mod audit;
pub mod cli;
pub mod clock;
pub mod config;
pub mod driver;
pub mod failpoint;
pub mod intake;
pub mod mint;
pub mod npub;
pub mod perform;
pub mod ports;
pub mod recovery;
pub mod saga;
pub mod store;
