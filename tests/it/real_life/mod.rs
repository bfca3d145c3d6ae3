//! The failures that wallets have met in real life, each a named test: the real binary, a real cdk
//! mint, and a proxy between them. In all of them value is conserved, no coin is both spendable and
//! spent, an invoice is paid at most once, and every saga ends, or is parked with a reason.
//!
//! | test | scenario |
//! |---|---|
//! | `t01` | a request arrives late, or twice |
//! | `t02` | paid, the reply lost, the process killed; change in the quote, by NUT-09, late |
//! | `t03` | killed around every step |
//! | `t04` | two melts want the same coins |
//! | `t06` | a payment that stays pending beyond every expiry |
//! | `t07` | hostile change |
//! | `t08` | a mint that contradicts itself |
//! | `t09` | crashes while cleaning up; stale, second and dead workers |
//! | `t10` | refusals before anything was attempted |
//! | `t12` | the store fails |
//! | `every_point` | killed at every labelled point, one after the other, whatever is done |
//! | `critical`, `failover` | the store is away when the mint has paid; a primary dies |
//!
//! T5 and T11 are about the queue and the bus, and are tested there. All of it at once, at random,
//! is `tests/it/soak`.

mod critical;
mod every_point;
mod failover;
pub(crate) mod stage;
mod t01_late_request;
mod t02_reply_lost;
mod t03_around_the_swap;
mod t04_same_coins;
mod t06_hodl_invoice;
mod t07_hostile_change;
mod t08_contradictions;
mod t09_stale_workers;
mod t10_clean_rejection;
mod t12_store_fails;
