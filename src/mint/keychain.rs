//! The master seed and everything that is derived from it: wallet seeds (NUT-13), the key that
//! seals foreign proofs, the keys that lock mint quotes (NUT-20), and the one that signs
//! checkpoints for auditors.
//!
//! Every derivation is HKDF-SHA512 (RFC 5869, without salt) over the 64 bytes of the master seed,
//! with an `info` that is a list of fields, each preceded by its length as four big-endian bytes:
//! no two different lists of fields can give the same `info`. The first field is a label with a
//! version, so that a derivation can be replaced but never change silently; golden vectors in the
//! tests hold them.
//!
//! | what | fields of `info` | bytes |
//! |---|---|---|
//! | wallet seed | `meltd/wallet/v1`, npub, canonical mint URL, unit | 64 |
//! | sealing key | `meltd/seal/v1` | 32 |
//! | fingerprint | `meltd/fingerprint/v1` | 16 |
//! | quote key | `meltd/nut20/v1`, saga id, one byte: the try | 32 |
//! | heads key | `meltd/heads/v1`, one byte: the try | 32 |

mod heads_key;
mod seed_file;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;

use ::cdk::nuts::SecretKey;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha512;
use zeroize::Zeroizing;

use crate::saga::code::Code;
use crate::saga::ids::SagaId;

pub use heads_key::{HeadsKey, verify as check_heads_signature};

/// The label of a wallet's seed.
const WALLET_LABEL: &str = "meltd/wallet/v1";
/// The label of the key that seals foreign proofs.
const SEAL_LABEL: &str = "meltd/seal/v1";
/// The label of the keys that lock mint quotes.
const QUOTE_LABEL: &str = "meltd/nut20/v1";
/// The label of the seed's fingerprint.
const FINGERPRINT_LABEL: &str = "meltd/fingerprint/v1";
/// What sealed text begins with, so that another way of sealing can follow some day.
const SEALED_PREFIX: &str = "v1:";
/// Bytes of an XChaCha20 nonce, which is long enough to be random.
const NONCE_LEN: usize = 24;

/// Holds the master seed and derives from it. It prints nothing secret.
#[derive(Clone)]
pub struct Keychain {
    master: Zeroizing<[u8; 64]>,
}

impl fmt::Debug for Keychain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keychain(…)")
    }
}

/// Why the seed file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SeedError {
    /// [`Code::SeedFileMode`], [`Code::SeedFileInvalid`], or [`Code::ConfigInvalid`] when the
    /// file cannot be reached at all.
    pub code: Code,
    /// A sentence that names the file and says what to do.
    pub message: String,
}

/// Why something could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The operating system gave no random bytes, or the text is too long for the cipher.
    #[error("it could not be sealed")]
    Seal,
    /// The text was sealed with another seed or for another row, or was changed.
    #[error("it was sealed with another seed or for another row, or was changed")]
    Open,
}

impl Keychain {
    /// Reads the master seed from its file, which is created with a random one, and with mode
    /// 0600, when there is none. Two processes that create it at once end with one seed.
    pub fn load_or_create(path: &Path) -> Result<Self, SeedError> {
        seed_file::load_or_create(path).map(|master| Self { master })
    }

    /// Takes a seed as it is.
    pub fn from_seed(seed: [u8; 64]) -> Self {
        Self {
            master: Zeroizing::new(seed),
        }
    }

    /// The NUT-13 seed of one wallet. The mint URL has to be the canonical one. As the URL is part
    /// of it, two mints with equal keyset ids never see the same secrets.
    pub fn wallet_seed(&self, npub: &str, mint_url: &str, unit: &str) -> Zeroizing<[u8; 64]> {
        let fields = [WALLET_LABEL, npub, mint_url, unit];
        self.derive(&fields.map(str::as_bytes))
    }

    /// What tells this seed from others and says nothing about it: 32 hex digits. A store keeps the
    /// one that it was first used with.
    pub fn fingerprint(&self) -> String {
        let bytes: Zeroizing<[u8; 16]> = self.derive(&[FINGERPRINT_LABEL.as_bytes()]);
        hex::encode(bytes.as_slice())
    }

    /// The key that locks a saga's mint quote (NUT-20). `None` has a probability of 2^-32000 and
    /// means that the quote cannot be locked.
    pub fn quote_key(&self, saga: &SagaId) -> Option<SecretKey> {
        (0..=u8::MAX).find_map(|attempt| {
            let fields = [QUOTE_LABEL.as_bytes(), saga.as_str().as_bytes(), &[attempt]];
            let bytes: Zeroizing<[u8; 32]> = self.derive(&fields);
            SecretKey::from_slice(bytes.as_slice()).ok()
        })
    }

    /// Seals `plaintext` for the row `id` of `collection` (`sagas`): XChaCha20-Poly1305 with a
    /// random nonce, bound to both names. The result is `v1:` and hex digits.
    pub fn seal(
        &self,
        collection: &str,
        id: &SagaId,
        plaintext: &[u8],
    ) -> Result<String, SealError> {
        let mut nonce = [0u8; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| SealError::Seal)?;
        let bound = fields_of(&[collection.as_bytes(), id.as_str().as_bytes()]);
        let payload = Payload {
            msg: plaintext,
            aad: &bound,
        };
        let sealed = self
            .sealer()
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| SealError::Seal)?;
        let (nonce, sealed) = (hex::encode(nonce), hex::encode(sealed));
        Ok(format!("{SEALED_PREFIX}{nonce}{sealed}"))
    }

    /// Opens what [`Keychain::seal`] has sealed for the same row.
    pub fn open(
        &self,
        collection: &str,
        id: &SagaId,
        sealed: &str,
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let digits = sealed.strip_prefix(SEALED_PREFIX).ok_or(SealError::Open)?;
        let bytes = hex::decode(digits).map_err(|_| SealError::Open)?;
        let (nonce, sealed) = bytes
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(SealError::Open)?;
        let bound = fields_of(&[collection.as_bytes(), id.as_str().as_bytes()]);
        let payload = Payload {
            msg: sealed,
            aad: &bound,
        };
        let opened = self.sealer().decrypt(&XNonce::from(*nonce), payload);
        opened.map(Zeroizing::new).map_err(|_| SealError::Open)
    }

    fn sealer(&self) -> XChaCha20Poly1305 {
        let key: Zeroizing<[u8; 32]> = self.derive(&[SEAL_LABEL.as_bytes()]);
        XChaCha20Poly1305::new(&(*key).into())
    }

    fn derive<const N: usize>(&self, fields: &[&[u8]]) -> Zeroizing<[u8; N]> {
        let mut out = Zeroizing::new([0u8; N]);
        let hkdf = Hkdf::<Sha512>::new(None, self.master.as_slice());
        let expanded = hkdf.expand(&fields_of(fields), out.as_mut_slice());
        assert!(expanded.is_ok(), "HKDF-SHA512 gives up to 16320 bytes");
        out
    }
}

/// Fields, each preceded by its length, so that their borders cannot be moved.
fn fields_of(fields: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields {
        // A field longer than 4 GiB cannot be held by any of the callers.
        let len = u32::try_from(field.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(field);
    }
    out
}
