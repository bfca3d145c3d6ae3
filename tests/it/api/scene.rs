//! A mint, a store, and the API over both.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use cdk::Bolt11Invoice;
use cdk::nuts::{CurrencyUnit, Token};
use meltd::api::Api;
use meltd::api::tokens::{hash_of, new_secret};
use meltd::clock::SystemClock;
use meltd::config::api::ApiArgs;
use meltd::driver::{Driver, Tuning};
use meltd::intake::{Origin, Target};
use meltd::mint::cdk::{CdkMint, Timeouts};
use meltd::mint::embedded::{EmbeddedMint, InvoiceSpec, Script, Settings};
use meltd::mint::keychain::Keychain;
use meltd::pool::Pool;
use meltd::ports::{Access, ApiToken, Scope, Store, Wallets};
use meltd::saga::chain::Hash;
use meltd::saga::ids::Producer;
use meltd::store::sqlite::SqliteStore;
use nostr::event::{EventBuilder, FinalizeUnsignedEvent};
use nostr::key::{Keys, SecretKey};
use nostr::nips::nip19::ToBech32;
use nostr::nips::nip98::{HttpData, HttpMethod};
use nostr::types::{Timestamp, Url};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub(crate) use crate::cli::scene::{ALICE, BOB, paid};
use crate::embedded_mint::purse::Purse;
use crate::proxy::Proxy;

/// Under which callers reach the API, when they sign.
pub(crate) const PUBLIC_URL: &str = "https://pay.example/base";

pub(crate) struct Scene<S = SqliteStore> {
    pub(crate) mint: Arc<EmbeddedMint>,
    pub(crate) driver: Driver<S, CdkMint, SystemClock>,
    pub(crate) address: SocketAddr,
    pub(crate) client: Client,
    stop: CancellationToken,
    pub(crate) folder: TempDir,
}

impl<S> Drop for Scene<S> {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[derive(clap::Parser)]
struct Only {
    #[command(flatten)]
    api: ApiArgs,
}

/// The options with their defaults, and these.
pub(crate) fn options(more: &[&str]) -> ApiArgs {
    use clap::Parser;
    Only::parse_from([&["meltd"], more].concat()).api
}

impl Scene {
    /// One pass over everything that is not done.
    pub(crate) async fn recover(&self) {
        let heads = self.driver.unfinished().await.unwrap();
        let sagas = heads.into_iter().map(|head| (head.new.id, Duration::ZERO));
        self.driver.recover_these(sagas.collect(), |_, _| {}).await;
    }

    /// Without authentication, on SQLite.
    pub(crate) async fn open() -> Self {
        Scene::with(&[]).await
    }

    /// With authentication.
    pub(crate) async fn guarded() -> Self {
        Scene::with(&["--public-url", PUBLIC_URL]).await
    }

    /// With these options, on SQLite.
    pub(crate) async fn with(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("meltd.db")).unwrap();
        Scene::on(store, folder, options(more)).await
    }

    /// With these options and numbers of the loop's, on SQLite, and a mint that may be made to lie.
    pub(crate) async fn lied_to(more: &[&str], tuning: Tuning) -> (Self, Proxy) {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("meltd.db")).unwrap();
        let (scene, proxy) = Scene::behind(store, folder, options(more), Some(tuning)).await;
        (scene, proxy.unwrap())
    }
}

impl<S: Store + Access> Scene<S> {
    /// On this store.
    pub(crate) async fn on(store: S, folder: TempDir, options: ApiArgs) -> Self {
        Scene::behind(store, folder, options, None).await.0
    }

    /// The same; with a proxy before the mint, if there are numbers of the loop's to go with it.
    async fn behind(
        store: S,
        folder: TempDir,
        options: ApiArgs,
        tuning: Option<Tuning>,
    ) -> (Self, Option<Proxy>) {
        let settings = Settings {
            fee_ppk: 100,
            ..Settings::default()
        };
        let mint = EmbeddedMint::start(settings).await.unwrap();
        let keychain = Keychain::load_or_create(&folder.path().join("seed")).unwrap();
        let timeouts = Timeouts {
            ask: Duration::from_secs(10),
            sign: Duration::from_secs(5),
            pay: Duration::from_secs(1),
        };
        let url = mint.url().to_string();
        let proxy = tuning.map(|_| Proxy::before(url.trim_end_matches('/')));
        let url = proxy.as_ref().map_or(url, |proxy| proxy.url().to_owned());
        let cdk = CdkMint::new(keychain, &[url], timeouts).unwrap();
        let owner = uuid::Uuid::new_v4().to_string();
        let clock = Arc::new(SystemClock);
        let mut driver = Driver::new(Arc::new(store), Arc::new(cdk), clock, &owner);
        driver.tuning = tuning.unwrap_or_default();
        let pool = Pool::new(driver.clone(), 64);
        let stop = CancellationToken::new();
        let ready = Arc::new(Vec::new);
        let api = Api::new(pool, options, "sat", ready, stop.clone()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(api.serve(listener));
        let scene = Scene {
            mint: Arc::new(mint),
            driver,
            address,
            client: Client::builder().no_proxy().build().unwrap(),
            stop,
            folder,
        };
        (scene, proxy)
    }

    /// Puts value into a wallet.
    pub(crate) async fn fund(&self, npub: &str, amount: u64) {
        let origin = Origin::new(Producer::new("test"), Duration::from_secs(60));
        let target = Target {
            npub: npub.to_owned(),
            mint_url: None,
            unit: "sat".to_owned(),
        };
        let submitted = self.driver.submit_mint(&origin, &target, amount).await;
        let submitted = submitted.unwrap();
        let patience = Duration::from_secs(20);
        let driven = self
            .driver
            .drive_until(&submitted.saga, submitted.lease, patience);
        assert!(driven.await.unwrap().unwrap().later.is_none(), "funded");
    }

    pub(crate) fn invoice(&self, sat: u64, script: Script) -> Bolt11Invoice {
        let spec = InvoiceSpec {
            amount_msat: Some(sat * 1000),
            script: Some(script),
            ..InvoiceSpec::default()
        };
        self.mint.lightning().create_invoice_as(&spec).unwrap()
    }

    /// Somebody else's token of this mint.
    pub(crate) async fn foreign_token(&self, amount: u64) -> String {
        let url = self.mint.url();
        let proofs = Purse::open(url).await.mint(amount).await;
        Token::new(url.clone(), proofs, None, CurrencyUnit::Sat).to_string()
    }

    pub(crate) fn times_paid(&self, invoice: &Bolt11Invoice) -> usize {
        self.mint.lightning().times_paid(invoice.payment_hash())
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.client.post(self.url(path)).json(body)
    }

    pub(crate) fn melt(&self, npub: &str, body: &Value) -> RequestBuilder {
        self.post(&format!("/api/wallet/{npub}/melt"), body)
    }

    /// A token of these scopes for these wallets; its secret.
    pub(crate) async fn token(&self, scopes: &[Scope], wallets: Wallets) -> (String, String) {
        let secret = new_secret().unwrap();
        let token = ApiToken {
            id: uuid::Uuid::now_v7().to_string(),
            producer: Producer::new("shop"),
            wallets,
            scopes: scopes.to_vec(),
            created_at: chrono::Utc::now(),
            revoked_at: None,
        };
        let id = token.id.clone();
        let store = &self.driver.store;
        store.add_token(token, &hash_of(&secret)).await.unwrap();
        (id, secret)
    }
}

/// An answer: its status and its document.
pub(crate) async fn said(request: RequestBuilder) -> (StatusCode, Value) {
    document(request.send().await.unwrap()).await
}

pub(crate) async fn document(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let text = response.text().await.unwrap();
    let value = serde_json::from_str(&text).unwrap_or(Value::Null);
    (status, value)
}

/// Waits for something, for twenty seconds at most.
pub(crate) async fn eventually<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not in 20 s");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An owner who signs.
pub(crate) struct Owner {
    keys: Keys,
    pub(crate) npub: String,
}

/// A signed request, before it is signed: tests change one thing of it.
pub(crate) struct Auth {
    pub(crate) url: String,
    pub(crate) method: HttpMethod,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) age_s: i64,
}

impl Owner {
    pub(crate) fn new(digit: &str) -> Self {
        Owner::of(&digit.repeat(64))
    }

    /// One of many.
    pub(crate) fn number(number: u32) -> Self {
        Owner::of(&format!("{number:064x}"))
    }

    fn of(secret: &str) -> Self {
        let keys = Keys::new(SecretKey::from_hex(secret).unwrap());
        let npub = keys.public_key().to_bech32().unwrap();
        Owner { keys, npub }
    }

    pub(crate) fn sign(&self, auth: &Auth) -> String {
        let mut data = HttpData::new(Url::parse(&auth.url).unwrap(), auth.method);
        if let Some(payload) = &auth.payload {
            data = data.payload(Hash::of(payload).to_hex().parse().unwrap());
        }
        let now = u64::try_from(chrono::Utc::now().timestamp() - auth.age_s).unwrap();
        let tags: Vec<nostr::event::Tag> = data.into();
        let mut event = EventBuilder::new(nostr::event::Kind::HttpAuth, "")
            .tags(tags)
            .custom_created_at(Timestamp::from_secs(now))
            .finalize_unsigned(self.keys.public_key());
        let id = event.id();
        let secp = secp256k1::Secp256k1::new();
        let signature = self
            .keys
            .sign_schnorr_with_aux_rand(&secp, id.as_bytes(), &[7; 32]);
        let event = event.add_signature(signature).unwrap();
        let json = serde_json::to_string(&event).unwrap();
        let encoded = base64::engine::general_purpose::STANDARD.encode(json);
        format!("Nostr {encoded}")
    }

    /// The header of this very request.
    pub(crate) fn header(&self, method: &Method, path: &str, body: &[u8]) -> String {
        self.sign(&Auth {
            url: format!("{PUBLIC_URL}{path}"),
            method: method.as_str().parse().unwrap(),
            payload: (!body.is_empty()).then(|| body.to_vec()),
            age_s: 0,
        })
    }
}
