//! What a producer gets: what became of its command. A reply is a pure function of the folded saga,
//! so a repeat of the command gets the same answer for ever.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Version;
use crate::saga::code::{Code, Severity};
use crate::saga::command::Command;
use crate::saga::ids::{Amount, SagaId, Seq, sum};
use crate::saga::state::{Ended, Saga, State};

/// What became of a command. What may be paid is never called failed or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is a saga now and goes on by itself; another reply follows. Do not pay again.
    Accepted,
    /// The mint has paid the invoice.
    Paid,
    /// It was not paid and can never be paid by this saga; every coin is back.
    Failed,
    /// Nothing was reserved or sent; without `saga` nothing was even stored.
    Refused,
    /// On a person's desk; another reply follows when it has ended. Do not pay again.
    Parked,
    /// The evidence contradicts itself, or value was given up: a person has to look. Do not pay
    /// again.
    Critical,
}

/// The answer to a command. The body of a message on `melt.reply.<producer>.>`, which only that
/// producer may read: it holds the preimage, the payer's proof of payment, which no event has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MeltReply {
    /// The version of this shape: 1.
    pub version: Version,
    /// The command that it answers: its own id, its message's, or the one that was made for it.
    pub command_id: String,
    /// What became of it.
    pub outcome: Outcome,
    /// The saga; absent if the command was refused before there was one.
    pub saga: Option<SagaId>,
    /// How many events the saga had: of two replies on one saga the higher one is the newer.
    pub seq: Seq,
    /// Where the saga stood, for a person.
    pub state: Option<String>,
    /// The invoice's payment hash, 64 hex digits, once there is a saga.
    pub payment_hash: Option<String>,
    /// What the payee got, in the wallet's unit; 0 unless paid.
    pub amount: Amount,
    /// The Lightning fee; the whole reserve while change is owed.
    pub fee_paid: Amount,
    /// The mint's own fees for coins and swaps.
    pub input_fees: Amount,
    /// Change that came back.
    pub change: Amount,
    /// Change that the mint still owes; it is collected without anybody asking for it.
    pub change_owed: Amount,
    /// True only if SHA-256(preimage) is the payment hash; otherwise the mint claims the payment.
    pub proven: bool,
    /// The preimage, 64 hex digits, if the mint gave one.
    pub preimage: Option<String>,
    /// Why it is not paid, or what is wrong though it is; for programs.
    pub code: Option<Code>,
    /// How bad that is.
    pub severity: Option<Severity>,
    /// The same in a sentence, for a person; it repeats nothing private.
    pub message: Option<String>,
    /// True if nothing goes on before a person has looked (the seeds' field).
    pub requires_manual_intervention: bool,
}

/// The answer that a saga gives now to the command of this id.
pub fn of(command_id: &str, saga: &Saga) -> MeltReply {
    let committed = saga.committed.as_ref();
    let (outcome, code, message) = outcome(saga);
    let input_fee = committed.map_or(0, |c| c.input_fee);
    MeltReply {
        version: Version,
        command_id: command_id.to_owned(),
        outcome,
        saga: Some(saga.adoption.id.clone()),
        seq: saga.seq,
        state: Some(saga.state.as_str().to_owned()),
        payment_hash: match &saga.adoption.command {
            Command::Melt(melt) => Some(melt.payment_hash.clone()),
            Command::Mint(_) | Command::Receive(_) | Command::Reconcile(_) => None,
        },
        amount: committed.map_or(0, |c| c.amount),
        fee_paid: saga.fee_paid,
        input_fees: saga.swap_fees.saturating_add(input_fee),
        change: sum(saga.change.iter().map(|c| c.amount)).unwrap_or(0),
        change_owed: saga.change_owed,
        proven: saga.paid.as_ref().is_some_and(|p| p.proven),
        preimage: saga.paid.as_ref().and_then(|p| p.preimage.clone()),
        code,
        severity: code.map(Code::severity),
        message,
        requires_manual_intervention: matches!(outcome, Outcome::Parked | Outcome::Critical),
    }
}

/// The first answer to a command: it is this saga now.
pub fn accepted(command_id: &str, saga: &SagaId) -> MeltReply {
    MeltReply {
        saga: Some(saga.clone()),
        state: Some(State::Adopted.as_str().to_owned()),
        ..without_saga(command_id, Outcome::Accepted)
    }
}

/// The answer to a command that never became a saga.
pub fn refused(command_id: &str, code: Code, reason: &str) -> MeltReply {
    MeltReply {
        code: Some(code),
        severity: Some(code.severity()),
        message: Some(reason.to_owned()),
        ..without_saga(command_id, Outcome::Refused)
    }
}

/// The answer to a command that was put among the dead letters: a person may replay it, so it is
/// not refused yet.
pub fn put_aside(command_id: &str, code: Code, reason: &str) -> MeltReply {
    MeltReply {
        outcome: Outcome::Parked,
        requires_manual_intervention: true,
        ..refused(command_id, code, reason)
    }
}

/// The answer while the saga's log cannot be read: nothing is known, so nothing is promised.
pub fn unreadable(command_id: &str, saga: &SagaId) -> MeltReply {
    let code = Code::StoreUnusable;
    MeltReply {
        outcome: Outcome::Critical,
        saga: Some(saga.clone()),
        requires_manual_intervention: true,
        ..refused(command_id, code, code.advice())
    }
}

fn without_saga(command_id: &str, outcome: Outcome) -> MeltReply {
    MeltReply {
        version: Version,
        command_id: command_id.to_owned(),
        outcome,
        saga: None,
        seq: 0,
        state: None,
        payment_hash: None,
        amount: 0,
        fee_paid: 0,
        input_fees: 0,
        change: 0,
        change_owed: 0,
        proven: false,
        preimage: None,
        code: None,
        severity: None,
        message: None,
        requires_manual_intervention: false,
    }
}

impl MeltReply {
    /// The exact body.
    ///
    /// # Errors
    /// Serde's; none of the fields can cause one.
    pub fn body(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

fn outcome(saga: &Saga) -> (Outcome, Option<Code>, Option<String>) {
    let advice = |code: Code| Some(code.advice().to_owned());
    match saga.state {
        State::Owing | State::Settled => {
            let violations = saga.committed.iter().flat_map(|c| &c.violations);
            let worst = violations.copied().max_by_key(|code| code.severity());
            (Outcome::Paid, worst, worst.and_then(advice))
        }
        State::Released => ended(Outcome::Failed, saga.ended.as_ref()),
        State::Rejected | State::Blocked => ended(Outcome::Refused, saga.ended.as_ref()),
        State::WrittenOff => {
            let code = Code::WrittenOff;
            (Outcome::Critical, Some(code), advice(code))
        }
        State::Adopted
        | State::Requested
        | State::Quoted
        | State::Planned
        | State::Swapping
        | State::Ready
        | State::Sent
        | State::Fencing
        | State::Paid
        | State::Issuing => match &saga.parked {
            Some(parked) if parked.code.severity() == Severity::Critical => {
                (Outcome::Critical, Some(parked.code), advice(parked.code))
            }
            Some(parked) => (Outcome::Parked, Some(parked.code), advice(parked.code)),
            None => (Outcome::Accepted, None, None),
        },
    }
}

fn ended(outcome: Outcome, ended: Option<&Ended>) -> (Outcome, Option<Code>, Option<String>) {
    let code = ended.map(|ended| ended.code);
    let message = ended.map(|Ended { code, reason }| {
        format!("{}. {}", reason.trim_end_matches('.'), code.advice())
    });
    (outcome, code, message)
}
