//! Several processes on one queue and one outbox.

use std::collections::HashSet;

use meltd::mint::embedded::Script;
use meltd::wire::Outcome;

use super::scene::{ANSWERS, Serving, World, command};
use crate::relay::check::consume;

const COMMANDS: usize = 40;

/// An intake that dies when it has adopted its third command, which it has not acknowledged then.
fn dying(world: &World) -> Serving {
    let failpoint = [("MELTD_FAILPOINT", "adopt.after:3")];
    world.serve_as(&["--roles", "intake"], &failpoint)
}

/// Guards that four intakes share one consumer and two relays one outbox: each command is one saga,
/// paid once and answered, and every event is on the stream, with half of the messages doubled, two
/// of the intakes dead between adoption and acknowledgement, and the relay that publishes killed in
/// the middle.
///
/// Seen red with the acknowledgement before the adoption: the commands of the dead are gone.
#[tokio::test(flavor = "multi_thread")]
async fn four_intakes_and_two_relays_at_once_lose_nothing() {
    let world = World::on_mongo(8000).await;
    let relays = [(); 2].map(|()| world.serve_as(&["--roles", "relay,recovery"], &[]));
    let intakes = [(); 2].map(|()| world.serve_as(&["--roles", "intake"], &[]));
    let mut dead = [(); 2].map(|()| dying(&world));
    for serving in relays.iter().chain(&intakes).chain(&dead) {
        serving.says("meltd serves").await;
    }
    let invoices: Vec<_> = (0..COMMANDS)
        .map(|_| world.scene.invoice(20, Script::Slow { ms: 50, ln_fee: 0 }))
        .collect();
    for (n, invoice) in invoices.iter().enumerate() {
        let id = format!("order-{n}");
        let body = command(Some(&id), invoice).to_string();
        world.send("shop", &format!("{id}-first"), &body).await;
        if n % 2 == 0 {
            world.send("shop", &format!("{id}-second"), &body).await;
        }
    }
    for serving in &mut dead {
        assert_eq!(serving.ended().await, None, "{}", serving.log());
        assert!(serving.log().contains("failpoint adopt.after"));
    }
    world.reply(ANSWERS, 5, Outcome::Paid).await;
    let publishes = |relay: &&Serving| relay.log().contains("the relay publishes");
    relays.iter().find(publishes).unwrap().signal("-KILL");
    world
        .until("all are paid and answered", async || {
            let replies = world.replies(ANSWERS).await;
            let paid = replies.iter().filter(|r| r.outcome == Outcome::Paid);
            let named: HashSet<_> = paid.map(|r| r.command_id.clone()).collect();
            named.len() == COMMANDS
        })
        .await;
    world.queue_is_empty().await;
    for invoice in &invoices {
        assert_eq!(world.scene.times_paid(invoice), 1);
    }
    assert_eq!(world.melts().len(), COMMANDS);
    let taken = |log: String| log.matches("saga_id=").count();
    let busy = intakes.iter().filter(|serving| taken(serving.log()) > 0);
    assert_eq!(busy.count(), 2, "those that are left share the work");
    world.everything_is_published().await;
    assert_eq!(consume(&world.bus).await.early, 0);
    drop((relays, intakes));
    world.end().await;
}

/// Guards that a relay which stands by is well: its process is ready, and takes over when the one
/// that publishes dies.
///
/// Seen red with a relay that is only well while it publishes.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_stands_by_is_ready_and_takes_over() {
    let world = World::new(100).await;
    let first = world.serve_as(&["--roles", "relay"], &[]);
    first.says(" ready\n").await;
    first.says("the relay publishes").await;
    let second = world.serve_as(&["--roles", "relay"], &[]);
    second.says(" INFO ready\n").await;
    assert!(!second.log().contains("the relay publishes"));
    world.everything_is_published().await;
    first.signal("-KILL");
    world.scene.mint_to(crate::cli::scene::ALICE, 100);
    world.everything_is_published().await;
    assert!(second.log().contains("the relay publishes"));
    assert!(!second.log().contains("not ready"), "{}", second.log());
    drop(second);
    world.end().await;
}
