//! A mint that is there again the next time: its keys, coins and address lie in a folder.

use std::path::Path;

use serde::Deserialize;
use serde::Serialize;

use super::EmbeddedMint;
use super::Error;
use super::Settings;
use super::server::random_seed;

/// The input fee of such a mint, in parts per thousand: small, but there, as on real mints.
const FEE_PPK: u64 = 100;

/// What has to stay the same from one start to the next.
#[derive(Serialize, Deserialize)]
struct Kept {
    seed: String,
    port: u16,
}

/// Starts the mint of this folder, which is made if it is not there. One process at a time can run
/// it. Its Lightning node begins anew each time.
pub async fn start_in(folder: &Path) -> Result<EmbeddedMint, Error> {
    std::fs::create_dir_all(folder)?;
    let file = folder.join("mint.json");
    let kept: Option<Kept> = match std::fs::read(&file) {
        Ok(text) => Some(serde_json::from_slice(&text)?),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => None,
        Err(why) => return Err(why.into()),
    };
    let mut settings = Settings {
        fee_ppk: FEE_PPK,
        database: Some(folder.join("mint.db")),
        ..Settings::default()
    };
    let mut seed = random_seed()?;
    if let Some(kept) = &kept {
        let read = hex::decode_to_slice(&kept.seed, &mut seed);
        read.map_err(|_| Error::Folder("the seed in mint.json cannot be read".to_owned()))?;
        settings.port = kept.port;
    }
    settings.seed = Some(seed);
    let mint = match EmbeddedMint::start(settings).await {
        Err(Error::Server(why)) if why.kind() == std::io::ErrorKind::AddrInUse => {
            let why = "its port is taken, perhaps by another meltd that runs it";
            return Err(Error::Folder(why.to_owned()));
        }
        started => started?,
    };
    if kept.is_none() {
        let seed = hex::encode(seed);
        let port = mint.port();
        std::fs::write(&file, serde_json::to_vec(&Kept { seed, port })?)?;
    }
    Ok(mint)
}
