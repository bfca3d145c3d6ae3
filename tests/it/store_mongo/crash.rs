//! `kill -9` of a process in the middle of its transactions. The server does not notice: it keeps
//! what was committed, and by itself for a minute also the locks of what was not.

use std::time::{Duration, Instant};

use meltd::ports::{Lease, Store, StoreError};
use meltd::saga::proofs::ProofState::{Reserved, Unspent};
use meltd::store::mongo::MongoStore;
use mongodb::Client;
use mongodb::bson::{Document, doc};

use super::Mongo;
use crate::store_contract::Fixture;
use crate::store_contract::append::verified;
use crate::store_contract::build::{
    Chain, LONG, OVER, adopt, adopt_for, fund, head, melt, mint, shift, wallet,
};
use crate::store_contract::crash::{Acked, PLACE, drive_sagas, run_and_kill, writes_of};
use crate::store_contract::race::Dice;

/// Not a test by itself: the process that is killed.
#[tokio::test(flavor = "multi_thread")]
async fn crash_child() {
    let Ok(uri) = std::env::var(PLACE) else {
        return;
    };
    drive_sagas(MongoStore::connect(&uri).await.unwrap()).await;
}

/// Invariant: an acknowledged write survives the death of its process at any moment, and an
/// unacknowledged one is there whole or not at all. Two processes share the database, so one dies
/// while the other writes. Whatever they left half-done can be gone on with.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_appends_survive_kill_9() {
    let mongo = Mongo::fresh().await;
    let mut dice = Dice::new();
    let mut acked = Acked::default();
    let mut rounds = 0;
    while !acked.is_enough(rounds, 6) {
        rounds += 1;
        let lives = [dice.below(300), dice.below(600)];
        let runs = lives.map(|life| {
            let place = mongo.uri("");
            let child = "store_mongo::crash::crash_child";
            let life = Duration::from_millis(life);
            std::thread::spawn(move || run_and_kill(child, &place, life))
        });
        for run in runs {
            let lines = run.join().unwrap();
            lines.iter().for_each(|line| acked.note(line));
        }
        buried(&mongo).await;
        let store = mongo.open().await;
        acked.check(&store).await;
        store.shutdown().await;
    }
    let appends = acked.appends();
    let sagas = acked.versions.len();
    println!("{appends} acknowledged appends in {sagas} sagas");
    let store = mongo.open().await;
    go_on(&store, &acked).await;
    store.shutdown().await;
    mongo.remove().await;
}

/// Invariant: a transaction whose process died does not keep a saga, or its coins, from the next
/// worker: neither from being leased nor from being written.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_transaction_is_ended_by_who_needs_its_rows() {
    let mongo = Mongo::fresh().await;
    let store = mongo.open().await;
    let alice = wallet(&store, "npub1alice").await;
    let coins = fund(&store, &alice, 1).await;
    let leased = mint(&alice);
    adopt_for(&store, &leased, OVER).await;
    let mut chain = adopt(&store, &melt(&alice)).await;

    let client = Client::with_uri_str(mongo.uri(&format!("appName=meltd:{}", mongo.name)));
    let client = client.await.unwrap();
    let database = client.database(&mongo.name);
    let mut dead = Vec::new();
    for (name, id) in [
        ("sagas", leased.id.as_str()),
        ("sagas", chain.saga().as_str()),
        ("proofs", coins[0].y.as_str()),
    ] {
        let mut session = client.start_session().await.unwrap();
        session.start_transaction().await.unwrap();
        let rows = database.collection::<Document>(name);
        let gone = rows.delete_one(doc! { "_id": id }).session(&mut session);
        gone.await.unwrap();
        dead.push(session);
    }
    let started = Instant::now();
    let lease = store.lease(&leased.id, "next", LONG).await.unwrap();
    assert_eq!(lease.unwrap().fence, 2);
    let writes = shift(&coins, Unspent, Reserved);
    chain.write(&store, writes).await.unwrap();
    let waited = started.elapsed();
    assert!(waited < Duration::from_secs(20), "{waited:?}");
    assert!(
        dead[1].commit_transaction().await.is_err(),
        "it comes too late"
    );
    assert_eq!(verified(&store, chain.saga()).await, 1);
    store.shutdown().await;
    mongo.remove().await;
}

/// Waits until the server has noticed that the children are dead: what they sent last is carried
/// out before that.
async fn buried(mongo: &Mongo) {
    let admin = mongo.client().await.database("admin");
    // Connections only: the sessions of their open transactions outlive them.
    let all = doc! { "$currentOp": {
        "allUsers": true, "idleConnections": true, "idleSessions": false,
    } };
    let theirs = doc! { "$match": { "appName": format!("meltd:{}", mongo.name) } };
    loop {
        let pipeline = vec![all.clone(), theirs.clone()];
        let mut found = admin.aggregate(pipeline).await.unwrap();
        if !found.advance().await.unwrap() {
            return;
        }
    }
}

/// Appends once more to every saga, as the next worker would.
async fn go_on(store: &MongoStore, acked: &Acked) {
    let started = Instant::now();
    for saga in acked.versions.keys() {
        let head = head(store, saga).await;
        let lease = Lease {
            saga: saga.clone(),
            fence: head.fence,
        };
        let mut chain = Chain::new(&head.new, &lease);
        let loaded = store.load(saga).await.unwrap().unwrap();
        let Some(last) = loaded.records.last() else {
            continue;
        };
        let mut append = chain.append(1, Vec::new());
        append.records = vec![last.clone()];
        chain.advance(&append);
        let writes = writes_of(saga, head.version + 1);
        loop {
            match chain.write(store, writes.clone()).await {
                Ok(()) => break,
                // The dead process's transaction still holds the head.
                Err(StoreError::Unavailable(why)) => {
                    println!("{saga} after {:?}: {why}", started.elapsed());
                    assert!(started.elapsed() < Duration::from_secs(30), "{why}");
                }
                Err(error) => panic!("{saga}: {error}"),
            }
        }
    }
    println!("gone on with after {:?}", started.elapsed());
}
