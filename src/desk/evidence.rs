//! What the mint says about a saga now, and what recovery would make of it. It asks and changes
//! nothing. Secrets never come this far: coins are named by their Y.

use serde::Serialize;

use crate::driver::{Driver, fold};
use crate::ports::{Clock, Loaded, Mint, Store, StoreError};
use crate::saga::ids::{Amount, Y, sum};
use crate::saga::state::Saga;
use crate::saga::step::{Evidence, Inquiry, MintState, QuoteState, Trouble};

/// Fresh answers of the mint, in the order in which they were asked for.
#[derive(Debug, Serialize)]
pub struct Fresh {
    /// NUT-07, input by input.
    pub inputs: Vec<Input>,
    /// Why it is not told, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs_unknown: Option<String>,
    /// The quote's state, or why it is not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quote: Option<String>,
    /// Verified change that the mint has signed for this melt, in the wallet's unit.
    pub change: Amount,
    /// In how many coins.
    pub change_coins: usize,
    /// Signatures that do not verify.
    pub bad_signatures: u32,
    /// NUT-09, range by range.
    pub ranges: Vec<Range>,
    /// What recovery would do on these answers.
    pub would: String,
}

/// One input of a melt or a swap.
#[derive(Debug, Serialize)]
pub struct Input {
    /// The coin.
    pub y: Y,
    /// Its value, where the log knows it.
    pub amount: Option<Amount>,
    /// `UNSPENT`, `PENDING` or `SPENT`.
    pub state: &'static str,
}

/// A range of counters that signatures were asked for.
#[derive(Debug, Serialize)]
pub struct Range {
    /// Its keyset.
    pub keyset: String,
    /// Its first counter.
    pub first: u32,
    /// How many.
    pub asked: usize,
    /// How many are signed, or why that is not told.
    pub found: String,
}

impl<S: Store, M: Mint, C: Clock> Driver<S, M, C> {
    /// Asks the mint about a saga; `None` if there is nothing to ask for, or the log is damaged.
    ///
    /// # Errors
    /// Only if the store cannot be read.
    pub async fn evidence(&self, loaded: &Loaded) -> Result<Option<Fresh>, StoreError> {
        let Ok((saga, _)) = fold(loaded) else {
            return Ok(None);
        };
        let told = self.foresee(&loaded.head, &saga).await?;
        Ok(told.map(|(inquiry, evidence, would)| fresh(&saga, &inquiry, &evidence, would)))
    }
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
