//! What must never leave the mint adapter: secrets, blinding factors, seeds, tokens. Both stores
//! are dumped after real work and searched, as is everything that the binary said at its loudest.

use std::str::FromStr;

use cdk::nuts::{CurrencyUnit, Id, PreMintSecrets, Token};
use meltd::mint::embedded::Script;
use meltd::mint::keychain::Keychain;
use meltd::ports::Store;
use meltd::store::mongo::MongoStore;
use meltd::store::sqlite::SqliteStore;

use crate::cli::scene::{ALICE, BOB, Scene, paid};
use crate::embedded_mint::purse::Purse;
use crate::store_contract::Fixture;
use crate::store_mongo::Mongo;

/// Does some of everything, and returns all that was said on the way.
fn work(scene: &Scene, token: &str) -> String {
    let mut said = String::new();
    let mut run = |args: &[&str]| {
        let output = scene
            .command(args)
            .env("MELTD_LOG", "trace")
            .output()
            .unwrap();
        said.push_str(&String::from_utf8_lossy(&output.stdout));
        said.push_str(&String::from_utf8_lossy(&output.stderr));
    };
    run(&["mint", "--npub", ALICE, "2000"]);
    for (sat, script) in [(100, paid()), (300, Script::Failed), (900, paid())] {
        let invoice = scene.invoice(sat, script).to_string();
        run(&["melt", "--npub", ALICE, &invoice]);
        run(&["melt", "--npub", ALICE, &invoice, "--json"]);
    }
    run(&["receive", "--npub", BOB, token]);
    run(&["balance", "--npub", ALICE]);
    run(&["saga", "list"]);
    run(&["audit", "verify", "--json"]);
    said
}

/// Everything that could spend a coin of this store, or was foreign money.
async fn secrets<S: Store>(scene: &Scene, store: &S) -> Vec<String> {
    let seed_file = scene.path("seed");
    let keychain = Keychain::load_or_create(&seed_file).unwrap();
    let mut secrets = vec![
        std::fs::read_to_string(&seed_file)
            .unwrap()
            .trim()
            .to_owned(),
    ];
    for wallet in store.wallets(None).await.unwrap() {
        let seed = keychain.wallet_seed(&wallet.npub, &wallet.mint_url, &wallet.unit);
        secrets.push(hex::encode(&seed[..]));
        for (keyset, next) in store.counters(&wallet.id).await.unwrap() {
            let keyset = Id::from_str(keyset.as_str()).unwrap();
            let outputs = PreMintSecrets::restore_batch(keyset, &seed, 0, next).unwrap();
            for output in outputs.secrets {
                secrets.push(output.secret.to_string());
                secrets.push(output.r.to_secret_hex());
            }
        }
    }
    assert!(secrets.len() > 40, "the search knows what it searches for");
    secrets
}

async fn search<S: Store>(scene: &Scene, store: S) {
    let proofs = Purse::open(scene.mint.url()).await.mint(64).await;
    let url = scene.mint.url().clone();
    let token = Token::new(url, proofs.clone(), None, CurrencyUnit::Sat).to_string();
    let said = work(scene, &token);
    assert!(said.contains("900"), "the work was done: {said}");
    let mut secrets = secrets(scene, &store).await;
    secrets.push(token);
    secrets.extend(proofs.iter().map(|proof| proof.secret.to_string()));
    let rows = store.dump().await.unwrap();
    assert!(
        rows.len() > 50,
        "the dump holds everything: {} rows",
        rows.len()
    );
    for secret in &secrets {
        assert!(!said.contains(secret), "the binary said a secret");
        let row = rows.iter().find(|row| row.contains(secret));
        assert!(row.is_none(), "a row holds a secret: {}", row.unwrap());
    }
}

/// Seen red by logging a secret where it is derived.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_stored_or_said_on_sqlite() {
    let scene = Scene::new().await;
    let seed = scene.path("seed").display().to_string();
    let scene = scene.with("MELTD_SEED_FILE", &seed);
    let store = SqliteStore::open(scene.path("meltd.db")).unwrap();
    search(&scene, store).await;
}

/// The same on MongoDB.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_stored_or_said_on_mongodb() {
    let mongo = Mongo::fresh().await;
    let scene = Scene::new().await;
    let seed = scene.path("seed").display().to_string();
    let scene = scene
        .with("MELTD_SEED_FILE", &seed)
        .with("MELTD_STORE", &mongo.uri(""));
    let store = MongoStore::connect(&mongo.uri("")).await.unwrap();
    search(&scene, store).await;
    mongo.remove().await;
}
