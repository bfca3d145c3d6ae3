//! The file itself: who may read it, what is refused, what the tables refuse on their own, and
//! how long a writer waits for another process.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use meltd::ports::{Store, StoreError};
use meltd::saga::proofs::ProofState::{Spent, Unspent};
use meltd::store::sqlite::SqliteStore;
use rusqlite::Connection;

use crate::store_contract::build::{adopt, coin, fund, insert, mint, shift, snapshot, wallet};

fn refused(path: &Path) -> String {
    match SqliteStore::open(path) {
        Err(StoreError::Unusable(why)) => why,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("meltd.db");
    (dir, path)
}

/// Invariant: only the owner can read the store, its log and its index.
#[cfg(unix)]
#[tokio::test]
async fn the_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    wallet(&store, "npub1alice").await;
    let mut files = 0;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.path());
        files += 1;
    }
    assert_eq!(files, 3, "the file, its log and the log's index");
}

/// Invariant: a refusal says what is wrong and what to do.
#[test]
fn a_missing_directory_is_refused_with_advice() {
    let (dir, _) = place();
    let why = refused(&dir.path().join("missing").join("meltd.db"));
    assert!(why.contains("create its directory"), "{why}");
    let why = refused(dir.path());
    assert!(
        why.contains("check that meltd may read and write it"),
        "{why}"
    );
}

/// Invariant: another program's file is refused and not changed.
#[test]
fn a_foreign_file_is_refused_and_left_alone() {
    let (_dir, path) = place();
    std::fs::write(&path, "a diary, not a database; ".repeat(100)).unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(refused(&path).contains("is not a meltd store"));
    assert_eq!(before, std::fs::read(&path).unwrap());

    std::fs::remove_file(&path).unwrap();
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch("CREATE TABLE recipes (name TEXT)")
        .unwrap();
    drop(conn);
    let before = std::fs::read(&path).unwrap();
    assert!(refused(&path).contains("is not a meltd store"));
    assert_eq!(before, std::fs::read(&path).unwrap());
}

/// Invariant: an old program never touches a newer store.
#[test]
fn a_newer_schema_is_refused() {
    let (_dir, path) = place();
    drop(SqliteStore::open(&path).unwrap());
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch("UPDATE meta SET value = '1000' WHERE key = 'schema'")
        .unwrap();
    drop(conn);
    let why = refused(&path);
    assert!(why.contains("schema 1000, this program knows"), "{why}");
}

/// Invariant: processes that start at the same time make one store.
#[test]
fn many_may_open_a_new_file_at_once() {
    for _ in 0..5 {
        let (_dir, path) = place();
        let openers: Vec<_> = (0..8)
            .map(|_| {
                let path = path.clone();
                std::thread::spawn(move || SqliteStore::open(path).map(drop))
            })
            .collect();
        for opener in openers {
            opener.join().unwrap().unwrap();
        }
    }
}

/// Invariant: the tables refuse what the code must never do, should it ever try.
#[tokio::test(flavor = "multi_thread")]
async fn the_tables_are_the_second_line() {
    let (_dir, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    let alice = wallet(&store, "npub1alice").await;
    let mut chain = adopt(&store, &mint(&alice)).await;
    let one = [coin(8)];
    let born = insert(chain.saga(), &one[0], Unspent);
    chain.write(&store, vec![born]).await.unwrap();
    chain
        .write(&store, shift(&one, Unspent, Spent))
        .await
        .unwrap();
    store
        .take_counters(&alice.id, &one[0].keyset, 5)
        .await
        .unwrap();
    let before = snapshot(&store).await;
    let conn = Connection::open(&path).unwrap();
    for sql in [
        "UPDATE proofs SET state = 'unspent', saga = NULL, spent_at = NULL",
        "UPDATE proofs SET saga = saga",
        "DELETE FROM proofs",
        "UPDATE saga_events SET body = '{}'",
        "UPDATE saga_events SET private = 'other'",
        "DELETE FROM saga_events",
        "UPDATE sagas SET fence = 0",
        "UPDATE sagas SET version = version - 1",
        "UPDATE sagas SET status = 'lost'",
        "UPDATE sagas SET next_attempt_at = NULL",
        "UPDATE counters SET next = next - 1",
        "INSERT INTO outbox (id, event, written_at) VALUES ('no:000001', 'no:000001', 0)",
        "UPDATE outbox SET subject = 'melt.events.Other', body = '{}'",
        "INSERT INTO wallets SELECT 'other', npub, mint_url, unit FROM wallets",
    ] {
        assert!(conn.execute_batch(sql).is_err(), "{sql}");
    }
    assert_eq!(before, snapshot(&store).await);
    // The private half may be erased, and the chain still verifies.
    conn.execute_batch("UPDATE saga_events SET private = NULL")
        .unwrap();
    let version = crate::store_contract::append::verified(&store, chain.saga()).await;
    assert_eq!(version, 2);
}

/// Invariant: a row that cannot be read stops its reader; it is never skipped or guessed, and the
/// message does not quote it.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_row_is_unusable() {
    let (_dir, path) = place();
    let store = SqliteStore::open(&path).unwrap();
    let alice = wallet(&store, "npub1alice").await;
    let chain = adopt(&store, &mint(&alice)).await;
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch("UPDATE sagas SET command = '{\"kind\":\"private-words\"}'")
        .unwrap();
    match store.load(chain.saga()).await {
        Err(StoreError::Unusable(why)) => assert!(!why.contains("private-words"), "{why}"),
        other => panic!("{other:?}"),
    }
}

/// Invariant: another process's transaction is waited for; one that never ends is reported as
/// "not now", nothing is written, and the same write succeeds later.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_file_is_waited_for_and_then_unavailable() {
    let (_dir, path) = place();
    let store = Arc::new(SqliteStore::open(&path).unwrap());
    let alice = wallet(&*store, "npub1alice").await;
    let coins = fund(&*store, &alice, 2).await;
    let mut chain = adopt(&*store, &mint(&alice)).await;
    let holder = Connection::open(&path).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waiting = {
        let (store, mut chain) = (Arc::clone(&store), chain.clone());
        let moves = shift(&coins[..1], Unspent, Spent);
        tokio::spawn(async move { chain.write(&*store, moves).await })
    };
    let result = waiting.await.unwrap();
    assert!(
        matches!(result, Err(StoreError::Unavailable(_))),
        "{result:?}"
    );
    assert_eq!(
        store.proofs(&alice.id, &[Spent]).await.unwrap(),
        vec![],
        "readers never wait"
    );

    let before = std::time::Instant::now();
    let moves = shift(&coins[..1], Unspent, Spent);
    let (written, _) = tokio::join!(chain.write(&*store, moves), async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        holder.execute_batch("ROLLBACK").unwrap();
    });
    written.unwrap();
    assert!(before.elapsed() >= std::time::Duration::from_millis(200));
    assert_eq!(store.proofs(&alice.id, &[Spent]).await.unwrap().len(), 1);
}
