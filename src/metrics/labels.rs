//! The labels. Each value is a word of a list in the code, or a configured mint.

use prometheus_client::encoding::EncodeLabelSet;

use crate::saga::code::{Code, Discrepancy};

/// Declares a set of labels, all of them text.
macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
        pub struct $name { $($(#[$field_doc])* pub $field: $kind,)* }
    )*};
}

labels! {
    /// How a saga ended.
    Outcome {
        /// melt, mint or receive.
        kind: &'static str,
        /// The terminal state's word.
        state: &'static str,
    }
    /// A step of the loop.
    StepLabel {
        /// Its name.
        step: &'static str,
    }
    /// A code.
    CodeLabel {
        /// Its stable text.
        code: &'static str,
    }
    /// A request to a mint.
    Call {
        /// The mint's URL, as configured.
        mint: String,
        /// Method and path, without ids.
        call: String,
    }
    /// A request to a mint that failed.
    Failure {
        /// The mint's URL, as configured.
        mint: String,
        /// Method and path, without ids.
        call: String,
        /// Why.
        code: &'static str,
    }
    /// A difference between the store and a mint.
    DiscrepancyLabel {
        /// The seeds' type.
        discrepancy: &'static str,
        /// The seeds' severity.
        severity: &'static str,
    }
    /// What became of a command of the queue.
    CommandResult {
        /// One of [`CommandResult::ALL`].
        result: &'static str,
    }
    /// An HTTP request.
    Request {
        /// The route's pattern, never the path itself.
        route: String,
        /// GET, POST …, or other.
        method: &'static str,
        /// The answer's status: 1xx to 5xx.
        status: &'static str,
    }
    /// An HTTP request, to be timed.
    RequestTime {
        /// The route's pattern, never the path itself.
        route: String,
        /// GET, POST …, or other.
        method: &'static str,
    }
    /// What recovery sees.
    StatusLabel {
        /// active, owing or parked.
        status: &'static str,
    }
}

impl CommandResult {
    /// Its saga was adopted.
    pub const ACCEPTED: CommandResult = CommandResult { result: "accepted" };
    /// It was known already, and got its saga's answer.
    pub const REPEATED: CommandResult = CommandResult { result: "repeated" };
    /// It was refused for what it asks.
    pub const REFUSED: CommandResult = CommandResult { result: "refused" };
    /// It was put among the dead letters.
    pub const DEAD: CommandResult = CommandResult { result: "dead" };
    /// It was put off, for a reason of ours.
    pub const LATER: CommandResult = CommandResult { result: "later" };

    /// All of them.
    pub const ALL: [CommandResult; 5] = [
        Self::ACCEPTED,
        Self::REPEATED,
        Self::REFUSED,
        Self::DEAD,
        Self::LATER,
    ];
}

impl From<Code> for CodeLabel {
    fn from(code: Code) -> Self {
        CodeLabel {
            code: code.as_str(),
        }
    }
}

impl From<Discrepancy> for DiscrepancyLabel {
    fn from(discrepancy: Discrepancy) -> Self {
        DiscrepancyLabel {
            discrepancy: discrepancy.as_str(),
            severity: discrepancy.severity().as_str(),
        }
    }
}
