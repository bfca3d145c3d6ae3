//! NATS JetStream, server 2.9.10 and later. At least once in both directions: a publish that was
//! not answered may have been stored, and comes again with the same id.
//!
//! | file | holds |
//! |---|---|
//! | `settings.rs`, `connect.rs` | the way to the server |
//! | `watch.rs` | what the server says without being asked |
//! | `link.rs` | one request and its answer, within a deadline |
//! | `config.rs`, `prepare.rs` | the streams and the consumer: as they must be, and as they are |
//! | `fetch.rs`, `read.rs` | taking commands from the queue; looking at streams |
//! | `wire.rs` | messages as the library has them |

mod config;
mod connect;
mod fetch;
mod link;
mod prepare;
mod read;
mod settings;
mod watch;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::publish::PublishAck;
use async_nats::{Message as Raw, Subject, jetstream};
use serde_json::json;

use crate::ports::{
    ALERTS, Begin, Bus, BusError, Delivery, Message, Published, Stored, Stream, StreamFacts,
    subject,
};
use link::Link;
pub use settings::{ACK_WAIT, Login, Settings};

/// A connection to a server or a cluster. A clone is the same connection; it ends with the last.
#[derive(Clone)]
pub struct NatsBus {
    link: Arc<Link>,
    settings: Arc<Settings>,
}

/// The subject by which one delivery is settled.
#[derive(Clone, Debug)]
pub struct Receipt(Subject);

impl NatsBus {
    /// Connects; from then on it comes back by itself after every loss, for ever.
    ///
    /// # Errors
    /// [`BusError::Away`] if nobody answers: try again later, nothing else has to wait for it.
    /// [`BusError::Unusable`] if the settings cannot be used, or the server refuses them.
    pub async fn connect(settings: &Settings) -> Result<Self, BusError> {
        let link = Link::open(settings).await?;
        Ok(NatsBus {
            link: Arc::new(link),
            settings: Arc::new(settings.clone()),
        })
    }

    async fn settle(&self, receipt: &Receipt, word: String) -> Result<(), BusError> {
        let answered = self.link.ask(&receipt.0, None, word).await?;
        // Nobody answers once the consumer is gone, and with it the command.
        answered.map(drop).ok_or_else(|| {
            BusError::Away("nobody takes the acknowledgement of this command".to_owned())
        })
    }

    fn delivery(&self, raw: Raw) -> Option<Delivery<Receipt>> {
        let reply = raw.reply.clone()?;
        let context = self.link.context.clone();
        let raw = jetstream::Message {
            message: raw,
            context,
        };
        let info = raw.info().ok()?;
        let subject = self.link.inward(&raw.subject);
        let headers = raw.headers.as_ref();
        let at_ns = info.published.unix_timestamp_nanos();
        let stored = wire::stored(info.stream_sequence, at_ns, subject, headers, &raw.payload);
        Some(Delivery {
            producer: subject.rsplit('.').next().unwrap_or_default().to_owned(),
            deliveries: u64::try_from(info.delivered).unwrap_or(1),
            stored,
            receipt: Receipt(reply),
        })
    }
}

/// A message larger than the stream takes.
const TOO_LARGE: u32 = 10054;

impl Bus for NatsBus {
    type Receipt = Receipt;

    async fn prepare(&self, streams: &[Stream]) -> Result<(), BusError> {
        for stream in streams {
            self.link.prepare(*stream, &self.settings).await?;
        }
        Ok(())
    }

    async fn publish(&self, message: Message) -> Result<Published, BusError> {
        let stream = Stream::taking(&message.subject)
            .filter(|_| subject::is_plain(&message.subject))
            .ok_or_else(|| super::no_stream(&message.subject))?;
        let subject = self.link.outward(&message.subject);
        let headers = wire::headers(&message)?;
        let answer = self.link.ask(&subject, Some(headers), message.body).await?;
        let name = self.link.name(stream);
        let Some(answer) = answer else {
            let text = format!("nobody stores it: {name} is gone, or JetStream is not ready");
            return Err(BusError::Away(text));
        };
        let ack: PublishAck = match wire::answer(&answer.payload)? {
            Ok(ack) => ack,
            Err(error) if error.err_code == TOO_LARGE => {
                return Err(BusError::Never(error.description));
            }
            Err(error) => return Err(error.refusal()),
        };
        if ack.stream != name {
            let text = format!(
                "{subject} is taken by the stream {}, not by {name}",
                ack.stream
            );
            return Err(BusError::Unusable(text));
        }
        Ok(Published {
            sequence: ack.sequence,
            duplicate: ack.duplicate,
        })
    }

    async fn alert(&self, body: String) -> Result<(), BusError> {
        self.link.tell(&self.link.outward(ALERTS), body).await
    }

    async fn pull(&self, max: usize, wait: Duration) -> Result<Vec<Delivery<Receipt>>, BusError> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let stream = self.link.name(Stream::Commands);
        let pulled = self.link.fetch(&stream, config::CONSUMER, max, wait);
        let deliveries = pulled.await?.into_iter();
        Ok(deliveries.filter_map(|raw| self.delivery(raw)).collect())
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), BusError> {
        self.settle(receipt, "+ACK".to_owned()).await
    }

    async fn later(&self, receipt: &Receipt, delay: Duration) -> Result<(), BusError> {
        let ns = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        let word = format!("-NAK {}", json!({ "delay": ns }));
        self.settle(receipt, word).await
    }

    async fn term(&self, receipt: &Receipt) -> Result<(), BusError> {
        self.settle(receipt, "+TERM".to_owned()).await
    }

    async fn facts(&self, stream: Stream) -> Result<Option<StreamFacts>, BusError> {
        self.link.facts(stream).await
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
        self.link.read(stream, begin, subject, limit, wait).await
    }

    async fn at(&self, stream: Stream, sequence: u64) -> Result<Option<Stored>, BusError> {
        self.link.at(stream, sequence).await
    }

    async fn remove(&self, stream: Stream, sequence: u64) -> Result<bool, BusError> {
        self.link.remove(stream, sequence).await
    }

    fn connected(&self) -> bool {
        self.link.connected()
    }
}
