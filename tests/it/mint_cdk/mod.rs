//! The mint adapter against cdk's own mint, honest and not, over real HTTP.

mod faults;
mod front;
mod hostile;
mod melting;
mod scene;
mod tokens;
