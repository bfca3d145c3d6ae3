//! SQLite's errors, named by what the caller does next. Messages name tables and columns, never
//! values.

use rusqlite::{Error, ErrorCode, ffi};

use crate::ports::StoreError;

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        let why = error.to_string();
        match error.sqlite_error_code() {
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::FileLockingProtocolFailed,
            ) => StoreError::Unavailable(format!("another process holds it ({why})")),
            Some(ErrorCode::DiskFull) => {
                StoreError::Unavailable(format!("the disk is full: make room ({why})"))
            }
            Some(
                ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::OutOfMemory
                | ErrorCode::OperationInterrupted
                | ErrorCode::PermissionDenied,
            ) => StoreError::Unavailable(why),
            Some(ErrorCode::NotADatabase) => StoreError::Unusable(format!(
                "the file is not a meltd store: name another file in MELTD_STORE ({why})"
            )),
            Some(ErrorCode::DatabaseCorrupt) => {
                StoreError::Unusable(format!("the file is damaged: restore a backup ({why})"))
            }
            Some(ErrorCode::ReadOnly) => StoreError::Unusable(format!(
                "the file or its directory is read-only: make both writable ({why})"
            )),
            // Everything else is a row that is not what it must be, or a bug: stop.
            Some(_) | None => StoreError::Unusable(why),
        }
    }
}

/// A stored value that this program cannot read.
pub(super) fn damaged(what: &str) -> StoreError {
    StoreError::Unusable(format!("a stored {what} cannot be read"))
}

/// True when a unique key or primary key refused the row.
pub(super) fn is_duplicate(error: &Error) -> bool {
    extended(error).is_some_and(|code| {
        code == ffi::SQLITE_CONSTRAINT_UNIQUE || code == ffi::SQLITE_CONSTRAINT_PRIMARYKEY
    })
}

fn extended(error: &Error) -> Option<i32> {
    error.sqlite_error().map(|e| e.extended_code)
}
