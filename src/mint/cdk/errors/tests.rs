//! The table of mint errors.

use super::*;

fn code_of(trouble: &Trouble) -> Code {
    trouble.explain().0
}

#[test]
fn the_codes_of_nut_00_are_refusals() {
    let codes = [10001].into_iter().chain(11001..=11017);
    let codes = codes.chain(12001..=12003).chain(20001..=20009);
    for code in codes.chain([30001, 30002, 31001, 31002, 31003, 31004]) {
        let body = format!(r#"{{"code":{code},"detail":"no"}}"#);
        let refusal = Trouble::Refused(Refusal {
            mint_code: Some(code),
            detail: "no".into(),
        });
        assert_eq!(from_answer(400, body.as_bytes()), refusal);
    }
}

#[test]
fn other_answers_prove_nothing() {
    use Code::{MintNonsense, MintRateLimited, MintUnreachable};
    let table = [
        (
            400,
            r#"{"code":50000,"detail":"Internal Error"}"#,
            MintUnreachable,
        ),
        (
            400,
            r#"{"code":50000,"detail":"Payment backend error"}"#,
            MintUnreachable,
        ),
        (400, r#"{"code":0,"detail":"something"}"#, MintUnreachable),
        (400, r#"{"code":99999,"detail":"x"}"#, MintUnreachable),
        (400, r#"{"detail":"x"}"#, MintNonsense),
        (400, "garbage", MintNonsense),
        (400, "", MintNonsense),
        (422, r#"{"detail":[{"loc":["body"]}]}"#, MintNonsense),
        (404, "not found", MintUnreachable),
        (405, "", MintUnreachable),
        (408, r#"{"code":11001,"detail":"x"}"#, MintUnreachable),
        (413, "", MintNonsense),
        (429, "", MintRateLimited),
        (429, r#"{"code":11001,"detail":"x"}"#, MintRateLimited),
        (301, "", MintUnreachable),
        (500, "", MintUnreachable),
        (500, r#"{"code":11001,"detail":"x"}"#, MintUnreachable),
        (502, "<html>", MintUnreachable),
        (503, "", MintUnreachable),
        (504, "", MintUnreachable),
    ];
    for (status, body, expected) in table {
        let trouble = from_answer(status, body.as_bytes());
        assert_eq!(code_of(&trouble), expected, "{status} {body}");
        assert!(matches!(trouble, Trouble::Unknown { .. }));
    }
}

#[test]
fn a_quote_that_is_not_known_is_an_answer() {
    let table = [
        (r#"{"code":50000,"detail":"Unknown quote"}"#, Some(50000)),
        (r#"{"code":0,"detail":"quote not found"}"#, None),
        (r#"{"detail":"quote does not exist"}"#, None),
    ];
    for (body, mint_code) in table {
        match from_answer(400, body.as_bytes()) {
            Trouble::Refused(refusal) => assert_eq!(refusal.mint_code, mint_code),
            other @ Trouble::Unknown { .. } => panic!("{other:?}"),
        }
    }
    let gone = from_answer(500, br#"{"code":50000,"detail":"Unknown quote"}"#);
    assert_eq!(code_of(&gone), Code::MintUnreachable);
}

#[test]
fn silence_is_named_by_its_kind() {
    let table = [
        (HttpError::Timeout, Code::MintSlow),
        (
            HttpError::Connection("refused".into()),
            Code::MintUnreachable,
        ),
        (HttpError::Other("eof".into()), Code::MintUnreachable),
        (HttpError::Serialization("x".into()), Code::MintNonsense),
    ];
    for (error, code) in table {
        assert_eq!(code_of(&from_silence(&error)), code);
    }
    assert_eq!(code_of(&slow(Duration::from_millis(50))), Code::MintSlow);
}

#[test]
fn nothing_secret_survives_the_cleaning() {
    let hex = "ab".repeat(32);
    let table = [
        ("plain words, kept.", "plain words, kept."),
        ("a\u{7}b\nc\td", "a b c d"),
        ("bad cashuAeyJ0 here", "bad [removed] here"),
        ("x:cashuBpGF0", "[removed]"),
        ("CREQAabc", "[removed]"),
        (
            "Keyset 009a1f293253e41e is inactive",
            "Keyset 009a1f293253e41e is inactive",
        ),
        (
            "quote 01920000-0000-7000-8000-000000000001 x",
            "quote [removed] x",
        ),
        (&format!("secret \"{hex}\"!"), "secret \"[removed]\"!"),
        (
            &format!("[\"P2PK\",{{\"nonce\":\"{hex}\"}}]"),
            "[\"P2PK\",{\"nonce\":\"[removed]\"}]",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(clean(text), expected);
    }
    assert_eq!(clean(&"word ".repeat(100)).chars().count(), 200);
    assert_eq!(clean(&"é ".repeat(500)).chars().count(), 200);
    let body = format!(r#"{{"code":11001,"detail":"spent: {hex}"}}"#);
    assert!(
        !from_answer(400, body.as_bytes())
            .explain()
            .1
            .contains("abab")
    );
    assert!(
        !from_silence(&HttpError::Other(hex))
            .explain()
            .1
            .contains("abab")
    );
}
