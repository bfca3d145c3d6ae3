//! The server fails at the worst moment (T12): replies are lost, commits are unknown, writes are
//! not durable. Nothing is lost, nothing is done twice, and the caller hears the right thing.
//!
//! The server injects the faults (`failCommand`), so it must run with
//! `--setParameter enableTestCommands=1`. Each fault names this test's client, so the other tests
//! do not see it; the server has only one such fault at a time, so these tests take turns.

use std::sync::Arc;

use meltd::ports::{Adopted, Outbox, Store, StoreError};
use meltd::saga::ids::KeysetId;
use meltd::saga::proofs::ProofState::{Reserved, Unspent};
use meltd::store::mongo::MongoStore;
use mongodb::Client;
use mongodb::bson::{Bson, Document, doc};
use tokio::sync::{Mutex, MutexGuard};

use super::Mongo;
use crate::store_contract::Fixture;
use crate::store_contract::append::verified;
use crate::store_contract::build::{
    Chain, LONG, OWNER, adopt, chosen_again, coin, fund, head, insert, melt, mint, shift, wallet,
};

static TURN: Mutex<()> = Mutex::const_new(());

/// A store whose commands the test can make fail.
pub(super) struct Faulty {
    mongo: Mongo,
    pub(super) store: Arc<MongoStore>,
    control: Client,
    /// How often the server had met a fault before this one.
    before: i64,
    _turn: MutexGuard<'static, ()>,
}

impl Faulty {
    pub(super) async fn new() -> Self {
        let turn = TURN.lock().await;
        let mongo = Mongo::fresh().await;
        let uri = mongo.uri(&format!("appName={}", mongo.name));
        let store = Arc::new(MongoStore::connect(&uri).await.unwrap());
        let control = mongo.client().await;
        let mut faulty = Faulty {
            mongo,
            store,
            control,
            before: 0,
            _turn: turn,
        };
        faulty.before = faulty.heal().await;
        faulty
    }

    /// The next `times` of these commands fail in this way; 0 = all of them.
    pub(super) async fn fail(&mut self, times: i32, commands: &[&str], how: Document) {
        let mode = match times {
            0 => Bson::from("alwaysOn"),
            times => doc! { "times": times }.into(),
        };
        let mut data = doc! { "failCommands": commands.to_vec(), "appName": &self.mongo.name };
        data.extend(how);
        let fault = doc! { "mode": mode, "data": data };
        self.before = self.configure(fault).await;
    }

    pub(super) async fn heal(&self) -> i64 {
        self.configure(doc! { "mode": "off" }).await
    }

    /// How often the last fault was met; it is over then.
    pub(super) async fn met(&self) -> i64 {
        self.heal().await - self.before
    }

    /// Says how often any fault was met since the server started.
    async fn configure(&self, what: Document) -> i64 {
        let mut command = doc! { "configureFailPoint": "failCommand" };
        command.extend(what);
        let admin = self.control.database("admin");
        let answer = admin.run_command(command).await.expect(
            "the test server must run with --setParameter enableTestCommands=1 \
             (scripts/services starts it so)",
        );
        let count = answer.get("count").unwrap();
        count.as_i64().or(count.as_i32().map(i64::from)).unwrap()
    }

    /// A melt, and an append that reserves one coin and makes another.
    async fn reservation(&self) -> (Chain, meltd::ports::Append) {
        let alice = wallet(&*self.store, "npub1alice").await;
        let coins = fund(&*self.store, &alice, 1).await;
        let chain = adopt(&*self.store, &melt(&alice)).await;
        let mut writes = shift(&coins, Unspent, Reserved);
        writes.push(insert(chain.saga(), &coin(4), Unspent));
        let append = chain.append(2, writes);
        (chain, append)
    }

    /// The append is there, whole and once.
    async fn check_written(&self, append: &meltd::ports::Append) {
        assert_eq!(verified(&*self.store, &append.saga).await, 2);
        let rows = self.store.outbox(None, 100).await.unwrap();
        let own = rows
            .iter()
            .filter(|r| r.id.starts_with(append.saga.as_str()));
        assert_eq!(own.count(), 2);
        let ys: Vec<_> = append.proofs.iter().map(|w| w.y().clone()).collect();
        let proofs = self.store.proofs_by_y(&ys).await.unwrap();
        let mut states: Vec<_> = proofs.iter().map(|p| p.state.as_str()).collect();
        states.sort_unstable();
        assert_eq!(states, ["reserved", "unspent"]);
    }

    pub(super) async fn done(self) {
        self.heal().await;
        self.store.shutdown().await;
        self.mongo.remove().await;
    }
}

fn hang_up() -> Document {
    doc! { "closeConnection": true }
}

fn error(code: i32) -> Document {
    doc! { "errorCode": code }
}

/// The command is carried out; only then the server says that it cannot promise anything.
fn not_durable(code: i32) -> Document {
    doc! { "writeConcernError": { "code": code, "errmsg": "injected" } }
}

fn transient(code: i32) -> Document {
    doc! { "errorCode": code, "errorLabels": ["TransientTransactionError"] }
}

/// Short disturbances, each of which an append survives by itself.
async fn survives(times: i32, commands: &[&str], how: Document) {
    let mut faulty = Faulty::new().await;
    let (_, append) = faulty.reservation().await;
    faulty.fail(times, commands, how).await;
    assert_eq!(faulty.store.append(append.clone()).await, Ok(()));
    let met = faulty.met().await;
    assert!(
        met > 0 && (times == 0 || met == i64::from(times)),
        "met {met} times"
    );
    faulty.check_written(&append).await;
    let again = faulty.store.append(append).await;
    assert_eq!(
        again,
        Err(StoreError::Reload),
        "a repeat is no second append"
    );
    faulty.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_reply_is_lost_is_asked_for_again() {
    survives(1, &["commitTransaction"], hang_up()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_stays_unknown_for_a_while_is_asked_for_again() {
    // More often than the driver retries by itself.
    survives(5, &["commitTransaction"], hang_up()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_not_durable_yet_is_asked_for_again() {
    survives(3, &["commitTransaction"], not_durable(64)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_error_without_a_label_is_unknown_too() {
    survives(2, &["commitTransaction"], not_durable(100)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_was_not_possible_is_repeated_whole() {
    survives(1, &["commitTransaction"], transient(251)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_conflict_is_tried_again() {
    survives(4, &["insert"], transient(112)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_between_the_writes_is_no_loss() {
    survives(2, &["insert"], hang_up()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_steps_down_between_the_writes_is_no_loss() {
    survives(2, &["update"], transient(10107)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_commit_that_happened_is_found() {
    // Carried out the first time; no answer ever says so. The head does.
    survives(0, &["commitTransaction"], not_durable(64)).await;
}

/// Invariant: an unknown commit that stays unknown is "unavailable", and what was not committed
/// does not stand in anybody's way afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_commit_that_did_not_happen_is_unavailable() {
    let mut faulty = Faulty::new().await;
    let (_, append) = faulty.reservation().await;
    faulty.fail(0, &["commitTransaction"], hang_up()).await;
    let outcome = faulty.store.append(append.clone()).await;
    assert!(
        matches!(outcome, Err(StoreError::Unavailable(_))),
        "{outcome:?}"
    );
    faulty.heal().await;
    // As the driver does it: look, then decide.
    loop {
        match head(&*faulty.store, &append.saga).await.version {
            0 => match faulty.store.append(append.clone()).await {
                Ok(()) | Err(StoreError::Reload) => {}
                other => panic!("{other:?}"),
            },
            version => break assert_eq!(version, 2),
        }
    }
    faulty.check_written(&append).await;
    faulty.done().await;
}

/// Invariant: a commit that cannot be promised, on a head that cannot be asked, is "unavailable".
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_commit_that_cannot_be_confirmed_is_unavailable() {
    let mut faulty = Faulty::new().await;
    let (_, append) = faulty.reservation().await;
    let commands = ["commitTransaction", "findAndModify"];
    faulty.fail(0, &commands, not_durable(64)).await;
    let outcome = faulty.store.append(append.clone()).await;
    assert!(
        matches!(outcome, Err(StoreError::Unavailable(_))),
        "{outcome:?}"
    );
    faulty.heal().await;
    faulty.check_written(&append).await;
    faulty.done().await;
}

/// Invariant: a batch whose transaction breaks loses nobody, and a refusal of one is not the
/// others' refusal.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_survives_the_faults_of_its_transaction() {
    let faults: [(i32, &str, Document); 4] = [
        (3, "commitTransaction", hang_up()),
        (6, "insert", transient(112)),
        (2, "update", hang_up()),
        (3, "commitTransaction", not_durable(64)),
    ];
    let mut faulty = Faulty::new().await;
    let store = Arc::clone(&faulty.store);
    let alice = wallet(&*store, "npub1alice").await;
    for (times, command, how) in faults {
        let coins = fund(&*store, &alice, 30).await;
        let mut taker = adopt(&*store, &melt(&alice)).await;
        let taken = shift(&coins[7..8], Unspent, Reserved);
        taker.write(&*store, taken).await.unwrap();
        let mut appends = Vec::new();
        for coin in &coins {
            let chain = adopt(&*store, &melt(&alice)).await;
            let one = std::slice::from_ref(coin);
            appends.push(chain.append(1, shift(one, Unspent, Reserved)));
        }
        faulty.fail(times, &[command], how).await;
        let append = |append: &meltd::ports::Append| {
            let (store, append) = (Arc::clone(&store), append.clone());
            tokio::spawn(async move { store.append(append).await })
        };
        let tasks: Vec<_> = appends.iter().map(append).collect();
        for (i, task) in tasks.into_iter().enumerate() {
            let result = task.await.unwrap();
            let version = verified(&*store, &appends[i].saga).await;
            if i == 7 {
                assert_eq!(chosen_again(result), vec![coins[7].y.clone()]);
                assert_eq!(version, 0);
            } else {
                assert_eq!((result, version), (Ok(()), 1), "{command}, member {i}");
            }
        }
        assert_eq!(faulty.met().await, i64::from(times), "{command}");
    }
    faulty.done().await;
}

/// Invariant: an adoption that is not durable is not an adoption; its repeat finds the head.
#[tokio::test(flavor = "multi_thread")]
async fn an_adoption_that_is_not_durable_is_unavailable() {
    let mut faulty = Faulty::new().await;
    let store = Arc::clone(&faulty.store);
    let alice = wallet(&*store, "npub1alice").await;
    let new = mint(&alice);
    faulty.fail(1, &["update"], not_durable(64)).await;
    let outcome = store.adopt(new.clone(), OWNER, LONG).await;
    assert!(
        matches!(outcome, Err(StoreError::Unavailable(_))),
        "{outcome:?}"
    );
    let again = store.adopt(new.clone(), OWNER, LONG).await.unwrap();
    let Adopted::Existing(head) = again else {
        panic!("adopted twice: {again:?}");
    };
    assert_eq!(head.new, new);

    let new = mint(&alice);
    faulty.fail(1, &["update"], hang_up()).await;
    let outcome = store.adopt(new.clone(), OWNER, LONG).await;
    assert!(
        matches!(outcome, Ok(Adopted::New(_))),
        "the driver repeats it: {outcome:?}"
    );
    faulty.done().await;
}

/// Invariant: counters and leases that are not durable are not used; a lost range is a gap.
#[tokio::test(flavor = "multi_thread")]
async fn counters_and_leases_that_are_not_durable_are_not_used() {
    let mut faulty = Faulty::new().await;
    let store = Arc::clone(&faulty.store);
    let alice = wallet(&*store, "npub1alice").await;
    let keyset = KeysetId::new("00ad268c4d1f5826");
    let saga = mint(&alice);
    let lease = crate::store_contract::build::adopt_for(&*store, &saga, LONG).await;
    store.release(&lease, OWNER, None).await.unwrap();
    assert_eq!(store.take_counters(&alice.id, &keyset, 5).await, Ok(0));

    faulty.fail(2, &["findAndModify"], not_durable(64)).await;
    let taken = store.take_counters(&alice.id, &keyset, 5).await;
    assert!(
        matches!(taken, Err(StoreError::Unavailable(_))),
        "{taken:?}"
    );
    let leased = store.lease(&saga.id, OWNER, LONG).await;
    assert!(
        matches!(leased, Err(StoreError::Unavailable(_))),
        "{leased:?}"
    );
    assert_eq!(store.take_counters(&alice.id, &keyset, 5).await, Ok(10));

    faulty.fail(1, &["findAndModify"], hang_up()).await;
    let taken = store.take_counters(&alice.id, &keyset, 5).await;
    assert_eq!(taken, Ok(15), "the driver repeats it, and it counts once");
    faulty.done().await;
}

/// Invariant: errors that no retry mends are told apart from a server that is away.
#[tokio::test(flavor = "multi_thread")]
async fn refused_writes_are_unusable() {
    let mut faulty = Faulty::new().await;
    let (_, append) = faulty.reservation().await;
    faulty.fail(0, &["insert"], error(13)).await;
    let outcome = faulty.store.append(append.clone()).await;
    assert!(
        matches!(outcome, Err(StoreError::Unusable(_))),
        "{outcome:?}"
    );
    faulty.heal().await;
    assert_eq!(faulty.store.append(append).await, Ok(()));
    faulty.done().await;
}
