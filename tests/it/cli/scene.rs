//! A mint in this process, a folder for the store, and the binary run against both.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use cdk::Bolt11Invoice;
use meltd::mint::embedded::{EmbeddedMint, InvoiceSpec, Script, Settings};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const ALICE: &str = "npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6";
pub(crate) const BOB: &str = "npub1sg6plzptd64u62a878hep2kev88swjh3tw00gjsfl8f237lmu63q0uf63m";

/// How the binary ended and what it said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) exit: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    /// The one document on standard output.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }

    /// The document of a command that ended as expected.
    pub(crate) fn exits(self, exit: i32) -> Value {
        assert_eq!(self.exit, exit, "{self:?}");
        self.json()
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said {
            exit: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

pub(crate) struct Scene {
    pub(crate) mint: EmbeddedMint,
    pub(crate) folder: TempDir,
    environment: Vec<(&'static str, String)>,
}

impl Scene {
    /// A mint with input fees, and no store yet.
    pub(crate) async fn new() -> Self {
        let settings = Settings {
            fee_ppk: 100,
            ..Settings::default()
        };
        Scene::at(settings).await
    }

    /// The same at a mint that is run otherwise.
    pub(crate) async fn at(settings: Settings) -> Self {
        let mint = EmbeddedMint::start(settings).await.unwrap();
        let url = mint.url().to_string();
        let folder = tempfile::tempdir().unwrap();
        let scene = Scene {
            mint,
            folder,
            environment: Vec::new(),
        };
        let store = format!("sqlite:{}", scene.path("meltd.db").display());
        scene
            .with("MELTD_STORE", &store)
            .with("MELTD_MINT_URL", &url)
            .with("MELTD_LEASE_TTL_MS", "500")
            .with("MELTD_POST_TIMEOUT_MS", "1000")
    }

    /// The same with one wallet funded.
    pub(crate) async fn funded(npub: &str, amount: u64) -> Self {
        let scene = Scene::new().await;
        let answer = scene.mint_to(npub, amount);
        assert_eq!(answer["gained"], amount);
        scene
    }

    /// The same with a variable set, or set to something else.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.environment.retain(|(known, _)| *known != name);
        self.environment.push((name, value.to_owned()));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn mint_to(&self, npub: &str, amount: u64) -> Value {
        let amount = amount.to_string();
        self.json(&["mint", "--npub", npub, &amount]).exits(0)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meltd"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.folder.path())
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    /// Runs it; nothing that it says may hold what must stay secret.
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        let said = Said::from(self.command(args).output().unwrap());
        if args.iter().all(|arg| *arg != "mint") {
            for text in [&said.stdout, &said.stderr] {
                assert!(
                    !text.contains("lnbc1") && !text.contains("cashuBo"),
                    "{text}"
                );
                let invoice = args.iter().find(|arg| arg.starts_with("lnbc"));
                assert!(invoice.is_none_or(|i| !text.contains(*i)), "{text}");
            }
        }
        said
    }

    /// Runs it with `--json`.
    pub(crate) fn json(&self, args: &[&str]) -> Said {
        self.run(&[args, &["--json"]].concat())
    }

    /// Runs it with `--json` and this on its standard input.
    pub(crate) fn json_with_input(&self, args: &[&str], input: &str) -> Said {
        let mut command = self.command(&[args, &["--json"]].concat());
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = piped.stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        Said::from(child.wait_with_output().unwrap())
    }

    /// Starts it and lets it run.
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        piped.spawn().unwrap()
    }

    /// An invoice of the node behind the mint.
    pub(crate) fn invoice(&self, sat: u64, script: Script) -> Bolt11Invoice {
        self.invoice_as(&InvoiceSpec {
            amount_msat: Some(sat * 1000),
            script: Some(script),
            ..InvoiceSpec::default()
        })
    }

    pub(crate) fn invoice_as(&self, spec: &InvoiceSpec) -> Bolt11Invoice {
        self.mint.lightning().create_invoice_as(spec).unwrap()
    }

    pub(crate) fn times_paid(&self, invoice: &Bolt11Invoice) -> usize {
        self.mint.lightning().times_paid(invoice.payment_hash())
    }

    pub(crate) fn balance(&self, npub: &str) -> Value {
        self.json(&["balance", "--npub", npub]).exits(0)
    }

    /// Nothing is held back anywhere, and the store agrees with its history.
    pub(crate) fn assert_idle(&self) {
        for npub in [ALICE, BOB] {
            let balance = self.balance(npub);
            assert_eq!(balance["reserved"], 0, "{balance}");
            assert_eq!(balance["in_flight"], 0, "{balance}");
        }
        self.assert_clean();
    }

    pub(crate) fn assert_clean(&self) {
        let audit = self.json(&["audit", "verify"]).exits(0);
        assert_eq!(audit["clean"], true, "{audit}");
    }
}

/// Paid at once, for a fee of 1 sat.
pub(crate) fn paid() -> Script {
    Script::Paid { ln_fee: 1 }
}
