//! Mints: the client side that pays with ecash, and, behind a feature, a whole mint for tests.
//!
//! | module | holds |
//! |---|---|
//! | [`keychain`] | the master seed, and everything that is derived from it |
//! | [`cdk`] | [`cdk::CdkMint`], the adapter of [`crate::ports::Mint`] |
//!
//! Nothing outside of this folder ever sees a secret, a blinding factor or a token.

pub mod cdk;
pub mod keychain;
