//! What the API costs: a melt beside a direct drive, and a thousand who follow and hear nothing.
//! `--nocapture` prints the figures.

use std::time::{Duration, Instant};

use futures::future::join_all;
use meltd::intake::{MeltRequest, Origin, Target};
use meltd::saga::command::Policy;
use meltd::saga::ids::Producer;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::scene::{ALICE, Scene, eventually, paid, said};
use super::served::serve;

/// Enough for a 99th percentile that is not the maximum of a few.
const MELTS: usize = 120;

fn print(what: &str, mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    println!("{what:14} p50 {:6.1?}  p99 {:6.1?}", at(50), at(99));
    at(50)
}

/// The same melts, one after the other, through the loop and through HTTP.
#[tokio::test(flavor = "multi_thread")]
async fn a_melt_through_http_beside_a_direct_drive() {
    let scene = Scene::with(&["--burst", "10000"]).await;
    for _ in 0..4 {
        scene.fund(ALICE, 1023).await;
    }
    let (mut direct, mut http) = (Vec::new(), Vec::new());
    for _ in 0..MELTS {
        let request = MeltRequest {
            target: Target {
                npub: ALICE.to_owned(),
                mint_url: None,
                unit: "sat".to_owned(),
            },
            invoice: scene.invoice(5, paid()).to_string(),
            amount: None,
            fee_limit: None,
            policy: Policy::Block,
        };
        let origin = Origin::new(Producer::new("test"), Duration::from_secs(60));
        let began = Instant::now();
        let submitted = scene.driver.submit_melt(&origin, &request).await.unwrap();
        let patience = Duration::from_secs(20);
        let driven = scene
            .driver
            .drive_until(&submitted.saga, submitted.lease, patience);
        assert!(driven.await.unwrap().is_some());
        direct.push(began.elapsed());

        let ask = json!({ "invoice": scene.invoice(5, paid()).to_string() });
        let began = Instant::now();
        let (status, body) = said(scene.melt(ALICE, &ask)).await;
        assert_eq!(status.as_u16(), 200, "{body}");
        http.push(began.elapsed());
    }
    let direct = print("direct drive", direct);
    let http = print("through HTTP", http);
    assert!(
        http < direct * 3 + Duration::from_millis(50),
        "the API costs more than the melt"
    );
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// User and system time so far, in ticks of 10 ms.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// How many follow. Each is two descriptors, one of them in this process.
const FOLLOWERS: usize = 1000;

/// A thousand idle followers cost memory for a connection each, and one poller between them.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_idle_followers_are_cheap() {
    let scene = crate::cli::scene::Scene::new().await;
    let create = ["token", "create", "shop", "--scope", "read", "--all"];
    let secret = scene.json(&create).exits(0)["secret"]
        .as_str()
        .unwrap()
        .to_owned();
    let scene = scene.with("MELTD_API_BURST", "100000");
    let served = serve(&scene, "serve.log").await;
    let address = served.url.trim_start_matches("http://").to_owned();
    let pid = served.process.id();
    let before = resident_kib(pid);
    let request = format!(
        "GET /api/wallet/{ALICE}/events HTTP/1.1\r\nHost: {address}\r\n\
         Accept: text/event-stream\r\nAuthorization: Bearer {secret}\r\n\r\n"
    );
    let follow = async || {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = [0u8; 12];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
        stream
    };
    let mut streams = Vec::new();
    for _ in 0..FOLLOWERS / 50 {
        streams.extend(join_all((0..50).map(|_| follow())).await);
    }
    let with_all = resident_kib(pid);
    let began = (Instant::now(), ticks(pid));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let busy_ms = (ticks(pid) - began.1) * 10;
    let each = (with_all.saturating_sub(before)) as f64 / FOLLOWERS as f64;
    println!(
        "{FOLLOWERS} idle followers: {} KiB before, {with_all} KiB with them ({each:.1} KiB each), \
         {busy_ms} ms of CPU in {:.1?}",
        before,
        began.0.elapsed()
    );
    assert!(each < 100.0, "{each} KiB each");
    assert!(busy_ms < 2500, "{busy_ms} ms of CPU in 5 s");
    drop(streams);
    eventually("their places are free again", || async {
        let (status, _) = served
            .get(&secret, &format!("/api/wallet/{ALICE}/balance"))
            .await;
        (status.as_u16() == 200).then_some(())
    })
    .await;
}
