//! Signing statements for auditors, and checking them.

/// Signs with the one key of this installation.
pub trait Notary: std::fmt::Debug + Send + Sync + 'static {
    /// Its public key: 64 hex digits (x only, BIP-340).
    fn key(&self) -> String;

    /// A signature over this exact text: 128 hex digits. `None` = it cannot sign.
    fn sign(&self, statement: &str) -> Option<String>;
}

/// Checks (key, statement, signature).
pub type CheckSignature = fn(&str, &str, &str) -> bool;
