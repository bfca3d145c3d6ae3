//! The events that explain a wallet's first coins.

use chrono::{DateTime, Utc};
use meltd::ports::{Append, HeadAfter, Lease};
use meltd::saga::chain::{self, Tail};
use meltd::saga::command::Kind;
use meltd::saga::event::{Entry, Event, MintQuoteCreated, MintSent, Minted, Private};
use meltd::saga::ids::{Amount, KeysetId, Outputs, SagaId, WalletId};
use meltd::saga::proofs::project_proofs;
use meltd::saga::state::Status;

use super::books::{KEYSET, signed_coin};

/// A whole mint saga in one append: counters 1.. carry these coins.
pub fn append(saga: &SagaId, lease: &Lease, amounts: &[Amount], at: DateTime<Utc>) -> Append {
    let coins: Vec<_> = (1..)
        .zip(amounts)
        .map(|(c, a)| signed_coin(c, *a))
        .collect();
    let signatures = coins.iter().map(|c| c.signature.clone()).collect();
    let quote = Event::MintQuoteCreated(MintQuoteCreated {
        wallet: WalletId::new("w-n"),
        mint_url: "http://mint".to_owned(),
        unit: "sat".to_owned(),
        amount: amounts.iter().sum(),
        expires_at: None,
        locked: false,
    });
    let keyset = KeysetId::new(KEYSET);
    let outputs = Outputs {
        keyset,
        start: 1,
        amounts: amounts.to_vec(),
    };
    let minted = Event::Minted(Minted {
        coins: coins.into_iter().map(|c| c.coin).collect(),
    });
    let entries = [
        Entry::from(quote),
        Event::MintSent(MintSent {
            outputs,
            attempt: 1,
        })
        .into(),
        Entry {
            event: minted,
            private: Private {
                signatures,
                ..Private::default()
            },
        },
    ];
    let hash = chain::genesis(saga);
    let mut tail = Tail {
        saga: saga.clone(),
        kind: Kind::Mint,
        seq: 0,
        hash,
    };
    let records = entries
        .iter()
        .map(|entry| chain::seal(&mut tail, entry, at, "salt").unwrap())
        .collect();
    Append {
        saga: saga.clone(),
        wallet: WalletId::new("w-n"),
        expected_version: 0,
        reply: None,
        fence: lease.fence,
        records,
        proofs: project_proofs(saga, &entries),
        head: HeadAfter {
            head_hash: tail.hash.to_hex(),
            state: "settled".to_owned(),
            status: Status::Done,
            holds_claims: true,
            erase_sealed: true,
        },
    }
}
