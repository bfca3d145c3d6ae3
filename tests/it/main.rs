//! The integration tests, one binary so that they link once: one module per component.

#[cfg(feature = "embedded-mint")]
mod mint_cdk;
