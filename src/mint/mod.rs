//! Everything that stands between meltd and a mint, and, behind a feature, a whole mint for tests.
//!
//! | module | holds |
//! |---|---|
//! | [`keychain`] | the master seed, and everything that is derived from it |
//! | [`cdk`] | [`cdk::CdkMint`], the adapter of [`crate::ports::Mint`] |
//! | `embedded` | a real cdk mint in this process |
//!
//! Nothing outside of this folder ever sees a secret, a blinding factor or a token.

pub mod cdk;
#[cfg(feature = "embedded-mint")]
pub mod embedded;
pub mod keychain;
