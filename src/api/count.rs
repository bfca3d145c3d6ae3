//! Counts requests, by words of a list alone: whatever a caller sends, there is no new series.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};

use crate::metrics::{self, RequestTime, metrics};

/// Of a path that is no route.
const NO_ROUTE: &str = "none";

/// A request under way.
pub(super) struct Count {
    began: Instant,
    route: String,
    method: &'static str,
}

impl Count {
    /// Of a request that has been routed.
    pub(super) fn begin(request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>();
        Count {
            began: Instant::now(),
            route: route.map_or(NO_ROUTE, MatchedPath::as_str).to_owned(),
            method: word(request.method()),
        }
    }

    /// Counted, with the time until its answer began: followers of events stay longer.
    pub(super) fn end(self, status: StatusCode) {
        let Count { route, method, .. } = self;
        let status = class(status);
        let counted = metrics::Request {
            route: route.clone(),
            method,
            status,
        };
        metrics().requests.get_or_create(&counted).inc();
        let timed = RequestTime { route, method };
        let times = metrics().request_times.get_or_create(&timed);
        times.observe(self.began.elapsed().as_secs_f64());
    }
}

/// Anybody may make a method up.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}
