//! The background job: each wallet every so often, spread over the time, and gentle on the mints.

use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{Report, Scope, Stopped};
use crate::driver::Driver;
use crate::metrics::metrics;
use crate::ports::{Clock, Mint, Store, Wallet};
use crate::saga::code::Code;

/// How often, and how gently.
#[derive(Clone, Copy, Debug)]
pub struct Rounds {
    /// Every wallet once in this time.
    pub every: Duration,
    /// Sagas that have ended are looked at again for this long.
    pub window: Duration,
    /// Between two requests to a mint.
    pub pause: Duration,
    /// How long the turn stays with a process that died.
    pub lease_ttl: Duration,
}

/// The name of the lease.
const LEASE: &str = "reconcile";

impl Default for Rounds {
    fn default() -> Self {
        // Twice a day: what differs is found at the next melt anyway, by its pre-flight check.
        // A week: no request is on its way for longer, and a saga is seen some ten times.
        // Five requests a second: under the limits of the mints that have one.
        // A minute and a half: nobody waits for this, and a write every half minute is nothing.
        Rounds {
            every: Duration::from_secs(12 * 3600),
            window: Duration::from_secs(7 * 24 * 3600),
            pause: Duration::from_millis(200),
            lease_ttl: Duration::from_secs(90),
        }
    }
}

/// Goes round until it is stopped, which it is between two wallets. Of all processes on a store one
/// does so: the holder of a lease. A wallet that cannot be looked at is tried again in its next
/// turn. A process that only observes looks, tells, and corrects nothing.
pub async fn run<S: Store, M: Mint, C: Clock>(
    driver: &Driver<S, M, C>,
    rounds: Rounds,
    stop: CancellationToken,
) {
    let mut job = Job {
        driver,
        rounds,
        epoch: None,
    };
    while !stop.is_cancelled() {
        let began = Instant::now();
        let wallets = match driver.store.wallets(None).await {
            Ok(wallets) => wallets,
            Err(why) => {
                warn!(%why, "the wallets cannot be listed");
                Vec::new()
            }
        };
        let share = u32::try_from(wallets.len()).unwrap_or(u32::MAX).max(1);
        for (turn, wallet) in (1u32..).zip(&wallets) {
            let at = began + (rounds.every / share).saturating_mul(turn);
            if !job.is_ours_until(at, &stop).await {
                break;
            }
            let mut report = Report::default();
            let scope = scope(driver, rounds);
            let done = match driver.tuning.observe_only {
                true => driver.look_at(wallet, &scope, &mut report.look).await,
                false => driver.reconcile(wallet, &scope, &mut report).await,
            };
            tell(wallet, &report, &done);
        }
        job.is_ours_until(began + rounds.every, &stop).await;
    }
    if let Some(epoch) = job.epoch {
        // It ends by itself if it cannot be given back.
        drop(driver.store.lease_end(LEASE, epoch).await);
    }
}

struct Job<'a, S, M, C> {
    driver: &'a Driver<S, M, C>,
    rounds: Rounds,
    epoch: Option<u64>,
}

impl<S: Store, M: Mint, C: Clock> Job<'_, S, M, C> {
    /// Waits until then, keeping the lease. False: somebody else has it, or the process stops.
    async fn is_ours_until(&mut self, at: Instant, stop: &CancellationToken) -> bool {
        loop {
            self.epoch = self.keep().await;
            let step = self.rounds.lease_ttl / 3;
            let next = at.min(Instant::now() + step);
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep_until(next) => {}
            }
            if Instant::now() >= at {
                self.epoch = self.keep().await;
                return self.epoch.is_some();
            }
        }
    }

    async fn keep(&self) -> Option<u64> {
        let (store, ttl) = (&self.driver.store, self.rounds.lease_ttl);
        let kept = match self.epoch {
            Some(epoch) => store
                .lease_renew(LEASE, epoch, ttl)
                .await
                .map(|()| Some(epoch)),
            None => store.lease_take(LEASE, &self.driver.owner, ttl).await,
        };
        kept.unwrap_or(None)
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

/// What was found and done, also of a wallet that was not looked at to the end.
fn tell(wallet: &Wallet, report: &Report, done: &Result<(), Stopped>) {
    let wallet = &wallet.id;
    if let Some(range) = report.look.behind.first() {
        let code = Code::CountersBehind;
        metrics().criticals.get_or_create(&code.into()).inc();
        error!(%wallet, keyset = %range.keyset, %code, "{}", code.advice());
    }
    for difference in &report.look.differences {
        let label = difference.discrepancy.into();
        metrics().discrepancies.get_or_create(&label).inc();
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
    let checked = report.look.checked;
    match done {
        Ok(()) => info!(%wallet, checked, "reconciled"),
        Err(why) => warn!(%wallet, checked, %why, "not reconciled to the end"),
    }
}
