//! Settlement: what was paid, what came back, what is owed. Verified change is always stored and
//! spent inputs are always settled; what the mint did wrong stands beside the commit.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use super::super::chain::Hash;
use super::super::code::Code;
use super::super::command::Command;
use super::super::event::{
    AtomicCommitted, AtomicResult, ChangeCollected, CriticalRaised, Entry, Event, MeltPaid,
    Operation, Private, ProofsSent, Way,
};
use super::super::ids::{self, Amount, Coin, SignedCoin, Y};
use super::super::proofs::{Token, TransactionType};
use super::super::state::Saga;
use super::super::step::{Change, Evidence, paid_ordered};
use super::{Ctx, Decision, swap};

/// True only if SHA-256 of the preimage is the payment hash. Mints also give empty or made-up
/// preimages: then the payment is claimed, not proven.
pub fn proven(preimage: &str, payment_hash: &str) -> bool {
    let Some(bytes) = Hash::from_hex(preimage) else {
        return false;
    };
    let digest: [u8; 32] = Sha256::digest(bytes.as_bytes()).into();
    Hash::from_hex(payment_hash).is_some_and(|want| want.as_bytes() == &digest)
}

/// The mint says PAID, or shows it by signatures: both events of the settlement.
pub(super) fn paid(saga: &Saga, preimage: Option<String>, change: Option<Change>) -> Decision {
    let Command::Melt(command) = &saga.adoption.command else {
        return Decision::next();
    };
    let Some(sent) = &saga.sent else {
        return Decision::later("nothing was sent");
    };
    let preimage = preimage.filter(|p| !p.is_empty());
    let is_proven = preimage
        .as_deref()
        .is_some_and(|p| proven(p, &command.payment_hash));
    let event = Event::MeltPaid(MeltPaid { proven: is_proven });
    let private = Private {
        preimage,
        ..Private::default()
    };
    let mut entries = vec![Entry { event, private }];
    entries.extend(settlement(saga, sent, change.unwrap_or_default()));
    Decision::events(entries)
}

/// `MeltPaid` stands alone in the log: the settlement follows with whatever change is found.
pub(super) fn settle_only(saga: &Saga, evidence: Evidence) -> Decision {
    match (&saga.sent, &evidence.states) {
        // A mint that is gone for ever is not waited for once an operator has said so.
        (Some(sent), states) if states.is_ok() || paid_ordered(saga) => {
            Decision::events(settlement(saga, sent, evidence.change.unwrap_or_default()))
        }
        _ => Decision::later("paid; the mint does not answer, so change is asked for later"),
    }
}

fn settlement(saga: &Saga, sent: &ProofsSent, change: Change) -> Vec<Entry> {
    let amount = saga.quote.as_ref().map_or(0, |q| q.amount);
    let bad = change.bad;
    let (coins, private) = swap::split_signatures(new_coins(change.coins, &[]));
    let got = ids::sum(coins.iter().map(|c| c.amount)).unwrap_or(Amount::MAX);
    let change_owed = sent.guaranteed_change.saturating_sub(got);
    let spent = sent
        .input_amount
        .saturating_sub(sent.input_fee)
        .saturating_sub(amount);
    let fee_paid = spent
        .checked_sub(got)
        .and_then(|f| f.checked_sub(change_owed));
    let mut violations = Vec::new();
    if bad > 0 {
        violations.push(Code::ChangeSignatureInvalid);
    }
    if fee_paid.is_none() {
        violations.push(Code::FeeOutOfBounds);
    }
    let raised: Vec<Entry> = violations.iter().copied().map(raise).collect();
    let event = Event::AtomicCommitted(AtomicCommitted {
        inputs: saga.sent_ys(),
        amount,
        input_fee: sent.input_fee,
        fee_paid: fee_paid.unwrap_or(0),
        change_owed,
        change_open: sent.blanks.is_some() && (coins.is_empty() || bad > 0),
        violations,
        atomic_result: atomic_result(saga, sent, &coins),
        change: coins,
    });
    raised
        .into_iter()
        .chain([Entry { event, private }])
        .collect()
}

/// What is not known yet, each coin once: a mint that repeats a signature pays it once.
fn new_coins(found: Vec<SignedCoin>, known: &[Coin]) -> Vec<SignedCoin> {
    let mut seen: HashSet<Y> = known.iter().map(|c| c.y.clone()).collect();
    let fresh = found.into_iter();
    fresh.filter(|s| seen.insert(s.coin.y.clone())).collect()
}

/// The seeds' `atomicResult`, from the events alone.
fn atomic_result(saga: &Saga, sent: &ProofsSent, change: &[Coin]) -> AtomicResult {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let operation = |kind: &str, what: &str, amount: Amount, proofs: usize| Operation {
        kind: kind.to_owned(),
        token_id: Token::of(&saga.adoption.id, what, TransactionType::Change).token_id,
        amount,
        proof_count: count(proofs),
    };
    let mut result = AtomicResult {
        source_proofs_spent: count(sent.inputs.len()),
        ..AtomicResult::default()
    };
    if let Some(Way::Swap { keep, .. }) = saga.plan.as_ref().map(|p| &p.way)
        && !keep.is_empty()
    {
        let kept = ids::sum(keep.iter().copied()).unwrap_or(0);
        let kept = operation("keep_change", "keep", kept, keep.len());
        result.keep_token_id = Some(kept.token_id.clone());
        result.keep_amount = kept.amount;
        result.operations.push(kept);
    }
    if !change.is_empty() {
        let got = ids::sum(change.iter().map(|c| c.amount)).unwrap_or(0);
        let got = operation("melt_change", "melt_change", got, change.len());
        result.melt_change_token_id = Some(got.token_id.clone());
        result.melt_change_amount = got.amount;
        result.operations.push(got);
    }
    result
}

/// Settled with change owed, or with none heard of: what has come since, if anything. What is owed
/// is asked for without end; what was never promised, only `looks_max` times.
pub(super) fn collect(saga: &Saga, evidence: Evidence, ctx: &Ctx) -> Decision {
    let Some(sent) = &saga.sent else {
        return Decision::later("nothing was sent");
    };
    // A mint that is away was not asked, however often.
    let is_told = evidence.change.is_some() || matches!(evidence.quote, Some(Ok(_)));
    let found = evidence.change.unwrap_or_default();
    let fresh = new_coins(found.coins, &saga.change);
    let gives_up = is_told && saga.change_owed == 0 && ctx.tries >= ctx.limits.looks_max;
    if fresh.is_empty() && !gives_up {
        return Decision::later("settled; the mint still owes change");
    }
    let (change, private) = swap::split_signatures(fresh);
    let all = saga.change.iter().chain(&change).map(|c| c.amount);
    let got = ids::sum(all).unwrap_or(Amount::MAX);
    let is_more = got > sent.max_change && !saga.criticals.contains(&Code::FeeOutOfBounds);
    let raised = is_more.then(|| raise(Code::FeeOutOfBounds));
    let amount = saga.quote.as_ref().map_or(0, |q| q.amount);
    let change_owed = sent.guaranteed_change.saturating_sub(got);
    let spent = sent
        .input_amount
        .saturating_sub(sent.input_fee)
        .saturating_sub(amount);
    let fee_paid = spent.saturating_sub(got).saturating_sub(change_owed);
    let event = Event::ChangeCollected(ChangeCollected {
        change,
        change_owed,
        change_open: false,
        fee_paid,
    });
    Decision::events(raised.into_iter().chain([Entry { event, private }]))
}

/// What the mint did wrong, beside a settlement that it does not hold up.
fn raise(code: Code) -> Entry {
    Event::CriticalRaised(CriticalRaised {
        code,
        reason: code.advice().to_owned(),
        requires_manual_intervention: false,
    })
    .into()
}
