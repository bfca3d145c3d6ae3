//! A signer with keys of its own plays mints of every honesty.

mod hostile;

use std::collections::BTreeMap;

use ::cdk::dhke::sign_message;
use ::cdk::nuts::{BlindedMessage, CurrencyUnit, Id, Keys, Proof, SecretKey};
use serde_json::json;

use super::super::outputs;
use super::*;
use crate::saga::ids::{Outputs, Range};

const SEED: [u8; 64] = [7; 64];

/// A mint's signing keys for 1, 2, 4 … 512.
struct Signer {
    secret: BTreeMap<u64, SecretKey>,
    keyring: Keyring,
}

impl Signer {
    fn new(version_2: bool, salt: u8) -> Self {
        let key = |n: u8| SecretKey::from_slice(&[n + salt; 32]).unwrap();
        let secret: BTreeMap<u64, SecretKey> = (0..10u8).map(|n| (1 << n, key(n))).collect();
        let public = secret.iter().map(|(a, k)| ((*a).into(), k.public_key()));
        let keys = Keys::new(public.collect());
        let unit = CurrencyUnit::Sat;
        let id = match version_2 {
            true => Id::v2_from_data(&keys, &unit, 0, None),
            false => Id::v1_from_keys(&keys),
        };
        let keyring = Keyring { id, unit, keys };
        Self { secret, keyring }
    }

    fn range(&self, start: u32, count: u32) -> Range {
        let keyset = KeysetId::new(self.keyring.id.to_string());
        Range {
            keyset,
            start,
            count,
        }
    }

    fn blanks(&self, count: u32) -> Vec<Output> {
        outputs::blanks(&SEED, &self.range(5, count)).unwrap()
    }

    fn sign(&self, message: &BlindedMessage, amount: u64) -> Value {
        let key = self.secret.get(&amount).unwrap();
        let c = sign_message(key, &message.blinded_secret).unwrap();
        let b = &message.blinded_secret;
        let signature = BlindSignature::new(amount.into(), c, self.keyring.id, b, key).unwrap();
        serde_json::to_value(signature).unwrap()
    }

    fn sign_all(&self, blanks: &[Output], amounts: &[u64]) -> Vec<Value> {
        let pairs = blanks.iter().zip(amounts);
        pairs.map(|(b, a)| self.sign(&b.message, *a)).collect()
    }

    /// What the mint checks when the coin is spent: C = kY.
    fn accepts(&self, coin: &SignedCoin) -> bool {
        let pair = (coin.coin.clone(), coin.signature.clone());
        let proof: Proof = outputs::proofs(&SEED, &[pair]).unwrap().remove(0);
        let key = self.secret.get(&coin.coin.amount).unwrap();
        ::cdk::dhke::verify_message(key, proof.c, proof.secret.as_bytes()).is_ok()
    }
}

fn amounts(change: &Change) -> Vec<(u32, u64)> {
    let coins = change.coins.iter();
    coins.map(|c| (c.coin.counter, c.coin.amount)).collect()
}

#[test]
fn good_signatures_become_coins_that_the_mint_accepts() {
    for version_2 in [false, true] {
        let signer = Signer::new(version_2, 1);
        let wanted = Outputs {
            keyset: signer.range(0, 0).keyset,
            start: 3,
            amounts: vec![1, 8, 8],
        };
        let outputs = outputs::outputs(&SEED, &wanted).unwrap();
        let asked: Vec<u64> = outputs.iter().map(|o| o.message.amount.to_u64()).collect();
        assert_eq!(asked, wanted.amounts);
        let signatures = signer.sign_all(&outputs, &[1, 8, 8]);
        let coins = all_signed(&outputs, &signatures, &signer.keyring).unwrap();
        let counters: Vec<u32> = coins.iter().map(|c| c.coin.counter).collect();
        assert_eq!(counters, [3, 4, 5]);
        assert!(coins.iter().all(|coin| signer.accepts(coin)));
    }
}

#[test]
fn change_is_a_prefix_of_the_blanks() {
    let signer = Signer::new(false, 1);
    let blanks = signer.blanks(10);
    let signatures = signer.sign_all(&blanks, &[512, 256, 128, 2]);
    let change = change(&blanks, &signatures, &signer.keyring).unwrap();
    assert_eq!(amounts(&change), [(5, 512), (6, 256), (7, 128), (8, 2)]);
    assert_eq!(change.bad, 0);
    assert!(change.coins.iter().all(|coin| signer.accepts(coin)));
}

#[test]
fn no_change_is_not_the_same_as_empty_change() {
    let signer = Signer::new(true, 1);
    let blanks = signer.blanks(2);
    assert_eq!(change(&blanks, &[], &signer.keyring), None);
    let mut zero = signer.sign(&blanks[0].message, 1);
    zero["amount"] = json!(0);
    assert_eq!(change(&blanks, &[zero], &signer.keyring), None);
}

#[test]
fn reordered_change_is_found_by_its_dleq() {
    let signer = Signer::new(true, 1);
    let blanks = signer.blanks(4);
    let mut signatures = signer.sign_all(&blanks, &[1, 2, 4, 8]);
    let honest = change(&blanks, &signatures, &signer.keyring);
    signatures.reverse();
    assert_eq!(change(&blanks, &signatures, &signer.keyring), honest);
    signatures.rotate_left(1);
    assert_eq!(change(&blanks, &signatures, &signer.keyring), honest);
}

#[test]
fn zero_values_in_between_do_not_shift_the_rest() {
    let signer = Signer::new(true, 1);
    let blanks = signer.blanks(3);
    let mut signatures = signer.sign_all(&blanks, &[4, 1, 2]);
    signatures[1]["amount"] = json!(0);
    let kept = change(&blanks, &signatures, &signer.keyring).unwrap();
    assert_eq!((amounts(&kept), kept.bad), (vec![(5, 4), (7, 2)], 0));
    signatures.remove(1);
    let kept = change(&blanks, &signatures, &signer.keyring).unwrap();
    assert_eq!((amounts(&kept), kept.bad), (vec![(5, 4), (7, 2)], 0));
}

fn restore_answer(outputs: &[&Output], signatures: Vec<Value>) -> Restored {
    let named: Vec<Value> = outputs
        .iter()
        .map(|o| serde_json::to_value(&o.message).unwrap())
        .collect();
    serde_json::from_value(json!({ "outputs": named, "signatures": signatures })).unwrap()
}

#[test]
fn restored_outputs_are_found_by_their_blinded_message() {
    let signer = Signer::new(true, 1);
    let outputs = signer.blanks(5);
    let sign = |n: usize, amount| signer.sign(&outputs[n].message, amount);
    let answer = restore_answer(&[&outputs[3], &outputs[0]], vec![sign(3, 4), sign(0, 2)]);
    let found = restored(&outputs, &answer, &signer.keyring).unwrap();
    assert_eq!((amounts(&found), found.bad), (vec![(5, 2), (8, 4)], 0));
    assert!(found.coins.iter().all(|coin| signer.accepts(coin)));
}
