//! `meltd saga show --evidence`: what the mint says about a saga now, and what recovery would make
//! of it.

use super::Act;
use super::exit::Failure;
use super::show::{self, ShowAnswer, load};
use crate::desk::{Fresh, Range};
use crate::ports::{Clock, Mint, Store};

/// The saga with fresh answers from its mint.
pub(super) async fn show<S: Store, M: Mint, C: Clock>(
    act: &Act<S, M, C>,
    id: &str,
) -> Result<ShowAnswer, Failure> {
    let mut answer = show::show(&*act.driver.store, id).await?;
    let loaded = load(&*act.driver.store, id).await?;
    answer.evidence = act.driver.evidence(&loaded).await?;
    Ok(answer)
}

/// Rows for a person.
pub(super) fn rows(fresh: &Fresh, unit: &str) -> Vec<(&'static str, String)> {
    let inputs = fresh.inputs.iter().map(|input| {
        let amount = input
            .amount
            .map_or_else(|| "?".to_owned(), |a| a.to_string());
        format!("{amount} {}", input.state)
    });
    let inputs: Vec<String> = inputs.collect();
    let ranges = fresh.ranges.iter().map(|range| {
        let Range {
            first,
            asked,
            found,
            ..
        } = range;
        format!("{found} of {asked} from counter {first}")
    });
    let ranges: Vec<String> = ranges.collect();
    let change = match (fresh.change_coins, fresh.bad_signatures) {
        (0, 0) => String::new(),
        (n, 0) => format!("{} {unit} in {n} coin(s)", fresh.change),
        (n, bad) => format!(
            "{} {unit} in {n} coin(s), {bad} do not verify",
            fresh.change
        ),
    };
    vec![
        (
            "inputs now",
            fresh.inputs_unknown.clone().unwrap_or(inputs.join(", ")),
        ),
        ("quote now", fresh.quote.clone().unwrap_or_default()),
        ("change now", change),
        ("signed now", ranges.join(", ")),
        ("recovery would", fresh.would.clone()),
    ]
}
