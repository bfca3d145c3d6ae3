//! `meltd audit verify`: does the store agree with its own history, and is value conserved?

use std::collections::BTreeMap;

use serde::Serialize;

use super::exit::{Exit, Failure, inside};
use super::output::{Answer, table};
use crate::audit::{Account, Audit, verify as audit};
use crate::ports::Store;
use crate::saga::code::Code;

/// What the audit found, with the wallets' owners.
#[derive(Debug, Serialize)]
pub(super) struct AuditAnswer {
    clean: bool,
    #[serde(flatten)]
    audit: Audit,
    #[serde(flatten, serialize_with = "inside")]
    failure: Option<Failure>,
    #[serde(skip)]
    owners: BTreeMap<String, String>,
}

/// Reads everything, once.
pub(super) async fn verify<S: Store>(store: &S) -> Result<AuditAnswer, Failure> {
    let owners = store.wallets(None).await?.into_iter();
    let owners = owners.map(|w| (w.id.to_string(), w.npub)).collect();
    let audit = audit(store).await?;
    let wrong = audit.problems.len();
    let failure = (wrong > 0).then(|| Failure {
        exit: Exit::Critical,
        code: Code::StoreUnusable,
        message: format!("{wrong} problem(s) found: the store does not agree with its history"),
        saga: None,
    });
    Ok(AuditAnswer {
        clean: failure.is_none(),
        audit,
        failure,
        owners,
    })
}

/// Where each wallet's value came from and went to, as a table.
pub(super) fn conservation(
    accounts: &BTreeMap<String, Account>,
    name: impl Fn(&str) -> String,
) -> String {
    let head = [
        "wallet",
        "minted",
        "received",
        "restored",
        "paid",
        "fees",
        "lost",
        "written off",
        "owed",
        "balance",
        "left over",
    ];
    let rows: Vec<Vec<String>> = accounts
        .iter()
        .map(|(id, a)| {
            let sums = [
                a.minted,
                a.received,
                a.restored,
                a.paid,
                a.fees,
                a.lost,
                a.written_off,
                a.owed,
                a.balance,
                a.imbalance(),
            ];
            let sums = sums.iter().map(ToString::to_string);
            std::iter::once(name(id)).chain(sums).collect()
        })
        .collect();
    table(&head, &rows)
}

impl Answer for AuditAnswer {
    fn human(&self) -> String {
        let Audit {
            sagas,
            events,
            proofs,
            wallets,
            problems,
        } = &self.audit;
        let mut text = String::new();
        if !wallets.is_empty() {
            let owner = |id: &str| self.owners.get(id).map_or(id, String::as_str).to_owned();
            text += &conservation(wallets, |id| super::sagas::short(&owner(id)));
            text.push('\n');
        }
        for problem in problems {
            text += &format!("problem: {problem}\n");
        }
        let verdict = if self.clean { "clean" } else { "NOT CLEAN" };
        let counts = format!("sagas {sagas}, events {events}, coins {proofs}");
        text + &format!("{verdict}: checked {counts}\n")
    }

    fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }
}
