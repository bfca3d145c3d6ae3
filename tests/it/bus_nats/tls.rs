//! TLS with an authority of the test's own, made with openssl.

use std::path::{Path, PathBuf};
use std::process::Command;

use meltd::bus::nats::{NatsBus, Settings};
use meltd::ports::{Bus, BusError, Stream};

use crate::nats_server::{JETSTREAM, NatsServer};

fn openssl(folder: &Path, args: &str) {
    let output = Command::new("openssl")
        .args(args.split(' '))
        .current_dir(folder)
        .output()
        .expect("this test needs openssl");
    assert!(
        output.status.success(),
        "{args}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// `<name>.pem` and `<name>.key`, signed by the authority in the folder.
fn certificate(folder: &Path, name: &str, usage: &str) {
    let extension = format!(
        "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage={usage}\n\
         basicConstraints=critical,CA:FALSE\n"
    );
    std::fs::write(folder.join("extension"), extension).unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(
        folder,
        &format!("req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"),
    );
    openssl(
        folder,
        &format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
             -extfile extension -out {name}.pem"
        ),
    );
}

fn authority(folder: &Path) -> PathBuf {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(
        folder,
        &format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=ca"),
    );
    folder.join("ca.pem")
}

async fn outcome(settings: Settings) -> Result<(), BusError> {
    NatsBus::connect(&settings)
        .await?
        .prepare(&[Stream::Heads])
        .await
}

fn unusable(outcome: Result<(), BusError>) {
    assert!(matches!(outcome, Err(BusError::Unusable(_))), "{outcome:?}");
}

/// Invariant: a server is who its certificate says, signed by the authority that was named; a
/// stranger's server is never talked to.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_checked_against_the_authority() {
    let files = tempfile::tempdir().unwrap();
    let ca = authority(files.path());
    certificate(files.path(), "server", "serverAuth");
    let pem = |name: &str| files.path().join(name).display().to_string();
    let lines = format!(
        "{JETSTREAM}\ntls {{ cert_file: \"{}\", key_file: \"{}\" }}",
        pem("server.pem"),
        pem("server.key")
    );
    let server = NatsServer::with(&lines);
    let with = |scheme: &str, host: &str, ca: Option<&Path>| Settings {
        url: format!("{scheme}://{host}:{}", server.port()),
        ca: ca.map(Path::to_path_buf),
        ..server.settings()
    };
    outcome(with("tls", "localhost", Some(&ca))).await.unwrap();
    outcome(with("tls", "127.0.0.1", Some(&ca))).await.unwrap();
    // A server that wants TLS gets it, whatever the URL says.
    outcome(with("nats", "localhost", Some(&ca))).await.unwrap();

    unusable(outcome(with("tls", "localhost", None)).await);
    let strangers = tempfile::tempdir().unwrap();
    let strange = authority(strangers.path());
    unusable(outcome(with("tls", "localhost", Some(&strange))).await);
    unusable(
        outcome(with(
            "tls",
            "localhost",
            Some(&files.path().join("none.pem")),
        ))
        .await,
    );
}

/// Invariant: a server that knows its clients by certificate lets ours in, and nobody without.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_shows_its_certificate() {
    let files = tempfile::tempdir().unwrap();
    let ca = authority(files.path());
    certificate(files.path(), "server", "serverAuth");
    certificate(files.path(), "client", "clientAuth");
    let path = |name: &str| files.path().join(name);
    let lines = format!(
        "{JETSTREAM}\ntls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}",
        path("server.pem").display(),
        path("server.key").display(),
        ca.display()
    );
    let server = NatsServer::with(&lines);
    let bare = Settings {
        url: format!("tls://localhost:{}", server.port()),
        ca: Some(ca),
        ..server.settings()
    };
    let known = Settings {
        certificate: Some((path("client.pem"), path("client.key"))),
        ..bare.clone()
    };
    outcome(known).await.unwrap();
    let refused = outcome(bare).await;
    assert!(refused.is_err(), "{refused:?}");
}

/// Invariant: `tls://` is never answered in the clear.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_not_taken_for_one_with() {
    let server = NatsServer::start();
    let settings = Settings {
        url: server.url().replace("nats://", "tls://"),
        ..server.settings()
    };
    let refused = outcome(settings).await;
    assert!(refused.is_err(), "{refused:?}");
}
