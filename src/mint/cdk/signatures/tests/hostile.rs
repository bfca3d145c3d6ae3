//! Signatures that are not worth what they say.

use super::*;

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
