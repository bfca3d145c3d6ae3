//! What became durable, counted once, by the process that wrote it.

use crate::metrics::{Outcome, metrics};
use crate::saga::code::{Code, Severity};
use crate::saga::event::{Entry, Event, Finding};
use crate::saga::state::Saga;

/// Counts the end of a saga, CRITICAL states and what a pre-flight check found.
pub(super) fn appended(before: &Saga, after: &Saga, entries: &[Entry]) {
    if after.state.is_terminal() && !before.state.is_terminal() {
        let label = Outcome {
            kind: after.adoption.command.kind().as_str(),
            state: after.state.as_str(),
        };
        metrics().ended.get_or_create(&label).inc();
    }
    for entry in entries {
        match &entry.event {
            // What a reconciliation finds is counted by its job, which also sees what it leaves.
            Event::PreflightPassed(passed) => found(&passed.findings),
            Event::PreflightBlocked(blocked) => found(&blocked.findings),
            Event::CriticalRaised(raised) => critical(raised.code),
            Event::Parked(parked) => critical(parked.code),
            _ => {}
        }
    }
}

fn found(findings: &[Finding]) {
    for finding in findings {
        let label = finding.discrepancy.into();
        metrics().discrepancies.get_or_create(&label).inc();
    }
}

/// One that the store could not take was counted when it was raised, before the store was back.
fn critical(code: Code) {
    let counts = code != Code::CriticalDbFailureAfterMintSuccess;
    if counts && code.severity() == Severity::Critical {
        metrics().criticals.get_or_create(&code.into()).inc();
    }
}
