//! What is derived from a wallet's seed (NUT-13): outputs to be signed, and proofs to be spent.

use std::str::FromStr;

use ::cdk::dhke::hash_to_curve;
use ::cdk::nuts::{BlindedMessage, Id, PreMint, PreMintSecrets, Proof, PublicKey, SecretKey};
use ::cdk::secret::Secret;

use super::errors;
use crate::saga::ids::{Amount, Coin, KeysetId, Outputs, Range, Signature};
use crate::saga::step::Trouble;

/// The seed of one wallet.
pub(super) type WalletSeed = [u8; 64];

/// An output and what unblinds the mint's signature on it. It has no `Debug`, on purpose.
pub(super) struct Output {
    /// The counter it is derived from.
    pub(super) counter: u32,
    /// What is sent: B_, keyset and amount; 0 = the mint may choose.
    pub(super) message: BlindedMessage,
    /// The secret of the coin to be.
    pub(super) secret: Secret,
    /// The blinding factor.
    pub(super) blinding: SecretKey,
}

/// A keyset id, as cdk reads it.
pub(super) fn keyset_id(id: &KeysetId) -> Result<Id, Trouble> {
    Id::from_str(id.as_str()).map_err(|_| errors::damaged("a stored keyset id is not valid"))
}

/// The outputs of a range, with amount 0: blanks for change (NUT-08), or what is to be restored.
pub(super) fn blanks(seed: &WalletSeed, range: &Range) -> Result<Vec<Output>, Trouble> {
    let keyset = keyset_id(&range.keyset)?;
    let end = range.start.checked_add(range.count);
    let end = end.ok_or_else(|| errors::damaged("a range of counters has no end"))?;
    let derived = PreMintSecrets::restore_batch(keyset, seed, range.start, end)
        .map_err(|_| errors::damaged("outputs cannot be derived from their counters"))?;
    let counted = (range.start..end).zip(derived.secrets);
    Ok(counted.map(|(counter, pre)| output(counter, pre)).collect())
}

/// Outputs with the amounts that are asked for: `amounts[i]` at counter `start + i`.
pub(super) fn outputs(seed: &WalletSeed, outputs: &Outputs) -> Result<Vec<Output>, Trouble> {
    let mut derived = blanks(seed, &outputs.range())?;
    for (output, amount) in derived.iter_mut().zip(&outputs.amounts) {
        output.message.amount = (*amount).into();
    }
    Ok(derived)
}

/// What is sent of some outputs.
pub(super) fn messages(outputs: &[Output]) -> Vec<BlindedMessage> {
    outputs.iter().map(|o| o.message.clone()).collect()
}

fn output(counter: u32, pre: PreMint) -> Output {
    Output {
        counter,
        message: pre.blinded_message,
        secret: pre.secret,
        blinding: pre.r,
    }
}

/// The proofs of some coins, without DLEQ: a mint does not need it. Each secret has to give the Y
/// that the row names; if one does not, the row is damaged or the seed is another one, and nothing
/// may be sent.
pub(super) fn proofs(
    seed: &WalletSeed,
    coins: &[(Coin, Signature)],
) -> Result<Vec<Proof>, Trouble> {
    coins.iter().map(|(c, s)| proof(seed, c, s)).collect()
}

fn proof(seed: &WalletSeed, coin: &Coin, signature: &Signature) -> Result<Proof, Trouble> {
    let keyset = keyset_id(&coin.keyset)?;
    let secret = Secret::from_seed(seed, keyset, coin.counter)
        .map_err(|_| errors::damaged("a coin's secret cannot be derived from its counter"))?;
    let y = hash_to_curve(secret.as_bytes())
        .map_err(|_| errors::damaged("a coin's secret gives no point"))?;
    if y.to_hex() != coin.y.as_str() {
        return Err(errors::damaged(
            "a coin's Y is not of this seed: the row is damaged, or the seed another one",
        ));
    }
    let c = PublicKey::from_hex(&signature.c)
        .map_err(|_| errors::damaged("a coin's signature is not a point"))?;
    let amount: Amount = coin.amount;
    Ok(Proof::new(amount.into(), keyset, secret, c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saga::code::Code;

    /// NUT-13's test vectors: the seed of "half depart obvious quality work element tank gorilla
    /// view sugar picture humble". If this fails, stored coins would become unspendable.
    const SEED: &str = "dd44ee516b0647e80b488e8dcc56d736a148f15276bef588b37057476d4b2b25\
                        780d3688a32b37353d6995997842c0fd8b412475c891c16310471fbc86dcbda8";

    fn seed() -> WalletSeed {
        hex::decode(SEED).unwrap().try_into().unwrap()
    }

    fn range(keyset: &str, start: u32, count: u32) -> Range {
        Range {
            keyset: KeysetId::new(keyset),
            start,
            count,
        }
    }

    #[test]
    fn secrets_and_blinding_factors_never_change() {
        let table = [
            (
                "009a1f293253e41e",
                "8f2b39e8e594a4056eb1e6dbb4b0c38ef13b1b2c751f64f810ec04ee35b77270",
                "967d5232515e10b81ff226ecf5a9e2e2aff92d66ebc3edf0987eb56357fd6248",
            ),
            (
                "012e23479a0029432eaad0d2040c09be53bab592d5cbf1d55e0dd26c9495951b30",
                "3a6423fe56abd5e74ec9d22a91ee110cd2ce45a7039901439d62e5534d3438c1",
                "c4b8412ee644067007423480c9e556385b71ffdff0f340bc16a95c0534fe0e01",
            ),
        ];
        for (keyset, secret, blinding) in table {
            let derived = blanks(&seed(), &range(keyset, 0, 2)).unwrap();
            assert_eq!(derived.len(), 2);
            let second = &derived[1];
            assert_eq!(second.counter, 1);
            assert_eq!(second.secret.to_string(), secret);
            assert_eq!(second.blinding.to_secret_hex(), blinding);
            let alone = blanks(&seed(), &range(keyset, 1, 1)).unwrap();
            assert_eq!(alone[0].message, second.message);
        }
    }

    #[test]
    fn what_cannot_be_derived_is_a_damaged_row() {
        let wrong = [
            range("nonsense", 0, 1),
            range("009a1f293253e41e", u32::MAX, 1),
            range("009a1f293253e41e", 1 << 31, 1),
        ];
        for range in wrong {
            let trouble = blanks(&seed(), &range).err().unwrap();
            assert_eq!(trouble.explain().0, Code::SeedFileInvalid);
        }
    }
}
