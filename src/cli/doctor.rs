//! `meltd doctor`: a line for each thing that was looked at, with what to do.

use std::time::Duration;

use serde::Serialize;

use super::Act;
use super::exit::{Exit, Failure, inside};
use super::output::{Answer, table};
use super::progress::Waiting;
use super::reconcile::not_finished;
use super::values::age;
use crate::config::BusConfig;
use crate::doctor::{Checks, Grade, Line};
use crate::ports::{Clock, Mint, Store};
use crate::saga::code::Code;

/// `meltd doctor`
#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    /// Of how many wallets the counters are compared with the mint
    //
    // 200: some seconds; each takes a request or two.
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub wallets: usize,
    /// A saga that is under way for longer is told
    //
    // An hour: longer than an ordinary payment takes; a HODL invoice may take days.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = age)]
    pub stuck_after: Duration,
    /// A saga that is due for longer has nobody who drives it
    //
    // Two minutes: recovery looks every two seconds, and takes hundreds in a second.
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = age)]
    pub overdue_after: Duration,
    /// Where the bus is, if one is used.
    #[command(flatten)]
    pub bus: BusConfig,
}

/// What was found.
#[derive(Debug, Serialize)]
pub struct DoctorAnswer {
    healthy: bool,
    checks: Vec<Line>,
    #[serde(flatten, serialize_with = "inside")]
    failure: Option<Failure>,
}

/// Looks at everything. That it got this far means: the store could be opened, and the seed file
/// is the one that the store was first used with.
pub async fn doctor<S: Store, M: Mint, C: Clock>(
    act: &Act<S, M, C>,
    args: &DoctorArgs,
    bus: Vec<Line>,
) -> Exit {
    act.out.end(examine(act, args, bus).await)
}

async fn examine<S: Store, M: Mint, C: Clock>(
    act: &Act<S, M, C>,
    args: &DoctorArgs,
    bus: Vec<Line>,
) -> Result<DoctorAnswer, Failure> {
    let waiting = Waiting::new(act.out);
    let checks = Checks {
        unit: &act.unit,
        wallets_max: args.wallets,
        stuck_after: args.stuck_after,
        overdue_after: args.overdue_after,
    };
    let examined = waiting.on(act.driver.examine(&checks)).await;
    let Some(examined) = examined else {
        return Err(not_finished("stopped by a signal".to_owned()));
    };
    let seed = "mode 0600, and the one that this store was first used with";
    let mut checks = vec![Line::ok("seed file", seed)];
    checks.extend(examined);
    checks.extend(bus);
    let bad = checks
        .iter()
        .filter(|line| line.grade == Grade::Bad)
        .count();
    let failure = (bad > 0).then(|| Failure {
        exit: Exit::Critical,
        code: Code::NotHealthy,
        message: format!("{bad} thing(s) must be mended; what to do stands beside each"),
        saga: None,
    });
    Ok(DoctorAnswer {
        healthy: failure.is_none(),
        checks,
        failure,
    })
}

/// The answer where meltd does not even start.
pub fn cannot_start(failure: Failure) -> DoctorAnswer {
    let (what, found) = ("start", failure.message.clone());
    let line = Line::not_ok(Grade::Bad, what, found, failure.code.advice());
    DoctorAnswer {
        healthy: false,
        checks: vec![line],
        failure: Some(failure),
    }
}

impl Answer for DoctorAnswer {
    fn human(&self) -> String {
        let rows = self.checks.iter().map(|line| {
            let grade = match line.grade {
                Grade::Ok => "ok",
                Grade::Warning => "WARNING",
                Grade::Bad => "BAD",
            };
            let advice = line.advice.clone().unwrap_or_default();
            vec![
                grade.to_owned(),
                line.what.clone(),
                line.found.clone(),
                advice,
            ]
        });
        table(
            &["", "what", "found", "what to do"],
            &rows.collect::<Vec<_>>(),
        )
    }

    fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }
}
