//! Who asks, and what they may do. Another owner's wallet does not exist for a caller: 404, never
//! 403, so that nobody learns what is there.

use super::answer::{Answer, Failure};
use crate::npub;
use crate::ports::{ApiToken, Scope, Wallets};
use crate::saga::code::Code;
use crate::saga::ids::Producer;

/// Who asks.
#[derive(Clone, Debug)]
pub(super) enum Caller {
    /// A program on this machine, while no authentication is configured.
    Local,
    /// The owner of a wallet, by NIP-98.
    Owner(String),
    /// A service, by its token.
    Service(Box<ApiToken>),
}

impl Caller {
    /// Lets the caller act on this owner's wallets, or not; gives the owner's one spelling.
    ///
    /// # Errors
    /// 400 for what is no npub, 404 for another's wallet, 403 for a missing scope.
    pub(super) fn enter(&self, npub: &str, scope: Scope) -> Answer<String> {
        let npub = npub::check(npub).map_err(|why| Failure::new(Code::InvalidNpub, why))?;
        if !self.sees(&npub) {
            return Err(Failure::of(Code::NotFound));
        }
        self.needs(scope)?;
        Ok(npub)
    }

    /// True if this owner's wallets exist for the caller.
    pub(super) fn sees(&self, npub: &str) -> bool {
        match self {
            Caller::Local => true,
            Caller::Owner(own) => own == npub,
            Caller::Service(token) => match &token.wallets {
                Wallets::All => true,
                Wallets::Of(owners) => owners.iter().any(|owner| owner == npub),
            },
        }
    }

    /// Refuses a caller without this scope.
    ///
    /// # Errors
    /// 403.
    pub(super) fn needs(&self, scope: Scope) -> Answer<()> {
        let allowed = match self {
            Caller::Local => true,
            Caller::Owner(_) => matches!(scope, Scope::Read | Scope::Melt),
            Caller::Service(token) => token.scopes.contains(&scope),
        };
        if allowed {
            return Ok(());
        }
        let seen = format!("this needs the scope {}", scope.as_str());
        Err(Failure::new(Code::Forbidden, seen))
    }

    /// Whose wallets an operator's list is about; `None` = everybody's.
    pub(super) fn owners(&self) -> Option<&[String]> {
        match self {
            Caller::Local => None,
            Caller::Owner(own) => Some(std::slice::from_ref(own)),
            Caller::Service(token) => match &token.wallets {
                Wallets::All => None,
                Wallets::Of(owners) => Some(owners),
            },
        }
    }

    /// The scope of the command ids that the caller gives for this owner. Owners have one each, so
    /// that they can neither collide with each other nor learn of each other's ids. No producer of
    /// a token has a colon in its name.
    pub(super) fn producer(&self, npub: &str) -> Producer {
        match self {
            Caller::Local | Caller::Owner(_) => Producer::new(format!("http:{npub}")),
            Caller::Service(token) => token.producer.clone(),
        }
    }

    /// The name that is recorded with an order.
    pub(super) fn name(&self) -> &str {
        match self {
            Caller::Local => "local",
            Caller::Owner(npub) => npub,
            Caller::Service(token) => token.producer.as_str(),
        }
    }

    /// The name under which requests are counted.
    pub(super) fn key(&self) -> Option<String> {
        match self {
            Caller::Local => None,
            Caller::Owner(npub) => Some(npub.clone()),
            Caller::Service(token) => Some(token.id.clone()),
        }
    }
}
