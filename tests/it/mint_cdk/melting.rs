//! Melts at an honest mint.

use std::time::{Duration, Instant};

use meltd::mint::embedded::{InvoiceSpec, Script};
use meltd::ports::{Mint, SwapInputs};
use meltd::saga::step::{MintState, QuoteState};

use super::scene::{Scene, inputs, refused, total, ys};

#[tokio::test]
async fn a_melt_gives_change_that_the_quote_and_the_restore_repeat() {
    let scene = Scene::new(100).await;
    let coins = scene.fund(&[512, 256, 128]).await;
    let (invoice, quote) = scene.quote(100).await;
    let blanks = scene.range(10).await;
    let melted = scene
        .adapter
        .melt(&scene.wallet, &quote, &inputs(&coins), Some(&blanks))
        .await
        .unwrap();
    assert_eq!(melted.state, QuoteState::Paid);
    let preimage = scene.mint.lightning().preimage(invoice.payment_hash());
    assert_eq!(melted.preimage, Some(hex::encode(preimage.unwrap())));
    let change = melted.change.clone().unwrap();
    assert_eq!((total(&change.coins), change.bad), (896 - 100 - 1 - 1, 0));

    let word = scene
        .adapter
        .melt_quote(&scene.wallet, &quote, Some(&blanks));
    assert_eq!(word.await, Ok(melted));
    let restored = scene.adapter.restore(&scene.wallet, &blanks).await;
    assert_eq!(restored, Ok(change.clone()));
    let without = scene.adapter.melt_quote(&scene.wallet, &quote, None).await;
    assert_eq!(without.unwrap().change, None);

    // The change is money.
    let outputs = scene.outputs(&[512, 256, 16, 8, 1]).await;
    let swap = SwapInputs::Coins(inputs(&change.coins));
    let swapped = scene.adapter.swap(&scene.wallet, &swap, &outputs).await;
    assert_eq!(total(&swapped.unwrap()), 793);
}

#[tokio::test]
async fn a_melt_without_blanks_or_without_rest_has_no_change() {
    let scene = Scene::new(0).await;
    let coins = scene.fund(&[64, 64]).await;
    let (_, quote) = scene.quote(60).await;
    let melt = scene
        .adapter
        .melt(&scene.wallet, &quote, &inputs(&coins[..1]), None)
        .await;
    assert_eq!(melt.unwrap().change, None);
    let (invoice, quote) = scene.quote(62).await;
    let script = Script::Paid { ln_fee: 2 };
    scene
        .mint
        .lightning()
        .script(invoice.payment_hash(), script);
    let blanks = scene.range(2).await;
    let melt = scene
        .adapter
        .melt(&scene.wallet, &quote, &inputs(&coins[1..]), Some(&blanks))
        .await
        .unwrap();
    assert_eq!((melt.state, melt.change), (QuoteState::Paid, None));
}

#[tokio::test]
async fn a_slow_payment_holds_up_nobody_else() {
    let scene = Scene::new(0).await;
    let coins = scene.fund(&[128]).await;
    let (invoice, quote) = scene.quote(100).await;
    let slow = Script::Slow {
        ms: 1500,
        ln_fee: 1,
    };
    scene.mint.lightning().script(invoice.payment_hash(), slow);
    let begin = Instant::now();
    let inputs = inputs(&coins);
    let melt = scene.adapter.melt(&scene.wallet, &quote, &inputs, None);
    let look = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let states = scene.adapter.check_state(&scene.wallet, &ys(&coins)).await;
        (states, begin.elapsed())
    };
    let (melted, (states, after)) = tokio::join!(melt, look);
    assert_eq!(states, Ok(vec![MintState::Pending]));
    assert!(after < Duration::from_millis(1400), "{after:?}");
    assert_eq!(melted.unwrap().state, QuoteState::Paid);
}

#[tokio::test]
async fn an_amountless_invoice_is_quoted_for_the_amount_given() {
    let scene = Scene::new(0).await;
    let invoice = scene
        .mint
        .lightning()
        .create_invoice_as(&InvoiceSpec::default());
    let text = invoice.unwrap().to_string();
    let read = scene.adapter.read_invoice(&text).unwrap();
    assert_eq!(read.amount_msat, None);
    let quote = scene.adapter.quote_melt(&scene.wallet, &text, Some(50_000));
    assert_eq!(quote.await.unwrap().amount, 50);
    let refusal = scene.adapter.quote_melt(&scene.wallet, &text, None).await;
    assert!(refusal.is_err());
}

#[tokio::test]
async fn an_unknown_quote_is_an_answer() {
    let scene = Scene::new(0).await;
    let id = "01920000-0000-7000-8000-00000000dead";
    let word = scene.adapter.melt_quote(&scene.wallet, id, None).await;
    assert_eq!(refused(word), Some(50000));
    let state = scene.adapter.mint_quote(&scene.wallet, id).await;
    assert_eq!(refused(state), Some(50000));
}
