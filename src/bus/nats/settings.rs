//! What a connection needs to know.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How to reach the server and what to ask of it. `Settings { url, ..Settings::default() }` is
/// enough for a server that asks nobody who they are.
#[derive(Clone)]
pub struct Settings {
    /// `nats://host:port` or `tls://host:port`, several of one cluster separated by commas; a user
    /// and a password may stand before the host.
    pub url: String,
    /// Put before every stream and subject: `T1` makes `T1_MELT_CMD` on `T1.melt.cmd.*`. None,
    /// unless several meltds that must not meet share one account.
    pub prefix: Option<String>,
    /// How this client proves who it is; it goes before what the URL says.
    pub login: Option<Login>,
    /// A certificate authority to trust instead of the system's, PEM.
    pub ca: Option<PathBuf>,
    /// This client's certificate and its key, PEM.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Before the subjects of answers, `_INBOX` by default. Permissions give each role its own, so
    /// that it sees nobody else's answers.
    pub inbox_prefix: Option<String>,
    /// The longest that one call may wait for the server.
    pub timeout: Duration,
    /// How long a command stays with one process before it comes again.
    pub ack_wait: Duration,
    /// How many servers of a cluster hold each stream that is created.
    pub replicas: u8,
    /// The size of the command stream when it is created, in bytes; full, it takes no more.
    pub commands_max_bytes: u64,
    /// The same of the dead letters' stream; full, it drops the oldest.
    pub dead_letters_max_bytes: u64,
}

/// How a client proves who it is.
#[derive(Clone)]
pub enum Login {
    /// A `.creds` file: a JWT and its key.
    CredentialsFile(PathBuf),
    /// A token.
    Token(String),
    /// A user with a password.
    Password {
        /// The user's name.
        user: String,
        /// The password.
        password: String,
    },
}

/// The server's answer to anything but a pull takes milliseconds; after this long nobody is there.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A command is acknowledged when the saga's head is durable, which takes milliseconds. A process
/// that needs this long for it has died or lost its database.
pub const ACK_WAIT: Duration = Duration::from_secs(30);

/// 64 MB are some 60,000 commands: hours of work, and few enough for a small disk.
const COMMANDS_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// As many dead letters as there can be commands.
const DEAD_LETTERS_MAX_BYTES: u64 = COMMANDS_MAX_BYTES;

impl Default for Settings {
    fn default() -> Self {
        Settings {
            url: "nats://127.0.0.1:4222".to_owned(),
            prefix: None,
            login: None,
            ca: None,
            certificate: None,
            inbox_prefix: None,
            timeout: TIMEOUT,
            ack_wait: ACK_WAIT,
            replicas: 1,
            commands_max_bytes: COMMANDS_MAX_BYTES,
            dead_letters_max_bytes: DEAD_LETTERS_MAX_BYTES,
        }
    }
}

/// Without the URL, which may hold a password.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("prefix", &self.prefix)
            .field("login", &self.login)
            .field("ca", &self.ca)
            .field("timeout", &self.timeout)
            .field("ack_wait", &self.ack_wait)
            .field("replicas", &self.replicas)
            .finish_non_exhaustive()
    }
}

/// Only which kind it is.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Login::CredentialsFile(_) => "a credentials file",
            Login::Token(_) => "a token",
            Login::Password { .. } => "a user with a password",
        })
    }
}
