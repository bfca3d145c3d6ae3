//! The coin plan: which coins pay, whether they go straight into the melt or through a swap first,
//! and how many blanks carry the change. Integers only; every sum is checked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::event::{Plan, Way};
use super::ids::{Amount, Coin, KeysetId};

/// A keyset as the core needs it (NUT-01, NUT-02).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Keyset {
    /// Its id.
    pub id: KeysetId,
    /// True if it still signs.
    pub active: bool,
    /// Input fee of each of its proofs, in thousandths of the unit.
    pub fee_ppk: u64,
    /// The amounts that it signs, ascending. Empty for inactive keysets whose keys were not asked.
    pub amounts: Vec<Amount>,
}

/// The configured bounds of one melt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Overpayment that may be locked in a direct melt; above it the coins are swapped first.
    pub overpay_max: Amount,
    /// Most inputs in one request: mints refuse long ones (cdk #1180).
    pub inputs_max: usize,
    /// Most blanks in one melt; above it the coins are swapped first.
    pub blanks_max: u32,
    /// Most value at risk in one melt.
    pub exposure_max: Amount,
}

/// What has to be paid, and with which keyset change and swap outputs are signed.
#[derive(Clone, Debug)]
pub struct Terms<'a> {
    /// Price of the payment.
    pub amount: Amount,
    /// Fee reserve.
    pub fee_reserve: Amount,
    /// All keysets of the unit.
    pub keysets: &'a [Keyset],
    /// The mint gives overpayment back (NUT-08).
    pub returns_change: bool,
    /// The bounds.
    pub bounds: Bounds,
    /// 0 at first; another number after a conflict, so that two melts part ways among equals.
    pub spread: u64,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoPlan {
    /// Not enough value, fees included.
    Insufficient {
        /// How much more is needed.
        missing: Amount,
    },
    /// It would take more inputs than allowed.
    TooManyInputs {
        /// How many.
        needed: usize,
    },
    /// More value at risk than allowed.
    Exposure {
        /// How much.
        at_risk: Amount,
    },
    /// No active keyset can express the amounts.
    Keyset,
}

/// A coin with what it costs to spend, in thousandths of the unit.
#[derive(Clone, Copy)]
struct Priced<'a> {
    coin: &'a Coin,
    fee_ppk: u64,
    /// amount × 1000 − fee, because `Σ worth ≥ need × 1000` is exactly
    /// `Σ amount − ceil(Σ ppk / 1000) ≥ need`.
    worth: u128,
}

/// The input fee of some proofs: `ceil(Σ ppk / 1000)` (NUT-02).
pub fn input_fee(ppk: impl IntoIterator<Item = u64>) -> Amount {
    let total: u128 = ppk.into_iter().map(u128::from).sum();
    Amount::try_from(total.div_ceil(1000)).unwrap_or(Amount::MAX)
}

/// Most outputs in one request: mints refuse longer ones (NUT-08 asks them to accept 1,000). It
/// also keeps a keyset that signs only small amounts from using up the memory.
const PARTS_MAX: u64 = 1_000;

/// The fewest denominations that sum to `amount`, ascending; `None` if they cannot, or if it would
/// take more than any mint accepts.
pub fn split(amount: Amount, denominations: &[Amount]) -> Option<Vec<Amount>> {
    let mut rest = amount;
    let mut left = PARTS_MAX;
    let mut parts = Vec::new();
    for &denomination in denominations.iter().rev().filter(|d| **d > 0) {
        let count = rest / denomination;
        left = left.checked_sub(count)?;
        parts.extend((0..count).map(|_| denomination));
        rest %= denomination;
    }
    parts.reverse();
    (rest == 0).then_some(parts)
}

/// How many blanks carry any change of 0..=`max_change` (NUT-08): `ceil(log2(max + 1))` for powers
/// of two, and from the denominations for any other keyset. Too few and the mint keeps the rest.
pub fn blanks(max_change: Amount, denominations: &[Amount]) -> u32 {
    let usable: Vec<Amount> = denominations
        .iter()
        .copied()
        .filter(|d| *d > 0 && *d <= max_change)
        .collect();
    let Some(top) = usable.last() else { return 0 };
    let steps = usable.iter().zip(usable.iter().skip(1));
    let below: u64 = steps.map(|(low, high)| (high - 1) / low).sum();
    u32::try_from((max_change / top).saturating_add(below)).unwrap_or(u32::MAX)
}

/// The plan with the smallest overpayment.
///
/// # Errors
/// [`NoPlan`], with the figure that a person needs.
pub fn choose(coins: &[Coin], terms: &Terms<'_>) -> Result<Plan, NoPlan> {
    let out = output_keyset(terms.keysets).ok_or(NoPlan::Keyset)?;
    let priced = price(coins, terms);
    let need = terms
        .amount
        .checked_add(terms.fee_reserve)
        .ok_or(NoPlan::Keyset)?;
    let direct = direct_plan(&priced, need, terms, out);
    let fits = |plan: &Plan, overpay: Amount| {
        let cap = if terms.returns_change {
            terms.bounds.overpay_max
        } else {
            0
        };
        overpay <= cap && plan.blanks <= terms.bounds.blanks_max
    };
    let plan = match direct {
        Ok((plan, overpay)) if fits(&plan, overpay) => plan,
        Ok((plan, _)) => match swap_plan(&priced, need, terms, out) {
            Ok(swap) => swap,
            // The swap's own fee is not affordable, or cannot be expressed: overpay after all.
            Err(_) if terms.returns_change && plan.blanks <= terms.bounds.blanks_max => plan,
            Err(why) => return Err(why),
        },
        Err(why) => return Err(why),
    };
    if plan.blanks > terms.bounds.blanks_max {
        return Err(NoPlan::Keyset);
    }
    let at_risk = plan
        .inputs
        .iter()
        .try_fold(0u64, |sum, c| sum.checked_add(c.amount));
    match at_risk {
        Some(at_risk) if at_risk <= terms.bounds.exposure_max => Ok(plan),
        at_risk => Err(NoPlan::Exposure {
            at_risk: at_risk.unwrap_or(Amount::MAX),
        }),
    }
}

/// The active keyset with the lowest fee, the first by id among equals.
pub fn output_keyset(keysets: &[Keyset]) -> Option<&Keyset> {
    let active = keysets.iter().filter(|k| k.active && !k.amounts.is_empty());
    active.min_by(|a, b| a.fee_ppk.cmp(&b.fee_ppk).then(a.id.cmp(&b.id)))
}

/// The input to fence with, and what is left of it: the smallest worth more than its fee.
pub fn fence_input<'a>(
    coins: &'a [Coin],
    keysets: &[Keyset],
) -> Option<(&'a Coin, Amount, Vec<Amount>, KeysetId)> {
    let out = output_keyset(keysets)?;
    let mut candidates: Vec<&Coin> = coins.iter().collect();
    candidates.sort_by(|a, b| a.amount.cmp(&b.amount).then(a.y.cmp(&b.y)));
    candidates.into_iter().find_map(|coin| {
        let fee = input_fee([fee_of(&coin.keyset, keysets)?]);
        let rest = coin.amount.checked_sub(fee).filter(|rest| *rest > 0)?;
        Some((coin, fee, split(rest, &out.amounts)?, out.id.clone()))
    })
}

fn fee_of(keyset: &KeysetId, keysets: &[Keyset]) -> Option<u64> {
    keysets.iter().find(|k| &k.id == keyset).map(|k| k.fee_ppk)
}

/// Coins of known keysets that are worth more than they cost, the largest first.
fn price<'a>(coins: &'a [Coin], terms: &Terms<'_>) -> Vec<Priced<'a>> {
    let mut priced: Vec<Priced<'a>> = coins
        .iter()
        .filter_map(|coin| {
            let fee_ppk = fee_of(&coin.keyset, terms.keysets)?;
            let worth = (u128::from(coin.amount) * 1000).checked_sub(u128::from(fee_ppk))?;
            (worth > 0).then_some(Priced {
                coin,
                fee_ppk,
                worth,
            })
        })
        .collect();
    priced.sort_by(|a, b| {
        let spread = |p: &Priced<'_>| mix(p.coin.y.as_str(), terms.spread);
        b.worth
            .cmp(&a.worth)
            .then_with(|| spread(a).cmp(&spread(b)))
    });
    priced
}

/// FNV-1a over the name and the spread: an order among equals that differs by spread.
fn mix(text: &str, spread: u64) -> u64 {
    let bytes = text.bytes().chain(spread.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
    })
}

/// The subset with the smallest surplus over `need`, found by walking down from the largest coin:
/// at each point the smallest coin that covers the rest alone is one candidate. Optimal for
/// power-of-two coins without fees, close to it otherwise.
fn subset<'a>(
    priced: &[Priced<'a>],
    need: Amount,
    inputs_max: usize,
) -> Result<Vec<Priced<'a>>, NoPlan> {
    let need = u128::from(need) * 1000;
    let total: u128 = priced.iter().map(|p| p.worth).sum();
    if total < need {
        let missing = (need - total).div_ceil(1000);
        return Err(NoPlan::Insufficient {
            missing: Amount::try_from(missing).unwrap_or(Amount::MAX),
        });
    }
    let mut best: Option<(u128, Vec<Priced<'a>>)> = None;
    let mut offer = |mut chosen: Vec<Priced<'a>>| {
        let surplus = prune(&mut chosen, need);
        let better = best
            .as_ref()
            .is_none_or(|(least, held)| (surplus, chosen.len()) < (*least, held.len()));
        if better && chosen.len() <= inputs_max {
            best = Some((surplus, chosen));
        }
    };
    let mut taken: Vec<Priced<'a>> = Vec::new();
    let mut skipped: Vec<Priced<'a>> = Vec::new();
    let mut rest = need;
    for (at, coin) in priced.iter().enumerate() {
        if coin.worth <= rest {
            // The smallest skipped coin covers the rest alone: skipped ones are all larger.
            if let Some(cover) = skipped.last() {
                offer(taken.iter().copied().chain([*cover]).collect());
            }
            taken.push(*coin);
            rest -= coin.worth;
        } else {
            skipped.push(*coin);
        }
        let last = at + 1 == priced.len();
        if rest == 0 || last {
            break;
        }
    }
    if rest == 0 {
        offer(taken.clone());
    } else if let Some(cover) = skipped.last() {
        offer(taken.iter().copied().chain([*cover]).collect());
    }
    // The fewest inputs, when the closest fit takes too many.
    let fewest = largest_first(priced, need);
    let needed = fewest.len();
    offer(fewest);
    best.map(|(_, chosen)| chosen)
        .ok_or(NoPlan::TooManyInputs { needed })
}

fn largest_first<'a>(priced: &[Priced<'a>], need: u128) -> Vec<Priced<'a>> {
    let mut sum = 0u128;
    let short = priced.iter().take_while(|coin| {
        let is_short = sum < need;
        sum = sum.saturating_add(coin.worth);
        is_short
    });
    short.copied().collect()
}

/// Drops coins that the sum does not need, the smallest first; returns the surplus.
fn prune(chosen: &mut Vec<Priced<'_>>, need: u128) -> u128 {
    let mut surplus = chosen
        .iter()
        .map(|p| p.worth)
        .sum::<u128>()
        .saturating_sub(need);
    chosen.sort_by_key(|p| p.worth);
    chosen.retain(|p| {
        let spare = p.worth <= surplus;
        if spare {
            surplus -= p.worth;
        }
        !spare
    });
    surplus
}

fn direct_plan(
    priced: &[Priced<'_>],
    need: Amount,
    terms: &Terms<'_>,
    out: &Keyset,
) -> Result<(Plan, Amount), NoPlan> {
    let chosen = subset(priced, need, terms.bounds.inputs_max)?;
    let fee = input_fee(chosen.iter().map(|p| p.fee_ppk));
    let sent = amounts(&chosen).ok_or(NoPlan::Keyset)?;
    let overpay = sent.checked_sub(fee).and_then(|s| s.checked_sub(need));
    let plan = finish(chosen, Way::Direct, sent, fee, terms, out)?;
    Ok((plan, overpay.ok_or(NoPlan::Keyset)?))
}

fn swap_plan(
    priced: &[Priced<'_>],
    need: Amount,
    terms: &Terms<'_>,
    out: &Keyset,
) -> Result<Plan, NoPlan> {
    let (send, fee) = send_amounts(need, out).ok_or(NoPlan::Keyset)?;
    let sent = need.checked_add(fee).ok_or(NoPlan::Keyset)?;
    let chosen = subset(priced, sent, terms.bounds.inputs_max)?;
    let swap_fee = input_fee(chosen.iter().map(|p| p.fee_ppk));
    let spare = amounts(&chosen).and_then(|s| s.checked_sub(swap_fee)?.checked_sub(sent));
    let keep = split(spare.ok_or(NoPlan::Keyset)?, &out.amounts).ok_or(NoPlan::Keyset)?;
    finish(
        chosen,
        Way::Swap {
            send,
            keep,
            swap_fee,
        },
        sent,
        fee,
        terms,
        out,
    )
}

/// Amounts that are worth exactly `need` after their own input fee. Adding the fee can add an
/// output, which can add to the fee: it settles within a few rounds.
fn send_amounts(need: Amount, out: &Keyset) -> Option<(Vec<Amount>, Amount)> {
    let mut fee = 0;
    for _ in 0..8 {
        let parts = split(need.checked_add(fee)?, &out.amounts)?;
        let due = input_fee(parts.iter().map(|_| out.fee_ppk));
        if due == fee {
            return Some((parts, fee));
        }
        fee = due;
    }
    None
}

fn finish(
    chosen: Vec<Priced<'_>>,
    way: Way,
    sent: Amount,
    input_fee: Amount,
    terms: &Terms<'_>,
    out: &Keyset,
) -> Result<Plan, NoPlan> {
    let left = sent
        .checked_sub(input_fee)
        .and_then(|s| s.checked_sub(terms.amount));
    let max_change = left.ok_or(NoPlan::Keyset)?;
    let guaranteed = max_change
        .checked_sub(terms.fee_reserve)
        .ok_or(NoPlan::Keyset)?;
    Ok(Plan {
        inputs: chosen.iter().map(|p| p.coin.clone()).collect(),
        way,
        input_fee,
        change_keyset: out.id.clone(),
        blanks: if terms.returns_change {
            blanks(max_change, &out.amounts)
        } else {
            0
        },
        max_change: if terms.returns_change { max_change } else { 0 },
        guaranteed_change: if terms.returns_change { guaranteed } else { 0 },
    })
}

fn amounts(chosen: &[Priced<'_>]) -> Option<Amount> {
    chosen
        .iter()
        .try_fold(0u64, |sum, p| sum.checked_add(p.coin.amount))
}
