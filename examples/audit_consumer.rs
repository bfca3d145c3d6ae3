//! An audit consumer in one file: reads every event, keeps its position, drops repeats, and stops on
//! a gap or a changed event. The check is written out, because that is what other languages need.
//!
//! ```sh
//! MELTD_NATS_USER=audit MELTD_NATS_PASSWORD=… cargo run --example audit_consumer -- \
//!     nats://127.0.0.1:4222 position.json
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::Duration;

use meltd::bus::nats::{Login, NatsBus, Settings};
use meltd::ports::{Begin, Bus, Stored, Stream, header};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What must survive a restart: where to read on, and for each saga its last event.
#[derive(Default, Serialize, Deserialize)]
struct Position {
    next: u64,
    sagas: BTreeMap<String, (u32, String)>,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let url = args.next().ok_or("usage: audit_consumer URL FILE")?;
    let file = args.next().ok_or("usage: audit_consumer URL FILE")?;
    let bus = NatsBus::connect(&settings(url)).await?;
    let mut position = load(&file)?;
    loop {
        let begin = Begin::At(position.next.max(1));
        let wait = Duration::from_secs(5);
        for stored in bus.read(Stream::Events, begin, None, 500, wait).await? {
            if take(&mut position.sagas, &stored)? {
                // Do what you audit for here: it happens at least once.
                println!("{}", stored.message.body);
            }
            position.next = stored.sequence + 1;
        }
        save(&file, &position)?;
    }
}

/// True for a new event, false for a repeat.
fn take(sagas: &mut BTreeMap<String, (u32, String)>, stored: &Stored) -> Outcome<bool> {
    let headers: BTreeMap<_, _> = stored.message.headers.iter().cloned().collect();
    let get = |name: &str| {
        headers
            .get(name)
            .cloned()
            .ok_or(format!("no header {name}"))
    };
    let (saga, hash) = (get(header::SAGA)?, get(header::HASH)?);
    let seq: u32 = get(header::SEQ)?.parse()?;
    let genesis = || Sha256::digest(format!("meltd-saga/v1\n{saga}")).to_vec();
    let (last, before) = match sagas.get(&saga) {
        Some((last, hash)) => (*last, hex::decode(hash)?),
        None => (0, genesis()),
    };
    if seq <= last {
        return Ok(false);
    }
    if seq != last + 1 {
        return Err(format!("saga {saga}: event {} is missing, {seq} came", last + 1).into());
    }
    let digest = Sha256::new()
        .chain_update(b"meltd-event/v1\n")
        .chain_update(before)
        .chain_update(&stored.message.body)
        .finalize();
    if hex::encode(digest) != hash {
        return Err(format!("saga {saga}: event {seq} was changed").into());
    }
    sagas.insert(saga, (seq, hash));
    Ok(true)
}

fn settings(url: String) -> Settings {
    let user = std::env::var("MELTD_NATS_USER").ok();
    let login = user.clone().map(|user| Login::Password {
        user,
        password: std::env::var("MELTD_NATS_PASSWORD").unwrap_or_default(),
    });
    Settings {
        url,
        login,
        // Each role sees the answers to its own requests only.
        inbox_prefix: user.map(|user| format!("_INBOX_{user}")),
        ..Settings::default()
    }
}

fn load(file: &str) -> Outcome<Position> {
    if !Path::new(file).exists() {
        return Ok(Position::default());
    }
    Ok(serde_json::from_slice(&std::fs::read(file)?)?)
}

/// Beside the file first, then in its place: a crash leaves the old one or the new one.
fn save(file: &str, position: &Position) -> Outcome<()> {
    let fresh = format!("{file}.new");
    std::fs::write(&fresh, serde_json::to_vec(position)?)?;
    Ok(std::fs::rename(fresh, file)?)
}
