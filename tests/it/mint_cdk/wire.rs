//! Which requests are made, to whom, and with which keys.

use std::sync::Arc;
use std::time::Duration;

use cdk::mint::{MintBuilder, MintMeltLimits, UnitConfig};
use cdk::nuts::nut00::KnownMethod;
use cdk::nuts::{CurrencyUnit, PaymentMethod};
use meltd::mint::cdk::Features;
use meltd::mint::embedded::Lightning;
use meltd::ports::{Mint, SwapInputs};
use meltd::saga::code::Code;
use meltd::saga::ids::Outputs;
use meltd::saga::step::QuoteState;

use super::scene::{Scene, adapter, inputs, refused, saga, timeouts, unknown, wallet, ys};

#[tokio::test]
async fn each_call_of_a_melt_is_one_request() {
    let scene = Scene::new(0).await;
    let coins = scene.fund(&[128]).await;
    let blanks = scene.range(6).await;
    scene.front.seen();
    let (adapter, wallet) = (&scene.adapter, &scene.wallet);

    assert!(adapter.keysets(wallet).await.is_ok());
    assert_eq!(scene.front.seen(), [] as [&str; 0]);
    let (_, quote) = scene.quote(100).await;
    assert_eq!(scene.front.seen(), ["POST /v1/melt/quote/bolt11"]);
    adapter.check_state(wallet, &ys(&coins)).await.unwrap();
    assert_eq!(scene.front.seen(), ["POST /v1/checkstate"]);
    let paid = adapter
        .melt(wallet, &quote, &inputs(&coins), Some(&blanks))
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
}

#[tokio::test]
async fn each_call_about_coins_is_one_request() {
    let scene = Scene::new(0).await;
    let coins = scene.fund(&[32]).await;
    let outputs = scene.outputs(&[32]).await;
    scene.front.seen();
    let (adapter, wallet) = (&scene.adapter, &scene.wallet);

    let swap = SwapInputs::Coins(inputs(&coins));
    adapter.swap(wallet, &swap, &outputs).await.unwrap();
    assert_eq!(scene.front.seen(), ["POST /v1/swap"]);
    adapter.restore(wallet, &outputs.range()).await.unwrap();
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

/// Starts a mint with version 1 keysets, as older mints have them; returns its URL.
async fn version_1_mint() -> String {
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
    url
}

#[tokio::test]
async fn version_1_keysets_work_the_same() {
    let url = version_1_mint().await;
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
