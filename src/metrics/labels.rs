//! The labels. Each value is a word of a list in the code, or a configured mint.

use prometheus_client::encoding::EncodeLabelSet;

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
        /// accepted, repeated, refused, dead or later.
        result: &'static str,
    }
    /// An HTTP request.
    Request {
        /// The route's pattern, never the path itself.
        route: String,
        /// GET, POST ….
        method: String,
        /// The answer's status.
        status: u16,
    }
    /// An HTTP request, to be timed.
    RequestTime {
        /// The route's pattern.
        route: String,
        /// GET, POST ….
        method: String,
    }
    /// What recovery sees.
    StatusLabel {
        /// active, owing or parked.
        status: &'static str,
    }
}
