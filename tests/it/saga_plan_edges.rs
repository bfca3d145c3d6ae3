//! The coin plan at its edges: blanks, fees, direct or swap, the fence's input, large wallets.

use std::time::{Duration, Instant};

use meltd::saga::event::Way;
use meltd::saga::ids::{Amount, Coin, KeysetId};
use meltd::saga::plan::{
    Bounds, NoPlan, Terms, blanks, choose, fence_input, input_fee, output_keyset, split,
};

use crate::saga_kit::{coin, y};
use crate::saga_plan::{NO_BOUNDS, coins, keyset, powers, terms};

#[test]
fn blanks_at_the_edges() {
    let amounts = powers(63);
    let rows = [
        (0, 0),
        (1, 1),
        (2, 2),
        (3, 2),
        (4, 3),
        (7, 3),
        (8, 4),
        (900, 10),
        (1000, 10),
    ];
    for (most, count) in rows {
        assert_eq!(blanks(most, &amounts), count, "{most}");
    }
    for k in 1..62u32 {
        let power = 1u64 << k;
        assert_eq!(blanks(power - 1, &amounts), k, "2^{k} - 1");
        assert_eq!(blanks(power, &amounts), k + 1, "2^{k}");
        assert_eq!(blanks(power + 1, &amounts), k + 1, "2^{k} + 1");
    }
    assert_eq!(blanks(u64::MAX, &powers(64)), 64);
    // Other keysets: as many of each as fit under the next.
    assert_eq!(blanks(99, &[1, 10]), 9 + 9);
    assert_eq!(blanks(9, &[1, 10]), 9);
    assert_eq!(blanks(5, &[10]), 0);
    assert_eq!(blanks(u64::MAX, &[1]), u32::MAX);
    assert_eq!(blanks(7, &[]), 0);
}

#[test]
fn input_fees_are_rounded_up_once() {
    let rows: [(&[u64], Amount); 7] = [
        (&[], 0),
        (&[0, 0], 0),
        (&[1], 1),
        (&[100; 10], 1),
        (&[100; 11], 2),
        (&[1000, 1], 2),
        (&[u64::MAX, u64::MAX], u64::MAX / 500 + 1),
    ];
    for (ppk, fee) in rows {
        assert_eq!(input_fee(ppk.iter().copied()), fee, "{ppk:?}");
    }
}

/// A keyset of a hostile mint that signs only 1s: a range that no mint takes is not made.
#[test]
fn a_split_that_no_mint_takes_is_none() {
    assert_eq!(split(1_000, &[1]).map(|parts| parts.len()), Some(1_000));
    assert_eq!(split(5_000_000, &[1]), None);
    let keysets = [keyset(0, 0, true, vec![1])];
    let coins = coins(&keysets[0], &[8_000_000]);
    for overpay_max in [0, u64::MAX] {
        let bounds = Bounds {
            overpay_max,
            blanks_max: 100,
            ..NO_BOUNDS
        };
        let terms = Terms {
            bounds,
            ..terms(5_000_000, 100, &keysets)
        };
        assert_eq!(choose(&coins, &terms), Err(NoPlan::Keyset));
    }
}

#[test]
fn direct_or_swap_first() {
    let keysets = [keyset(0, 100, true, powers(20))];
    let coins = coins(&keysets[0], &[128]);
    let way = |overpay_max, returns_change| {
        let bounds = Bounds {
            overpay_max,
            ..NO_BOUNDS
        };
        let terms = Terms {
            bounds,
            returns_change,
            ..terms(100, 4, &keysets)
        };
        choose(&coins, &terms).unwrap().way
    };
    let swap = Way::Swap {
        send: vec![1, 8, 32, 64],
        keep: vec![2, 4, 16],
        swap_fee: 1,
    };
    // 128 − 1 − 104 = 23 too much.
    assert_eq!(way(23, true), Way::Direct);
    assert_eq!(way(22, true), swap);
    assert_eq!(way(u64::MAX, false), swap);
}

#[test]
fn the_cheapest_active_keyset_signs() {
    let sets = [
        keyset(3, 100, true, powers(8)),
        keyset(2, 100, true, powers(8)),
        keyset(1, 0, false, powers(8)),
        keyset(0, 0, true, Vec::new()),
    ];
    assert_eq!(output_keyset(&sets).map(|k| &k.id), Some(&sets[1].id));
    assert_eq!(output_keyset(&sets[2..]), None);
    let none = choose(&coins(&sets[0], &[8]), &terms(1, 0, &sets[2..]));
    assert_eq!(none, Err(NoPlan::Keyset));
}

#[test]
fn a_coin_that_costs_more_than_it_is_worth_is_never_chosen() {
    let sets = [
        keyset(0, 0, true, powers(8)),
        keyset(1, u64::MAX, false, Vec::new()),
    ];
    let mut coins = coins(&sets[0], &[8]);
    coins.push(Coin {
        keyset: sets[1].id.clone(),
        ..coin(2, 1 << 40)
    });
    let missing = choose(&coins, &terms(9, 0, &sets));
    assert_eq!(missing, Err(NoPlan::Insufficient { missing: 1 }));
    coins[1].keyset = KeysetId::new("unknown");
    let missing = choose(&coins, &terms(9, 0, &sets));
    assert_eq!(missing, Err(NoPlan::Insufficient { missing: 1 }));
}

#[test]
fn the_fence_takes_the_smallest_input_that_is_worth_more_than_its_fee() {
    let sets = [
        keyset(0, 1000, true, powers(8)),
        keyset(1, 0, false, Vec::new()),
    ];
    let mut coins = coins(&sets[0], &[64, 1, 2, 8]);
    let (chosen, fee, parts, _) = fence_input(&coins, &sets).unwrap();
    assert_eq!((&chosen.y, fee, parts), (&y(3), 1, vec![1]));
    coins[1].keyset = sets[1].id.clone();
    let (chosen, fee, parts, id) = fence_input(&coins, &sets).unwrap();
    assert_eq!(
        (&chosen.y, fee, parts, &id),
        (&y(2), 0, vec![1], &sets[0].id)
    );
    assert!(fence_input(&coins[1..2], &[keyset(1, 1000, true, powers(8))]).is_none());
    assert!(fence_input(&[], &sets).is_none());
}

#[test]
fn a_wallet_of_2000_coins_is_planned_quickly() {
    let keysets = [keyset(0, 100, true, powers(30))];
    let small: Vec<Amount> = (0..2_000u32).map(|n| 1 << (n % 11)).collect();
    let odd: Vec<Amount> = (0..2_000).map(|n| 1 + n * 7 % 1_999).collect();
    for amounts in [small, odd, vec![1; 2_000], vec![1 << 20; 2_000]] {
        let coins = coins(&keysets[0], &amounts);
        let total: Amount = amounts.iter().sum();
        for need in [1, total / 3, total / 2 + 1, total - total / 50] {
            let began = Instant::now();
            let plan = choose(&coins, &terms(need, 0, &keysets));
            let bound = if cfg!(debug_assertions) { 2_000 } else { 50 };
            let spent = began.elapsed();
            assert!(
                spent < Duration::from_millis(bound),
                "{need} of {total}: {spent:?}"
            );
            drop(plan);
        }
    }
}
