//! Pulling from a consumer. A pull request that is still open when nobody listens any more would
//! take messages into nowhere until they come again, so every request here ends before its
//! listener does: first what is there without waiting, else one message with an end.

use std::time::Duration;

use async_nats::{Message, StatusCode, Subscriber};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::link::Link;
use crate::ports::BusError;

/// What the server's end of a pull may come later than ours.
const GRACE: Duration = Duration::from_millis(500);

impl Link {
    /// Up to `max` messages of a consumer, waiting at most so long for the first.
    pub(super) async fn fetch(
        &self,
        stream: &str,
        consumer: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Message>, BusError> {
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
        let there = |max: usize| json!({ "batch": max, "no_wait": true });
        let deadline = self.timeout;
        let Pulled { mut found, ended } = self.request(&subject, there(max), max, deadline).await?;
        if found.is_empty() && !ended {
            let text = format!("nobody answers a pull from {stream}: its consumer may be gone");
            return Err(BusError::Away(text));
        }
        if !found.is_empty() || wait.is_zero() {
            return Ok(found);
        }
        let ns = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        let one = json!({ "batch": 1, "expires": ns });
        found = self.request(&subject, one, 1, wait + GRACE).await?.found;
        if found.is_empty() {
            self.standing()?;
        } else if max > 1 {
            let more = self.request(&subject, there(max - 1), max - 1, deadline);
            // The first is ours already; what else there is comes with the next call.
            found.extend(more.await.map(|more| more.found).unwrap_or_default());
        }
        Ok(found)
    }

    /// One pull request, until the server ends it.
    async fn request(
        &self,
        subject: &str,
        payload: Value,
        max: usize,
        within: Duration,
    ) -> Result<Pulled, BusError> {
        self.standing()?;
        let news = self.news();
        let pulled = async {
            let inbox = self.client.new_inbox();
            let lost = |why: String| BusError::Away(why);
            let mut listener = self
                .client
                .subscribe(inbox.clone())
                .await
                .map_err(|why| lost(why.to_string()))?;
            let payload = payload.to_string().into();
            let asked = self
                .client
                .publish_with_reply(subject.to_owned(), inbox, payload);
            asked.await.map_err(|why| lost(why.to_string()))?;
            collect(&mut listener, max, Instant::now() + within).await
        };
        tokio::select! {
            biased;
            pulled = pulled => pulled,
            bad = news.about(subject) => Err(bad),
        }
    }
}

/// What one request brought.
struct Pulled {
    found: Vec<Message>,
    /// False if the server did not say that the request is over.
    ended: bool,
}

async fn collect(
    listener: &mut Subscriber,
    max: usize,
    deadline: Instant,
) -> Result<Pulled, BusError> {
    let mut found = Vec::new();
    while found.len() < max {
        let next = tokio::time::timeout_at(deadline, listener.next()).await;
        let Ok(Some(message)) = next else {
            let ended = false;
            return Ok(Pulled { found, ended });
        };
        match message.status {
            None | Some(StatusCode::OK) => found.push(message),
            Some(StatusCode::IDLE_HEARTBEAT) => {}
            Some(StatusCode::NOT_FOUND | StatusCode::TIMEOUT) => break,
            Some(StatusCode::NO_RESPONDERS) => {
                return Err(BusError::Away("JetStream is not ready".to_owned()));
            }
            Some(other) if found.is_empty() => {
                let why = message.description.unwrap_or_default();
                return Err(BusError::Away(format!("{other}: {why}")));
            }
            Some(_) => break,
        }
    }
    let ended = true;
    Ok(Pulled { found, ended })
}
