//! The soak: random melts of several wallets, brought by processes of their own, by the queue and
//! by HTTP to processes that serve; with random Lightning outcomes, random faults on the wire,
//! random deaths of every process, and a MongoDB whose primary is killed. Then the faults end,
//! recovery runs until nothing is left to do, and every sat is where the books, the stream, the
//! mint and the Lightning node agree that it is.
//!
//! `scripts/soak` runs a long one; the tests here are short. Each prints its seed, and
//! `MELTD_TEST_SEED` repeats it: the same commands in the same ways with the same deaths in the
//! same order, the store's at the same commands, and the same fate for the n-th request of a kind.
//! Not repeated are the processes' race with each other, and so which melt the n-th request belongs
//! to; ids, salts and invoices are new.
//!
//! | file | holds |
//! |---|---|
//! | `plan.rs` | what is done, from the seed alone |
//! | `ground.rs` | mint, store and bus; servers that die |
//! | `serving.rs` | processes that serve, one after the other |
//! | `ways.rs` | bringing one command, and what its bringer is told |
//! | `run.rs` | all of it at once; the end of the faults |
//! | `books.rs` | that no sat is lost, doubled or made up |

mod books;
mod ground;
mod plan;
mod run;
mod serving;
mod ways;

use std::time::Duration;

use crate::real_life::stage::On;

/// How long, how much, and from which seed.
#[derive(Clone, Copy, Debug)]
struct Size {
    seed: u64,
    melts: u64,
    limit: Duration,
    /// Servers of MongoDB: with three of them another takes over when one dies.
    nodes: usize,
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
            melts: number("MELTD_SOAK_MELTS").unwrap_or(80),
            limit: Duration::from_secs(60 * minutes),
            nodes: usize::try_from(number("MELTD_SOAK_NODES").unwrap_or(1)).unwrap(),
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
