//! The verification of every signature that a mint gives, and what it is worth.
//!
//! A signature is good if it is of the output's own keyset, for an amount that this keyset has a
//! key for, with a DLEQ proof (NUT-12) that holds for this very output. The active keyset does not
//! matter: change of a melt that was under way during a rotation is signed by the retired one.

#[cfg(test)]
mod tests;

use ::cdk::dhke::{hash_to_curve, unblind_message};
use ::cdk::nuts::{BlindSignature, PublicKey};
use serde::Deserialize;
use serde_json::Value;

use super::answers::Restored;
use super::errors;
use super::keys::Keyring;
use super::outputs::Output;
use crate::saga::ids::{Coin, KeysetId, Signature, SignedCoin, Y};
use crate::saga::step::{Change, Trouble};

/// So many signatures that do not fit the output they came for are tried on all others: more than
/// a melt ever has blanks, and few enough that a hostile mint cannot keep us busy.
const MISPLACED_MAX: usize = 64;

/// Every output signed, in order, with the amount that was asked for; anything less is nonsense,
/// and the coins may nevertheless exist.
pub(super) fn all_signed(
    outputs: &[Output],
    signatures: &[Value],
    keyring: &Keyring,
) -> Result<Vec<SignedCoin>, Trouble> {
    if outputs.len() != signatures.len() {
        let (asked, came) = (outputs.len(), signatures.len());
        return Err(errors::nonsense(format!(
            "{asked} signature(s) were asked for and {came} came"
        )));
    }
    let pairs = outputs.iter().zip(signatures).enumerate();
    let coins = pairs.map(|(n, (output, signature))| {
        parse(signature)
            .filter(|signature| signature.amount == output.message.amount)
            .and_then(|signature| unblind(output, &signature, keyring))
            .ok_or_else(|| errors::nonsense(format!("signature number {n} does not verify")))
    });
    coins.collect()
}

/// Change (NUT-08): the mint signs the first blanks, in order. `None` = no signature of any value
/// came, which does not mean that nothing is due.
pub(super) fn change(blanks: &[Output], signatures: &[Value], keyring: &Keyring) -> Option<Change> {
    let claims = signatures.iter().enumerate();
    let claims = claims.map(|(n, signature)| (Some(n), signature));
    let change = collect(blanks, claims, keyring);
    (change != Change::default()).then_some(change)
}

/// The outputs that the mint names as signed (NUT-09), found by B_ and not by their order.
pub(super) fn restored(
    outputs: &[Output],
    answer: &Restored,
    keyring: &Keyring,
) -> Result<Change, Trouble> {
    if answer.outputs.len() != answer.signatures.len() {
        return Err(errors::nonsense(
            "not as many outputs as signatures were restored",
        ));
    }
    let claims = answer.outputs.iter().zip(&answer.signatures);
    let claims = claims.map(|(named, signature)| {
        let blinded = named.blinded.as_str().map(PublicKey::from_hex);
        let blinded = blinded.and_then(Result::ok);
        let at = |point| {
            outputs
                .iter()
                .position(|o| o.message.blinded_secret == point)
        };
        (blinded.and_then(at), signature)
    });
    Ok(collect(outputs, claims, keyring))
}

/// Gives each signature to the output it claims, or else to whichever output it verifies for.
/// Signatures of no value are ignored; the rest that fits nothing is bad. Coins by counter.
fn collect<'a>(
    outputs: &[Output],
    claims: impl Iterator<Item = (Option<usize>, &'a Value)>,
    keyring: &Keyring,
) -> Change {
    let mut coins: Vec<Option<SignedCoin>> = vec![None; outputs.len()];
    let mut misplaced = Vec::new();
    let mut bad = 0u32;
    for (claimed, signature) in claims {
        let Some(signature) = parse(signature) else {
            bad = bad.saturating_add(1);
            continue;
        };
        if signature.amount.to_u64() == 0 {
            continue;
        }
        if !place(outputs, &mut coins, claimed, &signature, keyring) {
            misplaced.push(signature);
        }
    }
    for (n, signature) in misplaced.iter().enumerate() {
        let tries = if n < MISPLACED_MAX { outputs.len() } else { 0 };
        if !(0..tries).any(|at| place(outputs, &mut coins, Some(at), signature, keyring)) {
            bad = bad.saturating_add(1);
        }
    }
    Change {
        coins: coins.into_iter().flatten().collect(),
        bad,
    }
}

/// Puts the coin at its place if the place is free and the signature good.
fn place(
    outputs: &[Output],
    coins: &mut [Option<SignedCoin>],
    at: Option<usize>,
    signature: &BlindSignature,
    keyring: &Keyring,
) -> bool {
    let Some(at) = at else { return false };
    match (outputs.get(at), coins.get_mut(at)) {
        (Some(output), Some(slot @ None)) => {
            *slot = unblind(output, signature, keyring);
            slot.is_some()
        }
        _ => false,
    }
}

fn parse(signature: &Value) -> Option<BlindSignature> {
    BlindSignature::deserialize(signature).ok()
}

/// Verifies one signature and unblinds it. The blinding factor is not kept: with it, the DLEQ
/// proof would tie the coin to the request it was signed in.
fn unblind(output: &Output, signature: &BlindSignature, keyring: &Keyring) -> Option<SignedCoin> {
    let ours = output.message.keyset_id == keyring.id && signature.keyset_id == keyring.id;
    if !ours || signature.amount.to_u64() == 0 {
        return None;
    }
    let key = keyring.keys.amount_key(signature.amount)?;
    let dleq = signature.dleq.as_ref()?;
    signature
        .verify_dleq(key, output.message.blinded_secret)
        .ok()?;
    let c = unblind_message(&signature.c, &output.blinding, &key).ok()?;
    let y = hash_to_curve(output.secret.as_bytes()).ok()?;
    Some(SignedCoin {
        coin: Coin {
            y: Y::new(y.to_hex()),
            keyset: KeysetId::new(keyring.id.to_string()),
            counter: output.counter,
            amount: signature.amount.to_u64(),
        },
        signature: Signature {
            c: c.to_hex(),
            e: dleq.e.to_secret_hex(),
            s: dleq.s.to_secret_hex(),
        },
    })
}
