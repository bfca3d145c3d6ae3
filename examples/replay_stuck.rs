//! An operator's example: lists what has not ended, oldest first, and drives it once more. The loop is
//! the same as everywhere else, so nothing here can pay twice.
//!
//! ```sh
//! cargo run --example replay_stuck -- sqlite.db seed-file https://mint.example.com
//! ```

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use meltd::clock::SystemClock;
use meltd::driver::Driver;
use meltd::mint::cdk::{CdkMint, Timeouts};
use meltd::mint::keychain::Keychain;
use meltd::store::sqlite::SqliteStore;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [store, seed, mint] = args.as_slice() else {
        return Err("usage: replay_stuck STORE SEED-FILE MINT-URL".into());
    };
    let timeouts = Timeouts {
        ask: Duration::from_secs(10),
        sign: Duration::from_secs(30),
        pay: Duration::from_secs(30),
    };
    let keychain = Keychain::load_or_create(Path::new(seed))?;
    let driver = Driver::new(
        Arc::new(SqliteStore::open(store)?),
        Arc::new(CdkMint::new(
            keychain,
            std::slice::from_ref(mint),
            timeouts,
        )?),
        Arc::new(SystemClock),
        // Random: the leases of another process, or of an earlier life, are not ours.
        &uuid::Uuid::new_v4().to_string(),
    );

    let stuck = driver.unfinished().await?;
    for head in &stuck {
        let why = head.last_error.as_deref().unwrap_or("-");
        println!(
            "{}  {:<9}  {} tries  {why}",
            head.new.id, head.state, head.attempts
        );
    }
    let patience = Duration::from_secs(5);
    let sagas = stuck
        .into_iter()
        .map(|head| (head.new.id, patience))
        .collect();
    let report = driver
        .recover_these(sagas, |saga, fate| println!("{saga}  {fate:?}"))
        .await;
    println!(
        "{} ended, {} wait",
        report.ended.len(),
        report.waiting.len()
    );
    Ok(())
}
