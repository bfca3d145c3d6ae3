//! The threads a mint lives on.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::runtime::Runtime;
use tokio::task::JoinError;

use super::Error;

/// How many threads the mint works with. It serialises on its database, so more would idle; fewer
/// would let one sqlite commit stop the HTTP server.
const MINT_THREADS: usize = 2;

/// How long [`Threads::stop`] waits for threads that do not come to rest. They only ever
/// compute or write to sqlite, so this is never reached on a healthy machine.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// The runtime of one mint. A runtime of its own is the only way to end *every* task of the mint,
/// above all the payments it has under way, which outlive the requests they came with.
#[derive(Debug)]
pub(super) struct Threads {
    /// None only after [`Threads::stop`].
    runtime: Option<Runtime>,
    handle: Handle,
}

impl Threads {
    /// Starts the threads, with nothing to do yet.
    pub(super) fn start() -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(MINT_THREADS)
            .thread_name("embedded-mint")
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        Ok(Self {
            runtime: Some(runtime),
            handle,
        })
    }

    /// Runs a future on the mint's threads, so that what it spawns lives and dies with the mint.
    pub(super) async fn run<F>(&self, future: F) -> Result<F::Output, JoinError>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle.spawn(future).await
    }

    /// Drops all tasks and waits for the threads, so that nobody has the database open afterwards.
    pub(super) async fn stop(mut self) {
        if let Some(runtime) = self.runtime.take() {
            let stopped = tokio::task::spawn_blocking(|| runtime.shutdown_timeout(STOP_TIMEOUT));
            if let Err(error) = stopped.await {
                tracing::warn!(%error, "the mint's threads did not stop cleanly");
            }
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
