//! Everything that stands on the mint's side of the wire.

#[cfg(feature = "embedded-mint")]
pub mod embedded;
