//! What passed the proxy, when, what was done to it and what the mint answered.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// Of a refusal, this much is kept: the code and the words.
const WORDS_MAX: usize = 160;

/// So many of the last entries are shown.
const SHOWN: usize = 300;

struct Entry {
    at: Duration,
    line: String,
    act: &'static str,
    /// Status and words of each answer of the mint, by when it came.
    answers: Vec<(Duration, u16, String)>,
    open: bool,
}

/// Everything since the proxy began.
pub(super) struct Journal {
    began: Instant,
    entries: Vec<Entry>,
}

impl Journal {
    pub(super) fn new() -> Self {
        Journal {
            began: Instant::now(),
            entries: Vec::new(),
        }
    }

    /// A request came; its number is for what follows.
    pub(super) fn begin(&mut self, line: &str, act: &'static str) -> usize {
        self.entries.push(Entry {
            at: self.began.elapsed(),
            line: line.to_owned(),
            act,
            answers: Vec::new(),
            open: true,
        });
        self.entries.len() - 1
    }

    pub(super) fn answered(&mut self, number: usize, status: u16, body: &[u8]) {
        let words = String::from_utf8_lossy(body);
        let words = match status {
            200 => String::new(),
            _ => words.chars().take(WORDS_MAX).collect(),
        };
        let at = self.began.elapsed();
        self.entries[number].answers.push((at, status, words));
    }

    pub(super) fn end(&mut self, number: usize) {
        self.entries[number].open = false;
    }

    pub(super) fn open(&self) -> usize {
        self.entries.iter().filter(|entry| entry.open).count()
    }

    /// Requests of clients; what is delivered late came before.
    pub(super) fn saw(&self, path: &str) -> usize {
        let came = self.entries.iter().filter(|e| e.act != "delivered late");
        came.filter(|entry| entry.line.contains(path)).count()
    }

    pub(super) fn answers(&self, path: &str) -> Vec<u16> {
        let entries = self.entries.iter().filter(|e| e.line.contains(path));
        let mut answers: Vec<_> = entries.flat_map(|e| &e.answers).collect();
        answers.sort_by_key(|(at, ..)| *at);
        answers.into_iter().map(|(_, status, _)| *status).collect()
    }

    pub(super) fn acts(&self) -> BTreeMap<&'static str, usize> {
        let mut acts = BTreeMap::new();
        let done = self.entries.iter().filter(|entry| !entry.act.is_empty());
        done.for_each(|entry| *acts.entry(entry.act).or_default() += 1);
        acts
    }
}

impl fmt::Display for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let skipped = self.entries.len().saturating_sub(SHOWN);
        writeln!(f, "the proxy's journal, after {skipped} entries:")?;
        for entry in self.entries.iter().skip(skipped) {
            let ms = entry.at.as_millis();
            write!(f, "{ms:>7} ms  {}", entry.line)?;
            if !entry.act.is_empty() {
                write!(f, "  [{}]", entry.act)?;
            }
            for (at, status, words) in &entry.answers {
                write!(f, "  {status} at {} ms {words}", at.as_millis())?;
            }
            writeln!(f, "{}", if entry.open { "  (open)" } else { "" })?;
        }
        Ok(())
    }
}
