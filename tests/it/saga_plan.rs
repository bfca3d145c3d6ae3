//! The coin plan: it never under-pays, never takes a coin twice, always carries enough blanks, and
//! says exactly what is missing. proptest prints the smallest failing case and its seed.

use std::collections::HashSet;

use meltd::saga::event::{Plan, Way};
use meltd::saga::ids::{Amount, Coin, KeysetId, sum};
use meltd::saga::plan::{
    Bounds, Keyset, NoPlan, Terms, blanks, choose, input_fee, output_keyset, split,
};
use proptest::prelude::*;

use crate::saga_kit::coin;

pub(crate) const NO_BOUNDS: Bounds = Bounds {
    overpay_max: Amount::MAX,
    inputs_max: usize::MAX,
    blanks_max: u32::MAX,
    exposure_max: Amount::MAX,
};

pub(crate) fn powers(count: u32) -> Vec<Amount> {
    (0..count).map(|n| 1u64 << n).collect()
}

pub(crate) fn keyset(n: usize, fee_ppk: u64, active: bool, amounts: Vec<Amount>) -> Keyset {
    Keyset {
        id: KeysetId::new(format!("00{n:014x}")),
        active,
        fee_ppk,
        amounts,
    }
}

pub(crate) fn terms(amount: Amount, fee_reserve: Amount, keysets: &[Keyset]) -> Terms<'_> {
    Terms {
        amount,
        fee_reserve,
        keysets,
        returns_change: true,
        bounds: NO_BOUNDS,
        spread: 0,
    }
}

/// Coins 1, 2, … of one keyset.
pub(crate) fn coins(keyset: &Keyset, amounts: &[Amount]) -> Vec<Coin> {
    let named = (1..).zip(amounts).map(|(n, amount)| Coin {
        keyset: keyset.id.clone(),
        ..coin(n, *amount)
    });
    named.collect()
}

fn fee(inputs: &[Coin], keysets: &[Keyset]) -> Amount {
    let ppk = |c: &Coin| keysets.iter().find(|k| k.id == c.keyset).unwrap().fee_ppk;
    input_fee(inputs.iter().map(ppk))
}

fn value(inputs: &[Coin]) -> Amount {
    sum(inputs.iter().map(|c| c.amount)).unwrap()
}

/// Everything that must be true of any plan.
fn holds(plan: &Plan, given: &[Coin], terms: &Terms<'_>) -> Result<(), TestCaseError> {
    let need = terms.amount + terms.fee_reserve;
    let bounds = terms.bounds;
    let names: HashSet<_> = plan.inputs.iter().map(|c| &c.y).collect();
    prop_assert_eq!(names.len(), plan.inputs.len(), "a coin twice");
    prop_assert!(
        plan.inputs.iter().all(|c| given.contains(c)),
        "a coin of nobody's"
    );
    prop_assert!(plan.inputs.len() <= bounds.inputs_max);
    prop_assert!(plan.blanks <= bounds.blanks_max);
    let (total, paid) = (value(&plan.inputs), fee(&plan.inputs, terms.keysets));
    prop_assert!(total <= bounds.exposure_max);
    let out = output_keyset(terms.keysets).unwrap();
    prop_assert_eq!(&plan.change_keyset, &out.id);
    let sent = match &plan.way {
        Way::Direct => {
            prop_assert_eq!(plan.input_fee, paid);
            prop_assert!(
                terms.returns_change || total - paid == need,
                "overpaid for nothing"
            );
            total
        }
        Way::Swap {
            send,
            keep,
            swap_fee,
        } => {
            let (send_sum, keep_sum) = (split_of(send, out)?, split_of(keep, out)?);
            prop_assert_eq!(*swap_fee, paid);
            prop_assert_eq!(
                total - swap_fee,
                send_sum + keep_sum,
                "the swap does not balance"
            );
            prop_assert_eq!(plan.input_fee, input_fee(send.iter().map(|_| out.fee_ppk)));
            prop_assert_eq!(send_sum - plan.input_fee, need, "not exact");
            send_sum
        }
    };
    prop_assert!(sent - plan.input_fee >= need, "under-paid");
    if terms.returns_change {
        prop_assert_eq!(plan.max_change, sent - plan.input_fee - terms.amount);
        prop_assert_eq!(plan.guaranteed_change, plan.max_change - terms.fee_reserve);
        prop_assert_eq!(plan.blanks, blanks(plan.max_change, &out.amounts));
    } else {
        prop_assert_eq!(
            (plan.max_change, plan.guaranteed_change, plan.blanks),
            (0, 0, 0)
        );
    }
    Ok(())
}

fn split_of(amounts: &[Amount], out: &Keyset) -> Result<Amount, TestCaseError> {
    prop_assert!(
        amounts.iter().all(|a| out.amounts.contains(a)),
        "the keyset cannot sign it"
    );
    Ok(sum(amounts.iter().copied()).unwrap())
}

fn any_ppk() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => Just(0u64),
        4 => Just(100),
        1 => Just(1),
        2 => 900u64..1100,
        1 => Just(5_000),
        1 => Just(u64::MAX),
    ]
}

/// Denominations of a strange mint: ascending, mostly with 1.
fn odd_amounts() -> impl Strategy<Value = Vec<Amount>> {
    let more = prop::collection::btree_set(2u64..400, 0..6);
    (any::<bool>(), more).prop_map(|(one, more)| {
        let first = (one || more.is_empty()).then_some(1);
        first.into_iter().chain(more).collect()
    })
}

fn any_amounts() -> impl Strategy<Value = Vec<Amount>> {
    prop_oneof![3 => (1u32..20).prop_map(powers), 1 => odd_amounts()]
}

fn any_keysets() -> impl Strategy<Value = Vec<Keyset>> {
    let one = (any_ppk(), prop::bool::weighted(0.7), any_amounts());
    prop::collection::vec(one, 1..4).prop_map(|sets| {
        let sets = sets.into_iter().enumerate();
        sets.map(|(n, (ppk, active, amounts))| keyset(n, ppk, active, amounts))
            .collect()
    })
}

fn any_bounds() -> impl Strategy<Value = Bounds> {
    let overpay = prop_oneof![Just(0u64), 1u64..200, Just(Amount::MAX)];
    let inputs = prop_oneof![2usize..8, Just(usize::MAX)];
    let most = prop_oneof![4u32..20, Just(u32::MAX)];
    let exposure = prop_oneof![100u64..5_000, Just(Amount::MAX)];
    (overpay, inputs, most, exposure).prop_map(
        |(overpay_max, inputs_max, blanks_max, exposure_max)| Bounds {
            overpay_max,
            inputs_max,
            blanks_max,
            exposure_max,
        },
    )
}

/// Coins of some keysets, of any amount: old keysets had other denominations.
fn any_wallet() -> impl Strategy<Value = (Vec<Keyset>, Vec<Coin>)> {
    let amount = prop_oneof![3 => (0u32..12).prop_map(|n| 1u64 << n), 1 => 1u64..3_000];
    let picks = prop::collection::vec((any::<prop::sample::Index>(), amount), 0..24);
    (any_keysets(), picks).prop_map(|(keysets, picks)| {
        let coins = (1..).zip(picks).map(|(n, (at, amount))| Coin {
            keyset: at.get(&keysets).id.clone(),
            ..coin(n, amount)
        });
        let coins = coins.collect();
        (keysets, coins)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_plan_pays_and_balances(
        (keysets, coins) in any_wallet(),
        amount in 1u64..3_000,
        reserve in 0u64..60,
        bounds in any_bounds(),
        returns_change in any::<bool>(),
        spread in any::<u64>(),
    ) {
        let terms = Terms { returns_change, bounds, spread, ..terms(amount, reserve, &keysets) };
        match choose(&coins, &terms) {
            Ok(plan) => holds(&plan, &coins, &terms)?,
            Err(NoPlan::TooManyInputs { needed }) => prop_assert!(needed > bounds.inputs_max),
            Err(NoPlan::Exposure { at_risk }) => prop_assert!(at_risk > bounds.exposure_max),
            Err(NoPlan::Insufficient { missing }) => prop_assert!(missing > 0),
            Err(NoPlan::Keyset) => {}
        }
    }

    #[test]
    fn what_is_missing_is_exact(
        (mut keysets, mut coins) in any_wallet(),
        amount in 1u64..60_000,
        reserve in 0u64..600,
        returns_change in any::<bool>(),
    ) {
        let free = keyset(99, 0, false, Vec::new());
        keysets.push(free.clone());
        let terms = Terms { returns_change, ..terms(amount, reserve, &keysets) };
        if let Err(NoPlan::Insufficient { missing }) = choose(&coins, &terms) {
            coins.push(Coin { keyset: free.id.clone(), ..coin(999, missing) });
            let now = choose(&coins, &terms);
            prop_assert!(!matches!(now, Err(NoPlan::Insufficient { .. })), "{:?}", now);
            coins.pop();
            coins.push(Coin { keyset: free.id, ..coin(999, missing - 1) });
            if returns_change && missing > 1 {
                prop_assert_eq!(choose(&coins, &terms), Err(NoPlan::Insufficient { missing: 1 }));
            }
        }
    }

    #[test]
    fn blanks_are_enough_for_every_change(amounts in any_amounts(), most in 0u64..1_500) {
        let enough = blanks(most, &amounts);
        for change in 0..=most {
            prop_assert!(greedy(change, &amounts) <= enough, "change {}", change);
        }
    }

    #[test]
    fn a_split_sums_up(amounts in any_amounts(), amount in 0u64..5_000) {
        match split(amount, &amounts) {
            Some(parts) => {
                prop_assert_eq!(sum(parts.iter().copied()), Some(amount));
                prop_assert!(parts.is_sorted());
                prop_assert!(parts.iter().all(|p| amounts.contains(p)));
                prop_assert_eq!(parts.len() as u32, greedy(amount, &amounts));
            }
            None => prop_assert!(!amounts.contains(&1) || greedy(amount, &amounts) > 1_000),
        }
    }

    #[test]
    fn overpayment_is_the_least_possible_for_powers_of_two(
        exponents in prop::collection::vec(0u32..8, 1..11),
        need in 1u64..600,
    ) {
        let keysets = [keyset(0, 0, true, powers(12))];
        let amounts: Vec<Amount> = exponents.iter().map(|n| 1 << n).collect();
        let coins = coins(&keysets[0], &amounts);
        let plan = choose(&coins, &terms(need, 0, &keysets)).ok();
        let have = plan.map(|plan| value(&plan.inputs) - need);
        prop_assert_eq!(have, least(&coins, need, &keysets));
    }

    /// With fees the walk is not optimal: what it costs more is less than the smallest input fee
    /// and the smallest coin beside it.
    #[test]
    fn overpayment_with_fees_stays_close_to_the_least(
        exponents in prop::collection::vec(0u32..8, 1..11),
        need in 1u64..600,
        ppk in 1u64..900,
    ) {
        let keysets = [keyset(0, ppk, true, powers(12))];
        let amounts: Vec<Amount> = exponents.iter().map(|n| 1 << n).collect();
        let coins = coins(&keysets[0], &amounts);
        let plan = choose(&coins, &terms(need, 0, &keysets)).ok();
        let have = plan.map(|p| value(&p.inputs) - p.input_fee - need);
        let best = least(&coins, need, &keysets);
        prop_assert_eq!(have.is_some(), best.is_some());
        if let (Some(have), Some(best)) = (have, best) {
            prop_assert!(have <= best + 16, "{} and {}", have, best);
        }
    }

    #[test]
    fn amounts_near_the_end_of_u64_never_panic(
        picks in prop::collection::vec((u64::MAX - 5.., any_ppk()), 0..4),
        amount in prop_oneof![u64::MAX - 9.., 1u64..5],
        reserve in prop_oneof![u64::MAX - 9.., 0u64..5],
        returns_change in any::<bool>(),
    ) {
        let sets = picks.iter().enumerate();
        let mut keysets: Vec<_> = sets.map(|(n, (_, ppk))| keyset(n, *ppk, true, powers(64))).collect();
        keysets.push(keyset(77, 100, true, powers(64)));
        let coins: Vec<_> = (1..)
            .zip(&picks)
            .zip(&keysets)
            .map(|((n, (amount, _)), set)| Coin { keyset: set.id.clone(), ..coin(n, *amount) })
            .collect();
        let terms = Terms { returns_change, ..terms(amount, reserve, &keysets) };
        if let Ok(plan) = choose(&coins, &terms) {
            holds(&plan, &coins, &terms)?;
        }
    }
}

/// How many coins a mint's greedy split makes of `amount`, as far as it can be expressed.
fn greedy(amount: Amount, denominations: &[Amount]) -> u32 {
    let mut rest = amount;
    let mut count = 0;
    for denomination in denominations.iter().rev() {
        count += rest / denomination;
        rest %= denomination;
    }
    u32::try_from(count).unwrap()
}

/// The least overpayment over all subsets.
fn least(coins: &[Coin], need: Amount, keysets: &[Keyset]) -> Option<Amount> {
    let subsets = 1u32..1 << coins.len();
    let overpaid = subsets.filter_map(|mask| {
        let chosen = coins.iter().enumerate().filter(|(n, _)| mask >> n & 1 == 1);
        let chosen: Vec<Coin> = chosen.map(|(_, c)| c.clone()).collect();
        value(&chosen)
            .checked_sub(fee(&chosen, keysets))?
            .checked_sub(need)
    });
    overpaid.min()
}
