//! The loop on every store and bus: everything is published, in order, and taken away; what is
//! blocked holds only itself.

use std::sync::Arc;
use std::time::Duration;

use meltd::ports::{Bus, OutboxReply, Store, Stream};

use super::check::consume;
use super::rig::{Running, drained, expected, quick, sagas, write};
use crate::bus_contract::Fixture as _;
use crate::bus_memory::Memory;
use crate::bus_nats::Nats;
use crate::store_contract::Fixture as _;
use crate::store_contract::build::{Chain, open};
use crate::store_mongo::Mongo;
use crate::store_sqlite::File;

/// Invariant: what is appended before and while the relay runs is published once, in order.
async fn everything_is_published<S: Store, B: Bus>(store: Arc<S>, bus: Arc<B>, count: usize) {
    let mut all = sagas(&*store, count, 4).await;
    let relay = Running::start(&store, &bus, quick());
    all.extend(sagas(&*store, count / 4, 3).await);
    for chain in all.iter_mut().step_by(7) {
        write(&*store, chain, 2).await;
    }
    drained(&*store, 0).await;
    let seen = consume(&*bus).await;
    seen.is_whole(&expected(&all));
    assert_eq!((seen.repeats, seen.early), (0, 0));
    relay.stop().await;
}

/// Invariant: a message that can never be stored is put aside with its reason, a parked event holds
/// back its own saga and nobody else, and goes on when it is let go.
async fn what_is_parked_holds_itself<S: Store, B: Bus>(store: Arc<S>, bus: Arc<B>) {
    let mut all: Vec<Chain> = sagas(&*store, 20, 3).await;
    all.sort_by_key(|chain| chain.saga().clone());
    let held = format!("{}:000002", all[5].saga());
    store.outbox_park(&held, "for a person").await.unwrap();
    let mut append = all[9].append(1, Vec::new());
    append.reply = Some(OutboxReply {
        subject: "melt.reply.shop.not a subject".to_owned(),
        body: "{}".to_owned(),
    });
    store.append(append.clone()).await.unwrap();
    all[9].advance(&append);
    write(&*store, &mut all[9], 1).await;

    let relay = Running::start(&store, &bus, quick());
    // The parked event, the one behind it, and the reply.
    drained(&*store, 3).await;
    let began = std::time::Instant::now();
    while store.outbox_parked(9).await.unwrap().len() < 2 {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "the reply is not parked"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let parked = store.outbox_parked(9).await.unwrap();
    assert_eq!(parked[0].id, held);
    assert_eq!(parked[1].id, format!("{}:000004:reply", all[9].saga()));
    let why = parked[1].last_error.as_deref().unwrap();
    assert!(why.contains("melt.reply.shop"), "{why}");
    let mut sofar = expected(&all);
    sofar.insert(all[5].saga().clone(), 1);
    consume(&*bus).await.is_whole(&sofar);

    assert!(store.outbox_unpark(&held).await.unwrap());
    drained(&*store, 1).await;
    let seen = consume(&*bus).await;
    seen.is_whole(&expected(&all));
    assert_eq!((seen.repeats, seen.early), (0, 0));
    relay.stop().await;
}

/// Invariant: a reply goes out behind the events that it tells of.
async fn a_reply_is_published<S: Store, B: Bus>(store: Arc<S>, bus: Arc<B>) {
    let mut chain = sagas(&*store, 1, 2).await.remove(0);
    let mut append = chain.append(1, Vec::new());
    let reply = OutboxReply {
        subject: "melt.reply.shop.till-1".to_owned(),
        body: "{\"paid\":true}".to_owned(),
    };
    append.reply = Some(reply.clone());
    store.append(append.clone()).await.unwrap();
    chain.advance(&append);
    let relay = Running::start(&store, &bus, quick());
    drained(&*store, 0).await;
    let stored = bus.at(Stream::Replies, 1).await.unwrap().unwrap().message;
    assert_eq!((stored.subject, stored.body), (reply.subject, reply.body));
    assert_eq!(stored.id, format!("{}:000003:reply", chain.saga()));
    consume(&*bus).await.is_whole(&expected(&[chain]));
    relay.stop().await;
}

/// Invariant: ten thousand blocked rows hide none that comes later.
#[tokio::test(flavor = "multi_thread")]
async fn blocked_rows_hide_nobody() {
    let fixture = File::fresh().await;
    let store = open(&fixture).await;
    let bus = Arc::new(Memory::fresh().await.open().await);
    sagas(&*store, 2_500, 4).await;
    let conn = rusqlite::Connection::open(fixture.path()).unwrap();
    let parked = conn.execute("UPDATE outbox SET parked = 1 WHERE id LIKE '%:000001'", []);
    assert_eq!(parked.unwrap(), 2_500);
    let free = sagas(&*store, 50, 3).await;
    let relay = Running::start(&store, &bus, quick());
    drained(&*store, 10_000).await;
    let seen = consume(&*bus).await;
    seen.is_whole(&expected(&free));
    relay.stop().await;
}

macro_rules! loops {
    ($name:ident, $store:ty, $bus:ty, $count:expr) => {
        mod $name {
            use super::*;

            async fn on() -> (
                $store,
                $bus,
                Arc<<$store as crate::store_contract::Fixture>::Store>,
                Arc<<$bus as crate::bus_contract::Fixture>::Bus>,
            ) {
                let (store, bus) = (<$store>::fresh().await, <$bus>::fresh().await);
                let handles = (open(&store).await, Arc::new(bus.open().await));
                (store, bus, handles.0, handles.1)
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn everything_is_published() {
                let (store, bus, s, b) = on().await;
                super::everything_is_published(s, b, $count).await;
                store.remove().await;
                bus.remove().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn what_is_parked_holds_itself() {
                let (store, bus, s, b) = on().await;
                super::what_is_parked_holds_itself(s, b).await;
                store.remove().await;
                bus.remove().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_reply_is_published() {
                let (store, bus, s, b) = on().await;
                super::a_reply_is_published(s, b).await;
                store.remove().await;
                bus.remove().await;
            }
        }
    };
}

loops!(sqlite_memory, File, Memory, 200);
loops!(sqlite_nats, File, Nats, 200);
loops!(mongo_nats, Mongo, Nats, 200);
