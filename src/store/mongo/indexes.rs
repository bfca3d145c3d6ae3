//! The indexes: what must be unique, and what is asked for often. Each has a name of its own, so
//! that a change of one is seen as a change and not made beside it.

use mongodb::IndexModel;
use mongodb::bson::{Document, doc};
use mongodb::options::IndexOptions;

use super::schema::{PROOFS, SAGAS, TOKENS, USED_IDS, WALLETS};

/// Every index beside `_id`, by collection.
pub(super) fn indexes() -> [(&'static str, Vec<IndexModel>); 5] {
    let command = doc! { "producer": 1, "command_id": 1 };
    let hash = doc! { "claim_payment_hash": 1 };
    let intent = doc! { "producer": 1, "claim_intent_key": 1 };
    let owner = doc! { "npub": 1, "mint_url": 1, "unit": 1 };
    let sagas = vec![
        unique("sagas_command", command, None),
        unique("sagas_payment_hash", hash, Some("claim_payment_hash")),
        unique("sagas_intent_key", intent, Some("claim_intent_key")),
        plain("sagas_due", doc! { "status": 1, "next_attempt_at": 1 }),
        plain("sagas_wallet", doc! { "wallet": 1, "_id": 1 }),
        plain("sagas_changed", doc! { "updated_at": 1 }),
    ];
    let proofs = vec![plain("proofs_wallet", doc! { "wallet": 1, "state": 1 })];
    let wallets = vec![unique("wallets_owner", owner, None)];
    let tokens = vec![unique("api_tokens_hash", doc! { "hash": 1 }, None)];
    let used = vec![until("used_ids_until", "until")];
    [
        (SAGAS, sagas),
        (PROOFS, proofs),
        (WALLETS, wallets),
        (TOKENS, tokens),
        (USED_IDS, used),
    ]
}

fn plain(name: &str, keys: Document) -> IndexModel {
    let options = IndexOptions::builder().name(name.to_owned()).build();
    IndexModel::builder().keys(keys).options(options).build()
}

/// The server deletes a document when its time is over.
fn until(name: &str, field: &str) -> IndexModel {
    let mut options = IndexOptions::builder().name(name.to_owned()).build();
    options.expire_after = Some(std::time::Duration::ZERO);
    let keys = doc! { field: 1 };
    IndexModel::builder().keys(keys).options(options).build()
}

/// `claim`: only documents that have this text, so that a claim that was let go is free again.
fn unique(name: &str, keys: Document, claim: Option<&str>) -> IndexModel {
    let partial = claim.map(|field| doc! { field: { "$type": "string" } });
    let mut options = IndexOptions::builder().name(name.to_owned()).build();
    options.unique = Some(true);
    options.partial_filter_expression = partial;
    IndexModel::builder().keys(keys).options(options).build()
}
