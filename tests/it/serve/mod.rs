//! `meltd serve`, the real binary, with a real nats-server, a real mint and real stores.

mod alarms;
mod away;
mod figures;
mod fleet;
mod memory;
mod metrics;
mod orders;
mod poison;
mod reconciling;
mod scene;
mod stop;
mod t05;
mod waits;
