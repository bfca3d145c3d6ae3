//! Every code has a stable text, a severity and one sentence of advice.

use std::collections::HashSet;

use meltd::saga::code::{Code, Discrepancy, Severity};

#[test]
fn every_code_has_a_text_of_its_own_that_serde_writes_too() {
    let mut texts = HashSet::new();
    for code in Code::ALL {
        let text = code.as_str();
        assert!(texts.insert(text), "{text} is used twice");
        assert_eq!(serde_json::to_string(code).unwrap(), format!("\"{text}\""));
        assert_eq!(
            serde_json::from_str::<Code>(&format!("\"{text}\"")).unwrap(),
            *code
        );
        assert_eq!(code.to_string(), text);
        let is_plain = |c: char| c.is_ascii_uppercase() || c == '_';
        assert!(text.chars().all(is_plain), "{text}");
    }
}

#[test]
fn every_code_has_advice_of_its_own_that_is_a_sentence() {
    let mut sentences = HashSet::new();
    for code in Code::ALL {
        let advice = code.advice();
        assert!(sentences.insert(advice), "{code}: {advice}");
        assert!(advice.ends_with('.'), "{code}: {advice}");
        let first = advice.chars().next().unwrap();
        assert!(first.is_uppercase(), "{code}: {advice}");
        assert!(
            (20..=160).contains(&advice.chars().count()),
            "{code}: {advice}"
        );
        assert!(
            !advice.contains('\n') && !advice.contains("  "),
            "{code}: {advice}"
        );
    }
}

#[test]
fn severities_are_the_seeds() {
    let rows = [
        (
            Discrepancy::DbUnspentMintSpent,
            "DB_UNSPENT_MINT_SPENT",
            Severity::High,
        ),
        (
            Discrepancy::DbSpentMintUnspent,
            "DB_SPENT_MINT_UNSPENT",
            Severity::Medium,
        ),
        (
            Discrepancy::DbPendingMintSpent,
            "DB_PENDING_MINT_SPENT",
            Severity::Medium,
        ),
        (Discrepancy::ProofNotInDb, "PROOF_NOT_IN_DB", Severity::Low),
        (
            Discrepancy::DbUnspentMintPending,
            "DB_UNSPENT_MINT_PENDING",
            Severity::Low,
        ),
    ];
    for (discrepancy, text, severity) in rows {
        assert_eq!(
            serde_json::to_string(&discrepancy).unwrap(),
            format!("\"{text}\"")
        );
        assert_eq!(discrepancy.severity(), severity, "{text}");
    }
    assert!(Severity::Low < Severity::Medium && Severity::High < Severity::Critical);
    assert_eq!(Code::CriticalMeltFailure.severity(), Severity::Critical);
    assert_eq!(
        Code::CriticalDbFailureAfterMintSuccess.severity(),
        Severity::Critical
    );
    assert_eq!(
        Code::RecoverableStateInconsistency.severity(),
        Severity::Medium
    );
    assert_eq!(Code::MinorInconsistency.severity(), Severity::Low);
}
