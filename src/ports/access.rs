//! Who may ask: the tokens of services, and the signed requests that were used already.

use std::future::Future;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::saga::ids::Producer;

/// What the bearer of a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Look at balances, transactions, melts and their events.
    Read,
    /// Move money: melt, mint and receive.
    Melt,
    /// The operator's routes, over all wallets.
    Operate,
    /// The metrics: no wallet, but sums over all of them.
    Metrics,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Scope; 4] = [Scope::Read, Scope::Melt, Scope::Operate, Scope::Metrics];

    /// The word used in the store and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Melt => "melt",
            Scope::Operate => "operate",
            Scope::Metrics => "metrics",
        }
    }
}

/// Whose wallets the bearer of a token may act on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wallets {
    /// Everybody's.
    All,
    /// Those of these owners, `npub1…`.
    Of(Vec<String>),
}

/// A service's right to ask. The secret itself is never stored; the store knows its SHA-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// Its public name, for lists and for revoking it.
    pub id: String,
    /// The scope of the command ids that the service gives.
    pub producer: Producer,
    /// Whose wallets.
    pub wallets: Wallets,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was made, UTC.
    pub created_at: DateTime<Utc>,
    /// Since when it is refused, UTC.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// The store's part in deciding who may ask.
pub trait Access: Send + Sync + 'static {
    /// Keeps a token under the SHA-256 of its secret, 64 hex digits.
    fn add_token(
        &self,
        token: ApiToken,
        hash: &str,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The token of this hash, revoked or not.
    fn token(
        &self,
        hash: &str,
    ) -> impl Future<Output = Result<Option<ApiToken>, StoreError>> + Send;

    /// Every token, oldest first.
    fn tokens(&self) -> impl Future<Output = Result<Vec<ApiToken>, StoreError>> + Send;

    /// Refuses a token from now on; false if there is none with this id that was not revoked.
    fn revoke_token(
        &self,
        id: &str,
        at: DateTime<Utc>,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Uses an id up: true for the first caller of all processes, false for every later one for at
    /// least `ttl`.
    fn use_once(
        &self,
        id: &str,
        ttl: Duration,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}
