//! `meltd melt`: pay an invoice and say what became of it.

use serde::Serialize;

use super::Act;
use super::args::MeltArgs;
use super::exit::{Failure, inside};
use super::follow::{Followed, follow};
use super::output::{Answer, fields};
use crate::intake::MeltRequest;
use crate::ports::{Clock, Mint, Store};
use crate::saga::code::Code;
use crate::saga::event::AtomicResult;
use crate::saga::ids::{Amount, SagaId, sum};
use crate::saga::state::{Saga, State, Status};

/// What is known about the Lightning payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum PaymentResult {
    /// The mint says that it is made.
    Paid,
    /// It may be made.
    Pending,
    /// It was not made, and cannot be made any more.
    Failed,
}

/// The answer to a melt: the seeds' fields, and ours beside them.
#[derive(Debug, Serialize)]
pub(super) struct MeltAnswer {
    success: bool,
    #[serde(flatten)]
    seeds: Seeds,
    saga: SagaId,
    state: &'static str,
    status: Status,
    waiting_for: Option<String>,
    preimage: Option<String>,
    input_fees: Amount,
    violations: Vec<Code>,
    #[serde(skip)]
    unit: String,
    #[serde(flatten, serialize_with = "inside")]
    failure: Option<Failure>,
}

/// The fields that callers of the seeds' service know.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Seeds {
    transaction_id: SagaId,
    payment_result: PaymentResult,
    paid_amount: Amount,
    fees_paid: Amount,
    change_amount: Amount,
    change_owed: Amount,
    proven: bool,
    atomic_result: Option<SeedsAtomic>,
}

#[derive(Debug, Serialize)]
struct SeedsAtomic {
    success: bool,
    transaction_id: SagaId,
    #[serde(flatten)]
    result: AtomicResult,
}

/// Submits the melt and follows it.
pub(super) async fn melt<S: Store, M: Mint, C: Clock>(
    act: &Act<S, M, C>,
    args: MeltArgs,
) -> Result<MeltAnswer, Failure> {
    let mut origin = act.origin(args.command_id, args.intent, args.timeout);
    origin.scope.caps = args.limits.caps();
    let request = MeltRequest {
        target: act.target(args.npub, args.mint),
        invoice: plain(&args.invoice).to_owned(),
        amount: args.amount,
        fee_limit: args.max_fee,
        policy: args.policy.into(),
    };
    act.fit(&request.target).await?;
    let submitted = act.driver.submit_melt(&origin, &request).await?;
    let followed = follow(act, submitted, args.wait).await?;
    Ok(MeltAnswer::of(&followed))
}

/// An invoice as wallets copy it, without the scheme of a link.
fn plain(invoice: &str) -> &str {
    let text = invoice.trim();
    match text.split_once(':') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("lightning") => rest,
        _ => text,
    }
}

impl MeltAnswer {
    /// What the log says about the payment.
    pub(super) fn of(followed: &Followed) -> Self {
        let saga = &followed.saga;
        let result = payment_result(saga);
        let id = &saga.adoption.id;
        let committed = saga.committed.as_ref();
        let atomic = committed.map(|c| SeedsAtomic {
            success: true,
            transaction_id: id.clone(),
            result: c.atomic_result.clone(),
        });
        let seeds = Seeds {
            transaction_id: id.clone(),
            payment_result: result,
            paid_amount: committed.map_or(0, |c| c.amount),
            fees_paid: saga.fee_paid,
            change_amount: sum(saga.change.iter().map(|c| c.amount)).unwrap_or(0),
            change_owed: saga.change_owed,
            proven: saga.paid.as_ref().is_some_and(|p| p.proven),
            atomic_result: atomic,
        };
        MeltAnswer {
            success: result == PaymentResult::Paid,
            seeds,
            saga: id.clone(),
            state: saga.state.as_str(),
            status: followed.status(),
            waiting_for: followed.waits.clone(),
            preimage: saga.paid.as_ref().and_then(|p| p.preimage.clone()),
            input_fees: saga
                .swap_fees
                .saturating_add(committed.map_or(0, |c| c.input_fee)),
            violations: committed.map_or_else(Vec::new, |c| c.violations.clone()),
            unit: saga.adoption.unit.clone(),
            failure: followed.failure(),
        }
    }
}

/// A melt that is or may be paid is never called failed.
fn payment_result(saga: &Saga) -> PaymentResult {
    match saga.state {
        State::Paid | State::Owing | State::Settled => PaymentResult::Paid,
        State::Released | State::Rejected | State::Blocked => PaymentResult::Failed,
        State::Adopted
        | State::Requested
        | State::Quoted
        | State::Planned
        | State::Swapping
        | State::Ready
        | State::Sent
        | State::Fencing
        | State::Issuing
        | State::WrittenOff => PaymentResult::Pending,
    }
}

impl Answer for MeltAnswer {
    fn human(&self) -> String {
        let (seeds, unit) = (&self.seeds, &self.unit);
        let mut rows = vec![("saga", self.saga.to_string())];
        if seeds.payment_result == PaymentResult::Paid {
            rows.push(("paid", format!("{} {unit}", seeds.paid_amount)));
            let input_fees = self.input_fees;
            let fees = format!(
                "{} {unit} Lightning, {input_fees} {unit} mint",
                seeds.fees_paid
            );
            rows.push(("fees", fees));
            rows.push(("change", format!("{} {unit}", seeds.change_amount)));
            if seeds.change_owed > 0 {
                let owed = format!("{} {unit}, collected by `meltd recover`", seeds.change_owed);
                rows.push(("owed", owed));
            }
            let proof = match (&self.preimage, seeds.proven) {
                (Some(preimage), true) => format!("{preimage} (proves the payment)"),
                (Some(_), false) => "does not fit the invoice: the mint claims the payment".into(),
                (None, _) => "none given: the mint claims the payment".into(),
            };
            rows.push(("preimage", proof));
            for code in &self.violations {
                rows.push(("warning", format!("{code}: {}", code.advice())));
            }
        } else {
            rows.push(("state", self.state.to_owned()));
        }
        fields(&rows)
    }

    fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }
}
