//! The integration tests, one binary so that they link once: one module per component.
mod sim;
#[macro_use]
mod store_contract;
mod store_sqlite;

#[cfg(feature = "embedded-mint")]
mod mint_cdk;
#[macro_use]
mod store_contract;
mod store_mongo;

mod saga_events;
mod saga_fence;
mod saga_fund;
mod saga_kit;
mod saga_settle;
mod saga_swaps;
mod saga_table;
