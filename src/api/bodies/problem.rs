//! The one error body: the seeds' fields, in their order.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::saga::code::{Code, Severity};

/// Why a request was not done, or what is wrong with a melt. Absent fields do not apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// What kind of failure, in a few words.
    pub error: String,
    /// What happened, in a sentence for a person.
    pub message: String,
    /// The stable, machine-readable reason.
    #[schema(value_type = String, example = "INSUFFICIENT_BALANCE")]
    pub code: Code,
    /// How bad it is.
    #[schema(value_type = String, example = "LOW")]
    pub severity: Severity,
    /// True only where the evidence contradicts itself and a person has to decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires_manual_intervention: Option<bool>,
    /// The mint's quote, for the owner of the wallet alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote_id: Option<String>,
    /// The melt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<String>,
    /// True if the check before the melt stopped it: nothing was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_blocked: Option<bool>,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommendation: Option<String>,
    /// What to tell the operator: the melt's id, or the request's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support_id: Option<String>,
    /// Whom to ask, where the operator has named somebody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support_contact: Option<String>,
}

impl Problem {
    /// A problem with no melt behind it.
    pub fn new(error: &str, code: Code, message: impl Into<String>) -> Self {
        Problem {
            error: error.to_owned(),
            message: message.into(),
            code,
            severity: code.severity(),
            requires_manual_intervention: None,
            quote_id: None,
            transaction_id: None,
            operation_blocked: None,
            recommendation: Some(code.advice().to_owned()),
            support_id: None,
            support_contact: None,
        }
    }
}
