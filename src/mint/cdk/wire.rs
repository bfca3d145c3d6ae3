//! One HTTP request, one answer, one time limit.
//!
//! cdk's wallet client (`cdk::wallet::HttpClient`) is not used: it repeats requests by itself once
//! it knows that a mint supports NUT-19, and loses the mint's words. Its transport is used as it
//! is, with one more precaution: that transport has a single connection for each host, and a
//! request waits there until the answer before it has come. A look at a melt quote takes as long as
//! its Lightning payment, so here every request has a client, and with it a connection, of its own
//! while it is under way.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::cdk::http_client::{HttpClient, RequestBuilder};
use ::cdk::mint_url::MintUrl;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::errors;
use crate::metrics::{Call, Failure, metrics};
use crate::saga::code::Code;
use crate::saga::step::Trouble;

/// This many clients without a request are kept for their open connections.
const IDLE_MAX: usize = 16;

/// The words of the protocol's paths.
const WORDS: [&str; 11] = [
    "v1",
    "info",
    "keys",
    "keysets",
    "mint",
    "melt",
    "quote",
    "bolt11",
    "swap",
    "checkstate",
    "restore",
];

/// The way to one mint.
#[derive(Debug)]
pub(super) struct Wire {
    base: MintUrl,
    idle: Mutex<Vec<HttpClient>>,
}

impl Wire {
    pub(super) fn new(base: MintUrl) -> Self {
        Self {
            base,
            idle: Mutex::new(Vec::new()),
        }
    }

    /// One `GET`, with its answer read as JSON.
    pub(super) async fn get<A>(&self, path: &[&str], limit: Duration) -> Result<A, Trouble>
    where
        A: DeserializeOwned,
    {
        let url = self.url(path)?;
        let began = Instant::now();
        let answer = self.send(limit, |client| client.get(&url)).await;
        self.count("GET", path, began, &answer);
        answer
    }

    /// One `POST` of a JSON body, with its answer read as JSON.
    pub(super) async fn post<Q, A>(
        &self,
        path: &[&str],
        body: &Q,
        limit: Duration,
    ) -> Result<A, Trouble>
    where
        Q: Serialize,
        A: DeserializeOwned,
    {
        let url = self.url(path)?;
        let began = Instant::now();
        let answer = self
            .send(limit, |client| client.post(&url).json(body))
            .await;
        self.count("POST", path, began, &answer);
        answer
    }

    /// How long it took and how it went, by mint and call. Ids are no part of a label: the path is
    /// cut before the first segment that is not a word of the protocol.
    fn count<A>(&self, method: &str, path: &[&str], began: Instant, answer: &Result<A, Trouble>) {
        let words = path.iter().take_while(|word| WORDS.contains(word));
        let mint = self.base.to_string();
        let call = words.fold(method.to_owned(), |call, word| format!("{call} {word}"));
        let code = match answer {
            Ok(_) => None,
            Err(Trouble::Refused(_)) => Some(Code::MintRefused),
            Err(Trouble::Unknown { code, .. }) => Some(*code),
        };
        if let Some(code) = code {
            let (mint, call) = (mint.clone(), call.clone());
            let code = code.as_str();
            let label = Failure { mint, call, code };
            metrics().call_errors.get_or_create(&label).inc();
        }
        // There from the first request on, so that the first failure is an increase.
        let silence = Failure {
            mint: mint.clone(),
            call: call.clone(),
            code: Code::MintUnreachable.as_str(),
        };
        drop(metrics().call_errors.get_or_create(&silence));
        let times = metrics().calls.get_or_create(&Call { mint, call });
        times.observe(began.elapsed().as_secs_f64());
    }

    fn url(&self, path: &[&str]) -> Result<String, Trouble> {
        let url = self.base.join_paths(path).map_err(|why| {
            errors::unknown(
                Code::MintUnreachable,
                format!("the URL is not valid: {why}"),
            )
        })?;
        Ok(url.into())
    }

    async fn send<A>(
        &self,
        limit: Duration,
        request: impl FnOnce(&HttpClient) -> RequestBuilder,
    ) -> Result<A, Trouble>
    where
        A: DeserializeOwned,
    {
        let client = self.take()?;
        let exchange = request(&client).send();
        let answer = match tokio::time::timeout(limit, exchange).await {
            // A client whose request did not end well is dropped, with its connection.
            Err(_) => return Err(errors::slow(limit)),
            Ok(Err(error)) => return Err(errors::from_silence(&error)),
            Ok(Ok(answer)) => answer,
        };
        self.give_back(client);
        let status = answer.status();
        let success = answer.is_success();
        let body = answer.bytes().await.map_err(|e| errors::from_silence(&e))?;
        if !success {
            return Err(errors::from_answer(status, &body));
        }
        // The parser's words may quote the body; they are cleaned like all others.
        serde_json::from_slice(&body)
            .map_err(|why| errors::nonsense(format!("the answer cannot be read: {why}")))
    }

    fn take(&self) -> Result<HttpClient, Trouble> {
        let idle = self.lock().pop();
        match idle {
            Some(client) => Ok(client),
            None => HttpClient::builder()
                .no_redirects()
                .build()
                .map_err(|error| errors::from_silence(&error)),
        }
    }

    fn give_back(&self, client: HttpClient) {
        let mut idle = self.lock();
        if idle.len() < IDLE_MAX {
            idle.push(client);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<HttpClient>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
