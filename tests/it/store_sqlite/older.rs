//! Files of older versions, made with the statements of their time: opened by this program they
//! hold what they held, byte for byte, and can do what a new file can.
//!
//! `older/v1.sql` and `older/v2.sql` are the tables as those versions made them, `older/rows.sql`
//! is a store's contents. They stay as they are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use meltd::audit::verify;
use meltd::ports::{Outbox, Store};
use meltd::saga::ids::SagaId;
use meltd::store::sqlite::SqliteStore;
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::bus_contract::Fixture as _;
use crate::bus_memory::Memory;
use crate::relay::check::consume;
use crate::relay::rig::{Running, drained, quick};
use crate::store_contract::build::{adopt, reconcile, wallet};

const ROWS: &str = include_str!("older/rows.sql");

/// A file of an older version: its tables, and what its relay had left in the outbox.
struct Older {
    version: u32,
    tables: &'static str,
    outbox: &'static str,
}

const OLDER: [Older; 2] = [
    Older {
        version: 1,
        tables: include_str!("older/v1.sql"),
        outbox: "INSERT INTO outbox (id) SELECT id FROM saga_events",
    },
    // Some are taken away, one waits, one is parked, and a reply stands behind the last.
    Older {
        version: 2,
        tables: include_str!("older/v2.sql"),
        outbox: "
INSERT INTO outbox (id, event, written_at) SELECT id, id, 1790000000000 FROM saga_events;
DELETE FROM outbox WHERE id LIKE '%:000001';
UPDATE outbox SET attempts = 3, next_attempt_at = 1790000001000, last_error = 'not confirmed'
    WHERE id LIKE '%:000002';
UPDATE outbox SET parked = 1, round = 7, last_error = 'too large' WHERE id LIKE '%:000004';
INSERT INTO outbox (id, event, subject, body, written_at)
    SELECT max(id) || ':reply', max(id), 'melt.reply.shop.x', '{}', 1790000000000 FROM saga_events;
INSERT INTO leases (name, owner, until, epoch) VALUES ('relay', 'gone', 1790000000000, 4);
INSERT INTO relay_mark (one, created, sequence, message, epoch)
    VALUES (1, '2026-09-21T14:13:20.000000000Z', 9, 'x:000001', 4);
INSERT INTO relay_checkpoints (taken_at, created, sequence, message, floor)
    VALUES (1790000000000, '2026-09-21T14:13:20.000000000Z', 9, 'x:000001', 1789999000000);",
    },
];

/// The tables that every version has, and those that came with version 2.
const FIRST: [&str; 5] = ["wallets", "counters", "sagas", "saga_events", "proofs"];
const SECOND: [&str; 4] = ["outbox", "leases", "relay_mark", "relay_checkpoints"];

impl Older {
    fn make(&self, path: &Path) {
        let conn = Connection::open(path).unwrap();
        conn.execute_batch(self.tables).unwrap();
        // The one rule that a coin outlives: it was not born as it is now.
        let sql = "SELECT sql FROM sqlite_schema WHERE name = 'proofs_are_not_born_spent'";
        let rule: String = conn.query_row(sql, [], |row| row.get(0)).unwrap();
        conn.execute_batch("DROP TRIGGER proofs_are_not_born_spent")
            .unwrap();
        conn.execute_batch(ROWS).unwrap();
        conn.execute_batch(&rule).unwrap();
        conn.execute_batch(self.outbox).unwrap();
        let insert = "INSERT INTO meta (key, value) VALUES ('schema', ?1)";
        conn.execute(insert, [self.version.to_string()]).unwrap();
    }
}

fn query(path: &Path, sql: &str) -> Vec<Vec<Value>> {
    let conn = Connection::open(path).unwrap();
    let mut select = conn.prepare(sql).unwrap();
    let columns = select.column_count();
    let rows = select.query_map([], |row| (0..columns).map(|at| row.get(at)).collect());
    rows.unwrap().map(Result::unwrap).collect()
}

/// Every row of these tables.
fn contents(path: &Path, tables: &[&'static str]) -> BTreeMap<&'static str, Vec<Vec<Value>>> {
    let all = |table: &&'static str| (*table, query(path, &format!("SELECT * FROM {table}")));
    tables.iter().map(all).collect()
}

/// Every table, index and rule, whatever its layout.
fn schema(path: &Path) -> Vec<(String, String)> {
    let sql = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name";
    let text = |value: &Value| match value {
        Value::Text(text) => text.replace('"', "").split_whitespace().collect(),
        other => panic!("{other:?}"),
    };
    let named = |row: Vec<Value>| (text(&row[0]), text(&row[1]));
    query(path, sql).into_iter().map(named).collect()
}

/// Every row is there as it was; a column that came later is empty.
fn is_kept(
    before: &BTreeMap<&'static str, Vec<Vec<Value>>>,
    now: &BTreeMap<&'static str, Vec<Vec<Value>>>,
) {
    for (table, rows) in before {
        assert_eq!(rows.len(), now[table].len(), "rows of {table}");
        for (row, now) in rows.iter().zip(&now[table]) {
            let (same, later) = now.split_at(row.len());
            assert_eq!(row, same, "a row of {table}");
            assert!(later.iter().all(|value| *value == Value::Null), "{table}");
        }
    }
}

/// A folder with an older file that this program has opened once, and what it held before.
fn opened(
    older: &Older,
    tables: &[&'static str],
) -> (
    tempfile::TempDir,
    PathBuf,
    BTreeMap<&'static str, Vec<Vec<Value>>>,
) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("meltd.db");
    older.make(&path);
    let before = contents(&path, tables);
    assert!(before.values().all(|rows| !rows.is_empty()));
    drop(SqliteStore::open(&path).unwrap());
    (dir, path, before)
}

/// Invariant: an older file becomes what a new one is, with every row that it had; and a second
/// start changes nothing.
///
/// Seen red with the second step left out, and with a first one that gives a table a column more.
#[test]
fn an_older_file_becomes_a_new_one() {
    let fresh = tempfile::tempdir().unwrap();
    let fresh = fresh.path().join("meltd.db");
    drop(SqliteStore::open(&fresh).unwrap());
    let newest = query(&fresh, "SELECT value FROM meta WHERE key = 'schema'");
    for older in &OLDER {
        let tables = match older.version {
            1 => FIRST.to_vec(),
            _ => [&FIRST[..], &SECOND].concat(),
        };
        let (_dir, path, before) = opened(older, &tables);
        let version = older.version;
        is_kept(&before, &contents(&path, &tables));
        assert_eq!(schema(&path), schema(&fresh), "version {version}");
        let now = query(&path, "SELECT value FROM meta WHERE key = 'schema'");
        assert_eq!(now, newest, "version {version}");
        let sound = [vec![Value::Text("ok".to_owned())]];
        assert_eq!(query(&path, "PRAGMA integrity_check"), sound);
        assert!(query(&path, "PRAGMA foreign_key_check").is_empty());
        let everything = [&FIRST[..], &SECOND].concat();
        let once = contents(&path, &everything);
        drop(SqliteStore::open(&path).unwrap());
        assert_eq!(contents(&path, &everything), once, "version {version}");
    }
}

/// Invariant: its history still explains its coins, it takes sagas of kinds that it did not know,
/// and its events are published, each saga whole.
///
/// Seen red with the second step left out, and with a first one that forgets the outbox.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_file_goes_on() {
    for older in &OLDER {
        let (_dir, path, _) = opened(older, &FIRST);
        let store = Arc::new(SqliteStore::open(&path).unwrap());
        let audit = verify(&*store).await.unwrap();
        assert!(audit.problems.is_empty(), "{:?}", audit.problems);
        assert_eq!(audit.sagas, 3);
        assert_eq!(store.health().await.unwrap().problems, Vec::<String>::new());
        let versions = query(&path, "SELECT id, version FROM sagas");
        let versions = versions.into_iter().map(|row| match &row[..] {
            [Value::Text(id), Value::Integer(n)] => {
                (SagaId::new(id.clone()), u32::try_from(*n).unwrap())
            }
            other => panic!("{other:?}"),
        });

        for row in store.outbox_parked(9).await.unwrap() {
            assert_eq!((row.attempts, row.round), (0, 7));
            assert!(store.outbox_unpark(&row.id).await.unwrap());
        }
        // The stream is not the one that an older relay filled: the whole log comes again.
        let bus = Arc::new(Memory::fresh().await.open().await);
        let relay = Running::start(&store, &bus, quick());
        drained(&*store, 0).await;
        consume(&*bus).await.is_whole(&versions.collect());
        relay.stop().await;

        let alice = wallet(&*store, "npub1alice").await;
        adopt(&*store, &reconcile(&alice)).await;
    }
}
