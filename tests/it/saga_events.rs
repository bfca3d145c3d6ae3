//! The events of the saga tests: a builder for each, the logs that lead to each state, and one
//! line of text for each event, with the fields that a table is about.

use meltd::saga::code::Code;
use meltd::saga::event::{
    AtomicCommitted, AtomicResult, CriticalRaised, Entry, Event, MeltPaid, MeltRequested,
    MintQuoteCreated, MintSent, OperatorResolved, Parked, Plan, PreflightPassed, Private,
    ProofsReleased, ProofsSent, Purpose, QuoteCreated, ReceiveRequested, Released, Resolution,
    Resumed, SwapDone, SwapPrepared,
};
use meltd::saga::ids::{Amount, Coin, Outputs, WalletId};
use meltd::saga::proofs::ProofState;

use crate::saga_kit::*;

pub(crate) fn requested() -> Entry {
    let c = melt_command();
    Event::MeltRequested(MeltRequested {
        wallet: WalletId::new("w1"),
        mint_url: "https://mint.test".to_owned(),
        unit: "sat".to_owned(),
        request_hash: adoption(meltd::saga::command::Command::Melt(c.clone())).request_hash,
        payment_hash: c.payment_hash,
        amount_msat: c.amount_msat,
        amountless: false,
        invoice_expires_at: c.invoice_expires_at,
        fee_limit: c.fee_limit,
        policy: c.policy,
        deadline: c.deadline,
    })
    .into()
}

pub(crate) fn quoted() -> Entry {
    Entry {
        event: Event::QuoteCreated(QuoteCreated {
            amount: 100,
            fee_reserve: 4,
            expires_at: at(30),
        }),
        private: Private {
            quote_id: Some(QUOTE.to_owned()),
            ..Private::default()
        },
    }
}

pub(crate) fn planned(plan: Plan) -> Entry {
    Event::PreflightPassed(PreflightPassed {
        plan,
        findings: Vec::new(),
        corrections: Vec::new(),
    })
    .into()
}

/// The outputs of the plan's swap: counters 10 to 16.
pub(crate) fn plan_outputs() -> Outputs {
    outputs(10, &[1, 8, 32, 64, 2, 4, 16])
}

pub(crate) fn swap_prepared() -> SwapPrepared {
    SwapPrepared {
        purpose: Purpose::Plan,
        inputs: vec![y(4)],
        input_amount: 128,
        fee: 1,
        outputs: plan_outputs(),
        attempt: 1,
    }
}

fn done(swap: &SwapPrepared, send: usize) -> Entry {
    let (mut coins, signatures): (Vec<Coin>, _) = outcome(&swap.outputs)
        .into_iter()
        .map(|s| (s.coin, s.signature))
        .unzip();
    let keep = coins.split_off(send);
    Entry {
        event: Event::SwapDone(SwapDone {
            purpose: swap.purpose,
            inputs: swap.inputs.clone(),
            send: coins,
            keep,
            fee: swap.fee,
        }),
        private: Private {
            signatures,
            ..Private::default()
        },
    }
}

pub(crate) fn swap_done() -> Entry {
    done(&swap_prepared(), 4)
}

/// The intent of the direct melt, its post number `attempt`.
pub(crate) fn sent(attempt: u32) -> Entry {
    Event::ProofsSent(ProofsSent {
        inputs: vec![y(1), y(2), y(3)],
        input_amount: 112,
        input_fee: 1,
        blanks: Some(blanks(4)),
        max_change: 11,
        guaranteed_change: 7,
        attempt,
    })
    .into()
}

/// The intent of a melt of these coins, otherwise like the direct one.
pub(crate) fn sent_with(coins: &[u32]) -> Entry {
    let mut entry = sent(1);
    if let Event::ProofsSent(sent) = &mut entry.event {
        sent.inputs = coins.iter().copied().map(y).collect();
    }
    entry
}

/// The intent of the swapped melt.
pub(crate) fn sent_swapped() -> Entry {
    Event::ProofsSent(ProofsSent {
        inputs: (10..14).map(y).collect(),
        input_amount: 105,
        input_fee: 1,
        blanks: Some(blanks(3)),
        max_change: 4,
        guaranteed_change: 0,
        attempt: 1,
    })
    .into()
}

/// The fence over coin 3 = 16, range number `attempt`: counters 200, 210, …
pub(crate) fn fence(attempt: u32) -> SwapPrepared {
    SwapPrepared {
        purpose: Purpose::Fence,
        inputs: vec![y(3)],
        input_amount: 16,
        fee: 1,
        outputs: outputs(190 + 10 * attempt, &[1, 2, 4, 8]),
        attempt,
    }
}

pub(crate) fn fence_done(attempt: u32) -> Entry {
    done(&fence(attempt), 0)
}

pub(crate) fn melt_refused(code: u32) -> Entry {
    Event::MeltRefused(refusal(code)).into()
}

pub(crate) fn paid() -> Entry {
    Event::MeltPaid(MeltPaid { proven: false }).into()
}

/// The settlement of the direct melt with this change.
pub(crate) fn committed(change: &[Coin]) -> Entry {
    let got = total(change);
    let owed = 7u64.saturating_sub(got);
    Entry {
        event: Event::AtomicCommitted(AtomicCommitted {
            inputs: vec![y(1), y(2), y(3)],
            change: change.to_vec(),
            amount: 100,
            input_fee: 1,
            fee_paid: 11 - got - owed,
            change_owed: owed,
            change_open: false,
            violations: Vec::new(),
            atomic_result: AtomicResult::default(),
        }),
        private: Private {
            signatures: change
                .iter()
                .cloned()
                .map(|c| signed(c).signature)
                .collect(),
            ..Private::default()
        },
    }
}

pub(crate) fn released(from: ProofState, coins: &[u32], is_final: bool) -> Entry {
    Event::ProofsReleased(ProofsReleased {
        coins: coins.iter().map(|n| Released { y: y(*n), from }).collect(),
        is_final,
        code: Code::MintRefused,
        reason: "for this reason".to_owned(),
    })
    .into()
}

pub(crate) fn parked() -> Entry {
    Event::Parked(Parked {
        code: Code::SpentButUnpaid,
        evidence: "as seen".to_owned(),
        by: "meltd".to_owned(),
    })
    .into()
}

pub(crate) fn resumed() -> Entry {
    Event::Resumed(Resumed {
        by: "alice".to_owned(),
        reason: "mended".to_owned(),
    })
    .into()
}

pub(crate) fn critical() -> Entry {
    Event::CriticalRaised(CriticalRaised {
        code: Code::CriticalMeltFailure,
        reason: "as seen".to_owned(),
        requires_manual_intervention: true,
    })
    .into()
}

pub(crate) fn resolved(resolution: Resolution) -> Entry {
    Event::OperatorResolved(OperatorResolved {
        resolution,
        by: "alice".to_owned(),
        reason: "looked at".to_owned(),
        coins: Vec::new(),
        written_off: 0,
    })
    .into()
}

/// Everything that the direct melt still holds is given up.
pub(crate) fn written_off(coins: &[u32], amount: Amount) -> Entry {
    let mut entry = resolved(Resolution::WrittenOff);
    if let Event::OperatorResolved(r) = &mut entry.event {
        let given_up = |n: &u32| Released {
            y: y(*n),
            from: ProofState::Pending,
        };
        (r.coins, r.written_off) = (coins.iter().map(given_up).collect(), amount);
    }
    entry
}

pub(crate) fn mint_quoted() -> Entry {
    Entry {
        event: Event::MintQuoteCreated(MintQuoteCreated {
            wallet: WalletId::new("w1"),
            mint_url: "https://mint.test".to_owned(),
            unit: "sat".to_owned(),
            amount: 96,
            expires_at: Some(at(30)),
            locked: true,
        }),
        private: Private {
            npub: Some(NPUB.to_owned()),
            quote_id: Some(QUOTE.to_owned()),
            invoice: Some(INVOICE.to_owned()),
            ..Private::default()
        },
    }
}

/// The intent of minting, range number `attempt`: counters 300, 310, …
pub(crate) fn mint_sent(attempt: u32) -> MintSent {
    MintSent {
        outputs: outputs(290 + 10 * attempt, &[32, 64]),
        attempt,
    }
}

pub(crate) fn receive_requested() -> Entry {
    let c = receive_command();
    Event::ReceiveRequested(ReceiveRequested {
        wallet: WalletId::new("w1"),
        mint_url: "https://mint.test".to_owned(),
        unit: "sat".to_owned(),
        request_hash: meltd::saga::chain::Hash::of(b"token").to_hex(),
        ys: c.ys,
        amount: c.amount,
    })
    .into()
}

/// The intent of the receive's swap, range number `attempt`: counters 400, 410, …
pub(crate) fn receive_swap(attempt: u32) -> SwapPrepared {
    SwapPrepared {
        purpose: Purpose::Receive,
        inputs: vec![y(901), y(902)],
        input_amount: 96,
        fee: 1,
        outputs: outputs(390 + 10 * attempt, &[1, 2, 4, 8, 16, 64]),
        attempt,
    }
}

pub(crate) fn prepared(swap: SwapPrepared) -> Entry {
    Event::SwapPrepared(swap).into()
}

/// The log up to the direct plan.
pub(crate) fn log_planned() -> Vec<Entry> {
    vec![requested(), quoted(), planned(direct())]
}

/// The log up to the direct melt's post number `attempt`.
pub(crate) fn log_sent(attempt: u32) -> Vec<Entry> {
    log_planned()
        .into_iter()
        .chain((1..=attempt).map(sent))
        .collect()
}

/// The log up to the intent of fence number `attempt`.
pub(crate) fn log_fencing(attempt: u32) -> Vec<Entry> {
    let fences = (1..=attempt).map(|n| prepared(fence(n)));
    log_sent(3).into_iter().chain(fences).collect()
}

/// The log up to the plan swap's intent.
pub(crate) fn log_swapping() -> Vec<Entry> {
    vec![
        requested(),
        quoted(),
        planned(swapped()),
        prepared(swap_prepared()),
    ]
}

/// The log up to the exact coins.
pub(crate) fn log_ready() -> Vec<Entry> {
    log_swapping().into_iter().chain([swap_done()]).collect()
}

/// The log up to the token swap's intent, range number `attempt`.
pub(crate) fn log_receiving(attempt: u32) -> Vec<Entry> {
    let swaps = (1..=attempt).map(|n| prepared(receive_swap(n)));
    [receive_requested()].into_iter().chain(swaps).collect()
}

/// The log up to the intent of minting, range number `attempt`.
pub(crate) fn log_issuing(attempt: u32) -> Vec<Entry> {
    let sent = (1..=attempt).map(|n| Event::MintSent(mint_sent(n)).into());
    [mint_quoted()].into_iter().chain(sent).collect()
}

/// A log and one more event.
pub(crate) fn with(mut log: Vec<Entry>, entry: Entry) -> Vec<Entry> {
    log.push(entry);
    log
}

fn values(coins: &[Coin]) -> Vec<Amount> {
    coins.iter().map(|c| c.amount).collect()
}

/// An event in one line: its name and the fields that a table is about.
pub(crate) fn line(event: &Event) -> String {
    let name = event.name();
    match event {
        Event::ProofsSent(e) => format!("{name} #{}", e.attempt),
        Event::SwapPrepared(e) => {
            format!(
                "{name} {:?} #{} at {}",
                e.purpose, e.attempt, e.outputs.start
            )
        }
        Event::SwapDone(e) => {
            let (send, keep) = (values(&e.send), values(&e.keep));
            format!("{name} {:?} send {send:?} keep {keep:?}", e.purpose)
        }
        Event::ProofsReleased(e) => {
            let end = if e.is_final { "final" } else { "again" };
            let coins = e.coins.iter().map(|r| {
                let n =
                    r.y.as_str()
                        .trim_start_matches("02")
                        .trim_start_matches('0');
                format!("{n} {}", r.from.as_str())
            });
            let coins: Vec<String> = coins.collect();
            format!("{name} {end} {} [{}]", e.code, coins.join(", "))
        }
        Event::MeltPaid(e) => format!("{name} {}", if e.proven { "proven" } else { "claimed" }),
        Event::AtomicCommitted(e) => {
            let (change, bad) = (values(&e.change), &e.violations);
            let bad: Vec<&str> = bad.iter().map(|c| c.as_str()).collect();
            let (fee, owed) = (e.fee_paid, e.change_owed);
            format!("{name} fee {fee} change {change:?} owed {owed} {bad:?}")
        }
        Event::ChangeCollected(e) => {
            let change = values(&e.change);
            format!(
                "{name} fee {} change {change:?} owed {}",
                e.fee_paid, e.change_owed
            )
        }
        Event::MeltRefused(e) => format!("{name} {:?}", e.mint_code),
        Event::Rejected(e) => format!("{name} {}", e.code),
        Event::PreflightBlocked(e) => format!("{name} {} {}", e.code, e.corrections.len()),
        Event::CriticalRaised(e) => format!("{name} {}", e.code),
        Event::CriticalResolved(e) => format!("{name} {}", e.code),
        Event::Parked(e) => format!("{name} {}", e.code),
        Event::MintSent(e) => format!("{name} #{} at {}", e.attempt, e.outputs.start),
        Event::Minted(e) => format!("{name} {:?}", values(&e.coins)),
        Event::Received(e) => format!("{name} {:?} fee {}", values(&e.coins), e.fee),
        Event::ProofCorrected(e) => format!("{name} {}", e.spent.len()),
        Event::MeltRequested(_)
        | Event::QuoteCreated(_)
        | Event::PreflightPassed(_)
        | Event::Resumed(_)
        | Event::OperatorResolved(_)
        | Event::MintQuoteCreated(_)
        | Event::ReceiveRequested(_)
        | Event::ReconcileRequested(_)
        | Event::Restored(_) => name.to_owned(),
    }
}
