//! What no role speaks for: whether store and bus answer, and the alerts that cannot wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Serve;
use crate::driver::Alert;
use crate::ports::{Bus, Clock, HeadFilter, Mint, Store};
use crate::readiness::Part;
use crate::wire::CriticalAlert;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(2);

/// Looks at store and bus, and logs when the process as a whole becomes ready or stops being so.
pub(super) async fn watch<S: Store, M: Mint, C: Clock, B: Bus>(
    serve: Serve<S, M, C, B>,
    end: CancellationToken,
) {
    let mut was_ready = false;
    let one = HeadFilter {
        limit: 1,
        ..HeadFilter::default()
    };
    while !end.is_cancelled() {
        match serve.pool.driver.store.heads(one.clone()).await {
            Ok(_) => serve.readiness.well(Part::Store),
            Err(why) => serve.readiness.trouble(Part::Store, why.to_string()),
        }
        if serve.bus.connected() {
            serve.readiness.well(Part::Bus);
        } else {
            serve.readiness.trouble(Part::Bus, "the connection is down");
        }
        let ready = serve.readiness.is_ready();
        match (was_ready, ready) {
            (false, true) => info!("ready"),
            (true, false) => warn!(conditions = ?serve.readiness.conditions(), "not ready"),
            _ => {}
        }
        was_ready = ready;
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = end.cancelled() => {}
        }
    }
}

/// Publishes each alert once, as well as it goes: the log has it too.
pub(super) async fn alerts<B: Bus>(
    bus: Arc<B>,
    mut raised: Receiver<Alert>,
    end: CancellationToken,
) {
    loop {
        let alert = tokio::select! {
            alert = raised.recv() => alert,
            () = end.cancelled() => return,
        };
        let Some(Alert {
            saga,
            wallet,
            code,
            at,
        }) = alert
        else {
            return;
        };
        let alert = CriticalAlert::new(saga, wallet, code, at);
        let sent = match serde_json::to_string(&alert) {
            Ok(body) => bus.alert(body).await.map_err(|why| why.to_string()),
            Err(why) => Err(why.to_string()),
        };
        if let Err(why) = sent {
            warn!(%code, why, "an alert was not published");
        }
    }
}
