//! A signer with keys of its own plays mints of every honesty.

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
fn a_swap_that_is_not_signed_as_asked_is_nonsense() {
    let signer = Signer::new(true, 1);
    let wanted = Outputs {
        keyset: signer.range(0, 0).keyset,
        start: 0,
        amounts: vec![2, 4],
    };
    let outputs = outputs::outputs(&SEED, &wanted).unwrap();
    let good = signer.sign_all(&outputs, &[2, 4]);
    let other = Signer::new(true, 50);
    let mut without_dleq = good.clone();
    without_dleq[1]["dleq"] = Value::Null;
    let mut wrong_keyset = good.clone();
    wrong_keyset[0]["id"] = json!("009a1f293253e41e");
    let mut unparsable = good.clone();
    unparsable[0] = json!("what");
    let reversed: Vec<Value> = good.iter().rev().cloned().collect();
    let bad = [
        vec![],
        vec![good[0].clone()],
        [good.clone(), good.clone()].concat(),
        signer.sign_all(&outputs, &[4, 2]),
        signer.sign_all(&outputs, &[2, 2]),
        other.sign_all(&outputs, &[2, 4]),
        without_dleq,
        wrong_keyset,
        unparsable,
        reversed,
    ];
    for signatures in bad {
        let trouble = all_signed(&outputs, &signatures, &signer.keyring).unwrap_err();
        assert_eq!(trouble.explain().0, crate::saga::code::Code::MintNonsense);
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

#[test]
fn bad_change_is_counted_and_hides_nothing() {
    let signer = Signer::new(true, 1);
    let other = Signer::new(true, 50);
    let blanks = signer.blanks(4);
    let good = signer.sign(&blanks[0].message, 16);
    let mut inflated = signer.sign(&blanks[1].message, 16);
    inflated["amount"] = json!(512);
    let mut odd = signer.sign(&blanks[1].message, 16);
    odd["amount"] = json!(3);
    let mut without_dleq = signer.sign(&blanks[1].message, 16);
    without_dleq.as_object_mut().unwrap().remove("dleq");
    let mut broken_dleq = signer.sign(&blanks[1].message, 16);
    broken_dleq["dleq"]["e"] = json!("00");
    let foreign = other.sign(&blanks[1].message, 16);
    let bads = [
        inflated,
        odd,
        without_dleq,
        broken_dleq,
        foreign,
        good.clone(),
        json!({}),
        json!(null),
    ];
    for bad in bads {
        let both = change(&blanks, &[good.clone(), bad.clone()], &signer.keyring).unwrap();
        assert_eq!((amounts(&both), both.bad), (vec![(5, 16)], 1), "{bad}");
        let alone = change(&blanks, &[bad.clone(), good.clone()], &signer.keyring).unwrap();
        assert_eq!(alone.coins.len(), 1, "{bad}");
    }
}

#[test]
fn more_signatures_than_blanks_are_bad() {
    let signer = Signer::new(true, 1);
    let all = signer.blanks(200);
    let mine = signer.blanks(2);
    let signatures = signer.sign_all(&all, &[1; 200]);
    let kept = change(&mine, &signatures, &signer.keyring).unwrap();
    assert_eq!((kept.coins.len(), kept.bad), (2, 198));
}

#[test]
fn signatures_of_a_retired_keyset_count_for_its_own_blanks_only() {
    let (old, new) = (Signer::new(true, 1), Signer::new(true, 50));
    let blanks = old.blanks(1);
    let by_new = [new.sign(&blanks[0].message, 1)];
    let kept = change(&blanks, &by_new, &old.keyring).unwrap();
    assert_eq!((kept.coins.len(), kept.bad), (0, 1));
    let kept = change(&blanks, &by_new, &new.keyring).unwrap();
    assert_eq!((kept.coins.len(), kept.bad), (0, 1));
    let by_old = [old.sign(&blanks[0].message, 1)];
    let kept = change(&blanks, &by_old, &old.keyring).unwrap();
    assert_eq!((kept.coins.len(), kept.bad), (1, 0));
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

#[test]
fn strange_restores_are_counted_or_refused() {
    let signer = Signer::new(true, 1);
    let outputs = signer.blanks(2);
    let theirs = outputs::blanks(&SEED, &signer.range(90, 1)).unwrap();
    let sign = |output: &Output| signer.sign(&output.message, 4);
    let answer = restore_answer(&[&theirs[0]], vec![sign(&theirs[0])]);
    let found = restored(&outputs, &answer, &signer.keyring).unwrap();
    assert_eq!((found.coins.len(), found.bad), (0, 1));

    let twice = restore_answer(&[&outputs[0], &outputs[0]], vec![sign(&outputs[0]); 2]);
    let found = restored(&outputs, &twice, &signer.keyring).unwrap();
    assert_eq!((found.coins.len(), found.bad), (1, 1));

    let short = restore_answer(&[&outputs[0]], vec![]);
    assert!(restored(&outputs, &short, &signer.keyring).is_err());
    let none = restore_answer(&[], vec![]);
    let found = restored(&outputs, &none, &signer.keyring).unwrap();
    assert_eq!(found, Change::default());
}
