//! Several processes on one queue.

use std::collections::HashSet;

use meltd::mint::embedded::Script;
use meltd::wire::Outcome;

use super::scene::{ANSWERS, World, command};

const COMMANDS: usize = 40;

/// Guards that four processes share one consumer: each command is one saga, paid once and answered,
/// with half of the messages doubled and one process killed in the middle.
#[tokio::test(flavor = "multi_thread")]
async fn four_intakes_share_one_queue() {
    let world = World::on_mongo(8000).await;
    let fleet: Vec<_> = (0..4).map(|_| world.serve()).collect();
    for serving in &fleet {
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
    world.reply(ANSWERS, 5, Outcome::Paid).await;
    fleet[0].signal("-KILL");
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
    let busy = fleet.iter().filter(|serving| taken(serving.log()) > 0);
    assert!(busy.count() >= 2, "they share the work");
    drop(fleet);
    world.end().await;
}
