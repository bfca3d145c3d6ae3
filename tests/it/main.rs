//! The integration tests, one binary so that they link once: one module per component.
mod sim;
