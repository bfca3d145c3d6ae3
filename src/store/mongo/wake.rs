//! A change stream that says when something was added to the outbox, by whatever process. It has
//! no resume token and promises nothing: what it misses is found by the relay's poll.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mongodb::bson::{Document, doc};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::Db;
use super::fault::brief;

/// How long the server holds a question open: so long a close may wait for it.
const HOLD: Duration = Duration::from_secs(1);

/// Pause before a stream that broke is opened again; the poll does the work until then.
const REOPEN: Duration = Duration::from_secs(2);

/// The hint, and the task behind it: started by the first who waits for it.
pub(super) struct Wake {
    db: Db,
    added: Arc<Notify>,
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Wake {
    pub(super) fn new(db: &Db) -> Self {
        Wake {
            db: db.clone(),
            added: Arc::default(),
            stop: watch::channel(false).0,
            task: Mutex::new(None),
        }
    }

    /// Resolves when something may have been added.
    pub(super) async fn woken(&self) {
        {
            let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
            if task.is_none() {
                let watched = watch(self.db.clone(), self.added.clone(), self.stop.subscribe());
                *task = Some(tokio::spawn(watched));
            }
        }
        self.added.notified().await;
    }

    /// Ends the task, which would keep the client from closing.
    pub(super) async fn stop(&self) {
        self.stop.send_replace(true);
        let task = self.task.lock();
        let task = task.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            let _ = task.await;
        }
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

async fn watch(db: Db, added: Arc<Notify>, mut stop: watch::Receiver<bool>) {
    let pipeline = [
        doc! { "$match": { "operationType": "insert" } },
        doc! { "$project": { "_id": 1 } },
    ];
    while !*stop.borrow() {
        let outbox = db.outbox::<Document>();
        let stream = outbox
            .watch()
            .pipeline(pipeline.clone())
            .max_await_time(HOLD);
        let broken = match stream.await {
            Ok(stream) => {
                let mut stream = stream.with_type::<Document>();
                // Whatever was added before the stream was open.
                added.notify_one();
                loop {
                    match stream.next_if_any().await {
                        Ok(_) if *stop.borrow() => return,
                        Ok(Some(_)) => added.notify_one(),
                        Ok(None) => {}
                        Err(error) => break error,
                    }
                }
            }
            Err(error) => error,
        };
        tracing::debug!(why = %brief(&broken), "the outbox is not watched for now");
        tokio::select! {
            () = tokio::time::sleep(REOPEN) => {}
            _ = stop.changed() => {}
        }
    }
}
