//! The embedded store: the contract suite, and what only a file can show.

mod crash;
mod file;

use meltd::store::sqlite::SqliteStore;

use crate::store_contract::Fixture;

struct File {
    dir: tempfile::TempDir,
}

impl Fixture for File {
    type Store = SqliteStore;

    async fn fresh() -> Self {
        File {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    async fn open(&self) -> SqliteStore {
        SqliteStore::open(self.dir.path().join("meltd.db")).unwrap()
    }
}

store_contract!(File);
