//! Every mint: whether new payments are paused there, and what is open.

use std::collections::BTreeMap;

use crate::ports::{HeadFilter, Pause, Store, StoreError};
use crate::saga::state::Status;

/// Heads read at a time.
const PAGE: u32 = 500;

/// One mint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its URL.
    pub mint_url: String,
    /// Who has paused it, when and why.
    pub pause: Option<Pause>,
    /// Wallets there.
    pub wallets: usize,
    /// Sagas there that are not done.
    pub open_sagas: usize,
}

/// Every mint that a wallet is at, or that is paused, by URL.
///
/// # Errors
/// [`StoreError`] if the store cannot be read.
pub async fn mints<S: Store>(store: &S) -> Result<Vec<Standing>, StoreError> {
    let mut known: BTreeMap<String, Standing> = BTreeMap::new();
    let new = |mint_url: &str| Standing {
        mint_url: mint_url.to_owned(),
        pause: None,
        wallets: 0,
        open_sagas: 0,
    };
    for wallet in store.wallets(None).await? {
        let url = &wallet.mint_url;
        known.entry(url.clone()).or_insert_with(|| new(url)).wallets += 1;
    }
    for pause in store.pauses().await? {
        let url = pause.mint_url.clone();
        let mint = known.entry(url.clone()).or_insert_with(|| new(&url));
        mint.pause = Some(pause);
    }
    let mut filter = HeadFilter {
        statuses: vec![Status::Active, Status::Owing, Status::Parked],
        limit: PAGE,
        ..HeadFilter::default()
    };
    loop {
        let heads = store.heads(filter.clone()).await?;
        let Some(last) = heads.last() else { break };
        filter.after = Some(last.new.id.clone());
        for head in &heads {
            if let Some(mint) = known.get_mut(&head.new.wallet.mint_url) {
                mint.open_sagas += 1;
            }
        }
    }
    Ok(known.into_values().collect())
}
