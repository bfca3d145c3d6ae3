//! A real mint, a proxy before it, a store, and the real binary between them.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cdk::Bolt11Invoice;
use meltd::mint::embedded::Settings;
use serde_json::Value;

use crate::cli::scene::{ALICE, Said, Scene, paid};
use crate::proxy::Proxy;
use crate::store_contract::Fixture;
use crate::store_mongo::Mongo;

/// How long a test waits for what has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Which store the binary writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Sqlite,
    Mongo,
}

pub(crate) struct Stage {
    pub(crate) scene: Scene,
    pub(crate) proxy: Proxy,
    mongo: Option<Mongo>,
}

impl Stage {
    /// A mint with input fees, and an empty store.
    pub(crate) async fn new(on: On) -> Self {
        let settings = Settings {
            fee_ppk: 100,
            ..Settings::default()
        };
        Self::with(on, settings).await
    }

    pub(crate) async fn with(on: On, settings: Settings) -> Self {
        let scene = Scene::at(settings).await;
        let proxy = Proxy::before(scene.mint.url().to_string().trim_end_matches('/'));
        let scene = scene.with("MELTD_MINT_URL", proxy.url());
        let (scene, mongo) = match on {
            On::Sqlite => (scene, None),
            On::Mongo => {
                let mongo = Mongo::fresh().await;
                (scene.with("MELTD_STORE", &mongo.uri("")), Some(mongo))
            }
        };
        Stage {
            scene,
            proxy,
            mongo,
        }
    }

    /// The same on a store of the test's own.
    pub(crate) async fn on_store(uri: &str) -> Self {
        let stage = Self::new(On::Sqlite).await;
        stage.set("MELTD_STORE", uri)
    }

    /// The same with a variable set.
    pub(crate) fn set(self, name: &'static str, value: &str) -> Self {
        let scene = self.scene.with(name, value);
        Stage { scene, ..self }
    }

    /// The same with Alice's wallet funded.
    pub(crate) async fn funded(on: On, amount: u64) -> Self {
        let stage = Self::new(on).await;
        stage.scene.mint_to(ALICE, amount);
        stage
    }

    /// Alice pays, and somebody waits for it.
    pub(crate) fn melt(&self, invoice: &Bolt11Invoice, options: &[&str]) -> Said {
        let invoice = invoice.to_string();
        self.scene
            .json(&[&["melt", "--npub", ALICE, &invoice], options].concat())
    }

    /// Alice pays, and nobody waits for it yet.
    pub(crate) fn melts(&self, invoice: &Bolt11Invoice, options: &[&str]) -> Running {
        let invoice = invoice.to_string();
        let args = [&["melt", "--npub", ALICE, &invoice, "--json"], options].concat();
        Running(Some(self.scene.spawn(&args)))
    }

    pub(crate) fn starts(&self, args: &[&str]) -> Running {
        Running(Some(self.scene.spawn(args)))
    }

    /// Runs the binary until it dies at the point; that it did is part of the test.
    pub(crate) fn dies_at(&self, point: &str, args: &[&str]) {
        let mut command = self.scene.command(args);
        let output = command.env("MELTD_FAILPOINT", point).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), None, "{point} was not passed: {said}");
        assert!(said.contains("the process ends here"), "{point}: {said}");
    }

    /// Alice pays, until the process dies at the point.
    pub(crate) fn melt_dies_at(&self, point: &str, invoice: &Bolt11Invoice) {
        self.dies_at(point, &["melt", "--npub", ALICE, &invoice.to_string()]);
    }

    /// One recovery, after which nothing is left to do.
    pub(crate) fn recovers(&self) {
        let said = self.scene.json(&["recover", "--wait", "20s"]);
        assert_eq!(said.exit, 0, "{said:?}");
        self.scene.assert_idle();
    }

    pub(crate) fn available(&self) -> u64 {
        self.balance("available")
    }

    /// One of the balance's sums: available, reserved, in_flight, owed.
    pub(crate) fn balance(&self, field: &str) -> u64 {
        self.scene.balance(ALICE)[field].as_u64().unwrap()
    }

    /// The newest saga's state.
    pub(crate) fn newest(&self) -> Value {
        let list = self.scene.json(&["saga", "list", "--limit", "1"]).exits(0);
        list["sagas"][0].clone()
    }

    /// How the doctor grades a line with these thresholds.
    pub(crate) fn grade(&self, line: &str, thresholds: &[&str]) -> String {
        let said = self.scene.json(&[&["doctor"], thresholds].concat()).json();
        let checks = said["checks"].as_array().unwrap();
        let found = checks.iter().find(|check| check["what"] == line);
        found.unwrap()["grade"].as_str().unwrap().to_owned()
    }

    /// Everything that the balance calls available is taken by the mint: no coin in it is spent,
    /// unsigned or made up.
    pub(crate) fn spends_all(&self) {
        let all = self.available();
        // A reserve of 2 percent, 2 sat at least; the input fee depends on how many coins it takes.
        let fits = |amount: &u64| amount + (amount / 50).max(2) < all;
        let most = (1..all).rev().find(fits).unwrap();
        for amount in (1..=most).rev().take(4) {
            let invoice = self.scene.invoice(amount, paid());
            let said = self.melt(&invoice, &[]);
            if said.json()["code"] == "INSUFFICIENT_BALANCE" {
                continue;
            }
            let answer = said.exits(0);
            assert_eq!(answer["paymentResult"], "PAID", "{answer}");
            assert_eq!(self.scene.times_paid(&invoice), 1);
            return;
        }
        panic!("no amount near {most} of {all} could be paid");
    }

    /// The last looks: no counter was used twice, and nothing of the store is left.
    pub(crate) async fn end(self) {
        self.proxy.assert_no_output_twice();
        if let Some(mongo) = self.mongo {
            mongo.remove().await;
        }
    }
}

/// A process of the binary. Dropping it kills it.
pub(crate) struct Running(Option<Child>);

impl Running {
    /// Starts it, with its output kept.
    pub(crate) fn start(command: &mut Command) -> Self {
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Running(Some(piped.spawn().unwrap()))
    }

    /// Starts it, with what it logs in a file that can be read meanwhile.
    pub(crate) fn start_with_log(command: &mut Command, log: std::fs::File) -> Self {
        let piped = command.stdout(Stdio::piped()).stderr(log);
        Running(Some(piped.spawn().unwrap()))
    }

    fn child(&self) -> &Child {
        self.0.as_ref().unwrap()
    }

    fn pid(&self) -> String {
        self.child().id().to_string()
    }

    /// Sends it a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        let sent = kill.args([&format!("-{name}"), &self.pid()]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits until it is frozen (state T of its main thread).
    pub(crate) fn until_frozen(&self) {
        let stat = format!("/proc/{}/stat", self.pid());
        until("that the process is frozen", || {
            let text = std::fs::read_to_string(&stat).unwrap();
            let state = text.rsplit(") ").next().unwrap_or_default();
            state.starts_with('T')
        });
    }

    /// `kill -9`.
    pub(crate) fn dies(mut self) {
        let mut child = self.0.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// How it ended, and what it said.
    pub(crate) fn ends(mut self) -> Said {
        Said::from(self.0.take().unwrap().wait_with_output().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Asks until the answer is yes.
pub(crate) fn until(what: &str, is_true: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_true() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
