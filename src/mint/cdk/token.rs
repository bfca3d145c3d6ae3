//! Foreign tokens (NUT-00): read, checked, and turned into proofs that can be swapped.

use std::collections::HashSet;
use std::str::FromStr;

use ::cdk::mint_url::MintUrl;
use ::cdk::nuts::{CurrencyUnit, KeySetInfo, Proof, Token};
use serde_json::Value;
use zeroize::Zeroizing;

use super::keys::Keyring;
use crate::saga::code::Code;
use crate::saga::ids::{Amount, Y, sum};

/// A token longer than this is not read: it would have some thousand proofs, more than a mint
/// takes in one swap.
const TOKEN_LEN_MAX: usize = 512 * 1024;

/// Why a token cannot be taken, for the caller.
pub(super) type Refused = (Code, String);

/// A token as text, read.
pub(super) struct Read {
    /// The one mint that it is from.
    pub(super) mint: MintUrl,
    token: Token,
}

/// What the proofs of a token are worth. Their secrets are in `proofs` only.
pub(super) struct Checked {
    pub(super) ys: Vec<Y>,
    pub(super) amount: Amount,
    pub(super) input_fee: Amount,
    /// The proofs as JSON, without DLEQ.
    pub(super) proofs: Zeroizing<String>,
}

fn invalid(why: &str) -> Refused {
    (Code::TokenInvalid, why.to_owned())
}

/// Reads a cashuA or cashuB token, with or without `cashu:` before it. It has to be of one mint,
/// and none of its secrets may be a condition (NUT-10), of a kind that cdk knows or not: a mint
/// that knows the kind would refuse it after we had taken it.
pub(super) fn read(text: &str) -> Result<Read, Refused> {
    let text = text.trim();
    let text = text.strip_prefix("cashu:").unwrap_or(text);
    if text.len() > TOKEN_LEN_MAX {
        return Err(invalid("the token is too long"));
    }
    // cdk's words may quote the token, so they are not repeated.
    let token = Token::from_str(text).map_err(|_| invalid("the token cannot be read"))?;
    let mint = match &token {
        Token::TokenV3(token) => {
            let mut mints = token.mint_urls().into_iter();
            let first = mints.next();
            let first = first.ok_or_else(|| invalid("the token is empty"))?;
            if mints.any(|mint| mint != first) {
                return Err(invalid("the token has proofs of several mints"));
            }
            first
        }
        Token::TokenV4(token) => token.mint_url.clone(),
    };
    if token
        .token_secrets()
        .iter()
        .any(|s| is_condition(s.as_bytes()))
    {
        return Err((
            Code::TokenLocked,
            "the token is locked to a key or a condition".to_owned(),
        ));
    }
    Ok(Read { mint, token })
}

/// A NUT-10 secret is a JSON array; a secret without a condition is any other text.
fn is_condition(secret: &[u8]) -> bool {
    matches!(
        serde_json::from_slice(secret),
        Ok(Value::Array(_) | Value::Object(_))
    )
}

impl Read {
    /// The proofs, with short version 2 keyset ids made long (NUT-02), and their unit, which has
    /// to be the same for all.
    pub(super) fn proofs(
        &self,
        keysets: &[KeySetInfo],
    ) -> Result<(Vec<Proof>, CurrencyUnit), Refused> {
        let proofs = self.token.proofs(keysets);
        let proofs = proofs.map_err(|_| invalid("the mint does not know the token's keysets"))?;
        let mut unit = self.token.unit();
        for proof in &proofs {
            let keyset = keysets.iter().find(|info| info.id == proof.keyset_id);
            let keyset =
                keyset.ok_or_else(|| invalid("the mint does not know the token's keysets"))?;
            if unit.get_or_insert_with(|| keyset.unit.clone()) != &keyset.unit {
                return Err((
                    Code::TokenForeign,
                    "the token's keysets are of another unit than the token says".to_owned(),
                ));
            }
        }
        match unit {
            Some(unit) if !proofs.is_empty() => Ok((proofs, unit)),
            _ => Err(invalid("the token is empty")),
        }
    }
}

/// Checks each proof: an amount that its keyset signs, a DLEQ proof (NUT-12) that holds if there is
/// one, no secret twice, nothing blinded for somebody's key (NUT-28).
pub(super) fn check(
    proofs: Vec<Proof>,
    keysets: &[KeySetInfo],
    keyring_of: impl Fn(&Proof) -> Option<std::sync::Arc<Keyring>>,
) -> Result<Checked, Refused> {
    let mut ys = Vec::new();
    let mut seen = HashSet::new();
    let mut fee_ppk = 0u64;
    for proof in &proofs {
        if proof.p2pk_e.is_some() {
            return Err((Code::TokenLocked, "the token is locked to a key".to_owned()));
        }
        let keyring = keyring_of(proof).ok_or_else(|| invalid("a keyset has no keys"))?;
        let key = keyring.keys.amount_key(proof.amount);
        let key = key.filter(|_| proof.amount.to_u64() > 0);
        let key =
            key.ok_or_else(|| invalid("a proof has an amount that its keyset never signs"))?;
        if proof.dleq.is_some() && proof.verify_dleq(key).is_err() {
            return Err(invalid("a proof's signature is not the mint's"));
        }
        let y = proof.y().map_err(|_| invalid("a secret gives no point"))?;
        if !seen.insert(y) {
            return Err(invalid("the token has a proof twice"));
        }
        ys.push(Y::new(y.to_hex()));
        let keyset = keysets.iter().find(|info| info.id == proof.keyset_id);
        fee_ppk = fee_ppk.saturating_add(keyset.map_or(0, |info| info.input_fee_ppk));
    }
    let amounts = proofs.iter().map(|proof| proof.amount.to_u64());
    let amount = sum(amounts).ok_or_else(|| invalid("the token's amounts do not add up"))?;
    Ok(Checked {
        ys,
        amount,
        input_fee: fee_ppk.div_ceil(1000),
        proofs: to_json(proofs)?,
    })
}

fn to_json(mut proofs: Vec<Proof>) -> Result<Zeroizing<String>, Refused> {
    for proof in &mut proofs {
        proof.dleq = None;
        proof.witness = None;
    }
    let text = serde_json::to_string(&proofs);
    text.map(Zeroizing::new)
        .map_err(|_| invalid("the token cannot be kept"))
}
