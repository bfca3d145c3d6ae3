//! Real life, number 5: a redelivered command, a retry after days, a retry with a fresh invoice for
//! the same debt. One payment, one answer; whatever else is asked for is refused.

use std::time::Duration;

use meltd::mint::embedded::{InvoiceSpec, Outcome as Decided, Script};
use meltd::saga::code::Code;
use meltd::wire::Outcome;

use super::scene::{ANSWERS, World, and, answers_to, command};
use crate::cli::scene::paid;

/// Guards that a command that comes again is paid once and answered alike, whoever brings it.
/// Seen red with a repeat that is only told that its command was accepted.
#[tokio::test(flavor = "multi_thread")]
async fn t05_a_redelivered_command_is_paid_once_and_answered_alike() {
    let world = World::new(1000).await;
    let invoice = world.scene.invoice(100, paid());
    let body = command(Some("order-1"), &invoice).to_string();
    // Three in the queue before anybody takes one, as after a producer's time-outs.
    for message_id in ["m1", "m2", "m3"] {
        world.send("shop", message_id, &body).await;
    }
    let serving = world.serve();
    let first = world.reply(ANSWERS, 1, Outcome::Paid).await;
    assert_eq!((first.amount, first.proven), (100, true), "{first:?}");
    assert_eq!(first.command_id, "order-1");
    assert!(first.preimage.is_some() && first.code.is_none());
    world.queue_is_empty().await;

    for message_id in ["m4", "m5"] {
        world.send("shop", message_id, &body).await;
        world.queue_is_empty().await;
    }
    let replies = world.replies(ANSWERS).await;
    let answers: Vec<_> = replies
        .iter()
        .filter(|r| r.outcome == Outcome::Paid)
        .collect();
    assert!(answers.len() >= 3, "{replies:?}");
    for answer in answers {
        assert_eq!(answer, &first, "a repeat gets the same answer");
    }
    assert_eq!(world.scene.times_paid(&invoice), 1);
    assert_eq!(world.melts().len(), 1);
    drop(serving);
    world.end().await;
}

/// Guards that a repeat finds its answer when the invoice has expired long ago and the process that
/// paid is gone. Seen red with the expiry looked at before the command is known: INVOICE_EXPIRED.
#[tokio::test(flavor = "multi_thread")]
async fn t05_a_retry_after_days_gets_the_same_answer() {
    let world = World::new(1000).await;
    let invoice = world.scene.invoice_as(&InvoiceSpec {
        amount_msat: Some(100_000),
        script: Some(paid()),
        expiry_s: Some(6),
        ..InvoiceSpec::default()
    });
    let body = command(Some("order-1"), &invoice).to_string();
    world.send("shop", "m1", &body).await;
    let serving = world.serve();
    let first = world.reply(ANSWERS, 1, Outcome::Paid).await;
    drop(serving);

    let expired = "the invoice has expired";
    world.until(expired, async || invoice.is_expired()).await;
    let _serving = world.serve();
    world.send("shop", "m2", &body).await;
    assert_eq!(world.reply(ANSWERS, 2, Outcome::Paid).await, first);
    // The same debt under another name: the same saga, and no advice to ask for a new invoice.
    let other = command(Some("order-1-again"), &invoice).to_string();
    world.send("shop", "m3", &other).await;
    let again = world.reply(ANSWERS, 3, Outcome::Paid).await;
    assert_eq!((again.saga, again.preimage), (first.saga, first.preimage));
    assert_eq!(world.scene.times_paid(&invoice), 1);
    world.end().await;
}

/// Guards one payment for one debt: while the first invoice's payment is unknown, and after it.
/// Seen red with the intent key left out of the adopted head.
#[tokio::test(flavor = "multi_thread")]
async fn t05_a_fresh_invoice_for_the_same_debt_is_refused() {
    let world = World::new(1000).await;
    let first = world.scene.invoice(100, Script::Pending);
    let second = world.scene.invoice(100, paid());
    let for_debt = |id, invoice| and(command(Some(id), invoice), "intent_key", "debt-7");
    let _serving = world.serve();
    world.send("shop", "m1", &for_debt("a", &first)).await;
    world.reply(ANSWERS, 1, Outcome::Accepted).await;
    world.send("shop", "m2", &for_debt("b", &second)).await;
    let refused = world.reply(ANSWERS, 1, Outcome::Refused).await;
    assert_eq!(refused.code, Some(Code::IntentInUse), "while it is live");
    assert_eq!(refused.command_id, "b");

    let lightning = world.scene.mint.lightning();
    let tried = "the first is at the node";
    let hash = first.payment_hash();
    world
        .until(tried, async || lightning.times_tried(hash) > 0)
        .await;
    lightning.settle(hash, Decided::Paid { ln_fee: 1 }).unwrap();
    world.reply(ANSWERS, 1, Outcome::Paid).await;
    world.send("shop", "m3", &for_debt("c", &second)).await;
    let refused = world.reply(ANSWERS, 2, Outcome::Refused).await;
    assert_eq!(refused.code, Some(Code::IntentInUse), "and when it is paid");
    assert_eq!(world.scene.times_paid(&first), 1);
    assert_eq!(world.scene.times_paid(&second), 0);
    world.end().await;
}

/// Guards that a name means one command: another body under it is a conflict, and so is another
/// producer's claim to the same invoice. Seen red with the fee limit left out of the digest.
#[tokio::test(flavor = "multi_thread")]
async fn t05_another_body_under_a_known_id_conflicts() {
    let world = World::new(1000).await;
    let (first, second) = (
        world.scene.invoice(100, paid()),
        world.scene.invoice(50, paid()),
    );
    let _serving = world.serve();
    let body = command(Some("order-1"), &first);
    world.send("shop", "m1", &body.to_string()).await;
    world.reply(ANSWERS, 1, Outcome::Paid).await;

    let others = [
        command(Some("order-1"), &second).to_string(),
        and(body.clone(), "fee_limit", 7),
        and(body.clone(), "policy", "reselect"),
    ];
    for (nth, other) in (1..).zip(&others) {
        world.send("shop", &format!("other-{nth}"), other).await;
        let refused = world.reply(ANSWERS, nth, Outcome::Refused).await;
        assert_eq!(refused.code, Some(Code::CommandIdReused), "{nth}");
    }
    world.send("bridge", "bridge-1", &body.to_string()).await;
    let refused = world
        .reply("melt.reply.bridge.answers", 1, Outcome::Refused)
        .await;
    assert_eq!(refused.code, Some(Code::InvoiceInUse));
    assert_eq!(
        (refused.saga, refused.preimage),
        (None, None),
        "nothing of another's"
    );
    assert_eq!(world.scene.times_paid(&second), 0);
    world.end().await;
}

/// Guards the seeds' window: commands without any id that say the same within five minutes are one,
/// also when the first has failed; and each is answered where it asked to be. Seen red without the
/// window: the failed one has let its invoice go, and the repeat is a second melt.
#[tokio::test(flavor = "multi_thread")]
async fn t05_without_an_id_five_minutes_make_one_command() {
    let world = World::new(1000).await;
    let invoice = world.scene.invoice(100, Script::Failed);
    let body = command(None, &invoice).to_string();
    let _serving = world.serve();
    world.send("shop", "", &body).await;
    let failed = world.reply(ANSWERS, 1, Outcome::Failed).await;
    assert!(failed.command_id.starts_with("auto:"), "{failed:?}");
    assert_eq!(failed.code, Some(Code::PaymentFailed));
    let own = "melt.reply.shop.till-3.x";
    world.send_with("shop", "", &body, &answers_to(own)).await;
    assert_eq!(world.reply(own, 1, Outcome::Failed).await, failed);
    let tried = world
        .scene
        .mint
        .lightning()
        .times_tried(invoice.payment_hash());
    assert_eq!(world.melts().len(), 1);

    // Another id is another command: the failed one has let the invoice go.
    world
        .send("shop", "", &command(Some("again"), &invoice).to_string())
        .await;
    world.reply(ANSWERS, 2, Outcome::Failed).await;
    assert!(
        world
            .scene
            .mint
            .lightning()
            .times_tried(invoice.payment_hash())
            > tried
    );
    assert_eq!(world.melts().len(), 2);
    tokio::time::timeout(Duration::from_secs(20), world.queue_is_empty())
        .await
        .unwrap();
    world.end().await;
}
