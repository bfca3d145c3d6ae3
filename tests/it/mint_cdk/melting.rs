//! What an honest mint and the adapter do together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cdk::mint::{MintBuilder, MintMeltLimits, UnitConfig};
use cdk::nuts::nut00::KnownMethod;
use cdk::nuts::{CurrencyUnit, PaymentMethod};
use meltd::mint::cdk::Features;
use meltd::mint::embedded::{EmbeddedMint, InvoiceSpec, Lightning, Script, Settings};
use meltd::ports::{Mint, SwapInputs};
use meltd::saga::code::Code;
use meltd::saga::ids::{Outputs, SagaId};
use meltd::saga::step::{Change, MintState, QuoteState};

use super::scene::{Scene, adapter, inputs, refused, saga, timeouts, total, unknown, wallet, ys};

#[tokio::test]
async fn funding_is_locked_and_gives_what_was_asked() {
    let scene = Scene::new(0).await;
    let coins = scene.fund(&[1, 2, 64, 64]).await;
    let amounts: Vec<u64> = coins.iter().map(|c| c.coin.amount).collect();
    assert_eq!(amounts, [1, 2, 64, 64]);
    let states = scene.adapter.check_state(&scene.wallet, &ys(&coins)).await;
    assert_eq!(states, Ok(vec![MintState::Unspent; 4]));

    // Somebody else's saga cannot mint a locked quote.
    let quote = scene.adapter.quote_mint(&scene.wallet, &saga(), 4).await;
    let quote = quote.unwrap();
    assert_eq!(
        (quote.amount, quote.unit.as_deref()),
        (Some(4), Some("sat"))
    );
    scene.until(&quote.id, QuoteState::Paid).await;
    let outputs = scene.outputs(&[4]).await;
    let other = SagaId::new("another");
    let stolen = scene
        .adapter
        .mint(&scene.wallet, &other, &quote.id, &outputs);
    assert_eq!(refused(stolen.await), Some(20008));
    let minted = scene
        .adapter
        .mint(&scene.wallet, &saga(), &quote.id, &outputs)
        .await;
    assert_eq!(total(&minted.unwrap()), 4);
    scene.until(&quote.id, QuoteState::Issued).await;
}

#[tokio::test]
async fn a_swap_gives_exactly_its_outputs_and_they_restore() {
    let scene = Scene::new(100).await;
    let coins = scene.fund(&[64, 64]).await;
    let outputs = scene.outputs(&[100 - 36, 32, 16, 8, 4, 2, 1]).await;
    let swap = SwapInputs::Coins(inputs(&coins));
    let swapped = scene.adapter.swap(&scene.wallet, &swap, &outputs).await;
    let swapped = swapped.unwrap();
    assert_eq!(total(&swapped), 127);
    let counters: Vec<u32> = swapped.iter().map(|c| c.coin.counter).collect();
    assert_eq!(
        counters,
        (outputs.start..outputs.start + 7).collect::<Vec<_>>()
    );

    let states = scene.adapter.check_state(&scene.wallet, &ys(&coins)).await;
    assert_eq!(states, Ok(vec![MintState::Spent; 2]));
    let mut range = outputs.range();
    range.count += 5;
    let restored = scene.adapter.restore(&scene.wallet, &range).await.unwrap();
    assert_eq!(
        restored,
        Change {
            coins: swapped,
            bad: 0
        }
    );
    let again = scene.outputs(&[127]).await;
    let again = scene.adapter.swap(&scene.wallet, &swap, &again).await;
    assert!(matches!(refused(again), Some(11001 | 11005)));
}

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
async fn each_call_is_one_request() {
    let scene = Scene::new(0).await;
    let coins = scene.fund(&[128, 32]).await;
    let (_, _) = scene.quote(1).await;
    let blanks = scene.range(6).await;
    let outputs = scene.outputs(&[32]).await;
    scene.front.seen();
    let (adapter, wallet) = (&scene.adapter, &scene.wallet);

    assert!(adapter.keysets(wallet).await.is_ok());
    assert_eq!(scene.front.seen(), [] as [&str; 0]);
    let (_, quote) = scene.quote(100).await;
    assert_eq!(scene.front.seen(), ["POST /v1/melt/quote/bolt11"]);
    adapter.check_state(wallet, &ys(&coins)).await.unwrap();
    assert_eq!(scene.front.seen(), ["POST /v1/checkstate"]);
    let paid = adapter
        .melt(wallet, &quote, &inputs(&coins[..1]), Some(&blanks))
        .await;
    assert!(paid.unwrap().change.is_some());
    assert_eq!(scene.front.seen(), ["POST /v1/melt/bolt11"]);
    adapter
        .melt_quote(wallet, &quote, Some(&blanks))
        .await
        .unwrap();
    assert_eq!(
        scene.front.seen(),
        [format!("GET /v1/melt/quote/bolt11/{quote}")]
    );
    let swap = SwapInputs::Coins(inputs(&coins[1..]));
    adapter.swap(wallet, &swap, &outputs).await.unwrap();
    assert_eq!(scene.front.seen(), ["POST /v1/swap"]);
    adapter.restore(wallet, &blanks).await.unwrap();
    assert_eq!(scene.front.seen(), ["POST /v1/restore"]);
    let quote = adapter.quote_mint(wallet, &saga(), 8).await.unwrap();
    assert_eq!(scene.front.seen(), ["POST /v1/mint/quote/bolt11"]);
    assert_eq!(adapter.check_state(wallet, &[]).await, Ok(vec![]));
    assert_eq!(scene.front.seen(), [] as [&str; 0]);
    adapter.mint_quote(wallet, &quote.id).await.unwrap();
    assert_eq!(
        scene.front.seen(),
        [format!("GET /v1/mint/quote/bolt11/{}", quote.id)]
    );
    let features = Features {
        change: true,
        restore: true,
        locked_quotes: true,
    };
    assert_eq!(adapter.features(wallet).await, Ok(features));
    assert_eq!(adapter.features(wallet).await, Ok(features));
    assert_eq!(scene.front.seen(), ["GET /v1/info"]);
}

#[tokio::test]
async fn a_rotation_is_seen_when_the_list_is_forgotten() {
    let scene = Scene::new(0).await;
    let coins = scene.fund(&[8]).await;
    let old = scene.active().await;
    scene.mint.rotate_keyset_to(200).await.unwrap();
    assert_eq!(scene.active().await.id, old.id);
    let outputs = scene.outputs(&[8]).await;
    let swap = SwapInputs::Coins(inputs(&coins));
    let refusal = scene.adapter.swap(&scene.wallet, &swap, &outputs).await;
    assert_eq!(refused(refusal), Some(12002));

    scene.front.seen();
    scene.adapter.forget_keysets(&scene.wallet);
    let new = scene.active().await;
    let expected = [
        "GET /v1/keysets".to_owned(),
        format!("GET /v1/keys/{}", new.id),
    ];
    assert_eq!(scene.front.seen(), expected);
    assert_ne!(new.id, old.id);
    assert_eq!(new.fee_ppk, 200);
    assert!(new.amounts.windows(2).all(|pair| pair[0] < pair[1]));
    let keysets = scene.adapter.keysets(&scene.wallet).await.unwrap();
    let retired = keysets.iter().find(|k| k.id == old.id).unwrap();
    assert_eq!((retired.active, retired.fee_ppk), (false, 0));

    // An adapter that starts now still knows what to do with outputs of the retired keyset.
    let range = meltd::saga::ids::Range {
        keyset: coins[0].coin.keyset.clone(),
        start: coins[0].coin.counter,
        count: 1,
    };
    let restored = scene.again(timeouts()).restore(&scene.wallet, &range).await;
    assert_eq!(restored.unwrap().coins, coins);
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

#[tokio::test]
async fn a_coin_that_does_not_fit_the_seed_is_never_sent() {
    let scene = Scene::new(0).await;
    let mut coins = scene.fund(&[8, 8]).await;
    coins[1].coin.counter += 1;
    let outputs = scene.outputs(&[16]).await;
    scene.front.seen();
    let swap = SwapInputs::Coins(inputs(&coins));
    let answer = scene.adapter.swap(&scene.wallet, &swap, &outputs).await;
    assert_eq!(unknown(answer), Code::SeedFileInvalid);
    let answer = scene
        .adapter
        .melt(&scene.wallet, "quote", &inputs(&coins), None)
        .await;
    assert_eq!(unknown(answer), Code::SeedFileInvalid);
    assert_eq!(scene.front.seen(), [] as [&str; 0]);
}

#[tokio::test]
async fn only_configured_mints_are_called() {
    let scene = Scene::new(0).await;
    let adapter = &scene.adapter;
    let url = scene.front.url.clone();
    assert_eq!(adapter.canonical(None), Some(url.clone()));
    let shouted = format!("{}/", url.replace("http", "HTTP"));
    assert_eq!(adapter.canonical(Some(&shouted)), Some(url));
    for other in ["https://other.example.com", "nonsense", "", "ftp://x"] {
        assert_eq!(adapter.canonical(Some(other)), None);
    }
    let stranger = wallet("https://other.example.com");
    let answer = adapter.keysets(&stranger).await;
    assert_eq!(unknown(answer), Code::MintUnknown);
}

/// A mint with version 1 keysets, as older mints have them.
#[tokio::test]
async fn version_1_keysets_work_the_same() {
    let database = Arc::new(cdk_sqlite::mint::memory::empty().await.unwrap());
    let mut builder = MintBuilder::new(database.clone()).with_keyset_v2(Some(false));
    let unit = UnitConfig::default();
    builder.configure_unit(CurrencyUnit::Sat, unit).unwrap();
    let bolt11 = PaymentMethod::Known(KnownMethod::Bolt11);
    let limits = MintMeltLimits::new(1, 10_000);
    let lightning = Arc::new(Lightning::default());
    builder
        .add_payment_processor(CurrencyUnit::Sat, bolt11, limits, lightning)
        .await
        .unwrap();
    let mint = Arc::new(builder.build_with_seed(database, &[3; 64]).await.unwrap());
    mint.start().await.unwrap();
    let router = cdk_axum::create_mint_router(mint, vec!["bolt11".to_owned()]);
    let router = router.await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });

    let (mint, wallet) = (adapter(&url, timeouts()), wallet(&url));
    let keysets = mint.keysets(&wallet).await.unwrap();
    assert_eq!(keysets[0].id.as_str().len(), 16);
    let quote = mint.quote_mint(&wallet, &saga(), 24).await.unwrap();
    while mint.mint_quote(&wallet, &quote.id).await != Ok(QuoteState::Paid) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let outputs = |start, amounts: &[u64]| Outputs {
        keyset: keysets[0].id.clone(),
        start,
        amounts: amounts.to_vec(),
    };
    let wanted = outputs(0, &[8, 16]);
    let coins = mint
        .mint(&wallet, &saga(), &quote.id, &wanted)
        .await
        .unwrap();
    let swap = SwapInputs::Coins(inputs(&coins));
    let wanted = outputs(2, &[4, 4, 16]);
    let swapped = mint.swap(&wallet, &swap, &wanted).await.unwrap();
    let restored = mint.restore(&wallet, &wanted.range()).await.unwrap();
    assert_eq!(restored.coins, swapped);
}

#[tokio::test]
async fn an_older_mint_gets_the_older_signature() {
    let mint = EmbeddedMint::start(Settings::default()).await.unwrap();
    let scene = Scene::with(mint).await;
    let quote = scene.adapter.quote_mint(&scene.wallet, &saga(), 4).await;
    let quote = quote.unwrap();
    scene.until(&quote.id, QuoteState::Paid).await;
    let outputs = scene.outputs(&[4]).await;
    scene.front.seen();
    let refusal = r#"{"code":20008,"detail":"signature"}"#;
    scene.front.answer("/v1/mint/bolt11", 400, refusal);
    let minted = scene
        .adapter
        .mint(&scene.wallet, &saga(), &quote.id, &outputs)
        .await;
    assert_eq!(refused(minted), Some(20008));
    assert_eq!(scene.front.seen(), ["POST /v1/mint/bolt11"; 2]);
}
