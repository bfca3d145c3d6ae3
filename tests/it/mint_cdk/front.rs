//! A front before a mint: it writes down every request, passes it on, and can be told to answer by
//! itself, to wait, or to change the mint's answers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{Method, StatusCode, Uri};
use cdk::http_client::HttpClient;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What happens to the requests whose path contains a text.
#[derive(Clone)]
pub(crate) enum Fault {
    /// The front answers; the mint never sees the request.
    Answer(u16, String),
    /// The same, but only for the next request.
    AnswerOnce(u16, String),
    /// The request is passed on, and its answer is held back.
    Hold(Duration),
    /// The mint's answer is changed.
    Change(Arc<dyn Fn(Value) -> Value + Send + Sync>),
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Vec<String>>,
    faults: Mutex<Vec<(String, Fault)>>,
}

/// A running front. Dropping it closes it.
pub(crate) struct Front {
    pub(crate) url: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Front {
    /// Stands before the mint at `target`.
    pub(crate) async fn before(target: &str) -> Self {
        let shared = Arc::new(Shared::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (inner, target) = (Arc::clone(&shared), target.to_owned());
        let handler = move |method: Method, uri: Uri, body: Bytes| {
            let (shared, target) = (Arc::clone(&inner), target.clone());
            async move { serve(&shared, &target, method, uri, body).await }
        };
        let router = Router::new().fallback(handler);
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            shared,
            server,
        }
    }

    /// Stands before nothing: every request has to have a fault.
    pub(crate) async fn alone() -> Self {
        Self::before("http://127.0.0.1:1").await
    }

    /// From now on, until told otherwise.
    pub(crate) fn fault(&self, path: &str, fault: Fault) {
        let mut faults = self.shared.faults.lock().unwrap();
        faults.insert(0, (path.to_owned(), fault));
    }

    /// Answers the requests to this path with a JSON text.
    pub(crate) fn answer(&self, path: &str, status: u16, body: impl ToString) {
        self.fault(path, Fault::Answer(status, body.to_string()));
    }

    pub(crate) fn change(
        &self,
        path: &str,
        change: impl Fn(Value) -> Value + Send + Sync + 'static,
    ) {
        self.fault(path, Fault::Change(Arc::new(change)));
    }

    pub(crate) fn honest(&self) {
        self.shared.faults.lock().unwrap().clear();
    }

    /// The requests since the last time this was asked.
    pub(crate) fn seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.shared.seen.lock().unwrap())
    }
}

fn fault_of(shared: &Shared, line: &str) -> Option<Fault> {
    let mut faults = shared.faults.lock().unwrap();
    let at = faults.iter().position(|(path, _)| line.contains(path))?;
    match faults[at].1 {
        Fault::AnswerOnce(..) => Some(faults.remove(at).1),
        _ => Some(faults[at].1.clone()),
    }
}

async fn serve(
    shared: &Shared,
    target: &str,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> (StatusCode, String) {
    let line = format!("{method} {uri}");
    shared.seen.lock().unwrap().push(line.clone());
    let fault = fault_of(shared, &line);
    if let Some(Fault::Answer(status, text) | Fault::AnswerOnce(status, text)) = fault {
        return (StatusCode::from_u16(status).unwrap(), text);
    }
    let (status, text) = pass_on(&format!("{target}{uri}"), &method, &body).await;
    match fault {
        Some(Fault::Hold(time)) => tokio::time::sleep(time).await,
        Some(Fault::Change(change)) if status.is_success() => {
            let changed = change(serde_json::from_str(&text).unwrap());
            return (status, changed.to_string());
        }
        _ => {}
    }
    (status, text)
}

async fn pass_on(url: &str, method: &Method, body: &[u8]) -> (StatusCode, String) {
    let client = HttpClient::new();
    let request = match *method {
        Method::POST => {
            let body: Value = serde_json::from_slice(body).unwrap();
            client.post(url).json(&body)
        }
        _ => client.get(url),
    };
    match request.send().await {
        Ok(answer) => {
            let status = StatusCode::from_u16(answer.status()).unwrap();
            (status, answer.body_lossy())
        }
        Err(_) => (StatusCode::BAD_GATEWAY, String::new()),
    }
}
