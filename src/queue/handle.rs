//! One command: validated, adopted, driven; or refused, put aside, put off.

use std::time::Duration;

use tracing::{debug, error, info, warn};

use super::{Handled, Intake};
use crate::driver::{Alert, fold};
use crate::intake::{MeltRequest, Origin, Refused, Scope, Submitted, Target};
use crate::metrics::{CommandResult, metrics};
use crate::ports::{Bus, Clock, Delivery, Mint, Store, StoreError, header, subject};
use crate::saga::code::Code;
use crate::saga::ids::{Producer, SagaId};
use crate::wire::reply::{self, MeltReply};
use crate::wire::{MeltSubmit, original_id};

/// After so many deliveries of a command that fails for our own reasons, and again after so many
/// more, somebody is told. It is never given up: it is good, and we are not.
const ALARM_EVERY: u64 = 20;

/// First and longest delay of a command that is put off.
const DELAY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What is to become of a delivery.
pub(super) enum Verdict {
    /// Answered, and done with.
    Answer(CommandResult, Box<MeltReply>),
    /// It can never be done.
    Dead(Code, String),
    /// Not now, for a reason of ours.
    Later(Code, String),
}

impl Verdict {
    /// Under which it is counted: each delivery once.
    fn result(&self) -> &CommandResult {
        match self {
            Verdict::Answer(result, _) => result,
            Verdict::Dead(..) => &CommandResult::DEAD,
            Verdict::Later(..) => &CommandResult::LATER,
        }
    }
}

impl<S: Store, M: Mint, C: Clock, B: Bus> Intake<S, M, C, B> {
    /// Does what can be done with a delivery now, and settles it.
    pub(super) async fn handle(&self, delivery: Delivery<B::Receipt>) -> Handled {
        let reply_to = reply_to(&delivery);
        let verdict = match (self.producers.get(&delivery.producer), &reply_to) {
            (None, _) => Verdict::Dead(Code::ProducerUnknown, String::new()),
            (_, Err(why)) => Verdict::Dead(Code::ReplySubjectForeign, why.clone()),
            (Some(scope), Ok(subject)) => match MeltSubmit::read(&delivery.stored.message.body) {
                Ok(command) => self.submit(&delivery, scope, subject, command).await,
                Err((code, why)) => Verdict::Dead(code, why),
            },
        };
        let (producer, sequence) = (&delivery.producer, delivery.stored.sequence);
        metrics().commands.get_or_create(verdict.result()).inc();
        match verdict {
            Verdict::Answer(_, answer) => {
                let outcome = answer.outcome;
                info!(producer, sequence, ?outcome, saga_id = ?answer.saga, "command");
                self.answered(&delivery, reply_to.as_deref().ok(), &answer)
                    .await
            }
            Verdict::Dead(code, why) => {
                warn!(producer, sequence, %code, why, "command put among the dead letters");
                let known = self.producers.get(producer).is_some();
                let reply_to = reply_to.as_deref().ok().filter(|_| known);
                self.put_aside(&delivery, reply_to, code, &why).await
            }
            Verdict::Later(code, why) => {
                let deliveries = delivery.deliveries;
                warn!(producer, sequence, deliveries, %code, why, "command put off");
                if deliveries.is_multiple_of(ALARM_EVERY) {
                    self.alarm(code);
                }
                self.put_off(&delivery, delay(deliveries), &why).await
            }
        }
    }

    /// Adopts and drives it; a known one gets its saga's answer.
    async fn submit(
        &self,
        delivery: &Delivery<B::Receipt>,
        scope: &Scope,
        reply_to: &str,
        command: MeltSubmit,
    ) -> Verdict {
        let stored = &delivery.stored;
        let given = command.command_id.clone();
        let named = given.or_else(|| original_id(&stored.message).map(str::to_owned));
        let origin = Origin {
            producer: Producer::new(&delivery.producer),
            command_id: named.clone(),
            // The server's time, which a redelivery does not change.
            window: Some(stored.at),
            intent_key: command.intent_key.clone(),
            timeout: command.timeout(),
            reply_to: Some(reply_to.to_owned()),
            scope: scope.clone(),
        };
        let request = MeltRequest {
            target: Target {
                npub: command.npub,
                mint_url: command.mint_url,
                unit: self.unit.to_string(),
            },
            invoice: command.invoice,
            amount: command.amount,
            fee_limit: command.fee_limit,
            policy: command.policy,
        };
        match self.pool.driver.submit_melt(&origin, &request).await {
            Ok(submitted) => self.submitted(submitted).await,
            Err(Refused { code, reason, .. }) if is_ours(code) => Verdict::Later(code, reason),
            Err(Refused { code, reason, .. }) => {
                let name = named.unwrap_or_default();
                let answer = reply::refused(&name, code, &reason);
                Verdict::Answer(CommandResult::REFUSED, Box::new(answer))
            }
        }
    }

    /// The drive begins before the answer is published: neither waits for the other.
    async fn submitted(&self, submitted: Submitted) -> Verdict {
        let Submitted {
            saga,
            command_id,
            lease,
        } = submitted;
        let answer = match lease {
            Some(lease) => {
                let answer = reply::accepted(&command_id, &saga);
                // One pass: what has to wait is the recovery's, which looks again when it is due.
                drop(self.pool.drive(saga, Some(lease), Duration::ZERO));
                Ok((CommandResult::ACCEPTED, answer))
            }
            None => {
                let answer = self.repeated(&command_id, &saga).await;
                answer.map(|answer| (CommandResult::REPEATED, answer))
            }
        };
        match answer {
            Ok((result, answer)) => Verdict::Answer(result, Box::new(answer)),
            Err(why) => Verdict::Later(Code::StoreUnreachable, why),
        }
    }

    /// The same command once more, or the same invoice: what its saga answers.
    async fn repeated(&self, command_id: &str, saga: &SagaId) -> Result<MeltReply, String> {
        let loaded = self.pool.driver.store.load(saga).await;
        let loaded = loaded.map_err(|why: StoreError| why.to_string())?;
        let loaded = loaded.ok_or_else(|| format!("saga {saga} is gone"))?;
        debug!(saga_id = %saga, "a repeat");
        Ok(match fold(&loaded) {
            Ok((folded, _)) => reply::of(command_id, &folded),
            Err(why) => {
                error!(saga_id = %saga, %why, "a repeat of a saga that cannot be read");
                reply::unreadable(command_id, saga)
            }
        })
    }

    fn alarm(&self, code: Code) {
        self.pool.driver.alerts.raise(Alert {
            saga: None,
            wallet: None,
            code,
            at: self.pool.driver.clock.now(),
        });
    }
}

/// Where the answers go: as the header says, if it is the producer's own, or to a subject that it
/// can know.
fn reply_to<R>(delivery: &Delivery<R>) -> Result<String, String> {
    let own = format!("melt.reply.{}.", delivery.producer);
    match delivery.stored.message.header(header::REPLY_TO) {
        None => Ok(format!("{own}answers")),
        Some(asked) if asked.starts_with(&own) && subject::is_plain(asked) => Ok(asked.to_owned()),
        Some(_) => Err(format!("Melt-Reply-To is not a subject under {own}")),
    }
}

/// Refusals that say nothing about the command.
fn is_ours(code: Code) -> bool {
    matches!(
        code,
        Code::StoreUnreachable
            | Code::AdoptionUnknown
            | Code::StoreUnusable
            | Code::StoreNoReplicaSet
    )
}

/// Doubles from delivery to delivery.
fn delay(deliveries: u64) -> Duration {
    let (first, longest) = DELAY;
    let doublings = u32::try_from(deliveries.saturating_sub(1).min(16)).unwrap_or(16);
    first.saturating_mul(1 << doublings).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::{Message, Stored};

    fn asks(header: Option<&str>) -> Result<String, String> {
        let reply_to = header.map(|value| (header::REPLY_TO.to_owned(), value.to_owned()));
        reply_to_of(reply_to.into_iter().collect())
    }

    fn reply_to_of(headers: Vec<(String, String)>) -> Result<String, String> {
        reply_to(&Delivery {
            producer: "shop".to_owned(),
            deliveries: 1,
            stored: Stored {
                sequence: 1,
                at: chrono::DateTime::UNIX_EPOCH,
                message: Message {
                    subject: "melt.cmd.shop".to_owned(),
                    id: String::new(),
                    headers,
                    body: String::new(),
                },
            },
            receipt: (),
        })
    }

    /// Guards that a producer cannot have answers sent to another's subjects.
    #[test]
    fn replies_stay_under_the_producers_own_subjects() {
        assert_eq!(asks(None).unwrap(), "melt.reply.shop.answers");
        let own = "melt.reply.shop.a.b";
        assert_eq!(asks(Some(own)).unwrap(), own);
        for foreign in [
            "",
            "melt.reply.shop",
            "melt.reply.shop.",
            "melt.reply.shop2.a",
            "melt.reply.other.a",
            "melt.reply.shop.*",
            "melt.reply.shop.>",
            "melt.reply.shop.a b",
            "melt.cmd.shop",
        ] {
            assert!(asks(Some(foreign)).is_err(), "{foreign}");
        }
    }

    #[test]
    fn delays_double_up_to_a_minute() {
        assert_eq!(delay(1), Duration::from_secs(1));
        assert_eq!(delay(4), Duration::from_secs(8));
        assert_eq!(delay(u64::MAX), Duration::from_secs(60));
    }
}
