//! What matters in an event, in a line. It shows public halves only: no invoice, no quote id, no
//! signature.

use crate::saga::event::{
    AtomicCommitted, Event, MeltRequested, Plan, ProofsReleased, ProofsSent, Purpose, SwapDone,
    SwapPrepared, Way,
};
use crate::saga::ids::{Amount, Coin, Range, sum};

/// Hash digits shown to a person: enough to compare two lists by eye.
pub(super) const HASH_DIGITS: usize = 10;

/// The line of an event.
pub(super) fn facts(event: &Event, unit: &str) -> String {
    match event {
        Event::MeltRequested(e) => requested(e, unit),
        Event::QuoteCreated(e) => {
            format!("{} {unit}, fee reserve {} {unit}", e.amount, e.fee_reserve)
        }
        Event::PreflightPassed(e) => planned(&e.plan, e.corrections.len(), unit),
        Event::PreflightBlocked(e) => format!("{}: {}", e.code, e.reason),
        Event::SwapPrepared(e) => swap_prepared(e, unit),
        Event::SwapDone(e) => swap_done(e, unit),
        Event::ProofsSent(e) => sent(e, unit),
        Event::MeltPaid(e) if e.proven => "the preimage proves it".to_owned(),
        Event::MeltPaid(_) => "claimed by the mint, without proof".to_owned(),
        Event::AtomicCommitted(e) => committed(e, unit),
        Event::ChangeCollected(e) => format!(
            "{} of owed change, {} {unit} still owed",
            worth(&e.change, unit),
            e.change_owed
        ),
        Event::MeltRefused(e) => e.explain(),
        Event::ProofsReleased(e) => released(e),
        Event::Rejected(e) => format!("{}: {}", e.code, e.reason),
        Event::CriticalRaised(e) => format!("{}: {}", e.code, e.reason),
        Event::CriticalResolved(e) => format!("{}: {}", e.code, e.how),
        Event::Parked(e) => format!("by {}, {}: {}", e.by, e.code, e.evidence),
        Event::Resumed(e) => format!("by {}: {}", e.by, e.reason),
        Event::OperatorResolved(e) => format!(
            "by {}: {}, {} {unit} written off: {}",
            e.by,
            e.resolution.as_str(),
            e.written_off,
            e.reason
        ),
        Event::MintQuoteCreated(e) => {
            let locked = if e.locked { ", locked to our key" } else { "" };
            format!("{} {unit}{locked}", e.amount)
        }
        Event::MintSent(e) => format!("{}{}", range(&e.outputs.range()), again(e.attempt)),
        Event::Minted(e) => worth(&e.coins, unit),
        Event::ReceiveRequested(e) => format!("{} of {} {unit}", coins(e.ys.len()), e.amount),
        Event::Received(e) => format!("{}, fee {} {unit}", worth(&e.coins, unit), e.fee),
        Event::ReconcileRequested(e) => format!(
            "{}: {} and {} counter range(s) to look at",
            e.cause.as_str(),
            coins(e.suspects.len()),
            e.ranges.len()
        ),
        Event::Restored(e) => format!("{} found again", worth(&e.coins, unit)),
        Event::ProofCorrected(e) => format!("{} spent at the mint", coins(e.spent.len())),
    }
}

fn requested(e: &MeltRequested, unit: &str) -> String {
    let hash: String = e.payment_hash.chars().take(HASH_DIGITS).collect();
    let limit = match e.fee_limit {
        Some(limit) => format!(", fee reserve up to {limit} {unit}"),
        None => String::new(),
    };
    let chosen = if e.amountless {
        " chosen by the payer"
    } else {
        ""
    };
    let msat = match e.amount_msat % 1000 {
        0 => String::new(),
        _ => format!(" ({} msat)", e.amount_msat),
    };
    let amount = e.amount_msat.div_ceil(1000);
    format!("{amount} {unit}{msat}{chosen} for payment hash {hash}..{limit}")
}

fn planned(plan: &Plan, corrected: usize, unit: &str) -> String {
    let way = match &plan.way {
        Way::Direct => "sent as they are".to_owned(),
        Way::Swap { swap_fee, .. } => format!("swapped first for {swap_fee} {unit}"),
    };
    let corrected = match corrected {
        0 => String::new(),
        n => format!("; {} found spent and corrected", coins(n)),
    };
    format!("{} reserved, {way}{corrected}", worth(&plan.inputs, unit))
}

fn swap_prepared(e: &SwapPrepared, unit: &str) -> String {
    format!(
        "{}: {} of {} {unit} for {}{}",
        purpose(e.purpose),
        coins(e.inputs.len()),
        e.input_amount,
        range(&e.outputs.range()),
        again(e.attempt)
    )
}

fn swap_done(e: &SwapDone, unit: &str) -> String {
    let to_send = match e.send.as_slice() {
        [] => String::new(),
        coins => format!("{} to send, ", worth(coins, unit)),
    };
    let (spent, kept) = (coins(e.inputs.len()), worth(&e.keep, unit));
    let purpose = purpose(e.purpose);
    format!(
        "{purpose}: {spent} became {to_send}{kept} to keep, fee {} {unit}",
        e.fee
    )
}

fn sent(e: &ProofsSent, unit: &str) -> String {
    let change = match &e.blanks {
        Some(blanks) => format!(
            "change {} to {} {unit} on {}",
            e.guaranteed_change,
            e.max_change,
            range(blanks)
        ),
        None => "no change".to_owned(),
    };
    format!(
        "post {}: {} of {} {unit}, {change}",
        e.attempt,
        coins(e.inputs.len()),
        e.input_amount
    )
}

fn committed(e: &AtomicCommitted, unit: &str) -> String {
    let owed = match e.change_owed {
        0 => String::new(),
        owed => format!(", {owed} {unit} owed by the mint"),
    };
    let violations: Vec<&str> = e.violations.iter().map(|code| code.as_str()).collect();
    let wrong = match violations.as_slice() {
        [] => String::new(),
        codes => format!(", {}", codes.join(", ")),
    };
    format!(
        "paid {} {unit}, Lightning fee {} {unit}, input fee {} {unit}, change {}{owed}{wrong}",
        e.amount,
        e.fee_paid,
        e.input_fee,
        worth(&e.change, unit)
    )
}

fn released(e: &ProofsReleased) -> String {
    let then = if e.is_final {
        "for good"
    } else {
        "to be planned again"
    };
    format!("{} let go {then}: {}", coins(e.coins.len()), e.reason)
}

fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Plan => "to pay exactly",
        Purpose::Fence => "fence",
        Purpose::Receive => "to take the token",
    }
}

fn coins(n: usize) -> String {
    match n {
        1 => "1 coin".to_owned(),
        n => format!("{n} coins"),
    }
}

fn worth(list: &[Coin], unit: &str) -> String {
    let total: Amount = sum(list.iter().map(|c| c.amount)).unwrap_or(Amount::MAX);
    format!("{total} {unit} in {}", coins(list.len()))
}

/// Said of every try but the first.
fn again(attempt: u32) -> String {
    match attempt {
        0 | 1 => String::new(),
        n => format!(", try {n}"),
    }
}

/// Counters, as first to last.
fn range(range: &Range) -> String {
    let last = range.start.saturating_add(range.count.saturating_sub(1));
    match range.count {
        1 => format!("counter {last}"),
        _ => format!("counters {} to {last}", range.start),
    }
}
