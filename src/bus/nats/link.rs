//! One request and its answer, within a deadline; every call to the server goes through here.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, HeaderMap, Message, Request, RequestErrorKind, jetstream};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::settings::Settings;
use super::watch::{BadNews, Watch};
use super::{connect, wire};
use crate::ports::{BusError, Stream};

/// The connection, and how names are spelled on it.
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) context: jetstream::Context,
    pub(super) timeout: Duration,
    watch: Watch,
    prefix: Option<String>,
    /// Streams that were there at some time of this connection.
    seen: Mutex<BTreeSet<Stream>>,
}

/// What JetStream answers when it did not do what was asked.
#[derive(Debug, Deserialize)]
pub(super) struct ApiError {
    /// As in HTTP: 400s will not change, 500s may.
    pub(super) code: u32,
    /// Exactly what.
    #[serde(default)]
    pub(super) err_code: u32,
    #[serde(default)]
    pub(super) description: String,
}

/// JetStream is not enabled, on the server or for the account.
const NO_JETSTREAM: [u32; 2] = [10076, 10039];

impl Link {
    pub(super) async fn open(settings: &Settings) -> Result<Self, BusError> {
        let valid = |prefix: &String| crate::ports::subject::is_token(prefix);
        if settings.prefix.as_ref().is_some_and(|p| !valid(p)) {
            let text = "the prefix of streams must be 1 to 64 letters, digits, _ or -";
            return Err(BusError::Unusable(text.to_owned()));
        }
        let watch = Watch::new();
        let client = connect::connect(settings, &watch).await?;
        Ok(Link {
            context: jetstream::new(client.clone()),
            client,
            timeout: settings.timeout,
            watch,
            prefix: settings.prefix.clone(),
            seen: Mutex::default(),
        })
    }

    pub(super) fn connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    pub(super) fn has_seen(&self, stream: Stream) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.contains(&stream)
    }

    /// The stream is there.
    pub(super) fn saw(&self, stream: Stream) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(stream);
    }

    /// The stream's name on this server.
    pub(super) fn name(&self, stream: Stream) -> String {
        match &self.prefix {
            Some(prefix) => format!("{prefix}_{}", stream.name()),
            None => stream.name().to_owned(),
        }
    }

    /// A subject or pattern of ours as this server has it.
    pub(super) fn outward(&self, subject: &str) -> String {
        match &self.prefix {
            Some(prefix) => format!("{prefix}.{subject}"),
            None => subject.to_owned(),
        }
    }

    /// The other way round.
    pub(super) fn inward<'a>(&self, subject: &'a str) -> &'a str {
        let prefix = self.prefix.as_deref().unwrap_or_default();
        let rest = subject.strip_prefix(prefix).unwrap_or(subject);
        rest.strip_prefix('.').unwrap_or(rest)
    }

    /// Fails at once while there is no connection: what is sent then would only lie in a buffer.
    pub(super) fn standing(&self) -> Result<(), BusError> {
        if self.connected() {
            return Ok(());
        }
        Err(BusError::Away(self.watch.trouble()))
    }

    /// Asks and waits for the answer; `None` = the server knows of nobody who would answer.
    pub(super) async fn ask(
        &self,
        subject: &str,
        headers: Option<HeaderMap>,
        payload: String,
    ) -> Result<Option<Message>, BusError> {
        self.standing()?;
        let news = self.watch.news();
        let mut request = Request::new().payload(payload.into());
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        let asked = self.client.send_request(subject.to_owned(), request);
        let answer = tokio::select! {
            biased;
            answer = tokio::time::timeout(self.timeout, asked) => answer,
            bad = news.about(subject) => return Err(bad),
        };
        let Ok(answer) = answer else {
            return Err(self.no_answer());
        };
        match answer {
            Ok(message) => Ok(Some(message)),
            Err(error) => match error.kind() {
                RequestErrorKind::NoResponders => Ok(None),
                RequestErrorKind::TimedOut => Err(self.no_answer()),
                RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded => {
                    Err(BusError::Never(error.to_string()))
                }
                RequestErrorKind::Other => Err(BusError::Away(error.to_string())),
            },
        }
    }

    /// What may end a call that begins now.
    pub(super) fn news(&self) -> BadNews {
        self.watch.news()
    }

    fn no_answer(&self) -> BusError {
        let seconds = self.timeout.as_secs_f32();
        BusError::Away(format!("the server did not answer in {seconds} s"))
    }

    /// Hands over a message that nobody answers.
    pub(super) async fn tell(&self, subject: &str, body: String) -> Result<(), BusError> {
        self.standing()?;
        let told = async {
            let told = self.client.publish(subject.to_owned(), body.into()).await;
            told.map_err(|why| BusError::Away(why.to_string()))?;
            let flushed = self.client.flush().await;
            flushed.map_err(|why| BusError::Away(why.to_string()))
        };
        let told = tokio::time::timeout(self.timeout, told).await;
        told.unwrap_or_else(|_| Err(self.no_answer()))
    }

    /// A call of the JetStream API: what was asked for, or JetStream's own error.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        operation: &str,
        payload: &Value,
    ) -> Result<Result<T, ApiError>, BusError> {
        let payload = match payload {
            Value::Null => String::new(),
            value => value.to_string(),
        };
        let subject = format!("$JS.API.{operation}");
        let Some(answer) = self.ask(&subject, None, payload).await? else {
            return Err(self.no_jetstream());
        };
        wire::answer(&answer.payload).map(|answer| match answer {
            Err(error) if NO_JETSTREAM.contains(&error.err_code) => {
                Err(BusError::Unusable(error.description))
            }
            answer => Ok(answer),
        })?
    }

    fn no_jetstream(&self) -> BusError {
        if self.client.server_info().jetstream {
            return BusError::Away("JetStream is not ready".to_owned());
        }
        let text = "JetStream is not enabled on this server: start it with --jetstream";
        BusError::Unusable(text.to_owned())
    }
}

impl ApiError {
    /// What comes next: a 400 is the same the next time, so a person has to look; a 500 may be
    /// over soon.
    pub(super) fn refusal(&self) -> BusError {
        let text = format!("{} ({})", self.description, self.err_code);
        match self.code {
            400..500 => BusError::Unusable(text),
            _ => BusError::Away(text),
        }
    }
}
