//! The HTTP API from outside: a real server on a port of its own, a real store, a real mint.

mod bodies;
mod figures;
mod follow;
mod golden;
mod matrix;
mod metrics;
mod operator;
mod rough;
mod scene;
mod schema;
mod served;
