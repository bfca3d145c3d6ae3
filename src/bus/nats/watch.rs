//! What the server says without being asked: that it is gone, and that something is not allowed.

use std::sync::{Arc, Mutex, PoisonError};

use async_nats::{Event, ServerError};
use tokio::sync::broadcast;

/// A server that denies does it per call, so a few at a time are enough; whoever lags behind only
/// waits for its deadline instead.
const MAX_DENIALS: usize = 64;

/// Sees the events of one connection. A clone is the same watch.
#[derive(Clone)]
pub(super) struct Watch {
    denials: broadcast::Sender<Denial>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// Why the connection does not stand, as far as known.
    trouble: Option<String>,
    /// We may not listen to answers. The server says so once, and then nobody ever answers.
    deaf: Option<Denial>,
}

/// The server's sentence, such as `Permissions Violation for Publish to "x"`.
type Denial = Arc<str>;

impl Watch {
    pub(super) fn new() -> Self {
        Watch {
            denials: broadcast::Sender::new(MAX_DENIALS),
            seen: Arc::default(),
        }
    }

    pub(super) fn see(&self, event: &Event) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Connected => *seen = Seen::default(),
            Event::Disconnected => seen.trouble = Some("the connection is lost".to_owned()),
            Event::ServerError(ServerError::Other(text)) if is_denial(text) => {
                let denial = Denial::from(text.as_str());
                if text.contains("Subscription") {
                    seen.deaf = Some(Arc::clone(&denial));
                }
                // Nobody may be waiting.
                self.denials.send(denial).ok();
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

    /// What is denied from now on.
    pub(super) fn denials(&self) -> Denials {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Denials {
            coming: self.denials.subscribe(),
            deaf: seen.deaf.clone(),
        }
    }
}

fn is_denial(text: &str) -> bool {
    text.to_lowercase().starts_with("permissions violation")
}

/// Waits for a denial of one call.
pub(super) struct Denials {
    coming: broadcast::Receiver<Denial>,
    deaf: Option<Denial>,
}

impl Denials {
    /// Ends when the server denies publishing to this subject, or listening to its answer; else
    /// never.
    pub(super) async fn of(mut self, subject: &str) -> Denial {
        let quoted = format!("\"{subject}\"");
        if let Some(deaf) = self.deaf {
            return deaf;
        }
        loop {
            match self.coming.recv().await {
                Ok(denial) if denial.contains(&quoted) || denial.contains("Subscription") => {
                    return denial;
                }
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}
