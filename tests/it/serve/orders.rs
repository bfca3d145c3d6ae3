//! An operator and a process that serves: orders and pauses that the one gives are seen by the
//! other, and whoever sent the command is told how it ended.

use std::time::{Duration, Instant};

use meltd::mint::embedded::{Outcome as Decided, Script};
use meltd::ports::{Bus, Stream};
use meltd::saga::code::Code;
use meltd::wire::Outcome;
use serde_json::{Value, json};

use super::scene::{ANSWERS, Serving, World, command};
use crate::cli::scene::{ALICE, Said, paid};
use crate::proxy::{Act, MELT, Proxy};

const BY: [&str; 4] = ["--by", "olga", "--reason", "asked the mint"];

/// A world whose mint is behind a proxy, with this much in Alice's wallet.
async fn behind_a_proxy(funded: u64) -> (World, Proxy) {
    let world = World::new(0).await;
    let target = world.scene.mint.url().to_string();
    let proxy = Proxy::before(target.trim_end_matches('/'));
    let world = world.with("MELTD_MINT_URL", proxy.url());
    world.scene.mint_to(ALICE, funded);
    (world, proxy)
}

fn saga(world: &World, args: &[&str]) -> Said {
    world.scene.json(&[&["saga"], args, &BY].concat())
}

fn resolve(world: &World, id: &str, as_: &str) -> Said {
    let shown = world.scene.json(&["saga", "show", id]).exits(0);
    let version = shown["version"].to_string();
    let args = ["resolve", id, "--as", as_, "--expect-version", &version];
    saga(world, &args)
}

/// Where the API of this process listens.
async fn api(serving: &Serving) -> String {
    serving.says("the API listens").await;
    let log = serving.log();
    let line = log.lines().find(|line| line.contains("the API listens"));
    let address = line.unwrap().rsplit("address=").next().unwrap();
    format!("http://{}", address.split_whitespace().next().unwrap())
}

async fn post_melt(api: &str, invoice: &str, wait_s: u64) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(format!("{api}/api/wallet/{ALICE}/melt"));
    let body = json!({ "invoice": invoice, "wait": wait_s });
    let answer = request.json(&body).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap())
}

/// Whether this command was answered with a payment.
async fn is_paid(world: &World, command_id: &str) -> bool {
    let replies = world.replies(ANSWERS).await;
    let mut paid = replies.iter().filter(|r| r.outcome == Outcome::Paid);
    paid.any(|reply| reply.command_id == command_id)
}

/// Guards the replies of a command that an operator decides: told when it is put on the desk, and
/// told how it ended; each with the transaction that made it so.
/// Seen red with orders that carry no reply: nobody was told that it was on the desk.
#[tokio::test(flavor = "multi_thread")]
async fn a_producer_is_told_what_an_operator_decided() {
    let (world, proxy) = behind_a_proxy(2000).await;
    let _serving = world.serve();
    let rows = [
        ("released", Outcome::Failed, Some(Code::PaymentFailed)),
        ("written-off", Outcome::Critical, Some(Code::WrittenOff)),
    ];
    for (nth, (as_, outcome, code)) in (1..).zip(rows) {
        let invoice = world.scene.invoice(100, Script::Pending);
        let body = command(Some(as_), &invoice).to_string();
        world.send("shop", as_, &body).await;
        let id = world.reply(ANSWERS, nth, Outcome::Accepted).await.saga;
        let id = id.unwrap().to_string();
        let lightning = world.scene.mint.lightning();
        let hash = invoice.payment_hash();
        let tried = "it is at the node";
        world
            .until(tried, async || lightning.times_tried(hash) > 0)
            .await;

        saga(&world, &["park", &id]).exits(0);
        let parked = world.reply(ANSWERS, nth, Outcome::Parked).await;
        assert_eq!(parked.code, Some(Code::OperatorParked), "{parked:?}");
        assert!(parked.requires_manual_intervention);
        if as_ == "released" {
            lightning.settle(hash, Decided::Failed).unwrap();
        } else {
            proxy.always("/v1/", Act::Answer(503, json!({})));
        }
        let ordered = resolve(&world, &id, as_);
        assert!(matches!(ordered.exit, 0 | 5), "{ordered:?}");
        let told = world.reply(ANSWERS, 1, outcome).await;
        assert_eq!((told.code, told.command_id.as_str()), (code, as_));
        assert_eq!(told.saga.unwrap().to_string(), id);
        assert_eq!(world.scene.times_paid(&invoice), 0);
    }
    let replies = world.read(Stream::Replies, Some(ANSWERS)).await;
    let of_sagas = replies.iter().filter(|r| r.message.id.ends_with(":reply"));
    assert_eq!(of_sagas.count(), 4, "two on the desk, two ends");
    proxy.honest();
    world.end().await;
}

/// Guards the HTTP caller: answered at once when the melt is put on the desk, with 202 and where to
/// look; and there is the end of it.
/// Seen red with a wait that ends at answers only: it took the whole minute.
#[tokio::test(flavor = "multi_thread")]
async fn an_http_caller_does_not_wait_for_a_person() {
    let world = World::new(1000).await;
    let serving = world.serve();
    let api = api(&serving).await;
    let invoice = world.scene.invoice(100, Script::Pending);
    let (at, text) = (api.clone(), invoice.to_string());
    let waiting = tokio::spawn(async move { post_melt(&at, &text, 60).await });
    let lightning = world.scene.mint.lightning();
    let hash = invoice.payment_hash();
    let tried = "it is at the node";
    world
        .until(tried, async || lightning.times_tried(hash) > 0)
        .await;
    let began = Instant::now();
    let id = world.melts()[0]["saga"].as_str().unwrap().to_owned();
    saga(&world, &["park", &id]).exits(0);
    let (status, body) = waiting.await.unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(
        (status, &body["code"]),
        (202, &"OPERATOR_PARKED".into()),
        "{body}"
    );
    assert_eq!(body["paymentResult"], "PENDING", "{body}");
    let location = body["location"].as_str().unwrap();

    lightning.settle(hash, Decided::Paid { ln_fee: 1 }).unwrap();
    saga(&world, &["resume", &id]).exits(0);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    world
        .until("the end of it is where it was told to look", async || {
            let answer = client.get(format!("{api}{location}")).send().await.unwrap();
            let body: Value = answer.json().await.unwrap();
            body["paymentResult"] == "PAID" && body["success"] == true
        })
        .await;
    world.end().await;
}

/// Guards that a pause by another process is seen by one that serves, within seconds, by queue and
/// by HTTP; that what is at the mint goes on; and that a resumption is seen as well.
/// Seen red with a list of pauses that is read once: the second command was paid.
#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_seen_by_processes_that_serve() {
    let world = World::new(2000).await;
    let serving = world.serve();
    let api = api(&serving).await;
    let open = world.scene.invoice(100, Script::Pending);
    let first = world.scene.invoice(10, paid());
    world
        .send("shop", "open", &command(Some("open"), &open).to_string())
        .await;
    world
        .send("shop", "first", &command(Some("first"), &first).to_string())
        .await;
    world.reply(ANSWERS, 1, Outcome::Paid).await;

    let url = world.scene.mint.url().to_string();
    let pause = ["mints", "pause", &url];
    world.scene.json(&[&pause[..], &BY].concat()).exits(0);
    // As old as the list of pauses may be.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let second = world.scene.invoice(20, paid());
    let (status, body) = post_melt(&api, &second.to_string(), 1).await;
    assert_eq!(body["code"], "MINT_PAUSED", "{status} {body}");
    let body = command(Some("second"), &second).to_string();
    world.send("shop", "second", &body).await;
    let refused = world.reply(ANSWERS, 1, Outcome::Refused).await;
    assert_eq!(refused.code, Some(Code::MintPaused), "{refused:?}");
    let lightning = world.scene.mint.lightning();
    let hash = open.payment_hash();
    lightning.settle(hash, Decided::Paid { ln_fee: 1 }).unwrap();
    let settled = world.reply(ANSWERS, 2, Outcome::Paid).await;
    assert_eq!(settled.command_id, "open", "what is there is finished");

    world.scene.json(&["mints", "resume", &url]).exits(0);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (status, body) = post_melt(&api, &second.to_string(), 20).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(world.scene.times_paid(&second), 1);
    world.end().await;
}

/// Guards the breaker of a process that serves: at a mint that does not answer nothing new is
/// begun, what is there is asked for all the same, and when the mint is back both go on.
/// Seen red with a breaker that nobody tells what was heard: commands were taken all the time.
#[tokio::test(flavor = "multi_thread")]
async fn a_mint_that_does_not_answer_is_left_alone_until_it_does() {
    let (world, proxy) = behind_a_proxy(2000).await;
    let _serving = world.serve();
    let open = world.scene.invoice(100, Script::Pending);
    world
        .send("shop", "open", &command(Some("open"), &open).to_string())
        .await;
    let lightning = world.scene.mint.lightning();
    let hash = open.payment_hash();
    let tried = "it is at the node";
    world
        .until(tried, async || lightning.times_tried(hash) > 0)
        .await;

    proxy.always("/v1/", Act::Answer(503, json!({})));
    // Each is taken, quotes in vain and waits; after some of them nothing new is taken.
    let mut sent = 0;
    let refused = loop {
        sent += 1;
        let invoice = world.scene.invoice(10, paid());
        let id = format!("n-{sent}");
        world
            .send("shop", &id, &command(Some(&id), &invoice).to_string())
            .await;
        world.queue_is_empty().await;
        let replies = world.replies(ANSWERS).await;
        let mut refused = replies
            .into_iter()
            .filter(|r| r.outcome == Outcome::Refused);
        if let Some(refused) = refused.next() {
            break refused;
        }
        assert!(sent < 100, "it is never left alone");
    };
    assert_eq!(refused.code, Some(Code::MintPaused), "{refused:?}");
    lightning.settle(hash, Decided::Paid { ln_fee: 1 }).unwrap();
    let posts = proxy.saw(MELT);
    proxy.honest();
    let settled = "what was there is settled, without another post";
    world
        .until(settled, async || is_paid(&world, "open").await)
        .await;
    assert_eq!(world.scene.times_paid(&open), 1);
    // Those that were taken are paid, or were given up before anything was sent.
    world
        .until("everything that was taken has ended", async || {
            let melts = world.melts();
            let ended = |melt: &&Value| melt["status"] == "done";
            melts.iter().filter(ended).count() == melts.len()
        })
        .await;
    let invoice = world.scene.invoice(11, paid());
    world
        .send("shop", "back", &command(Some("back"), &invoice).to_string())
        .await;
    let new = "a new one is taken and paid";
    world
        .until(new, async || is_paid(&world, "back").await)
        .await;
    assert!(proxy.saw(MELT) > posts);
    world.end().await;
}

/// Guards what a process that only looks leaves alone: commands stay in the queue, requests are
/// refused, no counter is taken, no coin is corrected; and without the option all of it goes on.
/// Seen red with an intake that refuses: the command was gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_only_looks_takes_nothing() {
    let (world, proxy) = behind_a_proxy(1000).await;
    let invoice = world.scene.invoice(100, paid());
    world
        .send("shop", "m1", &command(Some("a"), &invoice).to_string())
        .await;
    let counters = || {
        let file = rusqlite::Connection::open(world.scene.path("meltd.db")).unwrap();
        let sum = "SELECT COALESCE(sum(next), 0), (SELECT count(*) FROM sagas) FROM counters";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        file.query_row::<(i64, i64), _, _>(sum, [], read).unwrap()
    };
    let before = counters();
    let looks = ["--observe-only", "--reconcile-every", "1s"];
    let serving = world.serve_as(&looks, &[]);
    serving.says(" ready\n").await;
    let at = api(&serving).await;
    let (status, body) = post_melt(&at, &invoice.to_string(), 1).await;
    assert_eq!(body["code"], "OBSERVE_ONLY", "{status} {body}");
    // Its wallet is looked at more than once meanwhile.
    let reconciled = || serving.log().matches(" reconciled ").count();
    world.until("it looks", async || reconciled() >= 2).await;
    let queued = world.bus.facts(Stream::Commands).await.unwrap().unwrap();
    assert_eq!(queued.messages, 1, "it is still in the queue");
    assert!(world.replies(ANSWERS).await.is_empty());
    assert_eq!(counters(), before, "neither a counter nor a saga");
    assert_eq!(proxy.saw(MELT), 0);
    drop(serving);

    let _serving = world.serve();
    world.reply(ANSWERS, 1, Outcome::Paid).await;
    world.end().await;
}
