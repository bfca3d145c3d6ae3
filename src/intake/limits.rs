//! How much value may be moved: by one melt, and by all melts of a wallet that have not ended.

use std::collections::HashSet;
use std::sync::Arc;

use super::Refused;
use crate::ports::{HeadFilter, Store, StoreError, Wallet};
use crate::saga::code::Code;
use crate::saga::command::{Command, Kind};
use crate::saga::ids::Amount;
use crate::saga::state::Status;

/// Heads read at once while a wallet's open value is summed.
const PAGE: u32 = 200;

/// What one caller may do. The default: everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Whose wallets, as canonical npubs; `None` = anybody's.
    pub wallets: Option<Arc<HashSet<String>>>,
    /// What it may move, on top of what anybody may.
    pub caps: Caps,
}

impl Scope {
    pub(super) fn covers(&self, wallet: &Wallet) -> Result<(), Refused> {
        match &self.wallets {
            Some(wallets) if !wallets.contains(&wallet.npub) => {
                Err(Refused::new(Code::WalletNotAllowed, ""))
            }
            _ => Ok(()),
        }
    }
}

/// Limits in the wallet's unit; `None` = without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// The most that one melt may pay.
    pub melt_max: Option<Amount>,
    /// The largest Lightning fee reserve.
    pub fee_max: Option<Amount>,
    /// The most that all melts of one wallet may pay together while their end is not known:
    /// active, owing and parked ones. Commands that are adopted at the same moment do not see each
    /// other, so it can be passed by what several processes take in at once: it bounds a loss, it
    /// is no balance.
    pub unresolved_max: Option<Amount>,
}

impl Caps {
    /// The stricter of both, limit by limit.
    pub fn and(&self, other: &Caps) -> Caps {
        let stricter = |a: Option<Amount>, b| [a, b].into_iter().flatten().min();
        Caps {
            melt_max: stricter(self.melt_max, other.melt_max),
            fee_max: stricter(self.fee_max, other.fee_max),
            unresolved_max: stricter(self.unresolved_max, other.unresolved_max),
        }
    }
}

/// Whether this wallet may pay this much more.
pub(super) async fn check<S: Store>(
    store: &S,
    wallet: &Wallet,
    amount: Amount,
    caps: &Caps,
) -> Result<(), Refused> {
    let unit = &wallet.unit;
    if let Some(max) = caps.melt_max.filter(|max| amount > *max) {
        let seen = format!("{amount} {unit}, of {max} {unit} at most");
        return Err(Refused::new(Code::AmountOverLimit, seen));
    }
    let Some(max) = caps.unresolved_max else {
        return Ok(());
    };
    let open = unresolved(store, wallet).await?;
    if open.saturating_add(amount) > max {
        let seen = format!("{open} {unit} are open and {max} {unit} may be");
        return Err(Refused::new(Code::UnresolvedOverLimit, seen));
    }
    Ok(())
}

/// What this wallet's melts without an end pay together.
///
/// # Errors
/// The store's.
pub async fn unresolved<S: Store>(store: &S, wallet: &Wallet) -> Result<Amount, StoreError> {
    let mut filter = HeadFilter {
        statuses: vec![Status::Active, Status::Owing, Status::Parked],
        kind: Some(Kind::Melt),
        wallet: Some(wallet.id.clone()),
        limit: PAGE,
        ..HeadFilter::default()
    };
    let mut open: Amount = 0;
    loop {
        let page = store.heads(filter.clone()).await?;
        let Some(last) = page.last() else {
            return Ok(open);
        };
        filter.after = Some(last.new.id.clone());
        for head in &page {
            if let Command::Melt(melt) = &head.new.command {
                open = open.saturating_add(melt.amount());
            }
        }
        if page.len() < PAGE as usize {
            return Ok(open);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stricter_limit_holds() {
        let (melt_max, fee_max, unresolved_max) = (Some(10), None, Some(7));
        let a = Caps {
            melt_max,
            fee_max,
            unresolved_max,
        };
        let b = Caps {
            melt_max: Some(5),
            fee_max: Some(3),
            unresolved_max: None,
        };
        let both = Caps {
            melt_max: Some(5),
            fee_max: Some(3),
            unresolved_max: Some(7),
        };
        assert_eq!(a.and(&b), both);
        assert_eq!(b.and(&a), both);
        assert_eq!(both.and(&Caps::default()), both);
    }
}
