//! One request of a wallet at its mint: what is common to all, and the calls that are about coins.
//! Melts are in `melts.rs`, mintings in `mints.rs`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::str::FromStr;
use std::sync::Arc;

use ::cdk::nuts::{
    CheckStateRequest, CurrencyUnit, Id, Proof, PublicKey, RestoreRequest, SwapRequest,
};
use zeroize::Zeroizing;

use super::answers::{Restored, Signed, States};
use super::keys::Keyring;
use super::outputs::{self, WalletSeed};
use super::site::Site;
use super::{CdkMint, Timeouts, errors, signatures, token};
use crate::ports::{Keyset, OpenedToken, SwapInputs, Wallet};
use crate::saga::code::Code;
use crate::saga::ids::{KeysetId, Outputs, Range, SagaId, SignedCoin, Y};
use crate::saga::step::{Change, MintState, Trouble};

/// The collection whose rows sealed proofs are bound to.
const SEALED_IN: &str = "sagas";
/// A quote's id is a part of a URL; a longer one is not taken from a mint.
const QUOTE_ID_LEN_MAX: usize = 200;

/// A wallet at its mint, for one request.
pub(super) struct Request<'a> {
    pub(super) mint: &'a CdkMint,
    pub(super) site: &'a Site,
    pub(super) wallet: &'a Wallet,
    pub(super) unit: CurrencyUnit,
}

impl<'a> Request<'a> {
    /// Fails if the wallet's mint is not one of those that are configured.
    pub(super) fn new(mint: &'a CdkMint, wallet: &'a Wallet) -> Result<Self, Trouble> {
        let site = mint.sites.get(&wallet.mint_url);
        let site = site.ok_or_else(|| {
            errors::unknown(Code::MintUnknown, "the wallet's mint is not configured")
        })?;
        Ok(Self {
            mint,
            site,
            wallet,
            unit: unit_of(&wallet.unit),
        })
    }

    pub(super) fn timeouts(&self) -> &Timeouts {
        &self.mint.timeouts
    }

    pub(super) fn seed(&self) -> Zeroizing<WalletSeed> {
        let Wallet {
            npub,
            mint_url,
            unit,
            ..
        } = self.wallet;
        self.mint.keychain.wallet_seed(npub, mint_url, unit)
    }

    /// The keys of a keyset of the wallet's, fetched before the request that needs them.
    pub(super) async fn keyring(&self, keyset: &KeysetId) -> Result<Arc<Keyring>, Trouble> {
        let id = outputs::keyset_id(keyset)?;
        let Site { wire, keys, .. } = self.site;
        keys.keyring(wire, id, &self.unit, self.timeouts().ask)
            .await
    }

    pub(super) async fn keysets(&self) -> Result<Vec<Keyset>, Trouble> {
        let Site { wire, keys, .. } = self.site;
        keys.keysets(wire, &self.unit, self.timeouts().ask).await
    }

    /// NUT-07. The answer is read by Y, not by its order; each Y has to be in it.
    pub(super) async fn check_state(&self, ys: &[Y]) -> Result<Vec<MintState>, Trouble> {
        if ys.is_empty() {
            return Ok(Vec::new());
        }
        let points = ys.iter().map(|y| PublicKey::from_hex(y.as_str()));
        let points: Result<Vec<_>, _> = points.collect();
        let points = points.map_err(|_| errors::damaged("a stored Y is not a point"))?;
        let body = CheckStateRequest { ys: points };
        let path = ["v1", "checkstate"];
        let answer: States = self
            .site
            .wire
            .post(&path, &body, self.timeouts().ask)
            .await?;
        let states: HashMap<String, MintState> = answer
            .states
            .iter()
            .filter_map(|s| Some((s.y.to_lowercase(), mint_state(&s.state)?)))
            .collect();
        let found = ys.iter().map(|y| states.get(y.as_str()).copied());
        let found: Option<Vec<_>> = found.collect();
        found.ok_or_else(|| errors::nonsense("the mint did not give a state for every proof"))
    }

    /// NUT-03.
    pub(super) async fn swap(
        &self,
        inputs: &SwapInputs,
        wanted: &Outputs,
    ) -> Result<Vec<SignedCoin>, Trouble> {
        let seed = self.seed();
        let inputs = match inputs {
            SwapInputs::Coins(coins) => outputs::proofs(&seed, coins)?,
            SwapInputs::Sealed(saga, sealed) => self.unseal(saga, sealed)?,
        };
        let outputs = outputs::outputs(&seed, wanted)?;
        let keyring = self.keyring(&wanted.keyset).await?;
        let body = SwapRequest::new(inputs, outputs::messages(&outputs));
        let path = ["v1", "swap"];
        let answer: Signed = self
            .site
            .wire
            .post(&path, &body, self.timeouts().sign)
            .await?;
        signatures::all_signed(&outputs, &answer.signatures, &keyring)
    }

    /// NUT-09.
    pub(super) async fn restore(&self, range: &Range) -> Result<Change, Trouble> {
        if range.count == 0 {
            return Ok(Change::default());
        }
        let outputs = outputs::blanks(&self.seed(), range)?;
        let keyring = self.keyring(&range.keyset).await?;
        let body = RestoreRequest {
            outputs: outputs::messages(&outputs),
        };
        let path = ["v1", "restore"];
        let answer: Restored = self
            .site
            .wire
            .post(&path, &body, self.timeouts().ask)
            .await?;
        signatures::restored(&outputs, &answer, &keyring)
    }

    fn unseal(&self, saga: &SagaId, sealed: &str) -> Result<Vec<Proof>, Trouble> {
        let opened = self.mint.keychain.open(SEALED_IN, saga, sealed);
        let opened = opened.map_err(|why| errors::damaged(format!("the stored token: {why}")))?;
        serde_json::from_slice(&opened)
            .map_err(|_| errors::damaged("the stored token cannot be read"))
    }
}

/// A unit by its name; every name is one.
pub(super) fn unit_of(name: &str) -> CurrencyUnit {
    CurrencyUnit::from_str(name).unwrap_or_else(|_| CurrencyUnit::custom(name))
}

/// A quote's id as it came from a mint, if it can be part of a URL.
pub(super) fn quote_id(id: String) -> Result<String, Trouble> {
    let fits = (1..=QUOTE_ID_LEN_MAX).contains(&id.len());
    let plain = id.bytes().all(|b| b.is_ascii_graphic());
    if fits && plain && id != "." && id != ".." {
        Ok(id)
    } else {
        Err(errors::nonsense(
            "the mint gave a quote id that cannot be used",
        ))
    }
}

/// RESERVED and PENDING_SPENT are not in NUT-07 any more; a proof in them is not free.
fn mint_state(word: &str) -> Option<MintState> {
    match word {
        "UNSPENT" => Some(MintState::Unspent),
        "PENDING" | "RESERVED" | "PENDING_SPENT" => Some(MintState::Pending),
        "SPENT" => Some(MintState::Spent),
        _ => None,
    }
}

/// Opens a token of one of the configured mints (NUT-00) and seals its proofs for a saga.
pub(super) async fn open_token(
    mint: &CdkMint,
    text: &str,
    saga: &SagaId,
) -> Result<OpenedToken, (Code, String)> {
    let read = token::read(text)?;
    let mint_url = read.mint.to_string();
    let site = mint.sites.get(&mint_url).ok_or_else(|| {
        let url = errors::clean(&mint_url);
        (
            Code::MintUnknown,
            format!("the token's mint is not configured: {url}"),
        )
    })?;
    let ask = mint.timeouts.ask;
    let list = site.keys.list(&site.wire, ask).await;
    let list = list.map_err(|trouble| trouble.explain())?;
    let (proofs, unit) = read.proofs(&list)?;
    let mut keyrings: HashMap<Id, Arc<Keyring>> = HashMap::new();
    for proof in &proofs {
        if let Entry::Vacant(vacant) = keyrings.entry(proof.keyset_id) {
            let keyring = site.keys.keyring(&site.wire, proof.keyset_id, &unit, ask);
            vacant.insert(keyring.await.map_err(|trouble| trouble.explain())?);
        }
    }
    let keyring_of = |proof: &Proof| keyrings.get(&proof.keyset_id).cloned();
    let checked = token::check(proofs, &list, keyring_of)?;
    let sealed = mint
        .keychain
        .seal(SEALED_IN, saga, checked.proofs.as_bytes())
        .map_err(|why| (Code::TokenInvalid, format!("the token: {why}")))?;
    Ok(OpenedToken {
        mint_url,
        unit: unit.to_string(),
        ys: checked.ys,
        amount: checked.amount,
        input_fee: checked.input_fee,
        sealed,
    })
}
