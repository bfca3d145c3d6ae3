//! What taking commands costs. Printed, for whoever wants to compare; held only to what must be.

use std::time::{Duration, Instant};

use meltd::wire::Outcome;

use super::scene::{ANSWERS, World, command};
use crate::cli::scene::paid;

/// Memory of a process, in MiB: `VmRSS` = resident now, `VmHWM` = the most that it ever was.
fn memory(id: u32, which: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(which)).unwrap();
    let kib: String = line.chars().filter(char::is_ascii_digit).collect();
    kib.parse::<u64>().unwrap() / 1024
}

/// Prints commands per second from the queue to the acknowledgement and to the reply, and memory,
/// idle and at most under load; holds that memory stays flat. `scripts/figures` prints it with the
/// machine and the date.
#[tokio::test(flavor = "multi_thread")]
async fn intake_figures() {
    const COMMANDS: usize = 200;
    let world = World::new(20_000).await.with("MELTD_LOG", "meltd=warn");
    let serving = world.serve();
    let warm = world.scene.invoice(20, paid());
    world
        .send("shop", "warm", &command(Some("warm"), &warm).to_string())
        .await;
    world.reply(ANSWERS, 1, Outcome::Paid).await;
    let idle = memory(serving.id(), "VmRSS:");
    serving.signal("-STOP");
    for n in 0..COMMANDS {
        let invoice = world.scene.invoice(20, paid());
        let id = format!("order-{n}");
        world
            .send("shop", &id, &command(Some(&id), &invoice).to_string())
            .await;
    }
    let began = Instant::now();
    serving.signal("-CONT");
    world
        .until("all are acknowledged", async || {
            let facts = meltd::ports::Bus::facts(&world.bus, meltd::ports::Stream::Commands);
            facts.await.unwrap().unwrap().messages == 0
        })
        .await;
    let acknowledged = began.elapsed();
    world
        .until("all are answered", async || {
            let replies = world.replies(ANSWERS).await;
            replies
                .iter()
                .filter(|r| r.outcome == Outcome::Paid)
                .count()
                > COMMANDS
        })
        .await;
    let answered = began.elapsed();
    let most = memory(serving.id(), "VmHWM:");
    let rate = |took: Duration| COMMANDS as f64 / took.as_secs_f64();
    println!(
        "{COMMANDS} commands: {:.0}/s acknowledged, {:.0}/s paid and answered; memory of \
         serve {idle} MiB idle, {most} MiB at most",
        rate(acknowledged),
        rate(answered)
    );
    assert!(most < idle + 200, "{idle} MiB became {most} MiB");
    drop(serving);
    world.end().await;
}
