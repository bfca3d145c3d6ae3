//! The background job: each wallet every so often, spread over the time, and gentle on the mints.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::{Report, Scope, Stopped};
use crate::driver::Driver;
use crate::ports::{Clock, Mint, Store, Wallet};
use crate::saga::code::{Code, Discrepancy, Severity};

/// How often, and how gently.
#[derive(Clone, Copy, Debug)]
pub struct Rounds {
    /// Every wallet once in this time.
    pub every: Duration,
    /// Sagas that have ended are looked at again for this long.
    pub window: Duration,
    /// Between two requests to a mint.
    pub pause: Duration,
}

impl Default for Rounds {
    fn default() -> Self {
        // Twice a day: what differs is found at the next melt anyway, by its pre-flight check.
        // A week: no request is on its way for longer, and a saga is seen some ten times.
        // Five requests a second: under the limits of the mints that have one.
        Rounds {
            every: Duration::from_secs(12 * 3600),
            window: Duration::from_secs(7 * 24 * 3600),
            pause: Duration::from_millis(200),
        }
    }
}

/// What the job has found since the process began, for metrics.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Counts>);

#[derive(Clone, Debug, Default)]
struct Counts {
    found: HashMap<Discrepancy, u64>,
    wallets: u64,
    behind: u64,
    failed: u64,
}

impl Tally {
    /// How often each discrepancy was found, with its severity.
    pub fn found(&self) -> Vec<(Discrepancy, Severity, u64)> {
        let found = self.with(|counts| counts.found.clone());
        let mut found: Vec<_> = found
            .into_iter()
            .map(|(what, n)| (what, what.severity(), n))
            .collect();
        found.sort_by_key(|(what, ..)| what.as_str());
        found
    }

    /// Wallets looked at, wallets whose counters are behind, and wallets that could not be looked
    /// at.
    pub fn wallets(&self) -> (u64, u64, u64) {
        self.with(|counts| (counts.wallets, counts.behind, counts.failed))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Counts) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, result: &Result<Report, Stopped>) {
        self.with(|counts| match result {
            Ok(report) => {
                counts.wallets += 1;
                counts.behind += u64::from(!report.look.behind.is_empty());
                for difference in &report.look.differences {
                    *counts.found.entry(difference.discrepancy).or_default() += 1;
                }
            }
            Err(_) => counts.failed += 1,
        });
    }
}

/// Goes round until `stop` ends. A wallet that cannot be looked at is tried again in its next turn.
pub async fn run<S: Store, M: Mint, C: Clock>(
    driver: &Driver<S, M, C>,
    rounds: Rounds,
    tally: &Tally,
    stop: impl Future<Output = ()>,
) {
    tokio::select! {
        () = stop => {}
        () = go_round(driver, rounds, tally) => {}
    }
}

async fn go_round<S: Store, M: Mint, C: Clock>(
    driver: &Driver<S, M, C>,
    rounds: Rounds,
    tally: &Tally,
) {
    loop {
        let began = Instant::now();
        let wallets = match driver.store.wallets(None).await {
            Ok(wallets) => wallets,
            Err(why) => {
                warn!(%why, "the wallets cannot be listed");
                Vec::new()
            }
        };
        let share = u32::try_from(wallets.len()).unwrap_or(u32::MAX).max(1);
        for (turn, wallet) in (0u32..).zip(&wallets) {
            tokio::time::sleep_until(began + rounds.every / share * turn).await;
            let result = driver.reconcile(wallet, &scope(driver, rounds)).await;
            tally.note(&result);
            tell(wallet, &result);
        }
        tokio::time::sleep_until(began + rounds.every).await;
    }
}

fn scope<S, M, C: Clock>(driver: &Driver<S, M, C>, rounds: Rounds) -> Scope {
    let window = TimeDelta::from_std(rounds.window).unwrap_or(TimeDelta::MAX);
    Scope {
        spent: false,
        since: driver.clock.now().checked_sub_signed(window),
        pause: rounds.pause,
    }
}

fn tell(wallet: &Wallet, result: &Result<Report, Stopped>) {
    let wallet = &wallet.id;
    let report = match result {
        Ok(report) => report,
        Err(why) => return warn!(%wallet, %why, "the wallet was not reconciled"),
    };
    if let Some(range) = report.look.behind.first() {
        let code = Code::CountersBehind;
        error!(%wallet, keyset = %range.keyset, %code, "{}", code.advice());
    }
    let differences = report.look.differences.len();
    if differences > 0 {
        let settled = &report.settled;
        warn!(
            %wallet,
            differences,
            corrected = settled.corrected,
            restored = settled.restored,
            "the store and the mint differed"
        );
    }
    info!(%wallet, checked = report.look.checked, "reconciled");
}
