//! T10: refused before anything was attempted. The coins are usable again at once and by
//! themselves, the reason is typed, and where another plan can help there is one more.

use meltd::mint::embedded::Settings;
use serde_json::{Value, json};

use super::stage::{On, Stage};
use crate::cli::scene::{ALICE, paid};
use crate::proxy::{Act, MELT, QUOTE, STATES, SWAP};

const LEFT: u64 = 54;

/// Refused with the quote: nothing was reserved, and the same invoice may be tried again at once.
#[tokio::test]
async fn t10_refused_with_the_quote() {
    let change = |change: fn(&mut Value)| Act::Change(std::sync::Arc::new(change));
    let rows: [(&str, Act, i32, &str); 6] = [
        (
            "melting disabled",
            Act::refuse(20003, "Minting is disabled"),
            3,
            "MINT_REFUSED",
        ),
        (
            "over the maximum",
            Act::refuse(11006, "Amount outside of limit"),
            3,
            "MINT_REFUSED",
        ),
        (
            "expired",
            change(|quote| quote["expiry"] = json!(1_000_000_000)),
            3,
            "QUOTE_EXPIRED",
        ),
        (
            "another unit",
            change(|quote| quote["unit"] = json!("usd")),
            3,
            "QUOTE_MISMATCH",
        ),
        ("429", Act::Answer(429, json!({})), 7, "MINT_RATE_LIMITED"),
        ("503", Act::Answer(503, json!({})), 7, "MINT_UNREACHABLE"),
    ];
    let stage = Stage::funded(On::Sqlite, 256).await;
    for (what, act, exit, code) in rows {
        let invoice = stage.scene.invoice(10, paid());
        let before = stage.available();
        stage.proxy.always(QUOTE, act);
        let answer = stage.melt(&invoice, &["--timeout", "1s"]).exits(exit);
        assert_eq!(answer["code"], code, "{what}: {answer}");
        assert_eq!(answer["paymentResult"], "FAILED", "{what}: {answer}");
        assert_eq!(stage.available(), before, "{what}");
        stage.scene.assert_idle();
        stage.proxy.honest();
        stage.melt(&invoice, &[]).exits(0);
    }
    assert_eq!(stage.proxy.saw(SWAP), 0);
    stage.end().await;
}

/// The mint's own limit, at a real mint.
#[tokio::test]
async fn t10_an_invoice_over_the_mints_maximum() {
    let settings = Settings {
        fee_ppk: 100,
        amount_max_sat: 500,
        ..Settings::default()
    };
    let stage = Stage::with(On::Sqlite, settings).await;
    stage.scene.mint_to(ALICE, 500);
    stage.scene.mint_to(ALICE, 500);
    let invoice = stage.scene.invoice(600, paid());
    let answer = stage.melt(&invoice, &[]).exits(3);
    assert_eq!(answer["code"], "MINT_REFUSED", "{answer}");
    assert_eq!(stage.available(), 1000);
    stage.scene.assert_idle();
    stage.end().await;
}

/// Refused at the post, once, for a reason that another plan mends: fenced, planned again, paid.
async fn mended(on: On, code: u32) {
    let stage = Stage::funded(on, 256).await;
    let invoice = stage.scene.invoice(200, paid());
    stage.proxy.once(MELT, Act::refuse(code, "refused"));
    let answer = stage.melt(&invoice, &[]).exits(0);
    assert_eq!(answer["paymentResult"], "PAID", "{code}: {answer}");
    assert_eq!(
        (stage.proxy.saw(QUOTE), stage.proxy.saw(SWAP)),
        (2, 1),
        "{code}"
    );
    assert_eq!(stage.scene.times_paid(&invoice), 1, "{code}");
    stage.scene.assert_idle();
    stage.spends_all();
    stage.end().await;
}

#[tokio::test]
async fn t10_a_fee_that_is_off_by_one_is_planned_again() {
    mended(On::Sqlite, 11005).await;
    mended(On::Mongo, 11005).await;
}

#[tokio::test]
async fn t10_too_many_inputs_are_planned_again() {
    mended(On::Sqlite, 11014).await;
}

#[tokio::test]
async fn t10_an_inactive_keyset_is_planned_again() {
    mended(On::Sqlite, 12002).await;
}

/// Refused at the post again and again: failed for good after one more plan, the coins are back.
async fn not_mended(on: On) {
    let stage = Stage::funded(on, 256).await;
    let invoice = stage.scene.invoice(200, paid());
    stage
        .proxy
        .always(MELT, Act::refuse(11014, "too many inputs"));
    let answer = stage.melt(&invoice, &[]).exits(4);
    assert_eq!(answer["code"], "PAYMENT_FAILED", "{answer}");
    let message = answer["message"].as_str().unwrap();
    assert!(
        message.contains("11014"),
        "the mint's reason is told: {answer}"
    );
    assert_eq!((stage.proxy.saw(QUOTE), stage.proxy.saw(SWAP)), (2, 2));
    assert_eq!(stage.scene.times_paid(&invoice), 0);
    stage.scene.assert_idle();
    assert!(stage.available() >= 253, "two fences");
    stage.proxy.honest();
    stage.spends_all();
    stage.end().await;
}

#[tokio::test]
async fn t10_a_refusal_that_stays_gives_the_coins_back_on_sqlite() {
    not_mended(On::Sqlite).await;
}

#[tokio::test]
async fn t10_a_refusal_that_stays_gives_the_coins_back_on_mongodb() {
    not_mended(On::Mongo).await;
}

/// Slow down, or a mint that is away for a moment, is no refusal: the identical request again.
#[tokio::test]
async fn t10_a_mint_that_asks_to_slow_down_is_asked_again() {
    for status in [429, 503] {
        let stage = Stage::funded(On::Sqlite, 256).await;
        let invoice = stage.scene.invoice(200, paid());
        stage.proxy.once(STATES, Act::Answer(status, json!({})));
        stage.proxy.once(MELT, Act::Answer(status, json!({})));
        let answer = stage.melt(&invoice, &[]).exits(0);
        assert_eq!(answer["paymentResult"], "PAID", "{status}: {answer}");
        assert_eq!(stage.proxy.saw(SWAP), 0, "{status}");
        assert_eq!(stage.available(), LEFT);
        stage.scene.assert_idle();
        stage.end().await;
    }
}

/// A refusal in another words: no code that is known, and no quote either.
#[tokio::test]
async fn t10_a_quote_that_the_mint_forgot_gives_the_coins_back() {
    let stage = Stage::funded(On::Sqlite, 256).await;
    let invoice = stage.scene.invoice(200, paid());
    stage
        .proxy
        .always(MELT, Act::refuse(50000, "Unknown quote"));
    let answer = stage.melt(&invoice, &[]).exits(4);
    assert_eq!(answer["code"], "PAYMENT_FAILED", "{answer}");
    assert_eq!(stage.available(), 255);
    stage.scene.assert_idle();
    stage.proxy.honest();
    stage.spends_all();
    stage.end().await;
}
