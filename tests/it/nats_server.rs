//! A nats-server of a test's own: it may be stopped, killed and started again on the same data.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use meltd::bus::nats::Settings;
use tempfile::TempDir;

/// A server on a loaded machine is ready within a second.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// Its line in the configuration unless a test wants another one.
pub(crate) const JETSTREAM: &str = "jetstream { store_dir: \"$STORE\" }";

pub(crate) struct NatsServer {
    folder: TempDir,
    port: u16,
    environment: Vec<(String, String)>,
    process: Option<Child>,
}

impl NatsServer {
    /// A running server with JetStream and nothing else.
    pub(crate) fn start() -> Self {
        NatsServer::with(JETSTREAM)
    }

    /// A running server with these lines in its configuration; `$STORE` is its folder for data.
    pub(crate) fn with(lines: &str) -> Self {
        NatsServer::stopped(lines).up()
    }

    /// The same, not started.
    pub(crate) fn stopped(lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        let server = NatsServer {
            folder,
            port,
            environment: Vec::new(),
            process: None,
        };
        server.configure(lines);
        server
    }

    /// Writes the configuration that the next start reads.
    pub(crate) fn configure(&self, lines: &str) {
        let store = self.data();
        let lines = lines.replace("$STORE", &store.display().to_string());
        let listen = format!("listen: 127.0.0.1:{}\n", self.port);
        std::fs::write(self.config(), listen + &lines).unwrap();
    }

    /// A variable in the environment of the next start.
    pub(crate) fn variable(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Starts it and waits until it can be used.
    pub(crate) fn up(mut self) -> Self {
        self.restart();
        self
    }

    /// Starts it again where it was.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .unwrap();
        let process = Command::new("nats-server")
            .arg("--config")
            .arg(self.config())
            .envs(self.environment.iter().map(|(n, v)| (n, v)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("these tests need nats-server: it is in Debian's package of that name");
        self.process = Some(process);
        let deadline = Instant::now() + READY_WITHIN;
        while !self.greets() {
            let ended = self.process.as_mut().unwrap().try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "nats-server is not ready: {ended:?}\n{}",
                std::fs::read_to_string(self.log()).unwrap()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A server greets before it is asked anything.
    fn greets(&self) -> bool {
        let Ok(stream) = TcpStream::connect(("127.0.0.1", self.port)) else {
            return false;
        };
        stream.set_read_timeout(Some(READY_WITHIN)).unwrap();
        let mut line = String::new();
        let read = BufReader::new(stream).read_line(&mut line);
        read.is_ok() && line.starts_with("INFO ")
    }

    /// Ends it as a crash does: it writes nothing any more.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Ends it as an operator does.
    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let id = process.id().to_string();
            let sent = Command::new("kill").args(["-TERM", &id]).status().unwrap();
            assert!(sent.success());
            process.wait().unwrap();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its folder: configuration, log and data; a test may put certificates there.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where its data is.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder().join("store")
    }

    fn config(&self) -> PathBuf {
        self.folder().join("nats.conf")
    }

    fn log(&self) -> PathBuf {
        self.folder().join("nats.log")
    }

    /// Settings for a client of it, with streams that fit on a small disk and a short deadline.
    pub(crate) fn settings(&self) -> Settings {
        small(&self.url())
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Settings for tests: every stream reserves its size on the disk of the test's server.
pub(crate) fn small(url: &str) -> Settings {
    Settings {
        url: url.to_owned(),
        commands_max_bytes: 1024 * 1024,
        dead_letters_max_bytes: 1024 * 1024,
        ..Settings::default()
    }
}
