//! The guards of the proof rows: a coin has one owner, one holder, and one end.

use meltd::ports::{ProofRow, Store, StoreError};
use meltd::saga::ids::{Coin, Signature, Y};
use meltd::saga::proofs::{ProofState, ProofWrite};

use super::Fixture;
use super::build::{
    adopt, chosen_again, coin, fund, insert, melt, open, shift, signature, snapshot, wallet, ys,
};
use ProofState::{Pending, Reserved, Spent, Unspent};

async fn row<S: Store>(store: &S, y: &Y) -> ProofRow {
    let rows = store.proofs_by_y(std::slice::from_ref(y)).await.unwrap();
    rows.into_iter().next().unwrap()
}

fn insert_signed(like: &ProofWrite, coin: &Coin, signature: &Signature) -> ProofWrite {
    let ProofWrite::Insert { state, token, .. } = like else {
        panic!("not an insert");
    };
    ProofWrite::Insert {
        coin: coin.clone(),
        signature: signature.clone(),
        state: *state,
        token: token.clone(),
    }
}

/// Invariant: coins are only moved from the state that was read; all that differ are named, and
/// head, events and outbox stay too. Without the state in the row's condition this test fails:
/// tried on purpose.
pub(crate) async fn coins_in_another_state_are_named_and_nothing_is_written<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let coins = fund(&*store, &alice, 6).await;
    let mut first = adopt(&*store, &melt(&alice)).await;
    first
        .write(&*store, shift(&coins[..2], Unspent, Reserved))
        .await
        .unwrap();
    first
        .write(&*store, shift(&coins[1..2], Reserved, Pending))
        .await
        .unwrap();

    let mut second = adopt(&*store, &melt(&alice)).await;
    let before = snapshot(&*store).await;
    let mut writes = shift(&coins, Unspent, Reserved);
    writes.push(insert(second.saga(), &coin(1), Unspent));
    let result = second.write(&*store, writes).await;
    assert_eq!(chosen_again(result), ys(&coins[..2]));
    assert_eq!(before, snapshot(&*store).await);
    // The holder itself must name the right state too.
    let result = first
        .write(&*store, shift(&coins[..2], Reserved, Unspent))
        .await;
    assert_eq!(chosen_again(result), ys(&coins[1..2]));
    let result = first
        .write(&*store, shift(&coins[..2], Pending, Spent))
        .await;
    assert_eq!(chosen_again(result), ys(&coins[..1]));
    assert_eq!(before, snapshot(&*store).await);
    second
        .write(&*store, shift(&coins[2..], Unspent, Reserved))
        .await
        .unwrap();
}

/// Invariant: only the saga that holds a coin moves it, and only within its own wallet. Without
/// the holder or the wallet in the row's condition this test fails: tried on purpose.
pub(crate) async fn coins_of_another_saga_or_wallet_are_named<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let bob = wallet(&*store, "npub1bob").await;
    let coins = fund(&*store, &alice, 2).await;
    let mut holder = adopt(&*store, &melt(&alice)).await;
    holder
        .write(&*store, shift(&coins[..1], Unspent, Reserved))
        .await
        .unwrap();
    let mut thief = adopt(&*store, &melt(&alice)).await;
    let mut stranger = adopt(&*store, &melt(&bob)).await;
    let before = snapshot(&*store).await;
    for to in [Unspent, Pending, Spent] {
        let result = thief.write(&*store, shift(&coins[..1], Reserved, to)).await;
        assert_eq!(chosen_again(result), ys(&coins[..1]));
    }
    let result = stranger
        .write(&*store, shift(&coins[1..], Unspent, Reserved))
        .await;
    assert_eq!(chosen_again(result), ys(&coins[1..]));
    assert_eq!(before, snapshot(&*store).await);
}

/// Invariant: a coin that is not stored cannot be moved.
pub(crate) async fn a_coin_that_does_not_exist_is_named<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let ghost = [coin(8)];
    let mut chain = adopt(&*store, &melt(&alice)).await;
    let before = snapshot(&*store).await;
    let result = chain.write(&*store, shift(&ghost, Unspent, Reserved)).await;
    assert_eq!(chosen_again(result), ys(&ghost));
    assert_eq!(before, snapshot(&*store).await);
}

/// Invariant: reserve and send may be one append: the joined move goes from unspent straight to
/// pending, held by the saga, and on to spent with its time.
pub(crate) async fn reserve_and_send_in_one_append_is_one_move<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let coins = fund(&*store, &alice, 2).await;
    let mut chain = adopt(&*store, &melt(&alice)).await;
    chain
        .write(&*store, shift(&coins, Unspent, Pending))
        .await
        .unwrap();
    let held = row(&*store, &coins[0].y).await;
    assert_eq!(
        (held.state, held.saga.as_ref()),
        (Pending, Some(chain.saga()))
    );
    chain
        .write(&*store, shift(&coins, Pending, Spent))
        .await
        .unwrap();
    let spent = row(&*store, &coins[0].y).await;
    assert_eq!(
        (spent.state, spent.saga.as_ref()),
        (Spent, Some(chain.saga()))
    );
    let age = chrono::Utc::now() - spent.spent_at.unwrap();
    assert!(age.num_seconds().abs() < 60, "the store's clock: {age}");
    assert_eq!((spent.coin, spent.signature), (held.coin, held.signature));
}

/// Invariant: a coin that is let go belongs to nobody, and anybody may choose it.
pub(crate) async fn a_released_coin_is_free_for_others<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let coins = fund(&*store, &alice, 2).await;
    let mut first = adopt(&*store, &melt(&alice)).await;
    first
        .write(&*store, shift(&coins, Unspent, Reserved))
        .await
        .unwrap();
    first
        .write(&*store, shift(&coins[1..], Reserved, Pending))
        .await
        .unwrap();
    let mut free = shift(&coins[..1], Reserved, Unspent);
    free.extend(shift(&coins[1..], Pending, Unspent));
    first.write(&*store, free).await.unwrap();
    for y in ys(&coins) {
        let row = row(&*store, &y).await;
        assert_eq!((row.state, row.saga, row.spent_at), (Unspent, None, None));
    }
    let mut second = adopt(&*store, &melt(&alice)).await;
    second
        .write(&*store, shift(&coins, Unspent, Reserved))
        .await
        .unwrap();
}

/// Invariant: spent is final: no move and no insert brings a coin back.
pub(crate) async fn a_spent_coin_never_comes_back<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let mut chain = adopt(&*store, &melt(&alice)).await;
    let coins = [coin(8)];
    let born = insert(chain.saga(), &coins[0], Unspent);
    chain.write(&*store, vec![born.clone()]).await.unwrap();
    chain
        .write(&*store, shift(&coins, Unspent, Spent))
        .await
        .unwrap();
    let spent = row(&*store, &coins[0].y).await;

    for (from, to) in [(Unspent, Reserved), (Reserved, Unspent), (Pending, Unspent)] {
        let result = chain.write(&*store, shift(&coins, from, to)).await;
        assert_eq!(chosen_again(result), ys(&coins));
    }
    // Found again by a restore: it is adopted as it is, which is spent.
    chain.write(&*store, vec![born]).await.unwrap();
    assert_eq!(row(&*store, &coins[0].y).await, spent);
    // No event moves a spent coin; a caller that asks for it is refused and changes nothing.
    let before = snapshot(&*store).await;
    assert!(
        chain
            .write(&*store, shift(&coins, Spent, Unspent))
            .await
            .is_err()
    );
    assert_eq!(before, snapshot(&*store).await);
}

/// Invariant: the same coin found twice (a retried swap, a restore) is one row, and whatever holds
/// it goes on holding it.
pub(crate) async fn a_coin_found_twice_is_adopted<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let mut first = adopt(&*store, &melt(&alice)).await;
    let coins = [coin(8), coin(16)];
    let born = insert(first.saga(), &coins[0], Unspent);
    first.write(&*store, vec![born.clone()]).await.unwrap();
    first
        .write(&*store, shift(&coins[..1], Unspent, Reserved))
        .await
        .unwrap();
    let held = row(&*store, &coins[0].y).await;

    let mut second = adopt(&*store, &melt(&alice)).await;
    let fresh = insert(second.saga(), &coins[1], Unspent);
    second.write(&*store, vec![born, fresh]).await.unwrap();
    assert_eq!(row(&*store, &coins[0].y).await, held);
    assert_eq!(row(&*store, &coins[1].y).await.state, Unspent);
    assert_eq!(store.proofs(&alice.id, &[]).await.unwrap().len(), 2);
}

/// Invariant: a coin has one owner; a second one is CRITICAL and nothing is written.
pub(crate) async fn a_coin_of_another_wallet_is_a_conflict<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let bob = wallet(&*store, "npub1bob").await;
    let mut hers = adopt(&*store, &melt(&alice)).await;
    let shared = coin(8);
    let born = insert(hers.saga(), &shared, Unspent);
    hers.write(&*store, vec![born.clone()]).await.unwrap();
    let mut his = adopt(&*store, &melt(&bob)).await;
    let before = snapshot(&*store).await;
    let writes = vec![insert(his.saga(), &coin(4), Unspent), born];
    let result = his.write(&*store, writes).await;
    assert_eq!(result, Err(StoreError::YConflict(shared.y)));
    assert_eq!(before, snapshot(&*store).await);
}

/// Invariant: a coin has one signature; another C for the same Y is not the same money.
pub(crate) async fn a_coin_with_another_signature_is_a_conflict<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let mut chain = adopt(&*store, &melt(&alice)).await;
    let one = coin(8);
    let born = insert(chain.saga(), &one, Unspent);
    chain.write(&*store, vec![born.clone()]).await.unwrap();
    let before = snapshot(&*store).await;
    let other = insert_signed(&born, &one, &signature());
    let result = chain.write(&*store, vec![other]).await;
    assert_eq!(result, Err(StoreError::YConflict(one.y)));
    assert_eq!(before, snapshot(&*store).await);
}

/// Invariant: an amount that the store cannot hold is refused, never wrapped.
pub(crate) async fn an_amount_that_does_not_fit_is_unusable<F: Fixture>(f: &F) {
    let store = open(f).await;
    let alice = wallet(&*store, "npub1alice").await;
    let mut chain = adopt(&*store, &melt(&alice)).await;
    let before = snapshot(&*store).await;
    let huge = coin(i64::MAX as u64 + 1);
    let result = chain
        .write(&*store, vec![insert(chain.saga(), &huge, Unspent)])
        .await;
    assert!(matches!(result, Err(StoreError::Unusable(_))), "{result:?}");
    assert_eq!(before, snapshot(&*store).await);
    let largest = coin(i64::MAX as u64);
    chain
        .write(&*store, vec![insert(chain.saga(), &largest, Unspent)])
        .await
        .unwrap();
    assert_eq!(row(&*store, &largest.y).await.coin, largest);
}
