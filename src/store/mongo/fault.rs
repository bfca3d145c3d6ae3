//! Driver errors in the caller's words. The texts never carry a server's message, because that
//! may quote a document.

use mongodb::error::{Error, ErrorKind, TRANSIENT_TRANSACTION_ERROR, WriteFailure};

use crate::ports::StoreError;

/// A unique key is taken.
const DUPLICATE_KEY: i32 = 11000;
/// Another transaction writes, or has just written, the same document.
const WRITE_CONFLICT: i32 = 112;
/// Codes that no retry mends: not allowed, wrong kind of server, refused by a validator, too
/// large, not logged in, or the indexes of another program.
const HOPELESS: [i32; 8] = [13, 18, 20, 85, 86, 121, 8000, 10334];

/// What the caller of a single read or write is told.
pub(super) fn store_error(error: Error) -> StoreError {
    let text = brief(&error);
    let kind = error.kind.as_ref();
    let ours = matches!(
        kind,
        ErrorKind::Authentication { .. }
            | ErrorKind::BsonDeserialization(_)
            | ErrorKind::BsonSerialization(_)
            | ErrorKind::IncompatibleServer { .. }
            | ErrorKind::InvalidArgument { .. }
    );
    if ours || codes(&error).iter().any(|code| HOPELESS.contains(code)) {
        StoreError::Unusable(text)
    } else {
        StoreError::Unavailable(text)
    }
}

/// A stored document that is not what we write.
pub(super) fn damaged(what: &str, id: &str) -> StoreError {
    StoreError::Unusable(format!("the {what} of {id} cannot be read"))
}

/// Every server code in an error, wherever the driver put it.
pub(super) fn codes(error: &Error) -> Vec<i32> {
    let kind = error.kind.as_ref();
    if let ErrorKind::Command(command) = kind {
        vec![command.code]
    } else if let ErrorKind::Write(WriteFailure::WriteError(write)) = kind {
        vec![write.code]
    } else if let ErrorKind::Write(WriteFailure::WriteConcernError(concern)) = kind {
        vec![concern.code]
    } else if let ErrorKind::InsertMany(insert) = kind {
        let writes = insert.write_errors.iter().flatten().map(|w| w.code);
        let concern = insert.write_concern_error.iter().map(|c| c.code);
        writes.chain(concern).collect()
    } else {
        Vec::new()
    }
}

/// True when a unique key was taken.
pub(super) fn is_duplicate(error: &Error) -> bool {
    codes(error).contains(&DUPLICATE_KEY)
}

/// True when the error says that something that we write was written by somebody else.
pub(super) fn is_collision(codes: &[i32]) -> bool {
    codes.contains(&DUPLICATE_KEY) || codes.contains(&WRITE_CONFLICT)
}

/// True when the driver or the server says that nothing of the transaction was kept.
pub(super) fn is_transient(error: &Error) -> bool {
    error.contains_label(TRANSIENT_TRANSACTION_ERROR)
}

/// The error without anything that a document could have put into it.
pub(super) fn brief(error: &Error) -> String {
    let kind = error.kind.as_ref();
    if let ErrorKind::Command(command) = kind {
        format!("the server says {} ({})", command.code_name, command.code)
    } else if let ErrorKind::Write(WriteFailure::WriteConcernError(concern)) = kind {
        format!("the write is not durable: {}", concern.code_name)
    } else if let ErrorKind::Io(io) = kind {
        format!("network: {}", io.kind())
    } else if let ErrorKind::ServerSelection { message, .. } = kind {
        message.clone()
    } else if let ErrorKind::Authentication { message, .. } = kind {
        message.clone()
    } else if let ErrorKind::DnsResolve { message, .. } = kind {
        message.clone()
    } else if let ErrorKind::InvalidArgument { message, .. } = kind {
        message.clone()
    } else if let ErrorKind::ConnectionPoolCleared { .. } = kind {
        "the connections to the server were lost".to_owned()
    } else if matches!(kind, ErrorKind::BsonDeserialization(_)) {
        "a stored document cannot be read".to_owned()
    } else {
        format!(
            "the driver refused the call (server codes: {:?})",
            codes(error)
        )
    }
}
