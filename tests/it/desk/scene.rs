//! A funded wallet at a mint behind a front, and melts that got stuck in one way or another.

use cdk::Bolt11Invoice;
use meltd::mint::embedded::Script;
use serde_json::{Value, json};

use crate::cli::scene::{ALICE, Scene, paid};
use crate::mint_cdk::front::Front;

/// The options of everybody who decides something.
pub(super) const BY: [&str; 4] = ["--by", "olga", "--reason", "asked the mint"];

pub(super) struct Office {
    pub(super) scene: Scene,
    pub(super) front: Front,
}

impl Office {
    /// With this much in Alice's wallet.
    pub(super) async fn new(funded: u64) -> Self {
        Office::on(Scene::new().await, funded).await
    }

    pub(super) async fn on(scene: Scene, funded: u64) -> Self {
        let front = Front::before(scene.mint.url().to_string().trim_end_matches('/')).await;
        let scene = scene.with("MELTD_MINT_URL", &front.url);
        scene.mint_to(ALICE, funded);
        Office { scene, front }
    }

    /// A melt whose process died after its intent was durable and before its post: its inputs are
    /// free, and nothing of it is at the mint.
    pub(super) fn dead_before_post(&self, sat: u64) -> (String, Bolt11Invoice) {
        let invoice = self.scene.invoice(sat, paid());
        let melt = ["melt", "--npub", ALICE, &invoice.to_string()];
        let mut melt = self.scene.command(&melt);
        let died = melt
            .env("MELTD_FAILPOINT", "append.after.ProofsSent")
            .output();
        assert_eq!(died.unwrap().status.code(), None, "it dies by a signal");
        (self.only(), invoice)
    }

    /// A melt whose payment is under way for as long as nobody settles it.
    pub(super) fn pending(&self, sat: u64) -> (String, Bolt11Invoice) {
        let invoice = self.scene.invoice(sat, Script::Pending);
        let text = invoice.to_string();
        let melt = ["melt", "--npub", ALICE, &text, "--wait", "0"];
        self.scene.json(&melt).exits(5);
        (self.only(), invoice)
    }

    /// The one saga that is not done.
    pub(super) fn only(&self) -> String {
        let list = self.list(&["--status", "active,owing,parked"]);
        let sagas = list.as_array().unwrap();
        assert_eq!(sagas.len(), 1, "{list}");
        sagas[0]["saga"].as_str().unwrap().to_owned()
    }

    pub(super) fn list(&self, filters: &[&str]) -> Value {
        let answer = self.scene.json(&[&["saga", "list"], filters].concat());
        answer.exits(0)["sagas"].clone()
    }

    pub(super) fn show(&self, id: &str) -> Value {
        self.scene.json(&["saga", "show", id]).exits(0)
    }

    pub(super) fn evidence(&self, id: &str) -> Value {
        let shown = self
            .scene
            .json(&["saga", "show", id, "--evidence"])
            .exits(0);
        shown["evidence"].clone()
    }

    pub(super) fn version(&self, id: &str) -> String {
        self.show(id)["version"].to_string()
    }

    /// `meltd saga resolve` on what was seen just now.
    pub(super) fn resolve(&self, id: &str, as_: &str) -> crate::cli::scene::Said {
        let version = self.version(id);
        let args = [
            "saga",
            "resolve",
            id,
            "--as",
            as_,
            "--expect-version",
            &version,
        ];
        let wait = ["--wait", "6s"];
        self.scene.json(&[&args[..], &BY, &wait].concat())
    }

    /// The mint calls every quote this.
    pub(super) fn quotes_are(&self, state: &'static str) {
        self.front.change("GET /v1/melt/quote", move |mut quote| {
            quote["state"] = json!(state);
            quote["change"] = Value::Null;
            quote
        });
    }

    /// The mint calls every coin this.
    pub(super) fn coins_are(&self, state: &'static str) {
        self.front.change("/v1/checkstate", move |mut answer| {
            for coin in answer["states"].as_array_mut().unwrap() {
                coin["state"] = json!(state);
            }
            answer
        });
    }

    /// The mint finds no signatures.
    pub(super) fn nothing_is_signed(&self) {
        self.front.change("/v1/restore", |mut answer| {
            answer["outputs"] = json!([]);
            answer["signatures"] = json!([]);
            answer
        });
    }
}
