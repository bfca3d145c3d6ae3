//! Connections: so many at once, each with a time limit for its request's head and for its life.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use tracing::{debug, warn};

use super::auth::Peer;
use crate::config::api::ApiArgs;

/// How long a connection may live. A follower of events comes back; one that never reads is gone.
const LIFE: Duration = Duration::from_secs(3600);

/// How long a request in hand may take once its connection is to end.
const LAST_REQUEST: Duration = Duration::from_secs(30);

/// The largest request head.
const HEAD_BYTES: usize = 64 * 1024;

/// Serves `router` until `stop`, then lets the requests in hand end.
///
/// # Errors
/// The listener is gone.
pub(super) async fn listen(
    listener: TcpListener,
    router: Router,
    options: &ApiArgs,
    stop: CancellationToken,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(options.connections_max));
    let tasks = TaskTracker::new();
    let head = Duration::from_millis(options.read_timeout_ms);
    loop {
        let place = tokio::select! {
            () = stop.cancelled() => break,
            place = places.clone().acquire_owned() => place.map_err(io::Error::other)?,
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(why) => {
                // Out of file descriptors, or the caller went away: the next one may fare better.
                warn!(%why, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (router, stop) = (router.clone(), stop.clone());
        tasks.spawn(async move {
            serve(stream, router, Peer(peer), head, stop).await;
            drop(place);
        });
    }
    tasks.close();
    if tokio::time::timeout(LAST_REQUEST, tasks.wait())
        .await
        .is_err()
    {
        warn!(left = tasks.len(), "requests were still in hand");
    }
    Ok(())
}

async fn serve(
    stream: TcpStream,
    router: Router,
    peer: Peer,
    head: Duration,
    stop: CancellationToken,
) {
    drop(stream.set_nodelay(true));
    let service = router.map_request(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        request
    });
    let service = service.map_err(|never: Infallible| match never {});
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LIFE) => {}
            }
        } => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(LAST_REQUEST, connection).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(why) = ended {
        debug!(%why, "a connection ended early");
    }
}
