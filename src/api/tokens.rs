//! The secrets of services: 256 random bits, of which the store knows only the SHA-256.

use crate::ports::{Access, ApiToken};
use crate::saga::chain::Hash;
use crate::saga::code::Code;

use super::answer::{Answer, Failure};

/// What every secret begins with, so that scanners of source code and logs find a lost one.
const PREFIX: &str = "meltd_";

/// A new secret; shown once, to who made it, and stored nowhere.
///
/// # Errors
/// The system has no randomness.
pub fn new_secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{PREFIX}{}", hex::encode(bytes)))
}

/// What the store keeps of a secret. A plain hash is enough, because nobody can guess 256 bits.
pub fn hash_of(secret: &str) -> String {
    Hash::of(secret.as_bytes()).to_hex()
}

/// The live token of a secret.
pub(super) async fn bearer<S: Access>(store: &S, secret: &str) -> Answer<ApiToken> {
    let unknown = || Failure::of(Code::AuthInvalid);
    if !secret.starts_with(PREFIX) {
        return Err(unknown());
    }
    let found = store.token(&hash_of(secret)).await?;
    found
        .filter(|token| token.revoked_at.is_none())
        .ok_or_else(unknown)
}
