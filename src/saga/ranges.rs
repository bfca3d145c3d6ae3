//! The counter ranges of a saga: where the mint may have signed what never arrived.

use super::ids::{Coin, Range};
use super::state::Saga;

impl Range {
    /// True when the coin was derived from a counter of this range.
    pub fn holds(&self, coin: &Coin) -> bool {
        self.keyset == coin.keyset && self.has(coin.counter)
    }

    fn has(&self, counter: u32) -> bool {
        counter >= self.start && counter - self.start < self.count
    }
}

impl Saga {
    /// Every range of outputs that a crash may have left signed and unclaimed.
    pub fn open_ranges(&self) -> Vec<Range> {
        let swaps = self
            .swaps
            .iter()
            .filter(|s| !s.done)
            .map(|s| s.prepared.outputs.range());
        let minting = self.minting.iter().map(|m| m.outputs.range());
        swaps.chain(minting).collect()
    }

    /// Every range that this saga has taken and may still take coins from: nobody else may, as
    /// long as it has not ended.
    pub fn own_ranges(&self) -> Vec<Range> {
        let blanks = self.sent.iter().filter_map(|s| s.blanks.clone());
        self.open_ranges().into_iter().chain(blanks).collect()
    }

    /// Of a saga that has ended: the ranges that gave it no coin. The mint may have signed them
    /// nevertheless, such as a swap that was refused while an older post of it was on its way.
    pub fn stranded_ranges(&self) -> Vec<Range> {
        if !self.state.is_terminal() {
            return Vec::new();
        }
        let got = |range: &Range| {
            self.gained
                .iter()
                .chain(&self.change)
                .any(|c| range.holds(c))
        };
        let mut ranges = self.own_ranges();
        ranges.retain(|range| !got(range));
        ranges
    }
}
