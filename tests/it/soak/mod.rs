//! The soak: random melts of several wallets by several processes at once, with random Lightning
//! outcomes, random faults on the wire and random deaths; then the faults end, recovery runs until
//! nothing is left to do, and every sat is where the books, the mint and the Lightning node agree
//! that it is.
//!
//! `scripts/soak` runs a long one; the tests here are short. Each prints its seed, and
//! `MELTD_TEST_SEED` repeats it: the same commands with the same deaths in the same order per
//! worker, and the same fate for the n-th request of a kind. Not repeated are the processes' race
//! with each other, and so which melt the n-th request belongs to; ids, salts and invoices are new.
//!
//! | file | holds |
//! |---|---|
//! | `plan.rs` | what is done, from the seed alone |
//! | `run.rs` | doing it |
//! | `books.rs` | that no sat is lost, doubled or made up |

mod books;
mod plan;
mod run;

use std::time::Duration;

use crate::real_life::stage::On;

/// How long, how much, and from which seed.
#[derive(Clone, Copy, Debug)]
struct Size {
    seed: u64,
    melts: u64,
    limit: Duration,
}

impl Size {
    /// As the variables say that `scripts/soak` sets; else enough for every fault to occur.
    fn from_env() -> Self {
        let number = |name: &str| {
            let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
            Some(
                text.parse::<u64>()
                    .unwrap_or_else(|why| panic!("{name}: {why}")),
            )
        };
        let fresh = || {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.unwrap().subsec_nanos().into()
        };
        let minutes = number("MELTD_SOAK_MINUTES").unwrap_or(60);
        Size {
            seed: number("MELTD_TEST_SEED").unwrap_or_else(fresh),
            melts: number("MELTD_SOAK_MELTS").unwrap_or(150),
            limit: Duration::from_secs(60 * minutes),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn soak_on_sqlite() {
    run::soak(On::Sqlite, Size::from_env()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn soak_on_mongodb() {
    run::soak(On::Mongo, Size::from_env()).await;
}
