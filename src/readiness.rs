//! Whether this process can do its work now. Each part says how it is, again and again: a part that
//! falls silent is as bad as one that reports trouble.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;
use tracing::{info, warn};

/// What has to be well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The store answers.
    Store,
    /// The connection to the bus stands.
    Bus,
    /// Commands are taken from the queue.
    Intake,
    /// Events are published, here or by another process.
    Relay,
    /// Due sagas are looked for.
    Recovery,
    /// Requests are taken.
    Api,
}

impl Part {
    /// The word used in answers and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Part::Store => "store",
            Part::Bus => "bus",
            Part::Intake => "intake",
            Part::Relay => "relay",
            Part::Recovery => "recovery",
            Part::Api => "api",
        }
    }

    /// How long its last word holds: several of its rounds, so that one slow answer is no alarm.
    fn holds(self) -> Option<Duration> {
        match self {
            Part::Store | Part::Bus => Some(Duration::from_secs(15)),
            Part::Intake | Part::Relay | Part::Recovery => Some(Duration::from_secs(60)),
            // It listens until it says otherwise.
            Part::Api => None,
        }
    }
}

/// How a part is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// Which.
    pub part: Part,
    /// True if it can do its work.
    pub ready: bool,
    /// What is wrong, for a person; nothing private. Empty if it is well.
    pub why: String,
    /// For how many seconds it has been so.
    pub for_s: u64,
}

#[derive(Debug)]
struct Word {
    trouble: Option<String>,
    since: Instant,
    said: Instant,
}

/// Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<Mutex<BTreeMap<Part, Word>>>);

impl Readiness {
    /// These parts have to be well. None of them is, before it has said so.
    pub fn new(parts: &[Part]) -> Self {
        let now = Instant::now();
        let starting = |part: &Part| {
            let trouble = Some("starting".to_owned());
            let word = Word {
                trouble,
                since: now,
                said: now,
            };
            (*part, word)
        };
        Readiness(Arc::new(Mutex::new(parts.iter().map(starting).collect())))
    }

    /// The part is well.
    pub fn well(&self, part: Part) {
        self.says(part, None);
    }

    /// The part cannot do its work, and why, without anything private.
    pub fn trouble(&self, part: Part, why: impl Into<String>) {
        self.says(part, Some(why.into()));
    }

    fn says(&self, part: Part, trouble: Option<String>) {
        let now = Instant::now();
        let mut words = self.words();
        let Some(word) = words.get_mut(&part) else {
            return;
        };
        word.said = now;
        if word.trouble.is_some() != trouble.is_some() {
            word.since = now;
            match &trouble {
                None => info!(part = part.as_str(), "ready"),
                Some(why) => warn!(part = part.as_str(), why, "not ready"),
            }
        }
        word.trouble = trouble;
    }

    /// How every part is now.
    pub fn conditions(&self) -> Vec<Condition> {
        let now = Instant::now();
        let condition = |(part, word): (&Part, &Word)| {
            let silent = now.saturating_duration_since(word.said);
            let stale = part.holds().filter(|holds| silent > *holds);
            let why = match (&word.trouble, stale) {
                (Some(why), _) => why.clone(),
                (None, Some(_)) => format!("silent for {} s", silent.as_secs()),
                (None, None) => String::new(),
            };
            Condition {
                part: *part,
                ready: why.is_empty(),
                why,
                for_s: now.saturating_duration_since(word.since).as_secs(),
            }
        };
        self.words().iter().map(condition).collect()
    }

    /// True if every part is well.
    pub fn is_ready(&self) -> bool {
        self.conditions().iter().all(|condition| condition.ready)
    }

    /// Nothing can break under this lock.
    fn words(&self) -> MutexGuard<'_, BTreeMap<Part, Word>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards that nothing is ready before it said so, or after it fell silent.
    #[tokio::test(start_paused = true)]
    async fn a_part_is_ready_only_while_it_says_so() {
        let readiness = Readiness::new(&[Part::Store, Part::Recovery]);
        assert!(!readiness.is_ready());
        readiness.well(Part::Store);
        assert!(!readiness.is_ready(), "recovery has said nothing yet");
        readiness.well(Part::Recovery);
        readiness.trouble(Part::Api, "not one of ours");
        assert!(readiness.is_ready());
        readiness.trouble(Part::Store, "away");
        let conditions = readiness.conditions();
        assert_eq!(conditions.first().map(|c| c.why.as_str()), Some("away"));
        readiness.well(Part::Store);
        assert!(readiness.is_ready());
        tokio::time::advance(Duration::from_secs(16)).await;
        assert!(!readiness.is_ready(), "the store is silent");
        assert_eq!(readiness.conditions().len(), 2);
    }
}
