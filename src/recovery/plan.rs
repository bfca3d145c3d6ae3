//! PURE: which due sagas are driven next. The store has said what is due and held by nobody, by its
//! own clock; here places are shared out, so that a mint that is dead, or thousands of old sagas,
//! keep nobody waiting.

use std::collections::{BTreeMap, BTreeSet};

use crate::ports::Due;
use crate::saga::ids::SagaId;

/// How many passes recovery may have under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// In all.
    pub places: usize,
    /// At one mint, so that one that is slow leaves places to the others.
    pub per_mint: usize,
}

impl Rules {
    /// For a process that may have so many passes under way: recovery takes half of them, so that
    /// new melts find a place at once, and one mint takes three quarters of that.
    pub fn within(places: usize) -> Self {
        let places = places.div_ceil(2).max(1);
        Rules {
            places,
            per_mint: (places * 3).div_ceil(4),
        }
    }

    /// At a mint that does not answer: one, to see when it is back.
    fn at(&self, mint_url: &str, load: &Load) -> usize {
        match load.failing.contains(mint_url) {
            true => 1,
            false => self.per_mint,
        }
    }
}

/// What recovery has under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Sagas that are driven just now.
    busy: BTreeSet<SagaId>,
    /// Passes by mint.
    mints: BTreeMap<String, usize>,
    /// Mints that did not answer lately.
    pub failing: BTreeSet<String>,
}

impl Load {
    /// A pass begins.
    pub fn begin(&mut self, due: &Due) {
        self.busy.insert(due.saga.clone());
        *self.mints.entry(due.mint_url.clone()).or_default() += 1;
    }

    /// A pass has ended.
    pub fn end(&mut self, due: &Due) {
        self.busy.remove(&due.saga);
        if let Some(running) = self.mints.get_mut(&due.mint_url) {
            *running = running.saturating_sub(1);
        }
        self.mints.retain(|_, running| *running > 0);
    }

    /// The mints that have no place left.
    pub fn full(&self, rules: &Rules) -> Vec<String> {
        let full = self
            .mints
            .iter()
            .filter(|(url, n)| **n >= rules.at(url, self));
        full.map(|(url, _)| url.clone()).collect()
    }
}

/// The order in which due sagas are driven: the longest due and the youngest in turn. The old ones
/// get half of the places however many new ones come, and a new melt that has to wait for its mint
/// does not stand behind ten thousand that wait for theirs.
pub fn order(oldest: Vec<Due>, newest: Vec<Due>, load: &Load) -> Vec<Due> {
    let mut seen = load.busy.clone();
    let mut ordered = Vec::with_capacity(oldest.len() + newest.len());
    let (mut oldest, mut newest) = (oldest.into_iter(), newest.into_iter());
    loop {
        let pair = (oldest.next(), newest.next());
        if pair == (None, None) {
            return ordered;
        }
        for due in [pair.0, pair.1].into_iter().flatten() {
            if seen.insert(due.saga.clone()) {
                ordered.push(due);
            }
        }
    }
}

/// Where in the queue the next one is that may begin now; `None` = no place for any of them.
pub fn pick(queue: &[Due], load: &Load, rules: &Rules) -> Option<usize> {
    if load.busy.len() >= rules.places {
        return None;
    }
    queue.iter().position(|due| {
        let running = load.mints.get(&due.mint_url).copied().unwrap_or(0);
        running < rules.at(&due.mint_url, load) && !load.busy.contains(&due.saga)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(n: u32, mint: &str) -> Due {
        Due {
            saga: SagaId::new(format!("{n:04}")),
            mint_url: mint.to_owned(),
        }
    }

    fn all(range: impl IntoIterator<Item = u32>, mint: &str) -> Vec<Due> {
        range.into_iter().map(|n| due(n, mint)).collect()
    }

    const RULES: Rules = Rules {
        places: 6,
        per_mint: 4,
    };

    /// Begins what may begin, as the loop does; the numbers in their order.
    fn begun(mut queue: Vec<Due>, load: &mut Load) -> Vec<u32> {
        let mut begun = Vec::new();
        while let Some(at) = pick(&queue, load, &RULES) {
            let due = queue.remove(at);
            load.begin(&due);
            begun.push(due.saga.as_str().parse().unwrap());
        }
        begun
    }

    #[test]
    fn old_and_young_in_turn_and_none_twice() {
        let load = Load::default();
        let rows = order(all([1, 2, 3, 4], "m"), all([9, 8, 3, 7], "m"), &load);
        let ids: Vec<&str> = rows.iter().map(|due| due.saga.as_str()).collect();
        assert_eq!(
            ids,
            ["0001", "0009", "0002", "0008", "0003", "0004", "0007"]
        );
        let mut busy = Load::default();
        busy.begin(&due(9, "m"));
        assert_eq!(order(all([1, 9], "m"), all([9], "m"), &busy).len(), 1);
        assert!(order(Vec::new(), Vec::new(), &load).is_empty());
    }

    /// Seen red without the limit per mint.
    #[test]
    fn one_mint_does_not_take_every_place() {
        let mut load = Load::default();
        let queue = [all(0..50, "slow"), all(50..60, "quick")].concat();
        assert_eq!(begun(queue, &mut load), [0, 1, 2, 3, 50, 51]);
        assert_eq!(load.full(&RULES), ["slow"]);
        load.end(&due(50, "quick"));
        let more = [all(4..9, "slow"), all(52..55, "quick")].concat();
        assert_eq!(begun(more, &mut load), [52]);
    }

    #[test]
    fn a_mint_that_does_not_answer_is_asked_one_at_a_time() {
        let mut load = Load::default();
        load.failing.insert("dead".to_owned());
        let queue = [all(0..10_000, "dead"), all(10_000..10_003, "well")].concat();
        assert_eq!(begun(queue.clone(), &mut load), [0, 10_000, 10_001, 10_002]);
        assert_eq!(load.full(&RULES), ["dead"]);
        load.end(&due(0, "dead"));
        assert_eq!(begun(queue, &mut load), [0], "still one");
    }

    #[test]
    fn a_saga_that_is_driven_is_not_begun_again() {
        let mut load = Load::default();
        assert_eq!(begun(all([5, 5, 6], "m"), &mut load), [5, 6]);
        load.end(&due(5, "m"));
        load.end(&due(6, "m"));
        assert_eq!(load, Load::default(), "nothing is left of what has ended");
    }

    #[test]
    fn half_of_the_places_are_left_to_new_melts() {
        for (places, recovery, per_mint) in [(1, 1, 1), (2, 1, 1), (16, 8, 6), (64, 32, 24)] {
            let rules = Rules::within(places);
            assert_eq!((rules.places, rules.per_mint), (recovery, per_mint));
        }
    }
}
