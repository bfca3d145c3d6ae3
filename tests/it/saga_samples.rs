//! One entry or more of every event, each with the log that it follows: for the table of legal
//! transitions and for the golden files.

use meltd::saga::code::{Code, Discrepancy};
use meltd::saga::command::{Cause, Command, ReconcileCommand};
use meltd::saga::event::{
    AtomicCommitted, AtomicResult, ChangeCollected, CriticalRaised, CriticalResolved, Entry, Event,
    Finding, MeltPaid, Minted, Operation, PreflightBlocked, PreflightPassed, Private,
    ProofCorrected, Received, ReconcileRequested, Refusal, Rejected, Resolution, Restored,
};
use meltd::saga::ids::{Coin, Signature, WalletId};
use meltd::saga::proofs::ProofState;
use meltd::saga::state::Saga;

use crate::saga_events::*;
use crate::saga_kit::*;

fn signatures(coins: &[Coin]) -> Vec<Signature> {
    coins.iter().cloned().map(|c| signed(c).signature).collect()
}

fn signed_event(event: Event, coins: &[Coin]) -> Entry {
    Entry {
        event,
        private: Private {
            signatures: signatures(coins),
            ..Private::default()
        },
    }
}

fn findings() -> Vec<Finding> {
    let all = [
        Discrepancy::DbUnspentMintSpent,
        Discrepancy::DbSpentMintUnspent,
        Discrepancy::DbPendingMintSpent,
        Discrepancy::ProofNotInDb,
        Discrepancy::DbUnspentMintPending,
    ];
    let named = (70..).zip(all);
    named
        .map(|(n, discrepancy)| Finding {
            y: y(n),
            discrepancy,
        })
        .collect()
}

fn melt_requested() -> Entry {
    let mut entry = requested();
    entry.private.npub = Some(NPUB.to_owned());
    entry.private.invoice = Some(INVOICE.to_owned());
    entry
}

fn preflight_passed() -> Entry {
    Event::PreflightPassed(PreflightPassed {
        plan: swapped(),
        findings: findings(),
        corrections: vec![y(70)],
    })
    .into()
}

fn preflight_blocked() -> Entry {
    Event::PreflightBlocked(PreflightBlocked {
        code: Code::MeltBlockedByReconciliation,
        reason: "1 chosen coin(s) are spent at the mint".to_owned(),
        findings: findings(),
        corrections: vec![y(70)],
    })
    .into()
}

fn melt_paid() -> Entry {
    Entry {
        event: Event::MeltPaid(MeltPaid { proven: true }),
        private: Private {
            preimage: Some(PREIMAGE.to_owned()),
            ..Private::default()
        },
    }
}

fn atomic_committed() -> Entry {
    let change = vec![coin(100, 4)];
    let operation = |kind: &str, what: &str, amount, proof_count| Operation {
        kind: kind.to_owned(),
        token_id: format!("{SAGA}:{what}"),
        amount,
        proof_count,
    };
    let result = AtomicResult {
        source_proofs_spent: 3,
        keep_token_id: Some(format!("{SAGA}:keep")),
        keep_amount: 22,
        melt_change_token_id: Some(format!("{SAGA}:melt_change")),
        melt_change_amount: 4,
        operations: vec![
            operation("keep_change", "keep", 22, 3),
            operation("melt_change", "melt_change", 4, 1),
        ],
    };
    let event = Event::AtomicCommitted(AtomicCommitted {
        inputs: vec![y(1), y(2), y(3)],
        change: change.clone(),
        amount: 100,
        input_fee: 1,
        fee_paid: 4,
        change_owed: 3,
        change_open: false,
        violations: vec![Code::ChangeSignatureInvalid, Code::FeeOutOfBounds],
        atomic_result: result,
    });
    signed_event(event, &change)
}

fn collected(change_owed: u64) -> Entry {
    let change = vec![coin(101, 2)];
    let event = Event::ChangeCollected(ChangeCollected {
        change: change.clone(),
        change_owed,
        change_open: false,
        fee_paid: 4,
    });
    signed_event(event, &change)
}

fn corrected() -> Entry {
    Event::ProofCorrected(ProofCorrected {
        findings: findings(),
        spent: vec![y(70)],
    })
    .into()
}

fn restored() -> Entry {
    let coins = vec![coin(80, 64), coin(81, 1)];
    let event = Event::Restored(Restored {
        wallet: WalletId::new("w1"),
        coins: coins.clone(),
    });
    signed_event(event, &coins)
}

fn reconcile_requested() -> Entry {
    Entry {
        event: Event::ReconcileRequested(ReconcileRequested {
            wallet: WalletId::new("w1"),
            mint_url: "https://mint.example".to_owned(),
            unit: "sat".to_owned(),
            request_hash: "ab".repeat(32),
            cause: Cause::Restore,
            suspects: vec![y(70)],
            ranges: vec![mint_sent(1).outputs.range()],
        }),
        private: Private {
            npub: Some(NPUB.to_owned()),
            ..Private::default()
        },
    }
}

fn reconcile(entries: &[Entry]) -> Saga {
    let command = Command::Reconcile(ReconcileCommand {
        cause: Cause::Restore,
        suspects: vec![y(70)],
        ranges: vec![mint_sent(1).outputs.range()],
    });
    given(command, entries).saga
}

fn minted() -> Entry {
    let coins: Vec<Coin> = outcome(&mint_sent(1).outputs)
        .into_iter()
        .map(|s| s.coin)
        .collect();
    signed_event(
        Event::Minted(Minted {
            coins: coins.clone(),
        }),
        &coins,
    )
}

fn received() -> Entry {
    let coins = outcome(&receive_swap(1).outputs);
    let coins: Vec<Coin> = coins.into_iter().map(|s| s.coin).collect();
    let event = Event::Received(Received {
        coins: coins.clone(),
        fee: 1,
    });
    signed_event(event, &coins)
}

fn resolved_critical() -> Entry {
    Event::CriticalResolved(CriticalResolved {
        code: Code::CriticalMeltFailure,
        how: "the mint says paid".to_owned(),
    })
    .into()
}

fn rejected() -> Entry {
    Event::Rejected(Rejected {
        code: Code::FeeOverLimit,
        reason: "the fee reserve is 11 sat, over the limit of 10 sat".to_owned(),
    })
    .into()
}

fn refused_without_code() -> Entry {
    Event::MeltRefused(Refusal {
        mint_code: None,
        detail: "the mint answered that the payment failed".to_owned(),
    })
    .into()
}

fn critical_beside_a_commit() -> Entry {
    Event::CriticalRaised(CriticalRaised {
        code: Code::ChangeSignatureInvalid,
        reason: Code::ChangeSignatureInvalid.advice().to_owned(),
        requires_manual_intervention: false,
    })
    .into()
}

/// A saga that each entry can follow, and the entry. The first of each name is in the golden file.
pub(crate) fn samples() -> Vec<(Saga, Entry)> {
    let log = |entries: &[Entry]| melt(entries).saga;
    let owing = log(&with(with(log_sent(1), paid()), committed(&[coin(100, 1)])));
    let sent = log(&log_sent(1));
    let fencing = log(&log_fencing(1));
    let quoted_saga = log(&[requested(), quoted()]);
    let parked_saga = log(&with(log_sent(1), parked()));
    vec![
        (log(&[]), melt_requested()),
        (log(&[requested()]), quoted()),
        (quoted_saga.clone(), preflight_passed()),
        (quoted_saga, preflight_blocked()),
        (log(&log_sent(3)), prepared(fence(1))),
        (
            log(&[requested(), quoted(), planned(swapped())]),
            prepared(swap_prepared()),
        ),
        (receive(&log_receiving(1)).saga, prepared(receive_swap(2))),
        (log(&log_swapping()), swap_done()),
        (fencing.clone(), fence_done(1)),
        (log(&log_planned()), crate::saga_events::sent(1)),
        (sent.clone(), melt_paid()),
        (log(&with(log_sent(1), paid())), atomic_committed()),
        (log(&with(log_sent(1), paid())), committed(&[coin(100, 8)])),
        (owing.clone(), collected(4)),
        (owing, collected(0)),
        (sent.clone(), melt_refused(12002)),
        (sent.clone(), refused_without_code()),
        (
            fencing.clone(),
            released(ProofState::Pending, &[1, 2], true),
        ),
        (fencing, released(ProofState::Pending, &[1, 2], false)),
        (log(&[requested()]), rejected()),
        (sent.clone(), critical()),
        (sent.clone(), critical_beside_a_commit()),
        (sent.clone(), resolved_critical()),
        (sent.clone(), parked()),
        (parked_saga.clone(), resumed()),
        (parked_saga, written_off(&[1, 2, 3], 112)),
        (sent.clone(), resolved(Resolution::Released)),
        (sent.clone(), resolved(Resolution::Paid)),
        (mint(&[]).saga, mint_quoted()),
        (
            mint(&[mint_quoted()]).saga,
            Event::MintSent(mint_sent(1)).into(),
        ),
        (mint(&log_issuing(1)).saga, minted()),
        (receive(&[]).saga, receive_requested()),
        (receive(&log_receiving(1)).saga, received()),
        (reconcile(&[]), reconcile_requested()),
        (log(&[]), restored()),
        (sent, corrected()),
    ]
}
