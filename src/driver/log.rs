//! From a stored log to the folded saga.

use super::DriveError;
use crate::ports::Loaded;
use crate::saga::chain::{self, Tail};
use crate::saga::event::Entry;
use crate::saga::evolve::evolve;
use crate::saga::state::{Adoption, Saga};

/// Reads a log back into the folded saga, checking the chain on the way.
///
/// # Errors
/// [`DriveError::Damaged`].
pub fn fold(loaded: &Loaded) -> Result<(Saga, Tail), DriveError> {
    read(loaded).map(|(saga, tail, _)| (saga, tail))
}

/// The same, with the entries that were folded.
///
/// # Errors
/// [`DriveError::Damaged`].
pub fn read(loaded: &Loaded) -> Result<(Saga, Tail, Vec<Entry>), DriveError> {
    let new = &loaded.head.new;
    let adoption = Adoption {
        id: new.id.clone(),
        wallet: new.wallet.id.clone(),
        npub: new.wallet.npub.clone(),
        mint_url: new.wallet.mint_url.clone(),
        unit: new.wallet.unit.clone(),
        request_hash: new.request_hash.clone(),
        command: new.command.clone(),
    };
    let kind = new.command.kind();
    let genesis = chain::genesis(&new.id);
    let mut tail = Tail {
        saga: new.id.clone(),
        kind,
        seq: 0,
        hash: genesis,
    };
    let mut saga = Saga::adopted(adoption);
    let mut entries = Vec::with_capacity(loaded.records.len());
    for record in &loaded.records {
        let opened = chain::open(&mut tail, record);
        let (entry, _) = opened.map_err(|broken| DriveError::Damaged(broken.to_string()))?;
        saga = evolve(saga, &entry)?;
        entries.push(entry);
    }
    if tail.seq != loaded.head.version || tail.hash.to_hex() != loaded.head.head_hash {
        return Err(DriveError::Damaged(
            "the head does not match its last event".to_owned(),
        ));
    }
    Ok((saga, tail, entries))
}
