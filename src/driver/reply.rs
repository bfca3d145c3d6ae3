//! The answer to whoever sent the command, written in the same transaction as the events that are
//! the answer: a crash cannot lose it.

use super::is_answer;
use crate::ports::{NewSaga, OutboxReply};
use crate::saga::state::Saga;
use crate::wire::reply;

/// The reply that goes with an append that takes a saga from `before` to `after`, if somebody waits
/// for one and the append is the answer: the saga has ended, or is paid and only change is owed, or
/// waits for a person from now on. Change that is collected later is no second answer.
pub fn reply(new: &NewSaga, before: &Saga, after: &Saga) -> Option<OutboxReply> {
    let subject = new.reply_to.clone()?;
    let answers = is_answer(after) && !is_answer(before);
    let waits = after.parked.is_some() && before.parked.is_none() && !is_answer(after);
    if !answers && !waits {
        return None;
    }
    let body = reply::of(&new.command_id, after).body().ok()?;
    Some(OutboxReply { subject, body })
}
