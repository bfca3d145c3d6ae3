//! The integration tests, one binary so that they link once: one module per component.
#[macro_use]
mod store_contract;
mod store_sqlite;
