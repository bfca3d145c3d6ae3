//! The way to producers and audit consumers: streams of messages, and a queue of commands.
//!
//! The bus is transport; the log in the store is the record. Everything here is at least once:
//! whoever reads drops what it has seen, by the message's id.

use std::future::Future;
use std::time::Duration;

use chrono::{DateTime, Utc};

/// The streams that meltd keeps. Their names and subjects are the contract of
/// `schemas/asyncapi.yaml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    /// `MELT_CMD`, a work queue on `melt.cmd.<producer>`.
    Commands,
    /// `MELT_EVENTS`, every event of every saga, on `melt.events.<event type>`.
    Events,
    /// `MELT_REPLIES`, answers to commands, on `melt.reply.<producer>.>`; kept for some days, so
    /// that a producer that was away finds them.
    Replies,
    /// `MELT_DLQ`, commands that can never be done, on `melt.dlq.<producer>`.
    DeadLetters,
    /// `MELT_HEADS`, signed checkpoints of all saga heads, on `melt.heads`.
    Heads,
}

impl Stream {
    /// All of them.
    pub const ALL: [Stream; 5] = [
        Stream::Commands,
        Stream::Events,
        Stream::Replies,
        Stream::DeadLetters,
        Stream::Heads,
    ];

    /// The stream's name on the server.
    pub fn name(self) -> &'static str {
        match self {
            Stream::Commands => "MELT_CMD",
            Stream::Events => "MELT_EVENTS",
            Stream::Replies => "MELT_REPLIES",
            Stream::DeadLetters => "MELT_DLQ",
            Stream::Heads => "MELT_HEADS",
        }
    }

    /// The subjects that it takes.
    pub fn subjects(self) -> &'static str {
        match self {
            Stream::Commands => "melt.cmd.*",
            Stream::Events => "melt.events.*",
            Stream::Replies => "melt.reply.>",
            Stream::DeadLetters => "melt.dlq.*",
            Stream::Heads => "melt.heads",
        }
    }

    /// How long the id of a message is remembered, and a repeat of it dropped.
    ///
    /// Of commands no longer than a NATS server has to (it takes 100 ms and more): an id counts for
    /// the whole stream, so one producer's would swallow the command of another that happens, or
    /// wants, to use the same. Intake knows a repeat by producer and command. Elsewhere it is NATS'
    /// own default, longer than any pause between two attempts of the relay at the same message.
    pub fn window(self) -> Duration {
        match self {
            Stream::Commands => Duration::from_millis(100),
            Stream::Events | Stream::Replies | Stream::DeadLetters | Stream::Heads => {
                Duration::from_secs(120)
            }
        }
    }
}

/// The names of headers.
pub mod header {
    /// The message's id; repeats of it within the server's window are dropped there.
    pub const ID: &str = "Nats-Msg-Id";
    /// The saga of an event.
    pub const SAGA: &str = "Melt-Saga";
    /// The event's position in its saga.
    pub const SEQ: &str = "Melt-Seq";
    /// The event's hash, hex.
    pub const HASH: &str = "Melt-Hash";
    /// The hash of the event before it, hex.
    pub const PREV_HASH: &str = "Melt-Prev-Hash";
    /// On a command: where its replies go, under `melt.reply.<producer>.`.
    pub const REPLY_TO: &str = "Melt-Reply-To";
    /// On a dead letter and on a replayed command: the id that the producer gave the command.
    pub const ORIGINAL_ID: &str = "Melt-Original-Id";
    /// On a replayed command: the position that its dead letter had.
    pub const REPLAY: &str = "Melt-Replay";
    /// On a dead letter: the code.
    pub const REASON: &str = "Melt-Reason";
    /// On a dead letter: the sentence that belongs to the code.
    pub const DETAIL: &str = "Melt-Detail";
    /// On a dead letter: how often it was delivered.
    pub const DELIVERIES: &str = "Melt-Deliveries";
}

/// Where the alert of a CRITICAL state is published: at most once, stored in no stream.
pub const ALERTS: &str = "melt.alerts.critical";

/// A message that is to be stored in the stream that takes its subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where to: [`super::subject::is_plain`], and a stream takes it.
    pub subject: String,
    /// Its id: the same message again has the same one.
    pub id: String,
    /// Further headers. Their order is not kept; one that was read has them sorted by name.
    pub headers: Vec<(String, String)>,
    /// The exact UTF-8.
    pub body: String,
}

impl Message {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// The server's word that a message is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its position in the stream.
    pub sequence: u64,
    /// True if the server had it already and stored nothing new.
    pub duplicate: bool,
}

/// A message as it lies in a stream. A body that is no UTF-8 is read as one that begins with
/// U+FFFD, so that nothing can take it for a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its position in the stream, from 1.
    pub sequence: u64,
    /// When the server stored it.
    pub at: DateTime<Utc>,
    /// What was published; `id` is empty if it had none.
    pub message: Message,
}

/// A command taken from the queue. It comes again, to anybody, unless it is acknowledged in time.
#[derive(Clone, Debug)]
pub struct Delivery<R> {
    /// The last part of the subject, which the server has checked against the sender's permissions.
    pub producer: String,
    /// How often it was delivered, this time included.
    pub deliveries: u64,
    /// The message.
    pub stored: Stored,
    /// What settles it.
    pub receipt: R,
}

/// What a stream is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamFacts {
    /// When it was created: another time means another stream of the same name.
    pub created: DateTime<Utc>,
    /// The oldest position that is still there.
    pub first: u64,
    /// The newest position ever; 0 = nothing yet.
    pub last: u64,
    /// How many messages lie in it.
    pub messages: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At the oldest message.
    First,
    /// At this position, or at the next one that is there.
    At(u64),
    /// At the first message that was stored then or later.
    Time(DateTime<Utc>),
}

/// What can go wrong at the bus, named by what the caller does next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// Away, slow or full: it may or may not have been stored. The same again later.
    #[error("the bus cannot be reached: {0}")]
    Away(String),
    /// This message can never be stored (too large, no stream takes its subject): put it aside.
    #[error("the bus will never take this message: {0}")]
    Never(String),
    /// The bus is not what it must be (a stream is configured otherwise, no permission): stop, and
    /// tell a person.
    #[error("the bus cannot be used: {0}")]
    Unusable(String),
}

/// Commands in, events out.
pub trait Bus: Send + Sync + 'static {
    /// What settles a delivery.
    type Receipt: Clone + Send + Sync + 'static;

    /// Creates these streams, and the queue's consumer with [`Stream::Commands`], where they are
    /// missing; reads them back and compares. A difference is [`BusError::Unusable`], naming the
    /// field, what it is and what it must be.
    fn prepare(&self, streams: &[Stream]) -> impl Future<Output = Result<(), BusError>> + Send;

    /// Stores a message; `Ok` once the server has said so.
    fn publish(&self, message: Message)
    -> impl Future<Output = Result<Published, BusError>> + Send;

    /// Tells whoever listens on [`ALERTS`]; at most once, stored nowhere.
    fn alert(&self, body: String) -> impl Future<Output = Result<(), BusError>> + Send;

    /// Takes up to `max` commands, waiting at most so long for the first. All processes share one
    /// queue: a command goes to one of them at a time.
    fn pull(
        &self,
        max: usize,
        wait: Duration,
    ) -> impl Future<Output = Result<Vec<Delivery<Self::Receipt>>, BusError>> + Send;

    /// Done with it: removes it from the queue and waits until the server says so. Once more is no
    /// error.
    fn ack(&self, receipt: &Self::Receipt) -> impl Future<Output = Result<(), BusError>> + Send;

    /// Not now: it comes again after this delay, or at once for zero.
    fn later(
        &self,
        receipt: &Self::Receipt,
        delay: Duration,
    ) -> impl Future<Output = Result<(), BusError>> + Send;

    /// Never: removes it from the queue. Its dead letter is stored before this is called.
    fn term(&self, receipt: &Self::Receipt) -> impl Future<Output = Result<(), BusError>> + Send;

    /// A stream's facts; `None` = there is no such stream.
    fn facts(
        &self,
        stream: Stream,
    ) -> impl Future<Output = Result<Option<StreamFacts>, BusError>> + Send;

    /// Up to `limit` messages in order, waiting at most so long for the first; empty = none came.
    /// `subject` narrows it to one subject or pattern. Keeps nothing on the server afterwards.
    /// Fewer than `limit` does not mean that there are no more; none does, for the time being.
    /// [`Stream::Commands`] is a queue and cannot be read: look at it with [`Bus::at`].
    fn read(
        &self,
        stream: Stream,
        begin: Begin,
        subject: Option<&str>,
        limit: usize,
        wait: Duration,
    ) -> impl Future<Output = Result<Vec<Stored>, BusError>> + Send;

    /// The message at a position; `None` = not there, or no longer.
    fn at(
        &self,
        stream: Stream,
        sequence: u64,
    ) -> impl Future<Output = Result<Option<Stored>, BusError>> + Send;

    /// Removes one message for good; true if it was there. [`Stream::Events`] refuses: nobody
    /// edits the record.
    fn remove(
        &self,
        stream: Stream,
        sequence: u64,
    ) -> impl Future<Output = Result<bool, BusError>> + Send;

    /// Cheap: whether the connection stands now.
    fn connected(&self) -> bool;
}
