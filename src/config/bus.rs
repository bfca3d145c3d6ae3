//! Where the bus is and how to get onto it. Only commands that use the bus read this.

use std::path::PathBuf;
use std::time::Duration;

use super::{Invalid, Secret};
use crate::bus::nats::{Login, Settings};
use crate::saga::code::Code;

/// The options of commands that use the bus.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Options of the bus")]
pub struct BusConfig {
    /// How producers and audit consumers are reached: memory, or nats://HOST:PORT, tls://HOST:PORT;
    /// several servers of one cluster with commas between them
    //
    // No default: a service that publishes into its own memory by mistake looks as if it worked.
    #[arg(long, env = "MELTD_BUS", hide_env_values = true, value_name = "URL")]
    pub bus: Option<Secret>,

    /// The .creds file of this role
    //
    // No default, as for the three below: who may do what is decided at the server.
    #[arg(
        long,
        env = "MELTD_NATS_CREDS",
        hide_env_values = true,
        value_name = "FILE",
        conflicts_with_all = ["nats_token", "nats_user"]
    )]
    pub nats_creds: Option<PathBuf>,

    /// The token of this role
    #[arg(
        long,
        env = "MELTD_NATS_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN",
        conflicts_with = "nats_user"
    )]
    pub nats_token: Option<Secret>,

    /// The user of this role; its password belongs to it
    #[arg(
        long,
        env = "MELTD_NATS_USER",
        value_name = "NAME",
        requires = "nats_password"
    )]
    pub nats_user: Option<String>,

    /// The password of the user; better in the environment, where no process list shows it
    #[arg(
        long,
        env = "MELTD_NATS_PASSWORD",
        hide_env_values = true,
        value_name = "PASSWORD",
        requires = "nats_user"
    )]
    pub nats_password: Option<Secret>,

    /// The certificate authority that signed the server's certificate, PEM
    /// [default: those of the system]
    #[arg(long, env = "MELTD_NATS_CA", value_name = "FILE")]
    pub nats_ca: Option<PathBuf>,

    /// This client's certificate, PEM, if the server asks for one
    #[arg(
        long,
        env = "MELTD_NATS_CERT",
        value_name = "FILE",
        requires = "nats_key"
    )]
    pub nats_cert: Option<PathBuf>,

    /// The key of the client's certificate, PEM
    #[arg(
        long,
        env = "MELTD_NATS_KEY",
        hide_env_values = true,
        value_name = "FILE",
        requires = "nats_cert"
    )]
    pub nats_key: Option<PathBuf>,

    /// What the subjects of answers to this client begin with
    //
    // The library's own. The permissions of roles that do not trust each other name one for each.
    #[arg(
        long,
        env = "MELTD_NATS_INBOX",
        default_value = "_INBOX",
        value_name = "PREFIX"
    )]
    pub nats_inbox: String,

    /// How many servers of the cluster keep each stream that meltd creates
    //
    // 1: what one server can do. A cluster of three wants 3.
    #[arg(
        long,
        env = "MELTD_NATS_REPLICAS",
        default_value_t = 1,
        value_parser = clap::value_parser!(u8).range(1..=5),
        value_name = "N"
    )]
    pub nats_replicas: u8,

    /// The largest size of the stream of commands when meltd creates it, in bytes; when it is full,
    /// producers are refused
    //
    // 64 MB are some 60,000 commands: hours of work, and few enough for a small disk.
    #[arg(
        long,
        env = "MELTD_NATS_COMMANDS_MAX_BYTES",
        default_value_t = 64 * 1024 * 1024,
        value_parser = clap::value_parser!(u64).range(1024 * 1024..),
        value_name = "BYTES"
    )]
    pub nats_commands_max_bytes: u64,

    /// How long the bus may take for an answer, in milliseconds
    //
    // 5 s: a server answers in milliseconds, and an election in a cluster takes a second or two.
    #[arg(
        long,
        env = "MELTD_NATS_TIMEOUT_MS",
        default_value_t = 5_000,
        value_parser = clap::value_parser!(u64).range(100..=60_000),
        value_name = "MS"
    )]
    pub nats_timeout_ms: u64,
}

/// Where the bus is.
#[derive(Clone, Debug)]
pub enum BusAddress {
    /// In this process.
    Memory,
    /// A server or a cluster.
    Nats(Box<Settings>),
}

impl BusConfig {
    /// Where the bus is; `None` = not said.
    ///
    /// # Errors
    /// [`Invalid`] for anything but `memory` and addresses of NATS.
    pub fn address(&self) -> Result<Option<BusAddress>, Invalid> {
        let Some(text) = self.bus.as_ref().map(Secret::reveal) else {
            return Ok(None);
        };
        let nats = |one: &str| {
            let address = one.trim();
            ["nats://", "tls://"].iter().any(|scheme| {
                address
                    .strip_prefix(scheme)
                    .is_some_and(|host| !host.is_empty())
            })
        };
        match text {
            "memory" => Ok(Some(BusAddress::Memory)),
            text if text.split(',').all(nats) => {
                Ok(Some(BusAddress::Nats(Box::new(self.settings(text)))))
            }
            // The value is not repeated: it may be an address with a password in it.
            _ => Err(Invalid {
                code: Code::BusInvalid,
                message: Code::BusInvalid.advice().to_owned(),
            }),
        }
    }

    fn settings(&self, url: &str) -> Settings {
        let user = self.nats_user.clone().zip(self.nats_password.clone());
        let creds = self.nats_creds.clone().map(Login::CredentialsFile);
        let token = self.nats_token.as_ref();
        let token = token.map(|token| Login::Token(token.reveal().to_owned()));
        let password = user.map(|(user, password)| Login::Password {
            user,
            password: password.reveal().to_owned(),
        });
        Settings {
            url: url.to_owned(),
            login: creds.or(token).or(password),
            ca: self.nats_ca.clone(),
            certificate: self.nats_cert.clone().zip(self.nats_key.clone()),
            inbox_prefix: Some(self.nats_inbox.clone()),
            timeout: Duration::from_millis(self.nats_timeout_ms),
            replicas: self.nats_replicas,
            commands_max_bytes: self.nats_commands_max_bytes,
            dead_letters_max_bytes: self.nats_commands_max_bytes,
            ..Settings::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        bus: BusConfig,
    }

    fn with(args: &[&str]) -> BusConfig {
        Only::parse_from(["meltd"].iter().chain(args)).bus
    }

    #[test]
    fn a_bus_is_named_by_its_scheme() {
        assert!(with(&[]).address().unwrap().is_none());
        let memory = with(&["--bus", "memory"]).address().unwrap();
        assert!(matches!(memory, Some(BusAddress::Memory)));
        for good in ["nats://h:4222", "tls://a:1,tls://b:2", "nats://u:p@h"] {
            let Ok(Some(BusAddress::Nats(settings))) = with(&["--bus", good]).address() else {
                panic!("{good}");
            };
            assert_eq!(settings.url, good);
        }
        for bad in [
            "",
            "h:4222",
            "kafka://u:secret@h",
            "nats://",
            "nats://a,memory",
        ] {
            let invalid = with(&["--bus", bad]).address().unwrap_err();
            assert_eq!(invalid.code, Code::BusInvalid, "{bad}");
            assert!(!invalid.message.contains("secret"));
        }
    }

    #[test]
    fn no_secret_is_in_what_is_printed() {
        let args = [
            "--bus",
            "nats://u:hidden@h",
            "--nats-user",
            "u",
            "--nats-password",
            "hidden",
        ];
        let config = with(&args);
        let address = config.address().unwrap();
        assert!(!format!("{config:?} {address:?}").contains("hidden"));
        let config = with(&["--bus", "nats://hidden@h", "--nats-token", "hidden"]);
        let address = config.address().unwrap();
        assert!(!format!("{config:?} {address:?}").contains("hidden"));
    }

    #[test]
    fn half_a_login_is_refused() {
        let refused = [
            ["--nats-user", "u", "--nats-cert", "c"].as_slice(),
            &["--nats-user", "u"],
            &["--nats-password", "p"],
            &["--nats-cert", "c"],
            &["--nats-token", "t", "--nats-creds", "f"],
        ];
        for args in refused {
            let parsed = Only::try_parse_from(["meltd"].iter().chain(args));
            assert!(parsed.is_err(), "{args:?}");
        }
    }
}
