//! The way to the server: addresses, who we are, TLS, and why it did not work.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions, ServerAddr};

use super::settings::{Login, Settings};
use super::watch::Watch;
use crate::ports::BusError;

/// How we are called in the server's list of connections.
const NAME: &str = "meltd";

/// A server that vanished without a word is noticed after three of these.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// The longest pause between two attempts to come back: a fail-over is over in less.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// Connects once; from then on the client comes back by itself, for ever.
pub(super) async fn connect(settings: &Settings, watch: &Watch) -> Result<Client, BusError> {
    let addresses = addresses(&settings.url)?;
    let mut options = login(settings, &addresses).await?;
    if let Some(ca) = &settings.ca {
        options = options.add_root_certificates(ca.clone());
    }
    if let Some((certificate, key)) = &settings.certificate {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    if let Some(prefix) = &settings.inbox_prefix {
        options = options.custom_inbox_prefix(prefix);
    }
    let watch = watch.clone();
    let options = options
        .name(NAME)
        .connection_timeout(settings.timeout)
        .ping_interval(PING_INTERVAL)
        .max_reconnects(None)
        .reconnect_delay_callback(pause)
        .event_callback(move |event| {
            let watch = watch.clone();
            async move { watch.see(&event) }
        });
    let tries = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    let deadline = settings.timeout.saturating_mul(tries);
    let connected = tokio::time::timeout(deadline, options.connect(addresses)).await;
    match connected {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(error)) => Err(refused(&error)),
        Err(_) => Err(BusError::Away(format!(
            "nothing answered in {} s",
            deadline.as_secs()
        ))),
    }
}

/// 0, 100 ms, 200 ms, 400 ms … with the longest at [`MAX_PAUSE`].
fn pause(attempts: usize) -> Duration {
    let doubled = u32::try_from(attempts.saturating_sub(2)).unwrap_or(u32::MAX);
    let first = Duration::from_millis(100);
    match attempts {
        0 | 1 => Duration::ZERO,
        _ => first
            .saturating_mul(2u32.saturating_pow(doubled))
            .min(MAX_PAUSE),
    }
}

fn addresses(url: &str) -> Result<Vec<ServerAddr>, BusError> {
    // An address without a host is one to the library's parser.
    let known = |address: &ServerAddr| {
        matches!(address.scheme(), "nats" | "tls") && !address.host().is_empty()
    };
    let addresses: Option<Vec<ServerAddr>> = url
        .split(',')
        .map(|one| one.trim().parse().ok().filter(known))
        .collect();
    // The value is not repeated: it may hold a password.
    addresses.ok_or_else(|| {
        let text = "its address must be nats://HOST:PORT or tls://HOST:PORT, or several of one \
                    cluster with commas between them";
        BusError::Unusable(text.to_owned())
    })
}

async fn login(settings: &Settings, addresses: &[ServerAddr]) -> Result<ConnectOptions, BusError> {
    let in_url = || {
        let address = addresses.iter().find(|a| a.username().is_some())?;
        let user = percent_decoded(address.username()?);
        Some(match address.password() {
            Some(password) => Login::Password {
                user,
                password: percent_decoded(password),
            },
            None => Login::Token(user),
        })
    };
    let options = ConnectOptions::new();
    match settings.login.clone().or_else(in_url) {
        None => Ok(options),
        Some(Login::Token(token)) => Ok(options.token(token)),
        Some(Login::Password { user, password }) => Ok(options.user_and_password(user, password)),
        Some(Login::CredentialsFile(path)) => {
            let read = options.credentials_file(&path).await;
            read.map_err(|why| {
                let path = path.display();
                let text = format!("the credentials file {path} cannot be used: {}", why.kind());
                BusError::Unusable(text)
            })
        }
    }
}

/// `%40` is `@`: the only way to write one into the password of a URL.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let code = after.get(..2);
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(b'%');
                rest = after;
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

fn refused(error: &ConnectError) -> BusError {
    let io = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>());
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            let text = "the server refuses this user, token or credentials file";
            BusError::Unusable(text.to_owned())
        }
        ConnectErrorKind::ServerParse => BusError::Unusable(error.to_string()),
        ConnectErrorKind::Tls => BusError::Unusable(format!("TLS cannot be used: {error}")),
        // What rustls says about a certificate.
        _ if io.is_some_and(|io| io.kind() == io::ErrorKind::InvalidData) => {
            BusError::Unusable(format!(
                "TLS cannot be used: {error}. Name the authority that signed the server's \
                 certificate, and use a name of the server that stands in it"
            ))
        }
        _ => BusError::Away(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_the_url_may_hold_any_character() {
        assert_eq!(percent_decoded("a%40b%2Fc"), "a@b/c");
        assert_eq!(percent_decoded("100%"), "100%");
        assert_eq!(percent_decoded("%zz%e2%82%ac"), "%zz€");
    }

    #[test]
    fn addresses_are_one_or_more_of_one_cluster() {
        let found = addresses("nats://a:1, tls://b:2").unwrap();
        assert_eq!(found.len(), 2);
        for bad in ["", "http://a", "nats://a,", "mongodb://u:secret@h"] {
            let error = addresses(bad).unwrap_err().to_string();
            assert!(error.contains("nats://HOST"), "{error}");
            assert!(!error.contains("secret"));
        }
    }

    #[test]
    fn pauses_grow_and_end() {
        let pauses: Vec<_> = (0..9).map(|n| pause(n).as_millis()).collect();
        assert_eq!(pauses, [0, 0, 100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(pause(usize::MAX), MAX_PAUSE);
    }
}
