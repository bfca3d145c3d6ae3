//! What is said at once, stored nowhere, when the database cannot take what the mint has done.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Version;
use crate::saga::code::{Code, Severity};
use crate::saga::ids::{SagaId, WalletId};

/// A CRITICAL state, for whoever is on call. The body of a message on `melt.alerts.critical`: at
/// most once, stored in no stream. The saga's log tells the same when the database is back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CriticalAlert {
    /// The version of this shape: 1.
    pub version: Version,
    /// The saga, if it is about one: look with `meltd saga show`.
    pub saga: Option<SagaId>,
    /// Its wallet, by the opaque id.
    pub wallet: Option<WalletId>,
    /// What it is, for alarms.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// What to do, for a person.
    pub message: String,
    /// When it was seen, UTC.
    pub at: DateTime<Utc>,
}

impl CriticalAlert {
    /// The alert of a code, with the code's advice.
    pub fn new(
        saga: Option<SagaId>,
        wallet: Option<WalletId>,
        code: Code,
        at: DateTime<Utc>,
    ) -> Self {
        CriticalAlert {
            version: Version,
            saga,
            wallet,
            code,
            severity: code.severity(),
            message: code.advice().to_owned(),
            at,
        }
    }
}
