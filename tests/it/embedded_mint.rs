//! The embedded mint behaves as the tests that build on it believe.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "the functions that tests share are tests too, which clippy cannot see"
)]

pub(crate) mod purse;

use std::time::Duration;
use std::time::Instant;

use self::purse::Purse;
use self::purse::Quote;
use self::purse::eventually;
use self::purse::total;
use cdk::Bolt11Invoice;
use cdk::nuts::MeltOptions;
use cdk::nuts::MeltQuoteState;
use cdk::nuts::Proofs;
use cdk::nuts::State;
use cdk::wallet::MintConnector;
use meltd::mint::embedded::EmbeddedMint;
use meltd::mint::embedded::Error;
use meltd::mint::embedded::Incoming;
use meltd::mint::embedded::InvoiceSpec;
use meltd::mint::embedded::Lightning;
use meltd::mint::embedded::LightningSettings;
use meltd::mint::embedded::Outcome;
use meltd::mint::embedded::Script;
use meltd::mint::embedded::Settings;
use meltd::mint::embedded::preimage_of;
use sha2::Digest;
use sha2::Sha256;

const MINTED_SAT: u64 = 128;

/// A mint, a wallet with one note of 128 sat, and a quote for a scripted invoice of 100 sat.
struct Scene {
    mint: EmbeddedMint,
    purse: Purse,
    proofs: Proofs,
    quote: Quote,
    hash: String,
}

impl Scene {
    async fn new(script: Script) -> Self {
        Self::with(Settings::default(), script).await
    }

    async fn with(settings: Settings, script: Script) -> Self {
        let mint = EmbeddedMint::start(settings).await.unwrap();
        let purse = Purse::open(mint.url()).await;
        let proofs = purse.mint(MINTED_SAT).await;
        let invoice = mint.lightning().create_invoice(100_000, "tea").unwrap();
        let hash = invoice.payment_hash().to_string();
        mint.lightning().script(&hash, script);
        let quote = purse.quote(&invoice).await.unwrap();
        assert_eq!(
            (quote.amount.to_u64(), quote.fee_reserve.to_u64()),
            (100, 2)
        );
        Self {
            mint,
            purse,
            proofs,
            quote,
            hash,
        }
    }

    async fn expect(&self, quote: MeltQuoteState, proofs: State, times_paid: usize) {
        assert_eq!(self.purse.melt_state(&self.quote).await.unwrap(), quote);
        assert_eq!(self.purse.proof_state(&self.proofs).await, proofs);
        assert_eq!(self.mint.lightning().times_paid(&self.hash), times_paid);
    }

    async fn melt_async(&self) {
        let state = self.purse.melt_async(&self.quote, &self.proofs).await;
        assert_eq!(state, MeltQuoteState::Pending);
    }

    fn settle(&self, outcome: Outcome) {
        self.mint.lightning().settle(&self.hash, outcome).unwrap();
    }
}

/// What the invoice's preimage hashes to, as the mint reports it.
fn proven_hash(payment_proof: Option<&str>) -> String {
    hex::encode(Sha256::digest(hex::decode(payment_proof.unwrap()).unwrap()))
}

#[tokio::test]
async fn a_melt_gives_change_and_a_true_preimage() {
    let settings = Settings {
        fee_ppk: 100,
        ..Settings::default()
    };
    let mint = EmbeddedMint::start(settings).await.unwrap();
    let purse = Purse::open(mint.url()).await;
    let proofs = purse.mint(1000).await;
    let invoice = mint.lightning().create_invoice(100_000, "tea").unwrap();
    let quote = purse.quote(&invoice).await.unwrap();

    let blanks = purse.blanks(&quote, &proofs);
    let messages = Some(blanks.blinded_messages());
    let request = cdk::nuts::MeltRequest::new(quote.quote.clone(), proofs.clone(), messages);
    let paid = purse
        .client
        .post_melt(&purse::BOLT11, request)
        .await
        .unwrap();
    let change = purse.unblind(paid.change().cloned().unwrap(), &blanks);

    assert_eq!(paid.state(), MeltQuoteState::Paid);
    assert_eq!(
        proven_hash(paid.payment_proof()),
        invoice.payment_hash().to_string()
    );
    let ln_fee = 1;
    assert_eq!(
        total(&change),
        1000 - 100 - ln_fee - purse.input_fee(&proofs)
    );
    assert_eq!(purse.proof_state(&proofs).await, State::Spent);
    assert_eq!(purse.proof_state(&change).await, State::Unspent);
    assert_eq!(mint.lightning().times_paid(invoice.payment_hash()), 1);
    assert_eq!(mint.lightning().spent_sat(), 101);
    assert_eq!(mint.lightning().received_sat(), 1000);
    mint.stop().await;
}

#[tokio::test]
async fn paid_is_paid() {
    let scene = Scene::new(Script::Paid { ln_fee: 2 }).await;
    let answer = scene.purse.melt(&scene.quote, &scene.proofs).await.unwrap();
    assert_eq!(answer.state(), MeltQuoteState::Paid);
    scene.expect(MeltQuoteState::Paid, State::Spent, 1).await;
}

#[tokio::test]
async fn failed_rolls_back_and_may_be_tried_again() {
    let scene = Scene::new(Script::Failed).await;
    let error = scene
        .purse
        .melt(&scene.quote, &scene.proofs)
        .await
        .unwrap_err();
    assert!(matches!(error, cdk::Error::PaymentFailed), "{error:?}");
    scene
        .expect(MeltQuoteState::Unpaid, State::Unspent, 0)
        .await;

    scene
        .mint
        .lightning()
        .script(&scene.hash, Script::Paid { ln_fee: 0 });
    scene.purse.melt(&scene.quote, &scene.proofs).await.unwrap();
    scene.expect(MeltQuoteState::Paid, State::Spent, 1).await;
    assert_eq!(scene.mint.lightning().times_tried(&scene.hash), 2);
}

#[tokio::test]
async fn pending_waits_to_be_settled() {
    for (outcome, quote, proofs, times_paid) in [
        (
            Outcome::Paid { ln_fee: 1 },
            MeltQuoteState::Paid,
            State::Spent,
            1,
        ),
        (Outcome::Failed, MeltQuoteState::Unpaid, State::Unspent, 0),
        (Outcome::Unknown, MeltQuoteState::Pending, State::Pending, 0),
    ] {
        let scene = Scene::new(Script::Pending).await;
        scene.melt_async().await;
        scene
            .expect(MeltQuoteState::Pending, State::Pending, 0)
            .await;
        scene.settle(outcome);
        scene.expect(quote, proofs, times_paid).await;
    }
}

#[tokio::test]
async fn pending_then_paid_needs_nobody() {
    let scene = Scene::new(Script::PendingThenPaid {
        ms: 1000,
        ln_fee: 1,
    })
    .await;
    scene.melt_async().await;
    scene
        .expect(MeltQuoteState::Pending, State::Pending, 0)
        .await;
    let paid = async || scene.purse.melt_state(&scene.quote).await.unwrap() == MeltQuoteState::Paid;
    eventually(paid).await;
    scene.expect(MeltQuoteState::Paid, State::Spent, 1).await;
}

#[tokio::test]
async fn slow_keeps_the_caller_waiting() {
    let scene = Scene::new(Script::Slow { ms: 300, ln_fee: 1 }).await;
    let start = Instant::now();
    let answer = scene.purse.melt(&scene.quote, &scene.proofs).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(answer.state(), MeltQuoteState::Paid);
    scene.expect(MeltQuoteState::Paid, State::Spent, 1).await;
}

#[tokio::test]
async fn a_lost_answer_is_found_again() {
    let scene = Scene::new(Script::ErrAfterPaid { ln_fee: 1 }).await;
    let answer = scene.purse.melt(&scene.quote, &scene.proofs).await.unwrap();
    assert_eq!(answer.state(), MeltQuoteState::Paid);
    scene.expect(MeltQuoteState::Paid, State::Spent, 1).await;
}

#[tokio::test]
async fn unreachable_answers_nothing_until_it_is_settled() {
    let scene = Scene::new(Script::Unreachable).await;
    scene
        .purse
        .melt(&scene.quote, &scene.proofs)
        .await
        .unwrap_err();
    scene.purse.melt_state(&scene.quote).await.unwrap_err();
    assert_eq!(scene.purse.proof_state(&scene.proofs).await, State::Pending);
    assert_eq!(scene.mint.lightning().times_paid(&scene.hash), 0);
    scene.settle(Outcome::Failed);
    scene
        .expect(MeltQuoteState::Unpaid, State::Unspent, 0)
        .await;
}

#[tokio::test]
async fn a_fee_above_the_reserve_fails() {
    let scene = Scene::new(Script::Paid { ln_fee: 3 }).await;
    scene
        .purse
        .melt(&scene.quote, &scene.proofs)
        .await
        .unwrap_err();
    scene
        .expect(MeltQuoteState::Unpaid, State::Unspent, 0)
        .await;
}

#[tokio::test]
async fn nothing_open_cannot_be_settled() {
    let lightning = Lightning::default();
    let error = lightning.settle("00", Outcome::Failed).unwrap_err();
    assert!(matches!(error, Error::NothingOpen(_)));
}

#[tokio::test]
async fn an_invoice_from_elsewhere_carries_its_script_and_preimage() {
    let scene = Scene::new(Script::Failed).await;
    let description = r#"{"meltd": {"script": "slow", "ms": 200, "ln_fee": 2, "nonce": "n1"}}"#;
    let spec = InvoiceSpec {
        amount_msat: Some(100_000),
        description: description.to_owned(),
        ..InvoiceSpec::default()
    };
    let signed = spec.sign().unwrap();
    assert_eq!(signed.preimage, preimage_of("n1"));
    let quote = scene.purse.quote(&signed.bolt11).await.unwrap();
    let start = Instant::now();
    let paid = scene.purse.melt(&quote, &scene.proofs).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert_eq!(
        proven_hash(paid.payment_proof()),
        signed.bolt11.payment_hash().to_string()
    );
    assert_eq!(scene.mint.lightning().spent_sat(), 102);
}

#[tokio::test]
async fn a_script_is_written_into_the_description() {
    let script = Some(Script::PendingThenPaid { ms: 5, ln_fee: 1 });
    let spec = InvoiceSpec {
        description: "tea".to_owned(),
        script,
        ..InvoiceSpec::default()
    };
    let signed = spec.sign().unwrap();
    let text = signed.bolt11.description().to_string();
    let note = serde_json::from_str::<serde_json::Value>(&text).unwrap()["meltd"].clone();
    assert_eq!(note["script"], "pending_then_paid");
    assert_eq!(
        (note["ms"].as_u64(), note["memo"].as_str()),
        (Some(5), Some("tea"))
    );
    assert_eq!(
        signed.preimage,
        preimage_of(note["nonce"].as_str().unwrap())
    );
}

#[tokio::test]
async fn a_misspelt_script_gets_no_quote() {
    let scene = Scene::new(Script::Failed).await;
    let description = r#"{"meltd": {"script": "slwo"}}"#;
    let invoice = scene
        .mint
        .lightning()
        .create_invoice(100_000, description)
        .unwrap();
    scene.purse.quote(&invoice).await.unwrap_err();
}

#[tokio::test]
async fn the_payer_chooses_the_amount_of_an_amountless_invoice() {
    let scene = Scene::new(Script::Failed).await;
    let invoice = scene
        .mint
        .lightning()
        .create_invoice_as(&InvoiceSpec::default())
        .unwrap();
    scene.purse.quote(&invoice).await.unwrap_err();
    let options = MeltOptions::new_amountless(50_001);
    let quote = scene
        .purse
        .quote_with(&invoice, Some(options))
        .await
        .unwrap();
    assert_eq!(quote.amount.to_u64(), 51);
    scene.purse.melt(&quote, &scene.proofs).await.unwrap();
    assert_eq!(scene.mint.lightning().spent_sat(), 52);
}

#[tokio::test]
async fn an_expired_invoice_is_not_paid() {
    let scene = Scene::new(Script::Failed).await;
    let spec = InvoiceSpec {
        amount_msat: Some(100_000),
        expiry_s: Some(1),
        ..InvoiceSpec::default()
    };
    let invoice = scene.mint.lightning().create_invoice_as(&spec).unwrap();
    let quote = scene.purse.quote(&invoice).await.unwrap();
    eventually(async || invoice.is_expired()).await;
    let error = scene.purse.melt(&quote, &scene.proofs).await.unwrap_err();
    assert!(matches!(error, cdk::Error::PaymentFailed), "{error:?}");
}

#[tokio::test]
async fn mint_quotes_are_paid_when_the_settings_say_so() {
    let incoming = Incoming::WhenTold;
    let lightning = Lightning::new(LightningSettings {
        incoming,
        ..Default::default()
    });
    let mint = EmbeddedMint::start(Settings {
        lightning,
        ..Settings::default()
    })
    .await
    .unwrap();
    let purse = Purse::open(mint.url()).await;
    let quote = purse.order(8).await;
    assert!(!purse.is_paid(&quote.quote).await);
    mint.lightning().pay_incoming(&quote.request).await.unwrap();
    assert_eq!(total(&purse.collect(&quote.quote, 8).await), 8);
    mint.lightning()
        .pay_incoming(&quote.request)
        .await
        .unwrap_err();

    let incoming = Incoming::After(Duration::from_millis(1000));
    let lightning = Lightning::new(LightningSettings {
        incoming,
        ..Default::default()
    });
    let mint = EmbeddedMint::start(Settings {
        lightning,
        ..Settings::default()
    })
    .await
    .unwrap();
    let purse = Purse::open(mint.url()).await;
    let quote = purse.order(8).await;
    assert!(!purse.is_paid(&quote.quote).await);
    assert_eq!(total(&purse.collect(&quote.quote, 8).await), 8);
}

#[tokio::test]
async fn a_rotated_keyset_retires() {
    let scene = Scene::new(Script::Paid { ln_fee: 1 }).await;
    let old = scene.purse.keyset.id;
    let new = scene.mint.rotate_keyset().await.unwrap();
    let keysets = scene.purse.client.get_mint_keysets().await.unwrap().keysets;
    let active = |id| {
        keysets
            .iter()
            .find(|keyset| keyset.id == id)
            .unwrap()
            .active
    };
    assert!(!active(old));
    assert!(active(new));
    let dearer = scene.mint.rotate_keyset_to(500).await.unwrap();
    assert_eq!(Purse::open(scene.mint.url()).await.keyset.id, dearer);
}

#[tokio::test]
async fn a_pending_melt_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let database = Some(folder.path().join("mint.sqlite"));
    let settings = Settings {
        fee_ppk: 100,
        database,
        ..Settings::default()
    };
    let mut scene = Scene::with(settings, Script::Pending).await;
    let spare = scene.purse.mint(8).await;
    scene.melt_async().await;

    let url = scene.mint.url().clone();
    let settings = scene.mint.stop().await;
    scene.purse.client.get_mint_keysets().await.unwrap_err();
    scene.mint = EmbeddedMint::start(settings).await.unwrap();

    assert_eq!(scene.mint.url(), &url);
    scene
        .expect(MeltQuoteState::Pending, State::Pending, 0)
        .await;
    scene.settle(Outcome::Paid { ln_fee: 1 });
    scene.expect(MeltQuoteState::Paid, State::Spent, 1).await;
    assert_eq!(scene.purse.proof_state(&spare).await, State::Unspent);
    assert_eq!(total(&scene.purse.mint(4).await), 4);
}

#[tokio::test]
async fn a_payment_goes_on_while_the_mint_is_down() {
    let folder = tempfile::tempdir().unwrap();
    let database = Some(folder.path().join("mint.sqlite"));
    let settings = Settings {
        database,
        ..Settings::default()
    };
    let mut scene = Scene::with(
        settings,
        Script::Slow {
            ms: 1500,
            ln_fee: 1,
        },
    )
    .await;
    scene.melt_async().await;
    let lightning = scene.mint.lightning().clone();
    eventually(async || lightning.times_tried(&scene.hash) == 1).await;

    let settings = scene.mint.stop().await;
    assert_eq!(lightning.times_paid(&scene.hash), 0);
    eventually(async || lightning.times_paid(&scene.hash) == 1).await;
    scene.mint = EmbeddedMint::start(settings).await.unwrap();
    scene.expect(MeltQuoteState::Paid, State::Spent, 1).await;
    assert_eq!(lightning.times_tried(&scene.hash), 1);
}

#[tokio::test]
async fn a_mint_can_pay_its_own_mint_quote() {
    let incoming = Incoming::WhenTold;
    let lightning = Lightning::new(LightningSettings {
        incoming,
        ..Default::default()
    });
    let mint = EmbeddedMint::start(Settings {
        lightning,
        ..Settings::default()
    })
    .await
    .unwrap();
    let purse = Purse::open(mint.url()).await;
    let first = purse.order(MINTED_SAT).await;
    mint.lightning().pay_incoming(&first.request).await.unwrap();
    let proofs = purse.collect(&first.quote, MINTED_SAT).await;

    let second = purse.order(100).await;
    let invoice: Bolt11Invoice = second.request.parse().unwrap();
    let quote = purse.quote(&invoice).await.unwrap();
    let answer = purse.melt(&quote, &proofs).await.unwrap();
    assert_eq!(answer.state(), MeltQuoteState::Paid);
    assert_eq!(mint.lightning().times_tried(invoice.payment_hash()), 0);
    assert_eq!(total(&purse.collect(&second.quote, 100).await), 100);
}
