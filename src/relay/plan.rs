//! Which rows to publish now. Pure: no clock, no I/O.

use std::collections::BTreeSet;

use crate::ports::OutboxRow;
use crate::saga::ids::SagaId;

/// What becomes of the rows of a window, by their index in it. The others wait for a message of
/// their own saga, or for a free slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// To be published now.
    pub publish: Vec<usize>,
    /// Not to be published in this walk over the outbox: they wait after a failure or are parked,
    /// or stand behind such a row of their saga.
    pub skip: Vec<usize>,
}

/// Chooses from a window of the outbox, in id order.
///
/// Events of one saga go out one after the other, so a saga in flight, or blocked by a row that
/// waits or is parked, holds back its own later rows; and nobody else's. `held` are the sagas that
/// were found blocked earlier in the walk. A reply that waits or is parked holds nothing back:
/// events do not depend on it.
pub fn plan(
    rows: &[OutboxRow],
    in_flight: &BTreeSet<SagaId>,
    held: &BTreeSet<SagaId>,
    slots: usize,
) -> Plan {
    let mut plan = Plan::default();
    let mut free = slots.saturating_sub(in_flight.len());
    let mut chosen: BTreeSet<&SagaId> = BTreeSet::new();
    let mut blocked: BTreeSet<&SagaId> = BTreeSet::new();
    for (at, row) in rows.iter().enumerate() {
        if held.contains(&row.saga) || blocked.contains(&row.saga) {
            plan.skip.push(at);
        } else if in_flight.contains(&row.saga) || chosen.contains(&row.saga) {
            continue;
        } else if row.parked || !row.due {
            plan.skip.push(at);
            if row.link.is_some() {
                blocked.insert(&row.saga);
            }
        } else if free > 0 {
            free -= 1;
            plan.publish.push(at);
            chosen.insert(&row.saga);
        } else {
            break;
        }
    }
    plan
}
