//! A relay at work: started, waited for, stopped; and sagas for it, built without a mint.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use meltd::ports::{Bus, Outbox, Store};
use meltd::relay::{Relay, RelayError, Tuning};
use meltd::saga::ids::{SagaId, Seq};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::store_contract::build::{Chain, adopt, mint, wallet};

/// What takes seconds in production, sooner.
pub(crate) fn quick() -> Tuning {
    Tuning {
        poll: Duration::from_millis(50),
        lease_ttl: Duration::from_millis(1500),
        settle_after: Duration::from_millis(10),
        check: Duration::from_millis(100),
        checkpoint: Duration::from_millis(200),
        pause_first: Duration::from_millis(50),
        pause_max: Duration::from_millis(500),
        wait_first: Duration::from_millis(500),
        ..Tuning::default()
    }
}

/// A relay that runs in a task.
pub(crate) struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), RelayError>>,
}

impl Running {
    pub(crate) fn start<S: Outbox, B: Bus>(store: &Arc<S>, bus: &Arc<B>, tuning: Tuning) -> Self {
        let owner = uuid::Uuid::new_v4().to_string();
        let relay = Relay::new(store.clone(), bus.clone(), &owner, tuning);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            relay.run(stopped).await
        });
        Running { stop, task }
    }

    /// As an operator stops it: nothing confirmed stays in the outbox.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }

    /// As a crash does: whatever it was doing is not finished.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// How many events each saga has.
pub(crate) type Sagas = BTreeMap<SagaId, Seq>;

/// So many new sagas, each with so many events in two appends.
pub(crate) async fn sagas<S: Store>(store: &S, count: usize, events: Seq) -> Vec<Chain> {
    let alice = wallet(store, "npub1alice").await;
    let made = futures::stream::iter(0..count).map(|_| async {
        let mut chain = adopt(store, &mint(&alice)).await;
        write(store, &mut chain, 1).await;
        write(store, &mut chain, events - 1).await;
        chain
    });
    made.buffer_unordered(64).collect().await
}

/// So many more events of one saga.
pub(crate) async fn write<S: Store>(store: &S, chain: &mut Chain, events: Seq) {
    if events > 0 {
        let append = chain.append(events, Vec::new());
        store.append(append.clone()).await.unwrap();
        chain.advance(&append);
    }
}

/// What a consumer must have seen of them.
pub(crate) fn expected(chains: &[Chain]) -> Sagas {
    let length = |chain: &Chain| (chain.saga().clone(), chain.version());
    chains.iter().map(length).collect()
}

/// Waits until the outbox has at most so many rows.
pub(crate) async fn drained<S: Outbox>(store: &S, left: u64) {
    let began = Instant::now();
    loop {
        let depth = store.outbox_depth().await;
        if depth.as_ref().is_ok_and(|depth| depth.rows <= left) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{depth:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
