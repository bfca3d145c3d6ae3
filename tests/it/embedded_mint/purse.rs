//! A wallet for one test: just enough to mint and melt over plain HTTP.

use std::time::Duration;
use std::time::Instant;

use cdk::Bolt11Invoice;
use cdk::MeltQuoteCreateResponse;
use cdk::MeltQuoteResponse;
use cdk::amount::FeeAndAmounts;
use cdk::amount::SplitTarget;
use cdk::dhke::construct_proofs;
use cdk::mint_url::MintUrl;
use cdk::nuts::nut00::KnownMethod;
use cdk::nuts::*;
use cdk::wallet::HttpClient;
use cdk::wallet::MintConnector;

pub(crate) const BOLT11: PaymentMethod = PaymentMethod::Known(KnownMethod::Bolt11);

pub(crate) type Quote = MeltQuoteBolt11Response<String>;
pub(crate) type Melted = Result<MeltQuoteResponse<String>, cdk::Error>;

pub(crate) struct Purse {
    pub(crate) client: HttpClient,
    pub(crate) keyset: KeySet,
    fees: FeeAndAmounts,
    fee_ppk: u64,
}

impl Purse {
    pub(crate) async fn open(url: &MintUrl) -> Self {
        let client = HttpClient::new(url.clone(), None);
        let keysets = client.get_mint_keysets().await.unwrap().keysets;
        let active = keysets.iter().find(|keyset| keyset.active).unwrap();
        let keyset = client.get_mint_keyset(active.id).await.unwrap();
        keyset.verify_id().unwrap();
        let amounts: Vec<u64> = keyset
            .keys
            .iter()
            .map(|(amount, _)| amount.to_u64())
            .collect();
        let fee_ppk = active.input_fee_ppk;
        Self {
            client,
            keyset,
            fees: (fee_ppk, amounts).into(),
            fee_ppk,
        }
    }

    pub(crate) async fn order(&self, amount: u64) -> MintQuoteBolt11Response<String> {
        let request = MintQuoteBolt11Request {
            amount: amount.into(),
            unit: CurrencyUnit::Sat,
            description: None,
            pubkey: None,
        };
        match self.client.post_mint_quote(request.into()).await.unwrap() {
            cdk::MintQuoteResponse::Bolt11(quote) => quote,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn is_paid(&self, quote_id: &str) -> bool {
        let quote = self
            .client
            .get_mint_quote_status(BOLT11, quote_id)
            .await
            .unwrap();
        quote.state() == Some(MintQuoteState::Paid)
    }

    /// Mints as soon as the quote is paid.
    pub(crate) async fn collect(&self, quote_id: &str, amount: u64) -> Proofs {
        eventually(async || self.is_paid(quote_id).await).await;
        let secrets = PreMintSecrets::random(
            self.keyset.id,
            amount.into(),
            &SplitTarget::None,
            &self.fees,
        )
        .unwrap();
        let outputs = secrets.blinded_messages();
        let request = MintRequest {
            quote: quote_id.to_owned(),
            outputs,
            signature: None,
        };
        let signed = self.client.post_mint(&BOLT11, request).await.unwrap();
        self.unblind(signed.signatures, &secrets)
    }

    pub(crate) async fn mint(&self, amount: u64) -> Proofs {
        let quote = self.order(amount).await;
        self.collect(&quote.quote, amount).await
    }

    pub(crate) async fn quote(&self, invoice: &Bolt11Invoice) -> Result<Quote, cdk::Error> {
        self.quote_with(invoice, None).await
    }

    pub(crate) async fn quote_with(
        &self,
        invoice: &Bolt11Invoice,
        options: Option<MeltOptions>,
    ) -> Result<Quote, cdk::Error> {
        let request = invoice.clone();
        let request = MeltQuoteBolt11Request {
            request,
            unit: CurrencyUnit::Sat,
            options,
        };
        match self.client.post_melt_quote(request.into()).await? {
            MeltQuoteCreateResponse::Bolt11(quote) => Ok(quote),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn input_fee(&self, proofs: &Proofs) -> u64 {
        (proofs.len() as u64 * self.fee_ppk).div_ceil(1000)
    }

    /// Blanks for all that can come back.
    pub(crate) fn blanks(&self, quote: &Quote, proofs: &Proofs) -> PreMintSecrets {
        let change_max = total(proofs) - quote.amount.to_u64() - self.input_fee(proofs);
        PreMintSecrets::blank(self.keyset.id, change_max.into()).unwrap()
    }

    /// Melts and waits for the result.
    pub(crate) async fn melt(&self, quote: &Quote, proofs: &Proofs) -> Melted {
        let blanks = self.blanks(quote, proofs).blinded_messages();
        let request = MeltRequest::new(quote.quote.clone(), proofs.clone(), Some(blanks));
        self.client.post_melt(&BOLT11, request).await
    }

    /// Melts and does not wait.
    pub(crate) async fn melt_async(&self, quote: &Quote, proofs: &Proofs) -> MeltQuoteState {
        let blanks = self.blanks(quote, proofs).blinded_messages();
        let request = MeltRequest::new(quote.quote.clone(), proofs.clone(), Some(blanks));
        let answer = self
            .client
            .post_melt(&BOLT11, request.prefer_async(true))
            .await;
        answer.unwrap().state()
    }

    pub(crate) async fn melt_state(&self, quote: &Quote) -> Result<MeltQuoteState, cdk::Error> {
        let answer = self
            .client
            .get_melt_quote_status(BOLT11, &quote.quote)
            .await?;
        Ok(answer.state())
    }

    /// The state all these proofs are in.
    pub(crate) async fn proof_state(&self, proofs: &Proofs) -> State {
        let ys = proofs.iter().map(|proof| proof.y().unwrap()).collect();
        let states = self
            .client
            .post_check_state(CheckStateRequest { ys })
            .await
            .unwrap()
            .states;
        let first = states[0].state;
        assert!(
            states.iter().all(|state| state.state == first),
            "{states:?}"
        );
        first
    }

    /// Verifies signatures and unblinds them; they may be fewer than the outputs.
    pub(crate) fn unblind(&self, signed: Vec<BlindSignature>, secrets: &PreMintSecrets) -> Proofs {
        let count = signed.len();
        for (signature, secret) in signed.iter().zip(&secrets.secrets) {
            let key = self.keyset.keys.amount_key(signature.amount).unwrap();
            signature
                .verify_dleq(key, secret.blinded_message.blinded_secret)
                .unwrap();
        }
        let (rs, texts) = (
            secrets.rs()[..count].to_vec(),
            secrets.secrets()[..count].to_vec(),
        );
        construct_proofs(signed, rs, texts, &self.keyset.keys).unwrap()
    }
}

pub(crate) fn total(proofs: &Proofs) -> u64 {
    proofs.iter().map(|proof| proof.amount.to_u64()).sum()
}

/// Asks until the answer is yes, for ten seconds at most.
pub(crate) async fn eventually(ask: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !ask().await {
        assert!(Instant::now() < deadline, "it never came true");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
