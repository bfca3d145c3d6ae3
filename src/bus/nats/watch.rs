//! What comes without being asked: that the server is gone, and that something is not allowed.

use std::sync::{Arc, Mutex, PoisonError};

use async_nats::{Event, ServerError};
use tokio::sync::broadcast;

use crate::ports::BusError;

/// Bad news comes one by one, so a few at a time are enough; whoever lags behind only waits for its
/// deadline instead.
const MAX_NEWS: usize = 64;

/// Sees the events of one connection. A clone is the same watch.
#[derive(Clone)]
pub(super) struct Watch {
    news: broadcast::Sender<News>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// Why the connection does not stand, as far as known.
    trouble: Option<String>,
    /// We may not listen to answers. The server says so once, and then nobody ever answers.
    deaf: Option<Arc<str>>,
}

#[derive(Clone)]
enum News {
    /// The connection is lost, and with it every answer that is under way.
    Lost,
    /// The server's sentence, such as `Permissions Violation for Publish to "x"`.
    Denied(Arc<str>),
}

impl Watch {
    pub(super) fn new() -> Self {
        Watch {
            news: broadcast::Sender::new(MAX_NEWS),
            seen: Arc::default(),
        }
    }

    pub(super) fn see(&self, event: &Event) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Connected => *seen = Seen::default(),
            Event::Disconnected => {
                seen.trouble = Some(LOST.to_owned());
                self.tell(News::Lost);
            }
            Event::ServerError(ServerError::Other(text)) if is_denial(text) => {
                // Also here, for a message that waits for no answer.
                tracing::warn!(denial = text, "the bus does not allow this");
                let denial = Arc::from(text.as_str());
                if of_listening(text) {
                    seen.deaf = Some(Arc::clone(&denial));
                }
                self.tell(News::Denied(denial));
            }
            Event::ServerError(error) => seen.trouble = Some(error.to_string()),
            Event::ClientError(error) => seen.trouble = Some(error.to_string()),
            Event::Closed | Event::Draining | Event::LameDuckMode | Event::SlowConsumer(_) => {}
        }
    }

    /// Why the connection does not stand.
    pub(super) fn trouble(&self) -> String {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let trouble = seen.trouble.clone();
        trouble.unwrap_or_else(|| "there is no connection".to_owned())
    }

    fn tell(&self, news: News) {
        // An error means that nobody waits for anything.
        self.news.send(news).ok();
    }

    /// The news from now on.
    pub(super) fn news(&self) -> BadNews {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        BadNews {
            coming: self.news.subscribe(),
            deaf: seen.deaf.clone(),
        }
    }
}

const LOST: &str = "the connection is lost";

fn is_denial(text: &str) -> bool {
    text.to_lowercase().starts_with("permissions violation")
}

/// This client listens to nothing but answers to itself.
fn of_listening(denial: &str) -> bool {
    denial.contains("for Subscription")
}

/// Waits for what ends a call before its answer.
pub(super) struct BadNews {
    coming: broadcast::Receiver<News>,
    deaf: Option<Arc<str>>,
}

impl BadNews {
    /// Ends when the connection is lost, or the server denies publishing to this subject or
    /// listening to its answer; else never.
    pub(super) async fn about(mut self, subject: &str) -> BusError {
        if let Some(deaf) = self.deaf {
            return denied(&deaf);
        }
        let quoted = format!("\"{subject}\"");
        loop {
            match self.coming.recv().await {
                Ok(News::Lost) => return BusError::Away(LOST.to_owned()),
                Ok(News::Denied(text)) if text.contains(&quoted) || of_listening(&text) => {
                    return denied(&text);
                }
                Ok(News::Denied(_)) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

fn denied(sentence: &str) -> BusError {
    BusError::Unusable(format!(
        "the server says: {sentence}. Give this user the permissions of its role"
    ))
}
