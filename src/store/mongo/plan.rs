//! What one append writes, as documents. Built in the caller's task, so that a committer only
//! sends it, and a caller's mistake never reaches a batch.

use mongodb::bson::{Bson, Document, doc};

use super::outbox::{event_row, reply_row};
use super::rows::{EventDoc, ProofDoc, stored};
use crate::ports::{Append, HeadAfter, StoreError};
use crate::saga::ids::Y;
use crate::saga::proofs::{ProofState, ProofWrite};
use crate::saga::state::Status;

/// Record ids have six digits of position, and must sort as text.
const MAX_SEQ: u32 = 999_999;

/// One append.
pub(super) struct Plan {
    pub(super) saga: String,
    pub(super) wallet: String,
    pub(super) expected: i64,
    pub(super) fence: i64,
    /// The head's update statement.
    pub(super) head: Document,
    pub(super) events: Vec<EventDoc>,
    pub(super) outbox: Vec<Document>,
    pub(super) moves: Vec<Move>,
    pub(super) inserts: Vec<ProofDoc>,
}

/// A change of a proof's state.
pub(super) struct Move {
    pub(super) y: Y,
    /// The condition, as it was read.
    pub(super) from: ProofState,
    /// The update statement.
    pub(super) statement: Document,
}

impl Plan {
    /// Checks an append and turns it into documents.
    pub(super) fn of(append: Append) -> Result<Plan, StoreError> {
        check(&append)?;
        let mut moves = Vec::new();
        let mut inserts = Vec::new();
        for write in append.proofs {
            match write {
                ProofWrite::Move { y, from, to } => {
                    let holder = append.saga.as_str();
                    let statement = movement(&y, append.wallet.as_str(), holder, from, to);
                    moves.push(Move { y, from, statement });
                }
                ProofWrite::Insert {
                    state: ProofState::Spent,
                    ..
                } => {
                    return Err(unusable("a proof cannot be born spent"));
                }
                ProofWrite::Insert {
                    coin,
                    signature,
                    state,
                    token,
                } => {
                    let signed = (coin, signature);
                    let (wallet, saga) = (&append.wallet, &append.saga);
                    inserts.push(ProofDoc::born(wallet, saga, signed, state, token)?);
                }
            }
        }
        let expected = i64::from(append.expected_version);
        let fence = stored(append.fence, "fence")?;
        let version = append.records.last().map_or(expected, |r| i64::from(r.seq));
        let condition = doc! {
            "_id": append.saga.as_str(), "version": expected, "fence": fence,
        };
        let events: Vec<_> = append.records.into_iter().map(EventDoc::of).collect();
        let mut outbox: Vec<_> = events.iter().map(event_row).collect();
        if let (Some(reply), Some(last)) = (append.reply, events.last()) {
            outbox.push(reply_row(&append.saga, last, reply));
        }
        Ok(Plan {
            outbox,
            saga: append.saga.as_str().to_owned(),
            wallet: append.wallet.as_str().to_owned(),
            expected,
            fence,
            head: doc! { "q": condition, "u": head_update(&append.head, version) },
            events,
            moves,
            inserts,
        })
    }

    /// How many documents it writes.
    pub(super) fn weight(&self) -> usize {
        1 + self.events.len() + self.outbox.len() + self.moves.len() + self.inserts.len()
    }

    /// The proof rows that it writes.
    pub(super) fn ys(&self) -> impl Iterator<Item = &str> {
        let moved = self.moves.iter().map(|m| m.y.as_str());
        moved.chain(self.inserts.iter().map(|i| i.y.as_str()))
    }
}

fn check(append: &Append) -> Result<(), StoreError> {
    let mut next = append.expected_version;
    for record in &append.records {
        next = next.saturating_add(1);
        if record.seq != next || record.saga != append.saga {
            return Err(unusable(
                "the records of an append do not follow what was read",
            ));
        }
    }
    if append.records.is_empty() {
        return Err(unusable("an append without records"));
    }
    if next > MAX_SEQ {
        return Err(unusable("a saga has run out of positions"));
    }
    Ok(())
}

fn unusable(why: &str) -> StoreError {
    StoreError::Unusable(why.to_owned())
}

fn head_update(head: &HeadAfter, version: i64) -> Document {
    let done = head.status == Status::Done;
    let mut set = doc! {
        "version": version,
        "head_hash": &head.head_hash,
        "state": &head.state,
        "status": head.status.as_str(),
        "attempts": 0i64,
        "last_error": Bson::Null,
        "doubt": Bson::Null,
    };
    // The server's clock: `$currentDate` needs no pipeline, so no text of ours is an expression.
    let mut now = doc! { "updated_at": true };
    if done {
        set.insert("next_attempt_at", Bson::Null);
    } else {
        now.insert("next_attempt_at", true);
    }
    if head.erase_sealed {
        set.insert("command.sealed", Bson::Null);
    }
    let mut update = doc! { "$set": set, "$currentDate": now };
    if !head.holds_claims {
        update.insert(
            "$unset",
            doc! { "claim_payment_hash": "", "claim_intent_key": "" },
        );
    }
    update
}

/// The update statement of a move: it repeats everything that was read. `spent` is final, so a
/// move out of it gets a condition that no row meets.
fn movement(y: &Y, wallet: &str, saga: &str, from: ProofState, to: ProofState) -> Document {
    let holder = |state| match state {
        ProofState::Unspent => Bson::Null,
        ProofState::Reserved | ProofState::Pending | ProofState::Spent => Bson::from(saga),
    };
    let mut condition = doc! {
        "_id": y.as_str(), "wallet": wallet, "state": from.as_str(), "saga": holder(from),
    };
    if from == ProofState::Spent {
        condition.insert("state", Bson::Null);
    }
    let mut update = doc! { "$set": { "state": to.as_str(), "saga": holder(to) } };
    if to == ProofState::Spent {
        update.insert("$currentDate", doc! { "spent_at": true });
    }
    doc! { "q": condition, "u": update }
}
