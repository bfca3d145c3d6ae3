//! Counts the store now and then, for those who watch the metrics. It changes nothing, and nothing
//! waits for it: a store that does not answer keeps it, and it alone, from counting.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::driver::Driver;
use crate::metrics::{metrics, survey};
use crate::ports::{Clock, Mint, Store};

/// How long a count may take; the alarm for old figures comes after five minutes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Counts at once, and then again after each `every`, until `end`.
pub(super) async fn watch<S: Store, M: Mint, C: Clock>(
    driver: Driver<S, M, C>,
    every: Duration,
    end: CancellationToken,
) {
    let counting = async {
        loop {
            count(&driver, PATIENCE).await;
            tokio::time::sleep(every).await;
        }
    };
    tokio::select! {
        () = end.cancelled() => {}
        () = counting => {}
    }
}

/// Shows what is in the store, or that it could not be counted.
async fn count<S: Store, M: Mint, C: Clock>(driver: &Driver<S, M, C>, patience: Duration) {
    let failed = match tokio::time::timeout(patience, survey(&*driver.store)).await {
        Ok(Ok(found)) => return found.publish(driver.clock.now()),
        Ok(Err(why)) => why.to_string(),
        Err(_) => format!("it took longer than {} s", patience.as_secs()),
    };
    metrics().survey_failures.inc();
    warn!(why = failed, "the store was not counted");
}
