//! The exhaustive fault schedules: the real driver on a fake store and a fake mint, in which every
//! call can lose its request or its answer, act late, or be the last thing that a process does.

mod books;
mod bus;
mod critical;
mod funding;
mod guards;
mod mint;
mod operator;
mod outbox;
mod reconciling;
mod relays;
mod schedules;
mod store;
mod workers;
mod world;
