//! The embedded store: the contract suite, and what only a file can show.

mod crash;
mod file;
mod older;

use meltd::store::sqlite::SqliteStore;

use crate::store_contract::Fixture;

/// A file in a folder of its own.
pub(crate) struct File {
    dir: tempfile::TempDir,
}

impl File {
    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("meltd.db")
    }
}

impl Fixture for File {
    type Store = SqliteStore;

    async fn fresh() -> Self {
        File {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    async fn open(&self) -> SqliteStore {
        SqliteStore::open(self.path()).unwrap()
    }
}

store_contract!(File);
