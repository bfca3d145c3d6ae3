//! The bus of one process: for the embedded default and for tests. It is as large as its bounds and
//! gone with the process; what lies in it, the store has as well.
//!
//! | file | holds |
//! |---|---|
//! | `log.rs` | one stream: messages by position, and the ids of the newest |
//! | `queue.rs` | who has which command, and when it comes again |

mod log;
mod queue;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::SystemClock;
use crate::ports::{
    Begin, Bus, BusError, Clock, Delivery, Message, Published, Stored, Stream, StreamFacts, subject,
};
use log::Log;
use queue::Queue;

/// As long as on a server: [`crate::bus::nats::ACK_WAIT`].
const ACK_WAIT: Duration = Duration::from_secs(30);

/// The largest body, in bytes: what a NATS server takes by default.
const MAX_BODY: usize = 1024 * 1024;

/// Streams in this process. A clone is the same bus.
#[derive(Clone)]
pub struct MemoryBus {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Changes with every message and with every settled delivery, for whoever waits for one.
    changed: watch::Sender<()>,
    ack_wait: Duration,
}

struct State {
    logs: BTreeMap<Stream, Log>,
    queue: Queue,
}

impl Default for MemoryBus {
    fn default() -> Self {
        MemoryBus::new()
    }
}

impl MemoryBus {
    /// All streams, empty.
    pub fn new() -> Self {
        MemoryBus::with_ack_wait(ACK_WAIT)
    }

    /// The same, with another time after which a command that nobody settled comes again.
    pub fn with_ack_wait(ack_wait: Duration) -> Self {
        let created = SystemClock.now();
        let logs = Stream::ALL.map(|stream| (stream, Log::new(stream, created)));
        let state = State {
            logs: BTreeMap::from(logs),
            queue: Queue::default(),
        };
        let shared = Shared {
            state: Mutex::new(state),
            changed: watch::Sender::new(()),
            ack_wait,
        };
        MemoryBus {
            shared: Arc::new(shared),
        }
    }

    /// No await happens under this lock, and nothing in it is left half done.
    fn state(&self) -> MutexGuard<'_, State> {
        let locked = self.shared.state.lock();
        locked.unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks until there is something to see, the time is over, or for ever never: `look` gives
    /// what it found, and when it should look again by itself.
    async fn until<T>(
        &self,
        wait: Duration,
        mut look: impl FnMut(&mut State) -> (Vec<T>, Option<Instant>),
    ) -> Vec<T> {
        let deadline = Instant::now() + wait;
        let mut changed = self.shared.changed.subscribe();
        loop {
            let (found, again) = look(&mut self.state());
            if !found.is_empty() || Instant::now() >= deadline {
                return found;
            }
            let next = again.map_or(deadline, |at| at.min(deadline));
            // Either way there is a reason to look again; a closed channel cannot be, we hold it.
            drop(tokio::time::timeout_at(next, changed.changed()).await);
        }
    }

    fn settle(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.shared.changed.send_replace(());
    }
}

impl State {
    fn log(&mut self, stream: Stream) -> &mut Log {
        let empty = || Log::new(stream, SystemClock.now());
        self.logs.entry(stream).or_insert_with(empty)
    }
}

impl Bus for MemoryBus {
    /// The command's position.
    type Receipt = u64;

    async fn prepare(&self, _: &[Stream]) -> Result<(), BusError> {
        Ok(())
    }

    async fn publish(&self, message: Message) -> Result<Published, BusError> {
        let stream = Stream::taking(&message.subject)
            .filter(|_| subject::is_plain(&message.subject))
            .ok_or_else(|| super::no_stream(&message.subject))?;
        let size = message.body.len();
        if size > MAX_BODY {
            let text = format!("its body has {size} bytes, at most {MAX_BODY} are taken");
            return Err(BusError::Never(text));
        }
        let (at, now) = (SystemClock.now(), Instant::now());
        let mut state = self.state();
        let published = state.log(stream).add(message, at, now)?;
        if stream == Stream::Commands && !published.duplicate {
            state.queue.add(published.sequence, now);
        }
        drop(state);
        self.shared.changed.send_replace(());
        Ok(published)
    }

    async fn alert(&self, body: String) -> Result<(), BusError> {
        // Nobody else can listen to a bus inside this process but whoever reads its log.
        tracing::error!(alert = body, "CRITICAL");
        Ok(())
    }

    async fn pull(&self, max: usize, wait: Duration) -> Result<Vec<Delivery<u64>>, BusError> {
        let ack_wait = self.shared.ack_wait;
        let taken = self.until(wait, |state| {
            let (due, again) = state.queue.take(max, Instant::now(), ack_wait);
            let log = state.log(Stream::Commands);
            let deliver = |(sequence, deliveries)| {
                let stored = log.at(sequence)?;
                let producer = stored.message.subject.rsplit('.').next();
                Some(Delivery {
                    producer: producer.unwrap_or_default().to_owned(),
                    deliveries,
                    stored,
                    receipt: sequence,
                })
            };
            (due.into_iter().filter_map(deliver).collect(), again)
        });
        Ok(taken.await)
    }

    async fn ack(&self, receipt: &u64) -> Result<(), BusError> {
        self.settle(|state| {
            state.queue.remove(*receipt);
            state.log(Stream::Commands).remove(*receipt);
        });
        Ok(())
    }

    async fn later(&self, receipt: &u64, delay: Duration) -> Result<(), BusError> {
        self.settle(|state| state.queue.put_off(*receipt, Instant::now() + delay));
        Ok(())
    }

    async fn term(&self, receipt: &u64) -> Result<(), BusError> {
        self.ack(receipt).await
    }

    async fn facts(&self, stream: Stream) -> Result<Option<StreamFacts>, BusError> {
        Ok(Some(self.state().log(stream).facts()))
    }

    async fn read(
        &self,
        stream: Stream,
        begin: Begin,
        subject: Option<&str>,
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<Stored>, BusError> {
        if stream == Stream::Commands {
            return Err(super::no_reader());
        }
        let read = self.until(wait, |state| {
            (state.log(stream).read(begin, subject, limit), None)
        });
        Ok(read.await)
    }

    async fn at(&self, stream: Stream, sequence: u64) -> Result<Option<Stored>, BusError> {
        Ok(self.state().log(stream).at(sequence))
    }

    async fn remove(&self, stream: Stream, sequence: u64) -> Result<bool, BusError> {
        if stream == Stream::Events {
            let text = format!(
                "{} keeps every message: nobody edits the record",
                stream.name()
            );
            return Err(BusError::Unusable(text));
        }
        let mut state = self.state();
        if stream == Stream::Commands {
            state.queue.remove(sequence);
        }
        Ok(state.log(stream).remove(sequence))
    }

    fn connected(&self) -> bool {
        true
    }
}
