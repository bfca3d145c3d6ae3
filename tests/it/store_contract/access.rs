//! Who may ask: tokens by their hash, and ids that are used up.

use std::time::Duration;

use chrono::{DateTime, Utc};
use meltd::ports::{Access, ApiToken, Scope, Wallets};
use meltd::saga::ids::Producer;

use super::Fixture;
use super::build::open;

fn token(id: &str, wallets: Wallets) -> ApiToken {
    ApiToken {
        id: id.to_owned(),
        producer: Producer::new("shop"),
        wallets,
        scopes: vec![Scope::Read, Scope::Melt],
        created_at: DateTime::from_timestamp_millis(1_700_000_000_123).unwrap(),
        revoked_at: None,
    }
}

fn hash(digit: char) -> String {
    digit.to_string().repeat(64)
}

/// Invariant: a token is found by its hash alone, and is what was stored, for every process.
pub(crate) async fn a_token_is_found_by_its_hash<F: Fixture>(f: &F)
where
    F::Store: Access,
{
    let store = open(f).await;
    let all = token("t1", Wallets::All);
    let some = token("t2", Wallets::Of(vec!["npub1alice".to_owned()]));
    store.add_token(all.clone(), &hash('a')).await.unwrap();
    store.add_token(some.clone(), &hash('b')).await.unwrap();
    let other = open(f).await;
    assert_eq!(other.token(&hash('a')).await.unwrap(), Some(all.clone()));
    assert_eq!(other.token(&hash('b')).await.unwrap(), Some(some.clone()));
    assert_eq!(other.token(&hash('c')).await.unwrap(), None);
    assert_eq!(other.tokens().await.unwrap(), vec![all.clone(), some]);
    let again = store.add_token(token("t3", Wallets::All), &hash('a')).await;
    assert!(again.is_err(), "two tokens with one hash");
}

/// Invariant: revoked is revoked, with its first time.
pub(crate) async fn a_token_is_revoked_once<F: Fixture>(f: &F)
where
    F::Store: Access,
{
    let store = open(f).await;
    store
        .add_token(token("t1", Wallets::All), &hash('a'))
        .await
        .unwrap();
    let at = DateTime::<Utc>::from_timestamp_millis(1_700_000_111_000).unwrap();
    assert!(!store.revoke_token("t9", at).await.unwrap());
    assert!(store.revoke_token("t1", at).await.unwrap());
    assert!(!store.revoke_token("t1", Utc::now()).await.unwrap());
    let found = store.token(&hash('a')).await.unwrap().unwrap();
    assert_eq!(found.revoked_at, Some(at));
}

/// Invariant: of any number of callers that use an id, in any number of processes, one is first.
pub(crate) async fn an_id_is_used_once<F: Fixture>(f: &F)
where
    F::Store: Access,
{
    let (one, two) = (open(f).await, open(f).await);
    let ttl = Duration::from_secs(120);
    let tries = (0..20).map(|n| if n % 2 == 0 { &one } else { &two });
    let tries = tries.map(|store| store.use_once("event", ttl));
    let won = futures::future::join_all(tries).await;
    assert_eq!(won.into_iter().filter(|w| *w.as_ref().unwrap()).count(), 1);
    assert!(two.use_once("another event", ttl).await.unwrap());
    assert!(one.use_once("short", Duration::ZERO).await.unwrap());
    assert!(
        !one.use_once("event", ttl).await.unwrap(),
        "a sweep forgot a live id"
    );
}
