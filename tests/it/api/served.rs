//! The real binary serving the API, on both stores, and everything that it says while it does.

use std::fs::File;
use std::process::{Child, Stdio};
use std::time::Instant;

use meltd::mint::embedded::Script;
use meltd::ports::Store;
use meltd::store::mongo::MongoStore;
use meltd::store::sqlite::SqliteStore;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use super::scene::{PUBLIC_URL, document, eventually};
use crate::cli::scene::{ALICE, Scene, paid};
use crate::store_contract::Fixture;
use crate::store_mongo::Mongo;

/// The process; killed when the test ends, if it has not ended by then.
pub(super) struct Served {
    pub(super) process: Child,
    pub(super) url: String,
    client: Client,
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

pub(super) async fn serve(scene: &Scene, log: &str) -> Served {
    let log = scene.path(log);
    let process = scene
        .command(&[
            "serve",
            "--roles",
            "api,recovery",
            "--public-url",
            PUBLIC_URL,
        ])
        .env("MELTD_BUS", "memory")
        .env("MELTD_LISTEN", "127.0.0.1:0")
        .env("MELTD_LOG", "trace")
        .env("MELTD_LOG_FORMAT", "json")
        .stdout(Stdio::null())
        .stderr(File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let address = eventually("the API listens", || async {
        let log = std::fs::read_to_string(&log).unwrap();
        let said = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut fields = said.map(|line| line["fields"].clone());
        let line = fields.find(|fields| fields["message"] == "the API listens")?;
        Some(line["address"].as_str()?.to_owned())
    })
    .await;
    Served {
        process,
        url: format!("http://{address}"),
        client: Client::builder().no_proxy().build().unwrap(),
    }
}

impl Served {
    async fn melt(&self, secret: &str, invoice: &str) -> (StatusCode, Value) {
        let url = format!("{}/api/wallet/{ALICE}/melt", self.url);
        let ask = json!({ "invoice": invoice });
        let asked = self
            .client
            .post(url)
            .bearer_auth(secret)
            .json(&ask)
            .send()
            .await;
        document(asked.unwrap()).await
    }

    pub(super) async fn get(&self, secret: &str, path: &str) -> (StatusCode, Value) {
        let request = self.client.get(format!("{}{path}", self.url));
        document(request.bearer_auth(secret).send().await.unwrap()).await
    }
}

/// Pays, fails and asks through the real binary; what must stay private is in no log line, and the
/// secret of the token in no row.
/// Seen red by logging the header in `auth::caller`.
async fn pays_and_keeps_quiet<S: Store>(scene: Scene, open: impl AsyncFn(&Scene) -> S) {
    scene.mint_to(ALICE, 1000);
    let create = [
        "token",
        "create",
        "shop",
        "--scope",
        "read,melt",
        "--wallet",
        ALICE,
    ];
    let token = scene.json(&create).exits(0);
    let secret = token["secret"].as_str().unwrap().to_owned();
    let mut served = serve(&scene, "serve.log").await;
    let invoice = scene.invoice(100, paid());
    let (status, melt) = served.melt(&secret, &invoice.to_string()).await;
    assert_eq!(
        (status, &melt["paymentResult"]),
        (StatusCode::OK, &json!("PAID")),
        "{melt}"
    );
    let failing = scene.invoice(50, Script::Failed);
    let (status, failed) = served.melt(&secret, &failing.to_string()).await;
    assert_eq!(
        (status.as_u16(), &failed["code"]),
        (422, &json!("PAYMENT_FAILED")),
        "{failed}"
    );
    let (status, _) = served.get(&secret, "/api/melts").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, ready) = served.get(&secret, "/ready").await;
    assert_eq!(status, StatusCode::OK, "{ready}");
    let list = scene.json(&["token", "list"]).exits(0);
    assert!(!list.to_string().contains(&secret));
    let id = token["id"].as_str().unwrap();
    scene.json(&["token", "revoke", id]).exits(0);
    scene.json(&["token", "revoke", id]).exits(3);
    assert_eq!(served.melt(&secret, "x").await.0, StatusCode::UNAUTHORIZED);
    let pid = served.process.id().to_string();
    let asked = std::process::Command::new("kill")
        .args(["-TERM", &pid])
        .status();
    assert!(asked.unwrap().success());
    let began = Instant::now();
    assert_eq!(served.process.wait().unwrap().code(), Some(0));
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    let log = std::fs::read_to_string(scene.path("serve.log")).unwrap();
    assert!(
        log.contains("\"TRACE\"") || log.contains("\"DEBUG\""),
        "the log is at its loudest"
    );
    assert!(log.contains("pass ended"), "the work was done there");
    let private = [
        secret.clone(),
        invoice.to_string(),
        melt["preimage"].as_str().unwrap().to_owned(),
        std::fs::read_to_string(scene.path("seed"))
            .unwrap()
            .trim()
            .to_owned(),
    ];
    for text in &private {
        let line = log.lines().find(|line| line.contains(text.as_str()));
        assert!(line.is_none(), "{}", line.unwrap());
    }
    let rows = open(&scene).await.dump().await.unwrap();
    assert!(
        rows.iter().all(|row| !row.contains(&secret)),
        "a row holds a token's secret"
    );
    assert_eq!(scene.times_paid(&invoice), 1);
    scene.assert_idle();
}

fn with_seed(scene: Scene) -> Scene {
    let seed = scene.path("seed").display().to_string();
    scene.with("MELTD_SEED_FILE", &seed)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_serves_on_sqlite() {
    let scene = with_seed(Scene::new().await);
    pays_and_keeps_quiet(scene, async |scene| {
        SqliteStore::open(scene.path("meltd.db")).unwrap()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_serves_on_mongodb() {
    let mongo = Mongo::fresh().await;
    let uri = mongo.uri("");
    let scene = with_seed(Scene::new().await).with("MELTD_STORE", &uri);
    pays_and_keeps_quiet(scene, async |_| MongoStore::connect(&uri).await.unwrap()).await;
    mongo.remove().await;
}

/// Guards that nothing but loopback is listened on without authentication, and that it is said.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_address_is_refused() {
    let scene = Scene::new().await.with("MELTD_BUS", "memory");
    let args = ["serve", "--roles", "api", "--listen", "0.0.0.0:0"];
    let refused = scene.json(&args).exits(2);
    assert_eq!(refused["code"], "CONFIG_INVALID");
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("MELTD_PUBLIC_URL"),
        "{refused}"
    );
}
