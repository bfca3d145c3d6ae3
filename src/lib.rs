//! meltd
pub mod driver;
pub mod failpoint;
pub mod perform;
pub mod ports;
pub mod saga;
