//! Tokens of other wallets, made with plain cdk.

use std::str::FromStr;

use cdk::dhke::construct_proofs;
use cdk::mint_url::MintUrl;
use cdk::nuts::nut00::KnownMethod;
use cdk::nuts::{
    CurrencyUnit, Id, MintQuoteBolt11Request, MintQuoteState, MintRequest, PaymentMethod,
    PreMintSecrets, Proofs, ProofsMethods, SecretKey, Token,
};
use cdk::secret::Secret;
use cdk::wallet::{HttpClient, MintConnector};
use meltd::ports::{Mint, SwapInputs};
use meltd::saga::code::Code;
use meltd::saga::ids::SagaId;
use meltd::saga::step::MintState;

use super::scene::{Scene, saga, total, unknown};

const BOLT11: PaymentMethod = PaymentMethod::Known(KnownMethod::Bolt11);

/// Somebody else's proofs of these amounts, with DLEQ.
async fn proofs(scene: &Scene, amounts: &[u64]) -> Proofs {
    let url = MintUrl::from_str(&scene.mint.url().to_string()).unwrap();
    let client = HttpClient::new(url, None);
    let request = MintQuoteBolt11Request {
        amount: amounts.iter().sum::<u64>().into(),
        unit: CurrencyUnit::Sat,
        description: None,
        pubkey: None,
    };
    let quote = client.post_mint_quote(request.into()).await.unwrap();
    let id = quote.quote().clone();
    loop {
        let quote = client.get_mint_quote_status(BOLT11, &id).await.unwrap();
        if quote.state() == Some(MintQuoteState::Paid) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let keyset = Id::from_str(scene.active().await.id.as_str()).unwrap();
    let keys = client.get_mint_keyset(keyset).await.unwrap().keys;
    let secrets = amounts.iter().map(|_| Secret::generate()).collect();
    let amounts = amounts.iter().map(|a| (*a).into()).collect();
    let pre = PreMintSecrets::from_secrets(keyset, amounts, secrets).unwrap();
    let request = MintRequest {
        quote: id,
        outputs: pre.blinded_messages(),
        signature: None,
    };
    let answer = client.post_mint(&BOLT11, request).await.unwrap();
    construct_proofs(answer.signatures, pre.rs(), pre.secrets(), &keys).unwrap()
}

fn token(scene: &Scene, proofs: Proofs) -> Token {
    let url = MintUrl::from_str(&scene.front.url).unwrap();
    Token::new(url, proofs, Some("tea".into()), CurrencyUnit::Sat)
}

async fn code_of(scene: &Scene, text: &str) -> Code {
    let opened = scene.adapter.open_token(text, &saga()).await;
    opened.unwrap_err().0
}

#[tokio::test]
async fn a_token_is_opened_sealed_and_swapped() {
    let scene = Scene::new(100).await;
    for as_v3 in [false, true] {
        let proofs = proofs(&scene, &[8, 4, 2]).await;
        let token = token(&scene, proofs.clone());
        let text = if as_v3 {
            token.to_v3_string()
        } else {
            format!("cashu:{token} \n")
        };
        let opened = scene.adapter.open_token(&text, &saga()).await.unwrap();
        assert_eq!((opened.amount, opened.input_fee), (14, 1));
        assert_eq!(opened.unit, "sat");
        assert_eq!(opened.mint_url, scene.wallet.mint_url);
        let mut ys: Vec<String> = opened.ys.iter().map(|y| y.to_string()).collect();
        let mut expected: Vec<String> = proofs.ys().unwrap().iter().map(|y| y.to_hex()).collect();
        ys.sort();
        expected.sort();
        assert_eq!(ys, expected);
        for proof in &proofs {
            let secret = proof.secret.to_string();
            assert!(!format!("{opened:?}").contains(&secret));
        }

        let outputs = scene.outputs(&[8, 4, 1]).await;
        let foreign = SwapInputs::Sealed(SagaId::new("another"), opened.sealed.clone());
        let answer = scene.adapter.swap(&scene.wallet, &foreign, &outputs).await;
        assert_eq!(unknown(answer), Code::SeedFileInvalid);
        let sealed = SwapInputs::Sealed(saga(), opened.sealed);
        let coins = scene.adapter.swap(&scene.wallet, &sealed, &outputs).await;
        assert_eq!(total(&coins.unwrap()), 13);
        let states = scene.adapter.check_state(&scene.wallet, &opened.ys).await;
        assert_eq!(states, Ok(vec![MintState::Spent; 3]));
    }
}

#[tokio::test]
async fn tokens_without_dleq_are_taken() {
    let scene = Scene::new(0).await;
    let proofs = proofs(&scene, &[4]).await.without_dleqs();
    let text = token(&scene, proofs).to_string();
    assert!(scene.adapter.open_token(&text, &saga()).await.is_ok());
}

#[tokio::test]
async fn locked_tokens_are_refused_unasked() {
    let scene = Scene::new(0).await;
    let good = proofs(&scene, &[4]).await;
    let key = SecretKey::generate().public_key();
    let conditions = [
        format!(r#"["P2PK",{{"nonce":"00","data":"{key}","tags":[]}}]"#),
        r#"["HTLC",{"nonce":"00","data":"00"}]"#.to_owned(),
        r#"["SOMETHING",{"nonce":"00","data":"00"}]"#.to_owned(),
    ];
    scene.front.seen();
    for secret in conditions {
        let mut proofs = good.clone();
        proofs[0].secret = Secret::new(secret);
        let text = token(&scene, proofs).to_string();
        assert_eq!(code_of(&scene, &text).await, Code::TokenLocked);
    }
    assert_eq!(scene.front.seen(), [] as [&str; 0]);
    let mut blinded = good;
    blinded[0].p2pk_e = Some(key);
    let text = token(&scene, blinded).to_string();
    assert_eq!(code_of(&scene, &text).await, Code::TokenLocked);
}

#[tokio::test]
async fn invalid_tokens_are_refused() {
    let scene = Scene::new(0).await;
    let good = proofs(&scene, &[4, 8]).await;
    let changed = |change: &dyn Fn(&mut Proofs)| {
        let mut proofs = good.clone();
        change(&mut proofs);
        token(&scene, proofs).to_string()
    };
    let foreign_keyset = Id::from_str("009a1f293253e41e").unwrap();
    let texts = [
        String::new(),
        "cashuA".to_owned(),
        "cashuBgarbage".to_owned(),
        "creqAabc".to_owned(),
        "cashuA".repeat(200_000),
        changed(&|proofs| proofs.clear()),
        changed(&|proofs| proofs.push(proofs[0].clone())),
        changed(&|proofs| proofs[0].amount = 0.into()),
        changed(&|proofs| proofs[0].amount = 3.into()),
        changed(&|proofs| proofs[0].amount = 8.into()),
        changed(&|proofs| proofs[0].c = proofs[1].c),
        changed(&|proofs| proofs[0].secret = Secret::generate()),
        changed(&|proofs| proofs[0].keyset_id = foreign_keyset),
    ];
    for text in texts {
        let opened = scene.adapter.open_token(&text, &saga()).await;
        let (code, why) = opened.unwrap_err();
        let start: String = text.chars().take(30).collect();
        assert_eq!(code, Code::TokenInvalid, "{start}");
        assert!(!why.is_empty() && !why.contains("cashu"), "{why}");
    }
}

#[tokio::test]
async fn tokens_of_other_mints_and_units_are_refused() {
    let scene = Scene::new(0).await;
    let good = proofs(&scene, &[4]).await;
    let other = MintUrl::from_str("https://other.example.com").unwrap();
    let elsewhere = Token::new(other.clone(), good.clone(), None, CurrencyUnit::Sat);
    assert_eq!(
        code_of(&scene, &elsewhere.to_string()).await,
        Code::MintUnknown
    );

    let ours = MintUrl::from_str(&scene.front.url).unwrap();
    let usd = Token::new(ours, good.clone(), None, CurrencyUnit::Usd);
    assert_eq!(code_of(&scene, &usd.to_string()).await, Code::TokenForeign);

    let text = token(&scene, good.clone()).to_v3_string();
    let mut both = cdk::nuts::nut00::TokenV3::from_str(&text).unwrap();
    let mut second = both.token[0].clone();
    second.mint = other;
    both.token.push(second);
    assert_eq!(code_of(&scene, &both.to_string()).await, Code::TokenInvalid);

    let mut unnamed = cdk::nuts::nut00::TokenV3::from_str(&text).unwrap();
    unnamed.unit = None;
    let opened = scene
        .adapter
        .open_token(&unnamed.to_string(), &saga())
        .await;
    assert_eq!(opened.unwrap().unit, "sat");
}

#[tokio::test]
async fn a_silent_mint_is_not_the_token_s_fault() {
    let scene = Scene::new(0).await;
    let good = proofs(&scene, &[4]).await;
    let text = token(&scene, good).to_string();
    scene.adapter.forget_keysets(&scene.wallet);
    scene.front.answer("/v1/", 503, "");
    assert_eq!(code_of(&scene, &text).await, Code::MintUnreachable);
}
