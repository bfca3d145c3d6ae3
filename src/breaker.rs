//! Per mint: may something new be begun there? An operator pauses a mint for every process, through
//! the store; and each process stops by itself at a mint that does not answer. Recovery goes on in
//! both cases: this is about new payments, never about coins that are at the mint already.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::ports::{Store, StoreError};

/// Questions in a row that a mint leaves without an answer before it is left alone. With the
/// driver's back-off one saga alone needs a quarter of a minute for that.
const FAILURES_MAX: u32 = 8;

/// How long it is left alone at first; doubled each time that the probe fails too.
const COOL_FIRST: Duration = Duration::from_secs(5);

/// The longest time between probes.
const COOL_MAX: Duration = Duration::from_secs(60);

/// How old the list of pauses may be: an operator who pauses a mint can wait for this long.
const PAUSES_TTL: Duration = Duration::from_secs(2);

/// What this process knows of its mints.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    mints: HashMap<String, Health>,
    paused: BTreeSet<String>,
    read_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct Health {
    failures: u32,
    /// Left alone until then.
    until: Option<Instant>,
    cool: Duration,
}

impl Breaker {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of whether a mint has answered a question. Posts are no questions: a payment that
    /// takes long says nothing about the mint.
    pub fn heard(&self, mint_url: &str, is_answer: bool) {
        let mut known = self.known();
        if is_answer {
            known.mints.remove(mint_url);
            return;
        }
        let health = known.mints.entry(mint_url.to_owned()).or_default();
        health.failures = health.failures.saturating_add(1);
        if health.failures >= FAILURES_MAX {
            health.cool = (health.cool * 2).clamp(COOL_FIRST, COOL_MAX);
            health.until = Some(Instant::now() + health.cool);
        }
    }

    /// True while a mint is left alone because it did not answer.
    pub fn is_open(&self, mint_url: &str) -> bool {
        let known = self.known();
        let health = known.mints.get(mint_url);
        health.is_some_and(|h| h.until.is_some_and(|until| Instant::now() < until))
    }

    /// True if something new may be begun. When a mint was left alone for long enough the first who
    /// asks may try, and the others wait for what becomes of it.
    pub fn admits(&self, mint_url: &str) -> bool {
        let mut known = self.known();
        let Some(health) = known.mints.get_mut(mint_url) else {
            return true;
        };
        match health.until {
            Some(until) if Instant::now() < until => false,
            Some(_) => {
                health.until = Some(Instant::now() + health.cool);
                true
            }
            None => true,
        }
    }

    /// The mints that did not answer lately, and are due for nothing but a probe.
    pub fn failing(&self) -> BTreeSet<String> {
        let known = self.known();
        let failing = known.mints.iter().filter(|(_, h)| h.until.is_some());
        failing.map(|(url, _)| url.clone()).collect()
    }

    /// The pauses have been changed here: they are read at the next question.
    pub fn pauses_changed(&self) {
        self.known().read_at = None;
    }

    /// True while an operator has paused the mint, as read a moment ago.
    ///
    /// # Errors
    /// Only if the store cannot be read.
    pub async fn is_paused<S: Store>(&self, store: &S, mint_url: &str) -> Result<bool, StoreError> {
        let is_fresh = |at: Instant| at.elapsed() < PAUSES_TTL;
        {
            let known = self.known();
            if known.read_at.is_some_and(is_fresh) {
                return Ok(known.paused.contains(mint_url));
            }
        }
        let pauses = store.pauses().await?;
        let mut known = self.known();
        known.paused = pauses.into_iter().map(|pause| pause.mint_url).collect();
        known.read_at = Some(Instant::now());
        Ok(known.paused.contains(mint_url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINT: &str = "https://mint.example";

    /// Seen red with a probe that everybody may make.
    #[tokio::test(start_paused = true)]
    async fn it_opens_probes_once_and_closes() {
        let breaker = Breaker::default();
        for _ in 1..FAILURES_MAX {
            breaker.heard(MINT, false);
            assert!(breaker.admits(MINT));
        }
        breaker.heard(MINT, false);
        assert!(breaker.is_open(MINT) && !breaker.admits(MINT));
        assert!(breaker.admits("https://other.example"));
        tokio::time::advance(COOL_FIRST).await;
        assert!(!breaker.is_open(MINT));
        assert!(breaker.admits(MINT), "one may try");
        assert!(!breaker.admits(MINT), "the others wait");
        breaker.heard(MINT, false);
        tokio::time::advance(COOL_FIRST).await;
        assert!(!breaker.admits(MINT), "it is left alone for longer");
        tokio::time::advance(COOL_FIRST).await;
        assert!(breaker.admits(MINT));
        breaker.heard(MINT, true);
        assert!(breaker.admits(MINT) && breaker.admits(MINT));
        assert!(breaker.failing().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_between_begins_again_at_nothing() {
        let breaker = Breaker::default();
        for _ in 0..5 * FAILURES_MAX {
            for _ in 1..FAILURES_MAX {
                breaker.heard(MINT, false);
            }
            breaker.heard(MINT, true);
        }
        assert!(breaker.admits(MINT));
    }
}
