//! How a command ends: exit codes, and errors with their code, sentence and severity. The one place
//! that decides which number a code becomes.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::config::Invalid;
use crate::driver::DriveError;
use crate::intake::Refused;
use crate::ports::{BusError, StoreError};
use crate::saga::code::{Code, Severity};
use crate::saga::ids::SagaId;

/// What the exit codes mean, for `--help`.
pub const HELP: &str = "\
Exit codes:
  0  done
  2  an option or argument cannot be used
  3  refused: nothing was reserved or sent
  4  failed: the payment cannot happen any more, and the coins are back
  5  not finished: it may be paid. Do not pay again; look with `meltd saga show ID`.
     An adopted saga needs no living process: it goes on at the next `meltd recover`
  6  critical, or parked for a person: do not pay again, look with `meltd saga show ID`
  7  the store, the bus, the mint or the seed file cannot be used; nothing was reserved";

/// The exit codes, for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Bad option.
    Usage = 2,
    /// Nothing was reserved.
    Refused = 3,
    /// Failed for good; the coins are back.
    Failed = 4,
    /// May be paid; recovery goes on.
    Unfinished = 5,
    /// Critical or parked.
    Critical = 6,
    /// Store, bus, mint or seed file.
    Unusable = 7,
}

impl Exit {
    /// The number.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The `error` field of an error in JSON.
    fn title(self) -> &'static str {
        match self {
            Exit::Done => "done",
            Exit::Usage => "usage",
            Exit::Refused => "refused",
            Exit::Failed => "failed",
            Exit::Unfinished => "not finished",
            Exit::Critical => "critical",
            Exit::Unusable => "unusable",
        }
    }

    /// How a refusal with this code ends. It holds only while nothing is reserved.
    pub fn of(code: Code) -> Exit {
        let usage = matches!(
            code,
            Code::ConfigInvalid | Code::StoreInvalid | Code::BusInvalid
        );
        let unusable = matches!(
            code,
            Code::StoreUnreachable
                | Code::ServeBroken
                | Code::StoreUnusable
                | Code::StoreNoReplicaSet
                | Code::BusUnreachable
                | Code::BusUnusable
                | Code::SeedFileMode
                | Code::SeedFileInvalid
                | Code::SeedOther
                | Code::MintUnreachable
                | Code::MintSlow
                | Code::MintRateLimited
                | Code::MintNonsense
                | Code::MintPaused
                | Code::ObserveOnly
        );
        if usage {
            Exit::Usage
        } else if unusable {
            Exit::Unusable
        } else if code == Code::PaymentFailed {
            Exit::Failed
        } else if code == Code::AdoptionUnknown {
            Exit::Unfinished
        } else if code.severity() == Severity::Critical {
            Exit::Critical
        } else {
            Exit::Refused
        }
    }
}

/// Why a command did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The number it ends with.
    pub exit: Exit,
    /// The machine-readable reason.
    pub code: Code,
    /// The sentence.
    pub message: String,
    /// The saga that it is about, once there is one.
    pub saga: Option<SagaId>,
}

impl Failure {
    /// A refusal: the exit follows from the code.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let (exit, message, saga) = (Exit::of(code), message.into(), None);
        Failure {
            exit,
            code,
            message,
            saga,
        }
    }

    /// The same, about a saga.
    pub fn about(self, saga: &SagaId) -> Self {
        let saga = Some(saga.clone());
        Failure { saga, ..self }
    }

    /// What became of an adopted saga is not known here: never "failed".
    pub fn of_drive(error: &DriveError, saga: &SagaId) -> Self {
        let unfinished = |code: Code, why: String| Failure {
            exit: Exit::Unfinished,
            code,
            message: format!("{why}. {}", unfinished_advice(saga)),
            saga: Some(saga.clone()),
        };
        match error {
            DriveError::Store { paid: true, source } => {
                let code = Code::CriticalDbFailureAfterMintSuccess;
                let message = format!("{source}. {}", code.advice());
                Failure::new(code, message).about(saga)
            }
            DriveError::Store {
                paid: false,
                source,
            } => unfinished(Refused::from(source.clone()).code, source.to_string()),
            DriveError::Lost => unfinished(Code::CoinsBusy, error.to_string()),
            DriveError::Closed => unfinished(Code::NotFinished, error.to_string()),
            DriveError::Missing(_) => Failure::new(Code::NotFound, Code::NotFound.advice()),
            DriveError::Damaged(why) => Failure {
                exit: Exit::Critical,
                code: Code::StoreUnusable,
                message: format!("the saga's log is damaged: {why}"),
                saga: Some(saga.clone()),
            },
        }
    }
}

/// What to do about a saga that has not ended.
pub fn unfinished_advice(saga: &SagaId) -> String {
    format!(
        "Do not pay again: look with `meltd saga show {saga}`. The saga is stored and needs no \
         process to stay alive; `meltd recover` takes it on"
    )
}

impl Failure {
    fn entries<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("error", self.exit.title())?;
        map.serialize_entry("message", &self.message)?;
        map.serialize_entry("code", &self.code)?;
        map.serialize_entry("severity", &self.code.severity())
    }
}

/// The whole answer, where there is no other.
impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("success", &false)?;
        self.entries(&mut map)?;
        if let Some(saga) = &self.saga {
            map.serialize_entry("transactionId", saga)?;
            map.serialize_entry("saga", saga)?;
        }
        map.end()
    }
}

/// The same fields inside of an answer that names its saga itself.
///
/// # Errors
/// The serializer's.
pub fn inside<S: Serializer>(failure: &Option<Failure>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    if let Some(failure) = failure {
        failure.entries(&mut map)?;
    }
    map.end()
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Failure::new(refused.code, refused.reason)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Refused::from(error).into()
    }
}

impl From<BusError> for Failure {
    fn from(error: BusError) -> Self {
        let code = match &error {
            BusError::Away(_) => Code::BusUnreachable,
            BusError::Never(_) | BusError::Unusable(_) => Code::BusUnusable,
        };
        Failure::new(code, error.to_string())
    }
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        Failure::new(invalid.code, invalid.message)
    }
}
