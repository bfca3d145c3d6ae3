//! The key that signs checkpoints of saga heads, and the check of such a signature: BIP-340 Schnorr
//! over SHA-256 of a label and the statement's exact text.

use std::fmt;
use std::str::FromStr;

use ::cdk::nuts::{PublicKey, SecretKey};
use ::cdk::secp256k1::schnorr::Signature;
use zeroize::Zeroizing;

use super::Keychain;
use crate::ports::Notary;

/// The label of the signing key, and of what is signed with it.
const HEADS_LABEL: &str = "meltd/heads/v1";

/// Signs statements; it prints nothing secret.
pub struct HeadsKey {
    secret: SecretKey,
}

impl fmt::Debug for HeadsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeadsKey({})", self.key())
    }
}

impl Keychain {
    /// The key that signs this installation's checkpoints. `None` has a probability of 2^-32000 and
    /// means that nothing can be signed.
    pub fn heads_key(&self) -> Option<HeadsKey> {
        (0..=u8::MAX).find_map(|attempt| {
            let bytes: Zeroizing<[u8; 32]> = self.derive(&[HEADS_LABEL.as_bytes(), &[attempt]]);
            let secret = SecretKey::from_slice(bytes.as_slice()).ok()?;
            Some(HeadsKey { secret })
        })
    }
}

/// What is signed: the label keeps a signature from meaning something elsewhere.
fn labelled(statement: &str) -> String {
    format!("{HEADS_LABEL}\n{statement}")
}

impl Notary for HeadsKey {
    fn key(&self) -> String {
        self.secret.public_key().x_only_public_key().to_string()
    }

    fn sign(&self, statement: &str) -> Option<String> {
        let signature = self.secret.sign(labelled(statement).as_bytes()).ok()?;
        Some(signature.to_string())
    }
}

/// True if the signature is this key's, over this very text.
pub fn verify(key: &str, statement: &str, signature: &str) -> bool {
    // BIP-340 takes the point with the even y for a key's x.
    let key = PublicKey::from_hex(format!("02{key}"));
    let signature = Signature::from_str(signature);
    let (Ok(key), Ok(signature)) = (key, signature) else {
        return false;
    };
    key.verify(labelled(statement).as_bytes(), &signature)
        .is_ok()
}
