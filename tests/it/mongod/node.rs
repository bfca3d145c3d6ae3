//! One server process.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mongodb::Client;
use mongodb::bson::{Document, doc};
use mongodb::options::ClientOptions;

/// A server that does not answer within this is away.
const ANSWERS: Duration = Duration::from_secs(2);

/// How long a node may take to fall in with its set.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server on a port of its own. Dropping it kills it; its data are its set's.
pub(crate) struct Node {
    pub(crate) port: u16,
    folder: PathBuf,
    process: Option<Child>,
}

impl Node {
    /// Starts it on an empty folder, which is made.
    pub(super) fn start(folder: PathBuf) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut node = Node {
            port,
            folder,
            process: None,
        };
        node.again();
        node
    }

    /// Starts it again on what it has.
    pub(crate) fn again(&mut self) {
        let mut command = Command::new(binary());
        let port = self.port.to_string();
        let log = self.folder.with_extension("log");
        command
            .args([
                "--replSet",
                "rs0",
                "--bind_ip",
                "127.0.0.1",
                "--port",
                &port,
            ])
            .args(["--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"])
            .args(["--setParameter", "enableTestCommands=1"])
            .args(["--logappend", "--logpath"])
            .arg(log)
            .arg("--dbpath")
            .arg(&self.folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.process = Some(command.spawn().unwrap());
    }

    /// `kill -9`.
    pub(crate) fn dies(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.process.is_none()
    }

    /// Sends it a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.process.as_ref().unwrap().id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Waits until it has undone what its set does not know; that is put beside the data.
    pub(crate) async fn rolls_back(&self) {
        let undone = self.folder.join("rollback");
        let deadline = Instant::now() + PATIENCE;
        while !undone.exists() {
            assert!(Instant::now() < deadline, "there was nothing to undo");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A command to this very node, whatever its role; `None` if it does not answer.
    pub(crate) async fn admin(&self, command: Document) -> Option<Document> {
        let uri = format!("mongodb://127.0.0.1:{}/?directConnection=true", self.port);
        let mut options = ClientOptions::parse(uri).await.unwrap();
        options.server_selection_timeout = Some(ANSWERS);
        options.connect_timeout = Some(ANSWERS);
        let client = Client::with_options(options).unwrap();
        let admin = client.database("admin");
        let answer = tokio::time::timeout(ANSWERS * 2, admin.run_command(command)).await;
        client.shutdown().immediate(true).await;
        answer.ok()?.ok()
    }

    /// True if it takes writes.
    pub(crate) async fn is_primary(&self) -> bool {
        let hello = self.admin(doc! { "hello": 1 }).await;
        hello.is_some_and(|h| h.get_bool("isWritablePrimary") == Ok(true))
    }

    /// A failpoint of the server's.
    pub(crate) async fn failpoint(
        &self,
        name: &str,
        mode: impl Into<mongodb::bson::Bson>,
        data: Document,
    ) {
        let command = doc! { "configureFailPoint": name, "mode": mode.into(), "data": data };
        assert!(self.admin(command).await.is_some(), "{name} was not set");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.dies();
    }
}

/// Where `scripts/services up` puts it.
fn binary() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let cache = set("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let binary = cache.unwrap().join("meltd/mongodb-6.0.5/mongod");
    assert!(
        binary.exists(),
        "there is no {}: scripts/services up",
        binary.display()
    );
    binary
}
