//! Funding and swaps at an honest mint.

use meltd::ports::{Mint, SwapInputs};
use meltd::saga::code::Code;
use meltd::saga::ids::SagaId;
use meltd::saga::step::{Change, MintState, QuoteState};

use super::front::Fault;
use super::scene::{Scene, inputs, refused, saga, total, unknown, ys};

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
async fn an_older_mint_gets_the_older_signature() {
    let scene = Scene::new(0).await;
    let quote = scene.adapter.quote_mint(&scene.wallet, &saga(), 4).await;
    let quote = quote.unwrap();
    scene.until(&quote.id, QuoteState::Paid).await;
    let outputs = scene.outputs(&[4]).await;
    scene.front.seen();
    // The mint knows both signatures, so it can stand for an older one that knows only the second.
    let refusal = r#"{"code":20008,"detail":"signature"}"#.to_owned();
    let fault = Fault::AnswerOnce(400, refusal);
    scene.front.fault("/v1/mint/bolt11", fault);
    let minted = scene
        .adapter
        .mint(&scene.wallet, &saga(), &quote.id, &outputs)
        .await;
    assert_eq!(total(&minted.unwrap()), 4);
    assert_eq!(scene.front.seen(), ["POST /v1/mint/bolt11"; 2]);
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
