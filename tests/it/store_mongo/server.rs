//! What the store asks of a server, what it makes there, and how it comes and goes.

use meltd::ports::{Store, StoreError};
use meltd::saga::proofs::ProofState::{Reserved, Unspent};
use meltd::store::mongo::MongoStore;
use mongodb::bson::{Bson, Document, doc};

use super::Mongo;
use crate::store_contract::Fixture;
use crate::store_contract::append::verified;
use crate::store_contract::build::{adopt, fund, melt, shift, wallet};

/// Invariant: a server that is not there is "unavailable", so that the caller may try later.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_unavailable() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let outcome = MongoStore::connect(&format!("mongodb://{address}/x")).await;
    let error = outcome.err().unwrap();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    let outcome = MongoStore::connect("mongodb://").await;
    let error = outcome.err().unwrap().to_string();
    assert!(error.contains("STORE_INVALID"), "{error}");
}

/// Invariant: every start finds what it needs: on an empty database, on its own, beside others.
#[tokio::test(flavor = "multi_thread")]
async fn starts_at_the_same_time_make_one_schema() {
    let mongo = Mongo::fresh().await;
    let starts: Vec<_> = (0..4)
        .map(|_| {
            let uri = mongo.uri("");
            tokio::spawn(async move { MongoStore::connect(&uri).await.unwrap() })
        })
        .collect();
    for start in starts {
        start.await.unwrap().shutdown().await;
    }
    mongo.open().await.shutdown().await;
    let client = mongo.client().await;
    let database = client.database(&mongo.name);
    let mut names = database.list_collection_names().await.unwrap();
    names.sort();
    let expected = [
        "api_tokens",
        "leases",
        "meta",
        "mints",
        "outbox",
        "proofs",
        "relay_checkpoints",
        "relay_mark",
        "saga_events",
        "sagas",
        "used_ids",
        "wallets",
    ];
    assert_eq!(names, expected);
    let sagas = database.collection::<Document>("sagas");
    let mut indexes = sagas.list_index_names().await.unwrap();
    indexes.sort();
    let expected = [
        "_id_",
        "sagas_changed",
        "sagas_command",
        "sagas_due",
        "sagas_intent_key",
        "sagas_payment_hash",
        "sagas_wallet",
    ];
    assert_eq!(indexes, expected);
    mongo.remove().await;
}

/// Invariant: what others write by hand must look like what we write, and an old validator is
/// renewed by the next start.
#[tokio::test(flavor = "multi_thread")]
async fn validators_keep_strangers_out() {
    let mongo = Mongo::fresh().await;
    let store = mongo.open().await;
    let alice = wallet(&store, "npub1alice").await;
    fund(&store, &alice, 1).await;
    let client = mongo.client().await;
    let database = client.database(&mongo.name);
    let strange = [
        ("proofs", doc! { "$set": { "state": "melted" } }),
        ("proofs", doc! { "$set": { "amount": 8.0 } }),
        ("proofs", doc! { "$set": { "secret": "x" } }),
        ("sagas", doc! { "$set": { "status": "unknown" } }),
        ("sagas", doc! { "$unset": { "fence": "" } }),
        ("sagas", doc! { "$set": { "next_attempt_at": "soon" } }),
        ("saga_events", doc! { "$set": { "seq": "1" } }),
        ("wallets", doc! { "$set": { "counters.00": -1i64 } }),
        ("outbox", doc! { "$set": { "body": Bson::Null } }),
    ];
    let refused = async |name: &str, update: &Document| {
        let collection = database.collection::<Document>(name);
        collection
            .update_one(doc! {}, update.clone())
            .await
            .is_err()
    };
    for (name, update) in &strange {
        assert!(refused(name, update).await, "{name} took {update}");
    }
    let old = doc! { "collMod": "proofs", "validator": {} };
    database.run_command(old).await.unwrap();
    mongo.open().await.shutdown().await;
    for (name, update) in &strange {
        assert!(refused(name, update).await, "{name} took {update}");
    }
    store.shutdown().await;
    mongo.remove().await;
}

/// Invariant: no text of a caller's is ever an expression or an operator.
#[tokio::test(flavor = "multi_thread")]
async fn dollars_are_only_text() {
    let mongo = Mongo::fresh().await;
    let store = mongo.open().await;
    let text = "$$NOW";
    let owner = "$fence";
    let alice = store.wallet("$npub", "$$ROOT", text).await.unwrap();
    let mut new = melt(&alice);
    new.command_id = text.to_owned();
    new.intent_key = Some("$version".to_owned());
    new.reply_to = Some("$$REMOVE".to_owned());
    let long = crate::store_contract::build::LONG;
    let meltd::ports::Adopted::New(lease) = store.adopt(new.clone(), owner, long).await.unwrap()
    else {
        panic!("not new");
    };
    store.renew(&lease, owner, long).await.unwrap();
    let later = Some((std::time::Duration::ZERO, text.to_owned()).into());
    store.release(&lease, owner, later).await.unwrap();
    let head = store.load(&new.id).await.unwrap().unwrap().head;
    assert_eq!(head.new, new);
    assert_eq!(head.last_error.as_deref(), Some(text));
    let lease = store.lease(&new.id, owner, long).await.unwrap().unwrap();
    store.renew(&lease, owner, long).await.unwrap();
    store.shutdown().await;
    mongo.remove().await;
}

/// Invariant: the scans use their indexes; a recovery worker may not read every saga ever made.
#[tokio::test(flavor = "multi_thread")]
async fn the_due_scan_uses_its_index() {
    let mongo = Mongo::fresh().await;
    let store = mongo.open().await;
    let client = mongo.client().await;
    let database = client.database(&mongo.name);
    let now = doc! { "$lte": ["$next_attempt_at", "$$NOW"] };
    let free = doc! { "$lte": ["$lease_until", "$$NOW"] };
    let find = doc! {
        "find": "sagas",
        "filter": {
            "status": { "$in": ["active", "owing", "parked"] },
            "$expr": { "$and": [now, free] },
        },
        "sort": { "next_attempt_at": 1, "_id": 1 },
        "limit": 10,
    };
    let plan = database.run_command(doc! { "explain": find, "verbosity": "queryPlanner" });
    let plan = plan.await.unwrap().to_string();
    assert!(
        plan.contains("sagas_due") && !plan.contains("COLLSCAN"),
        "{plan}"
    );
    store.shutdown().await;
    mongo.remove().await;
}

/// Invariant: a clean close finishes the appends that wait, and later calls fail instead of hang.
#[tokio::test(flavor = "multi_thread")]
async fn a_clean_close_loses_nothing() {
    let mongo = Mongo::fresh().await;
    let store = std::sync::Arc::new(mongo.open().await);
    let alice = wallet(&*store, "npub1alice").await;
    let coins = fund(&*store, &alice, 40).await;
    let mut appends = Vec::new();
    for coin in &coins {
        let chain = adopt(&*store, &melt(&alice)).await;
        let one = std::slice::from_ref(coin);
        appends.push(chain.append(1, shift(one, Unspent, Reserved)));
    }
    let tasks: Vec<_> = appends
        .iter()
        .map(|append| {
            let (store, append) = (std::sync::Arc::clone(&store), append.clone());
            tokio::spawn(async move { store.append(append).await })
        })
        .collect();
    tokio::task::yield_now().await;
    store.shutdown().await;
    let other = mongo.open().await;
    for (append, task) in appends.iter().zip(tasks) {
        let version = match task.await.unwrap() {
            Ok(()) => 1,
            Err(StoreError::Unavailable(_)) => 0,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(verified(&other, &append.saga).await, version);
    }
    let late = store.append(appends.remove(0)).await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
    other.shutdown().await;
    mongo.remove().await;
}
