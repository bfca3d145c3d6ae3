//! Values of arguments: words for the core's enums, and times.

use std::time::Duration;

use clap::ValueEnum;

use crate::saga::code::Code;
use crate::saga::command::{Kind, Policy};
use crate::saga::state::{State, Status};

/// [`Policy`] as an argument.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PolicyArg {
    /// Correct the coin and stop.
    Block,
    /// Correct the coin and choose again without it.
    Reselect,
}

impl From<PolicyArg> for Policy {
    fn from(arg: PolicyArg) -> Self {
        match arg {
            PolicyArg::Block => Policy::Block,
            PolicyArg::Reselect => Policy::Reselect,
        }
    }
}

/// [`Status`] as an argument.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum StatusArg {
    /// Steps remain.
    Active,
    /// Settled, with change still owed by the mint.
    Owing,
    /// On a person's desk.
    Parked,
    /// At its end.
    Done,
}

impl From<StatusArg> for Status {
    fn from(arg: StatusArg) -> Self {
        match arg {
            StatusArg::Active => Status::Active,
            StatusArg::Owing => Status::Owing,
            StatusArg::Parked => Status::Parked,
            StatusArg::Done => Status::Done,
        }
    }
}

/// [`Kind`] as an argument.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum KindArg {
    /// Payments.
    Melt,
    /// Fundings.
    Mint,
    /// Tokens taken in.
    Receive,
    /// Coins corrected or found at the mint.
    Reconcile,
}

impl From<KindArg> for Kind {
    fn from(arg: KindArg) -> Self {
        match arg {
            KindArg::Melt => Kind::Melt,
            KindArg::Mint => Kind::Mint,
            KindArg::Receive => Kind::Receive,
            KindArg::Reconcile => Kind::Reconcile,
        }
    }
}

/// A state by the word that the store has for it.
pub(super) fn state(text: &str) -> Result<State, String> {
    let known = State::ALL.into_iter().find(|s| s.as_str() == text);
    known.ok_or_else(|| {
        let all: Vec<_> = State::ALL.iter().map(|s| s.as_str()).collect();
        format!("the states are {}", all.join(", "))
    })
}

/// A code by its text.
pub(super) fn code(text: &str) -> Result<Code, String> {
    let known = Code::ALL.iter().find(|c| c.as_str() == text.to_uppercase());
    known.copied().ok_or_else(|| {
        "there is no such code; `meltd saga show` names the code of a saga".to_owned()
    })
}

/// How old something is: as [`duration`], and days, such as `3d`; ten years at most.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    const DAY_S: u64 = 24 * 3600;
    match text.strip_suffix('d').map(str::parse::<u64>) {
        Some(Ok(days)) if days <= 3660 => Ok(Duration::from_secs(days * DAY_S)),
        Some(_) => Err("write an age as 90s, 10m, 24h or 3d".to_owned()),
        None => duration(text),
    }
}

/// `60s`, `1500ms`, `2m`, `1h`, or a number of seconds; a day at most.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit());
    let (digits, unit) = text.split_at(split.unwrap_or(text.len()));
    let number: u64 = digits.parse().map_err(|_| USE_TIMES.to_owned())?;
    let factor = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(USE_TIMES.to_owned()),
    };
    let ms = number
        .checked_mul(factor)
        .filter(|ms| *ms <= 24 * 3_600_000);
    ms.map(Duration::from_millis)
        .ok_or_else(|| "a day is the longest time".to_owned())
}

const USE_TIMES: &str = "write a time as 60s, 1500ms, 2m or 1h";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let ms = |text| duration(text).map(|d| d.as_millis());
        assert_eq!(ms("60s"), Ok(60_000));
        assert_eq!(ms("7"), Ok(7_000));
        assert_eq!(ms("1500ms"), Ok(1_500));
        assert_eq!(ms("2m"), Ok(120_000));
        assert_eq!(ms("0"), Ok(0));
        for bad in [
            "",
            "s",
            "1.5s",
            "-1s",
            "3 s",
            "1d",
            "25h",
            "99999999999999999999s",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
