//! A mint that answers, and cheats.

use meltd::ports::{Mint, SwapInputs};
use meltd::saga::code::Code;
use meltd::saga::ids::Range;
use meltd::saga::step::{MeltWord, QuoteState};
use serde_json::{Value, json};

use super::scene::{Scene, inputs, timeouts, total, unknown};

/// A paid melt with change, and the ways to ask for its word again.
struct Paid {
    scene: Scene,
    quote: String,
    blanks: Range,
    word: MeltWord,
}

impl Paid {
    async fn new() -> Self {
        let scene = Scene::new(0).await;
        let coins = scene.fund(&[256]).await;
        let (_, quote) = scene.quote(100).await;
        let blanks = scene.range(8).await;
        let word = scene
            .adapter
            .melt(&scene.wallet, &quote, &inputs(&coins), Some(&blanks))
            .await
            .unwrap();
        // 256 - 100 - 1 = 155 = 128 + 16 + 8 + 2 + 1
        assert_eq!(word.change.as_ref().unwrap().coins.len(), 5);
        Self {
            scene,
            quote,
            blanks,
            word,
        }
    }

    /// The word when the front changes the list of change signatures.
    async fn when(&self, change: impl Fn(&mut Vec<Value>) + Send + Sync + 'static) -> MeltWord {
        self.scene
            .front
            .change("/v1/melt/quote", move |mut answer| {
                change(answer["change"].as_array_mut().unwrap());
                answer
            });
        let Self { scene, quote, .. } = self;
        let blanks = Some(&self.blanks);
        let word = scene.adapter.melt_quote(&scene.wallet, quote, blanks);
        let word = word.await.unwrap();
        assert_eq!(word.state, QuoteState::Paid);
        word
    }
}

#[tokio::test]
async fn change_survives_every_disguise() {
    let paid = Paid::new().await;
    let kept = |word: MeltWord| {
        let change = word.change.unwrap();
        (total(&change.coins), change.bad)
    };
    assert_eq!(paid.when(|_| {}).await, paid.word);
    assert_eq!(paid.when(|change| change.reverse()).await, paid.word);
    assert_eq!(paid.when(|change| change.rotate_left(2)).await, paid.word);
    let word = paid.when(|change| change[0]["dleq"]["e"] = change[1]["dleq"]["e"].clone());
    assert_eq!(kept(word.await).1, 1);
    let word = paid.when(|change| change[0]["amount"] = json!(1024));
    assert_eq!(kept(word.await).1, 1);
    let word = paid.when(|change| change[0] = json!("garbage"));
    assert_eq!(kept(word.await).1, 1);
    let word = paid.when(|change| drop(change[0].as_object_mut().unwrap().remove("dleq")));
    assert_eq!(kept(word.await).1, 1);
    let word = paid.when(|change| change.insert(2, change[0].clone()));
    assert_eq!(kept(word.await), (155, 1));
    let word = paid.when(|change| {
        let mut zero = change[0].clone();
        zero["amount"] = json!(0);
        change.insert(0, zero);
    });
    assert_eq!(kept(word.await), (155, 0));
    let word = paid.when(|change| *change = [change.clone(), vec![json!({}); 40]].concat());
    assert_eq!(kept(word.await), (155, 40));
    assert_eq!(paid.when(|change| change.clear()).await.change, None);
}

#[tokio::test]
async fn missing_keys_do_not_hide_that_it_was_paid() {
    let paid = Paid::new().await;
    let Paid { scene, quote, .. } = &paid;
    scene
        .front
        .answer("/v1/keys/", 400, r#"{"code":12001,"detail":"no"}"#);
    let fresh = scene.again(timeouts());
    let blanks = Some(&paid.blanks);
    let word = fresh
        .melt_quote(&scene.wallet, quote, blanks)
        .await
        .unwrap();
    assert_eq!((word.state, word.change), (QuoteState::Paid, None));
    scene.front.answer("/v1/keys/", 503, "");
    let word = fresh.melt_quote(&scene.wallet, quote, blanks).await;
    assert_eq!(unknown(word), Code::MintUnreachable);
    scene.front.honest();
    let word = fresh.melt_quote(&scene.wallet, quote, blanks).await;
    assert_eq!(word, Ok(paid.word));
}

#[tokio::test]
async fn an_answer_about_another_quote_is_nonsense() {
    let paid = Paid::new().await;
    let Paid { scene, quote, .. } = &paid;
    scene.front.change("/quote/", |mut answer| {
        answer["quote"] = json!("another");
        answer
    });
    let word = scene.adapter.melt_quote(&scene.wallet, quote, None).await;
    assert_eq!(unknown(word), Code::MintNonsense);
}

#[tokio::test]
async fn a_swap_with_wrong_signatures_is_unknown_and_restores() {
    let scene = Scene::new(0).await;
    let coins = scene.fund(&[16]).await;
    let outputs = scene.outputs(&[8, 8]).await;
    scene.front.change("/v1/swap", |mut answer| {
        answer["signatures"].as_array_mut().unwrap().reverse();
        answer
    });
    let swap = SwapInputs::Coins(inputs(&coins));
    let answer = scene.adapter.swap(&scene.wallet, &swap, &outputs).await;
    assert_eq!(unknown(answer), Code::MintNonsense);
    let restored = scene.adapter.restore(&scene.wallet, &outputs.range()).await;
    let restored = restored.unwrap();
    assert_eq!((total(&restored.coins), restored.bad), (16, 0));
}

#[tokio::test]
async fn keys_that_do_not_give_their_id_are_not_used() {
    let scene = Scene::new(0).await;
    let changes: [fn(&mut Value); 4] = [
        |answer| answer["keysets"][0]["keys"]["1"] = answer["keysets"][0]["keys"]["2"].clone(),
        |answer| {
            drop(
                answer["keysets"][0]["keys"]
                    .as_object_mut()
                    .unwrap()
                    .remove("4"),
            )
        },
        |answer| answer["keysets"] = json!([]),
        |answer| answer["keysets"][0]["unit"] = json!("usd"),
    ];
    for change in changes {
        scene.front.change("/v1/keys/", move |mut answer| {
            change(&mut answer);
            answer
        });
        let answer = scene.again(timeouts()).keysets(&scene.wallet).await;
        assert_eq!(unknown(answer), Code::MintNonsense);
    }
    scene.front.honest();
    scene.front.change("/v1/keysets", |mut answer| {
        answer["keysets"][0]["input_fee_ppk"] = json!(5000);
        answer
    });
    let answer = scene.again(timeouts()).keysets(&scene.wallet).await;
    assert_eq!(unknown(answer), Code::MintNonsense);
}

#[tokio::test]
async fn a_quote_id_that_is_not_one_is_not_taken() {
    let scene = Scene::new(0).await;
    let invoice = scene.mint.lightning().create_invoice(1000, "tea").unwrap();
    for id in ["", "..", "a b", "a\nb", &"x".repeat(300)] {
        let id = id.to_owned();
        scene.front.change("/quote/", move |mut answer| {
            answer["quote"] = json!(id);
            answer
        });
        let text = invoice.to_string();
        let quote = scene.adapter.quote_melt(&scene.wallet, &text, None).await;
        assert_eq!(unknown(quote), Code::MintNonsense);
    }
}
