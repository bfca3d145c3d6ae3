//! Commands that can never be done, and those that their producer may not give.

use meltd::ports::{Stream, header};
use meltd::saga::code::Code;
use meltd::wire::Outcome;
use serde_json::Value;

use super::scene::{ANSWERS, OTHER_OWNER, World, and, answers_to, command};
use crate::cli::scene::paid;

const FOREIGN: &str = "melt.reply.bridge.x";

/// Guards that poison leaves the queue with its reason and takes nothing else with it.
/// Seen red with the dead letter's publish left out: the list is empty and the command gone.
#[tokio::test(flavor = "multi_thread")]
async fn poison_is_put_aside_with_its_reason() {
    let world = World::new(1000).await;
    let invoice = world.scene.invoice(100, paid());
    let good = command(Some("good"), &invoice);
    let huge = and(good.clone(), "intent_key", "x".repeat(20_000));
    let unknown_field = and(good.clone(), "urgent", true);
    let to_foreign = answers_to(FOREIGN);
    let sent: [(&str, &str, &[_], Code); 6] = [
        ("shop", "not json", &[], Code::CommandInvalid),
        ("shop", &unknown_field, &[], Code::CommandInvalid),
        ("shop", &huge, &[], Code::CommandTooLarge),
        (
            "shop",
            &format!("{{\"invoice\":\"{invoice}\"}}"),
            &[],
            Code::CommandInvalid,
        ),
        ("nobody", &good.to_string(), &[], Code::ProducerUnknown),
        (
            "shop",
            &good.to_string(),
            &to_foreign,
            Code::ReplySubjectForeign,
        ),
    ];
    for (at, (producer, body, headers, _)) in sent.iter().enumerate() {
        world
            .send_with(producer, &format!("m{at}"), body, headers)
            .await;
    }
    world.send("shop", "good", &good.to_string()).await;
    let serving = world.serve();
    world.reply(ANSWERS, 1, Outcome::Paid).await;
    world.queue_is_empty().await;

    let letters = world.read(Stream::DeadLetters, None).await;
    let mut found: Vec<_> = letters
        .iter()
        .map(|l| l.message.header(header::REASON).unwrap().to_owned())
        .collect();
    let mut expected: Vec<_> = sent.iter().map(|(.., code)| code.to_string()).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    for letter in &letters {
        for (name, value) in &letter.message.headers {
            let clean = !value.contains("lnbc") && !value.contains("npub1");
            assert!(clean, "{name}: {value}");
        }
    }
    let bodies = letters.iter().map(|l| l.message.body.as_str());
    assert!(bodies.clone().any(|body| body == "not json"), "untouched");
    assert!(bodies.clone().any(|body| body == huge));
    // The shop knows that a person has them; a stranger is told nothing, nor is a foreign subject.
    world.reply(ANSWERS, 4, Outcome::Parked).await;
    assert!(world.replies(FOREIGN).await.is_empty());
    assert!(world.replies("melt.reply.nobody.>").await.is_empty());
    assert!(!serving.log().contains("lnbc"), "{}", serving.log());
    drop(serving);
    world.end().await;
}

/// Guards the operator's way: look, mend, send again, drop.
#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_replayed_and_dropped() {
    let world = World::new(1000).await;
    let invoice = world.scene.invoice(100, paid());
    let own = "melt.reply.newshop.x";
    let body = command(None, &invoice).to_string();
    world
        .send_with("newshop", "order-9", &body, &answers_to(own))
        .await;
    world.send("shop", "bad", "not json").await;
    let serving = world.serve();
    world.queue_is_empty().await;
    drop(serving);

    let dlq = |args: &[&str]| world.scene.json(&[&["dlq"], args].concat()).exits(0);
    let list = dlq(&["list"]);
    let letters = list["dead_letters"].as_array().unwrap().clone();
    let number = |producer: &str| {
        let found = letters.iter().find(|l| l["producer"] == producer);
        found.unwrap()["sequence"].to_string()
    };
    let shown = dlq(&["show", &number("newshop")]);
    assert_eq!(shown["reason"], "PRODUCER_UNKNOWN");
    assert_eq!(shown["original_id"], "order-9");
    assert_eq!(shown["body"], Value::Null, "only when it is asked for");
    assert_eq!(
        dlq(&["show", &number("shop"), "--body"])["body"],
        "not json"
    );

    // The operator adds the producer, starts again, and sends it again.
    let producers = world.scene.path("producers.json");
    std::fs::write(&producers, r#"{"newshop":{"wallets":"*"}}"#).unwrap();
    let _serving = world.serve();
    dlq(&["replay", &number("newshop")]);
    let paid = world.reply(own, 1, Outcome::Paid).await;
    assert_eq!(paid.command_id, "order-9", "its name is what it was");
    dlq(&["drop", &number("shop")]);
    let refused = world.reply(ANSWERS, 1, Outcome::Refused).await;
    assert_eq!(refused.code, Some(Code::CommandInvalid));
    assert_eq!(dlq(&["list"])["dead_letters"].as_array().unwrap().len(), 0);
    let gone = world.scene.json(&["dlq", "show", &number("shop")]);
    assert_eq!(gone.exits(3)["code"], "NOT_FOUND");
    world.end().await;
}

/// Guards the producer's scope: other wallets, larger amounts and larger fees are refused, and no
/// saga is made of them. Seen red with a scope that covers every wallet.
#[tokio::test(flavor = "multi_thread")]
async fn a_producer_stays_within_its_scope() {
    let world = World::new(1000).await;
    let _serving = world.serve();
    let invoice = world.scene.invoice(100, paid());
    let large = world.scene.invoice(501, paid());
    let npub = |owner: &str| and(command(Some("a"), &invoice), "npub", owner);
    let refusals = [
        (npub(OTHER_OWNER), Code::WalletNotAllowed),
        (npub("npub1nobody"), Code::InvalidNpub),
        (
            command(Some("b"), &large).to_string(),
            Code::AmountOverLimit,
        ),
        (
            and(command(Some("c"), &invoice), "mint_url", "http://other"),
            Code::MintUnknown,
        ),
        (
            and(command(Some("d"), &invoice), "amount", 99),
            Code::AmountMismatch,
        ),
        (
            and(command(Some("e"), &invoice), "invoice", "lnbc1x"),
            Code::InvalidInvoice,
        ),
    ];
    for (nth, (body, code)) in (1..).zip(&refusals) {
        world.send("shop", "", body).await;
        let refused = world.reply(ANSWERS, nth, Outcome::Refused).await;
        assert_eq!(refused.code, Some(*code));
        assert!(refused.saga.is_none() && !refused.requires_manual_intervention);
    }
    assert!(world.melts().is_empty());
    world.end().await;
}
