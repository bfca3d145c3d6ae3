//! The HTTP face: the seeds' API and what belongs to it. It decides nothing about a melt: it finds
//! out who asks, submits, waits and shows. A melt that is, or may be, paid is never answered with
//! a status that invites a retry, and a caller that goes away never cancels a drive.
//!
//! | file | holds |
//! |---|---|
//! | `bodies/` | what goes over the wire |
//! | `routes/` | one file a resource; `routes/operator/` for the desk |
//! | `answer.rs`, `view.rs` | reasons and logs as answers: the one place that maps to statuses |
//! | `auth.rs`, `nip98.rs`, `tokens.rs`, `caller.rs` | who asks, and what they may do |
//! | `run.rs` | adoption and drive, whoever goes away |
//! | `extract.rs` | bodies and queries as types |
//! | `places.rs`, `day.rs`, `rate.rs` | limits |
//! | `feed.rs`, `stream.rs` | events for those who follow |
//! | `frame.rs`, `count.rs` | what every answer has; how often and how long, for the metrics |
//! | `listen.rs` | connections and their time limits |
//! | `openapi.rs` | the document |

mod answer;
mod auth;
pub mod bodies;
mod caller;
mod count;
mod day;
mod extract;
mod feed;
mod frame;
mod listen;
mod nip98;
mod openapi;
mod places;
mod rate;
mod routes;
mod run;
mod stream;
pub mod tokens;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

pub use openapi::document;

use crate::config::Invalid;
use crate::config::api::ApiArgs;
use crate::pool::Pool;
use crate::ports::{Access, Clock, Mint, Store};
use answer::Failure;
use day::Day;
use feed::Feed;
use places::Places;

/// What is missing before requests can be served; nothing, when ready.
pub type Readiness = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// The API of one process. Cheap to clone.
pub struct Api<S, M, C> {
    pool: Pool<S, M, C>,
    options: Arc<ApiArgs>,
    unit: Arc<str>,
    ready: Readiness,
    feed: Feed,
    followers: Arc<Semaphore>,
    melts: Places,
    day: Day,
    stop: CancellationToken,
}

impl<S, M, C> Clone for Api<S, M, C> {
    fn clone(&self) -> Self {
        Api {
            pool: self.pool.clone(),
            options: self.options.clone(),
            unit: self.unit.clone(),
            ready: self.ready.clone(),
            feed: self.feed.clone(),
            followers: self.followers.clone(),
            melts: self.melts.clone(),
            day: self.day.clone(),
            stop: self.stop.clone(),
        }
    }
}

impl<S: Store + Access, M: Mint, C: Clock> Api<S, M, C> {
    /// An API over the pool's loop, until `stop`.
    ///
    /// # Errors
    /// Options that cannot be used.
    pub fn new(
        pool: Pool<S, M, C>,
        options: ApiArgs,
        unit: &str,
        ready: Readiness,
        stop: CancellationToken,
    ) -> Result<Self, Invalid> {
        options.check()?;
        Ok(Api {
            pool,
            unit: Arc::from(unit),
            ready,
            feed: Feed::default(),
            followers: Arc::new(Semaphore::new(options.followers_max)),
            melts: Places::new(options.melts_max, options.wallet_melts_max),
            day: Day::new(options.day_max),
            options: Arc::new(options),
            stop,
        })
    }

    /// Every route, with everything that a request passes on its way.
    fn router(&self) -> Result<Router, Invalid> {
        // The last layer is the first that a request meets.
        let guarded = routes::guarded::<S, M, C>().layer(from_fn(rate::admit));
        let guarded = rate::counted(guarded, &self.options, &self.stop)?
            .layer(from_fn_with_state(self.clone(), auth::identify::<S, M, C>));
        let router = routes::open::<S, M, C>()
            .merge(guarded)
            .fallback(routes::unknown)
            .method_not_allowed_fallback(routes::wrong_method)
            .with_state(self.clone())
            .layer(CatchPanicLayer::custom(|_| {
                use axum::response::IntoResponse;
                Failure::of(crate::saga::code::Code::Internal).into_response()
            }));
        let router = match frame::cors(&self.options)? {
            Some(cors) => router.layer(cors),
            None => router,
        };
        Ok(router.layer(from_fn_with_state(
            frame::Frame::of(&self.options),
            frame::frame,
        )))
    }

    /// Serves connections, and tells those who follow events, until the API is stopped.
    ///
    /// # Errors
    /// Options that cannot be used, or the listener is gone.
    pub async fn serve(self, listener: TcpListener) -> std::io::Result<()> {
        let router = self.router().map_err(std::io::Error::other)?;
        let store = self.pool.driver.store.clone();
        let feed = self.feed.clone().run(store, self.stop.clone());
        let listening = listen::listen(listener, router, &self.options, self.stop.clone());
        let ((), ended) = tokio::join!(feed, listening);
        ended
    }
}
