//! The bus's side of a command: its reply or its dead letter is stored before it is taken off the
//! queue. A crash in between repeats the command, never loses it.

use std::time::Duration;

use tracing::{error, warn};

use super::{Handled, Intake};
use crate::ports::{Bus, BusError, Clock, Delivery, Message, Mint, Store};
use crate::readiness::Part;
use crate::saga::code::Code;
use crate::wire::reply::{self, MeltReply};
use crate::wire::{DeadLetter, original_id};

/// Delay of a command that could not be settled, if the bus can still be told so.
const AGAIN: Duration = Duration::from_secs(5);

impl<S: Store, M: Mint, C: Clock, B: Bus> Intake<S, M, C, B> {
    /// Publishes the answer, then takes the command off the queue.
    pub(super) async fn answered(
        &self,
        delivery: &Delivery<B::Receipt>,
        reply_to: Option<&str>,
        answer: &MeltReply,
    ) -> Handled {
        if let Some(reply_to) = reply_to
            && let Err(why) = self.publish_reply(delivery, reply_to, answer).await
        {
            return self.put_off(delivery, AGAIN, &why.to_string()).await;
        }
        match self.bus.ack(&delivery.receipt).await {
            Ok(()) => Handled::Settled,
            Err(why) => {
                // It comes again, and finds its answer.
                warn!(sequence = delivery.stored.sequence, %why, "not acknowledged");
                Handled::PutOff
            }
        }
    }

    /// Stores the dead letter and says so to the producer, then takes the command off the queue.
    pub(super) async fn put_aside(
        &self,
        delivery: &Delivery<B::Receipt>,
        reply_to: Option<&str>,
        code: Code,
        detail: &str,
    ) -> Handled {
        let letter = DeadLetter::message(delivery, code, detail);
        if let Err(why) = self.store_dead_letter(letter).await {
            return self.put_off(delivery, AGAIN, &why.to_string()).await;
        }
        let name = original_id(&delivery.stored.message).unwrap_or_default();
        let reason = format!("{detail}. {}", code.advice());
        let answer = reply::put_aside(name, code, reason.trim_start_matches(". "));
        if let Some(reply_to) = reply_to
            && let Err(why) = self.publish_reply(delivery, reply_to, &answer).await
        {
            return self.put_off(delivery, AGAIN, &why.to_string()).await;
        }
        match self.bus.term(&delivery.receipt).await {
            Ok(()) => Handled::Settled,
            Err(why) => {
                warn!(sequence = delivery.stored.sequence, %why, "not taken off the queue");
                Handled::PutOff
            }
        }
    }

    /// A body that is too large to be stored a second time is left out, rather than to block the
    /// queue for ever.
    async fn store_dead_letter(&self, letter: Message) -> Result<(), BusError> {
        match self.bus.publish(letter.clone()).await {
            Err(BusError::Never(why)) => {
                let bytes = letter.body.len();
                error!(bytes, why, "a dead letter is kept without its body");
                let body = String::new();
                self.bus.publish(Message { body, ..letter }).await?;
                Ok(())
            }
            done => done.map(drop),
        }
    }

    /// Leaves it in the queue for a while.
    pub(super) async fn put_off(
        &self,
        delivery: &Delivery<B::Receipt>,
        delay: Duration,
        why: &str,
    ) -> Handled {
        self.readiness.trouble(Part::Intake, why);
        if let Err(why) = self.bus.later(&delivery.receipt, delay).await {
            warn!(sequence = delivery.stored.sequence, %why, "comes again by itself");
        }
        Handled::PutOff
    }

    /// Each delivery has a reply of its own: a repeat is answered again, and not swallowed as a
    /// repeat of the first answer.
    async fn publish_reply(
        &self,
        delivery: &Delivery<B::Receipt>,
        reply_to: &str,
        answer: &MeltReply,
    ) -> Result<(), BusError> {
        let (sequence, at) = (
            delivery.stored.sequence,
            delivery.stored.at.timestamp_millis(),
        );
        let body = answer.body();
        let body = body.map_err(|why| BusError::Never(why.to_string()))?;
        let message = Message {
            subject: reply_to.to_owned(),
            id: format!("reply:{}:{sequence}:{at}:{}", delivery.producer, answer.seq),
            headers: Vec::new(),
            body,
        };
        self.bus.publish(message).await.map(drop)
    }
}
