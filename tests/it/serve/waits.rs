//! Payments that stay pending for days, and limits on what may be open.

use meltd::mint::embedded::{Outcome as Decided, Script};
use meltd::saga::code::Code;
use meltd::wire::Outcome;

use super::scene::{ANSWERS, World, command};
use crate::cli::scene::paid;

/// Guards that payments that stay pending hold no place: with two places and four of them, a new
/// one is paid at once. Seen red with a drive that waits for the answer inside of its place.
#[tokio::test(flavor = "multi_thread")]
async fn hodl_invoices_do_not_stop_others() {
    let world = World::new(4000).await.with("MELTD_PLACES", "2");
    let held: Vec<_> = (0..4)
        .map(|n| world.scene.invoice(100 + n, Script::Pending))
        .collect();
    let _serving = world.serve();
    for (n, invoice) in held.iter().enumerate() {
        let id = format!("held-{n}");
        world
            .send("shop", &id, &command(Some(&id), invoice).to_string())
            .await;
    }
    let lightning = world.scene.mint.lightning();
    let all = "all four are at the node";
    let tried = |invoice: &cdk::Bolt11Invoice| lightning.times_tried(invoice.payment_hash()) > 0;
    world.until(all, async || held.iter().all(tried)).await;

    let invoice = world.scene.invoice(50, paid());
    world
        .send("shop", "new", &command(Some("new"), &invoice).to_string())
        .await;
    let answer = world.reply(ANSWERS, 1, Outcome::Paid).await;
    assert_eq!(answer.command_id, "new");
    for invoice in &held {
        assert_eq!(world.scene.times_paid(invoice), 0, "still pending");
    }
    for invoice in &held {
        let hash = invoice.payment_hash();
        lightning.settle(hash, Decided::Paid { ln_fee: 1 }).unwrap();
    }
    world.reply(ANSWERS, 5, Outcome::Paid).await;
    world.end().await;
}

/// Guards the cap on a wallet's open value: over it a command is refused, and taken again when the
/// open one has ended. Seen red with only owing melts in the sum.
#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_has_only_so_much_open() {
    let world = World::new(4000).await.with("MELTD_UNRESOLVED_MAX", "250");
    let held = world.scene.invoice(200, Script::Pending);
    let (small, large) = (
        world.scene.invoice(50, paid()),
        world.scene.invoice(51, paid()),
    );
    let _serving = world.serve();
    world
        .send("shop", "held", &command(Some("held"), &held).to_string())
        .await;
    world.reply(ANSWERS, 1, Outcome::Accepted).await;
    world
        .send("shop", "large", &command(Some("large"), &large).to_string())
        .await;
    let refused = world.reply(ANSWERS, 1, Outcome::Refused).await;
    assert_eq!(refused.code, Some(Code::UnresolvedOverLimit), "{refused:?}");
    world
        .send("shop", "small", &command(Some("small"), &small).to_string())
        .await;
    world.reply(ANSWERS, 1, Outcome::Paid).await;

    let lightning = world.scene.mint.lightning();
    let hash = held.payment_hash();
    world
        .until("it is at the node", async || {
            lightning.times_tried(hash) > 0
        })
        .await;
    lightning.settle(hash, Decided::Paid { ln_fee: 1 }).unwrap();
    world.reply(ANSWERS, 2, Outcome::Paid).await;
    // Refused left nothing behind: the very same command is taken now.
    world
        .send(
            "shop",
            "large-2",
            &command(Some("large"), &large).to_string(),
        )
        .await;
    world.reply(ANSWERS, 3, Outcome::Paid).await;
    world.end().await;
}
