//! The integration tests, one binary so that they link once: one module per component.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::type_complexity,
    unreachable_pub,
    reason = "helpers of tests are tests too, which the lints cannot see"
)]

#[macro_use]
mod bus_contract;
#[macro_use]
mod store_contract;

mod asyncapi;
mod bus_memory;
mod bus_nats;
mod nats_server;

#[cfg(feature = "embedded-mint")]
mod crash;
mod metrics;
mod relay;
mod saga_alarms;
mod saga_chain;
mod saga_codes;
mod saga_desk;
mod saga_events;
mod saga_evolve;
mod saga_fence;
mod saga_fund;
mod saga_golden;
mod saga_kit;
mod saga_model;
mod saga_plan;
mod saga_plan_edges;
mod saga_reconcile;
mod saga_samples;
mod saga_settle;
mod saga_swaps;
mod saga_table;
mod saga_walk;
mod schemas;
mod sim;
mod store_mongo;
mod store_sqlite;
mod tidy;

#[cfg(feature = "embedded-mint")]
mod api;
#[cfg(feature = "embedded-mint")]
mod cli;
#[cfg(feature = "embedded-mint")]
mod desk;
#[cfg(feature = "embedded-mint")]
mod embedded_mint;
#[cfg(feature = "embedded-mint")]
mod mint_cdk;
#[cfg(feature = "embedded-mint")]
mod mongod;
#[cfg(feature = "embedded-mint")]
mod proxy;
#[cfg(feature = "embedded-mint")]
mod real_life;
#[cfg(feature = "embedded-mint")]
mod recovery;
#[cfg(feature = "embedded-mint")]
mod restore;
#[cfg(feature = "embedded-mint")]
mod secrets;
#[cfg(feature = "embedded-mint")]
mod serve;
#[cfg(feature = "embedded-mint")]
mod soak;
#[cfg(feature = "embedded-mint")]
mod stream;
