//! Lost databases, old backups, and wallets that differ from their mint: the real binary, a real
//! mint, and a store that somebody has taken away or put back.

mod ailing;
mod backup;
mod doctor;
mod lost;
mod reconcile;
mod runbook;

use serde_json::Value;

use crate::cli::scene::{Said, Scene};

/// The same mint and seed, with another store.
pub(crate) struct View<'a> {
    scene: &'a Scene,
    store: String,
}

impl<'a> View<'a> {
    /// A SQLite file of this name in the scene's folder; there need not be one yet.
    pub(crate) fn file(scene: &'a Scene, name: &str) -> Self {
        let store = format!("sqlite:{}", scene.path(name).display());
        View { scene, store }
    }

    pub(crate) fn json(&self, args: &[&str]) -> Said {
        let mut command = self.scene.command(&[args, &["--json"]].concat());
        Said::from(command.env("MELTD_STORE", &self.store).output().unwrap())
    }

    pub(crate) fn available(&self, npub: &str) -> u64 {
        let balance = self.json(&["balance", "--npub", npub]).exits(0);
        balance["available"].as_u64().unwrap()
    }

    pub(crate) fn assert_clean(&self) {
        let audit = self.json(&["audit", "verify"]).exits(0);
        assert_eq!(audit["clean"], true, "{audit}");
    }
}

/// A scene whose seed has a place of its own, so that several stores can share it.
pub(crate) async fn scene() -> Scene {
    let scene = Scene::new().await;
    let seed = scene.path("seed").display().to_string();
    scene.with("MELTD_SEED_FILE", &seed)
}

pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value}"))
}
