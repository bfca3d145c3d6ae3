//! `meltd saga show --evidence`: what the mint says about a saga now, and what recovery would make
//! of it. It asks and changes nothing. Secrets never come this far: coins are named by their Y.

use serde::Serialize;

use super::Act;
use super::exit::Failure;
use super::show::{self, ShowAnswer, load};
use crate::driver::fold;
use crate::ports::{Clock, Mint, Store};
use crate::saga::ids::{Amount, Y, sum};
use crate::saga::state::Saga;
use crate::saga::step::{Evidence, Inquiry, MintState, QuoteState, Trouble};

/// Fresh answers of the mint, in the order in which they were asked for.
#[derive(Debug, Serialize)]
pub(super) struct Fresh {
    /// NUT-07, input by input; or why it is not told.
    inputs: Vec<Input>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inputs_unknown: Option<String>,
    /// The quote's state, or why it is not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    quote: Option<String>,
    /// Verified change that the mint has signed for this melt, and signatures that do not verify.
    change: Amount,
    change_coins: usize,
    bad_signatures: u32,
    /// NUT-09, range by range.
    ranges: Vec<Range>,
    /// What recovery would do on these answers.
    pub(super) would: String,
}

#[derive(Debug, Serialize)]
struct Input {
    y: Y,
    amount: Option<Amount>,
    state: &'static str,
}

#[derive(Debug, Serialize)]
struct Range {
    keyset: String,
    first: u32,
    asked: usize,
    found: String,
}

/// The saga with fresh answers from its mint.
pub(super) async fn show<S: Store, M: Mint, C: Clock>(
    act: &Act<S, M, C>,
    id: &str,
) -> Result<ShowAnswer, Failure> {
    let mut answer = show::show(&*act.driver.store, id).await?;
    let loaded = load(&*act.driver.store, id).await?;
    let Ok((saga, _)) = fold(&loaded) else {
        return Ok(answer);
    };
    let told = act.driver.foresee(&loaded.head, &saga).await?;
    answer.evidence =
        told.map(|(inquiry, evidence, would)| fresh(&saga, &inquiry, &evidence, would));
    Ok(answer)
}

fn fresh(saga: &Saga, inquiry: &Inquiry, evidence: &Evidence, would: String) -> Fresh {
    let why = |trouble: &Trouble| trouble.explain().1;
    let amount = |y: &Y| saga.send.iter().find(|c| &c.y == y).map(|c| c.amount);
    let states = evidence.states.as_deref().unwrap_or_default();
    let inputs = inquiry.ys.iter().zip(states).map(|(y, state)| Input {
        y: y.clone(),
        amount: amount(y),
        state: match state {
            MintState::Unspent => "UNSPENT",
            MintState::Pending => "PENDING",
            MintState::Spent => "SPENT",
        },
    });
    let quote = evidence.quote.as_ref().map(|quote| match quote {
        Ok(word) => quote_word(word.state).to_owned(),
        Err(trouble) => why(trouble),
    });
    let change = evidence.change.clone().unwrap_or_default();
    let ranges = inquiry.outputs.iter().zip(&evidence.restored);
    let ranges = ranges.map(|(outputs, restored)| Range {
        keyset: outputs.keyset.to_string(),
        first: outputs.start,
        asked: outputs.amounts.len(),
        found: match restored {
            Ok(coins) => coins.len().to_string(),
            Err(trouble) => why(trouble),
        },
    });
    Fresh {
        inputs: inputs.collect(),
        inputs_unknown: evidence.states.as_ref().err().map(why),
        quote,
        change: sum(change.coins.iter().map(|c| c.coin.amount)).unwrap_or(Amount::MAX),
        change_coins: change.coins.len(),
        bad_signatures: change.bad,
        ranges: ranges.collect(),
        would,
    }
}

fn quote_word(state: QuoteState) -> &'static str {
    match state {
        QuoteState::Unpaid => "UNPAID",
        QuoteState::Pending => "PENDING",
        QuoteState::Paid => "PAID",
        QuoteState::Failed => "FAILED",
        QuoteState::Issued => "ISSUED",
        QuoteState::Unknown => "UNKNOWN",
    }
}

impl Fresh {
    /// Rows for a person.
    pub(super) fn rows(&self, unit: &str) -> Vec<(&'static str, String)> {
        let inputs = self.inputs.iter().map(|input| {
            let amount = input
                .amount
                .map_or_else(|| "?".to_owned(), |a| a.to_string());
            format!("{amount} {}", input.state)
        });
        let inputs: Vec<String> = inputs.collect();
        let ranges = self.ranges.iter().map(|range| {
            let Range {
                first,
                asked,
                found,
                ..
            } = range;
            format!("{found} of {asked} from counter {first}")
        });
        let ranges: Vec<String> = ranges.collect();
        let change = match (self.change_coins, self.bad_signatures) {
            (0, 0) => String::new(),
            (n, 0) => format!("{} {unit} in {n} coin(s)", self.change),
            (n, bad) => format!("{} {unit} in {n} coin(s), {bad} do not verify", self.change),
        };
        vec![
            (
                "inputs now",
                self.inputs_unknown.clone().unwrap_or(inputs.join(", ")),
            ),
            ("quote now", self.quote.clone().unwrap_or_default()),
            ("change now", change),
            ("signed now", ranges.join(", ")),
            ("recovery would", self.would.clone()),
        ]
    }
}
