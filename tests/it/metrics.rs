//! The metrics' names: what alerts watch is what is exported, and everything exported is described.

use std::collections::{BTreeMap, BTreeSet};

use meltd::metrics::{
    Call, CodeLabel, CommandResult, DiscrepancyLabel, Failure, Outcome, Request, RequestTime,
    StatusLabel, StepLabel, metrics,
};

/// Every family with one sample, so that each is exported.
fn rendered() -> String {
    let m = metrics();
    let text = String::new;
    let (kind, state, step, code) = ("melt", "committed", "post_melt", "MINT_SLOW");
    let call = Call {
        mint: text(),
        call: text(),
    };
    let failure = Failure {
        mint: text(),
        call: text(),
        code,
    };
    let difference = DiscrepancyLabel {
        discrepancy: "PROOF_NOT_IN_DB",
        severity: "LOW",
    };
    let request = Request {
        route: text(),
        method: "GET",
        status: "2xx",
    };
    let time = RequestTime {
        route: text(),
        method: "GET",
    };
    drop(m.ended.get_or_create(&Outcome { kind, state }));
    drop(m.steps.get_or_create(&StepLabel { step }));
    drop(m.criticals.get_or_create(&CodeLabel { code }));
    drop(m.calls.get_or_create(&call));
    drop(m.call_errors.get_or_create(&failure));
    drop(m.discrepancies.get_or_create(&difference));
    let result = "accepted";
    drop(m.commands.get_or_create(&CommandResult { result }));
    drop(m.requests.get_or_create(&request));
    drop(m.request_times.get_or_create(&time));
    let status = "active";
    drop(m.unresolved.get_or_create(&StatusLabel { status }));
    m.render()
}

pub(crate) fn names_in(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !word(c))
        .filter(|name| name.starts_with("meltd_"))
        .map(str::to_owned)
        .collect()
}

/// Seen red with `meltd_outbox_rows` misspelt in the rules.
#[test]
fn alerts_watch_only_what_is_exported() {
    let exported: BTreeSet<String> = rendered()
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .map(str::to_owned)
        .collect();
    let rules = include_str!("../../deploy/alerts.yaml");
    let watched = names_in(rules);
    assert!(watched.len() >= 12, "{watched:?}");
    let unknown: Vec<_> = watched.difference(&exported).collect();
    assert!(unknown.is_empty(), "{unknown:?} of {exported:#?}");
}

/// Every alert has a severity, a summary and a command to run.
#[test]
fn every_alert_says_what_to_run() {
    let rules = include_str!("../../deploy/alerts.yaml");
    for rule in rules.split("- alert: ").skip(1) {
        for part in ["expr:", "severity:", "summary:", "run:"] {
            assert!(rule.contains(part), "{part} is missing in: {rule}");
        }
    }
}

/// What was scraped: each series with its value.
pub(crate) type Series = BTreeMap<String, f64>;

/// Reads the text as Prometheus does; nothing in it may be of another shape.
pub(crate) fn read(text: &str) -> Series {
    let body = text.strip_suffix("# EOF\n").expect("the text is whole");
    let mut types: BTreeMap<&str, &str> = BTreeMap::new();
    let mut series = Series::new();
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let words: Vec<_> = comment.splitn(3, ' ').collect();
            let [keyword, name, rest] = words[..] else {
                panic!("{line}");
            };
            assert!(["HELP", "TYPE", "UNIT"].contains(&keyword), "{line}");
            if keyword == "TYPE" {
                assert!(types.insert(name, rest).is_none(), "twice: {line}");
            }
            continue;
        }
        let (name, value) = line.rsplit_once(' ').expect(line);
        let family = name.split('{').next().unwrap();
        assert_eq!(names_in(family).len(), 1, "{line}");
        let suffixes = ["_total", "_count", "_sum", "_bucket"];
        let base = suffixes.iter().find_map(|s| family.strip_suffix(s));
        let known = types.contains_key(family) || base.is_some_and(|b| types.contains_key(b));
        assert!(known, "no TYPE before {line}");
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(series.insert(name.to_owned(), value).is_none(), "{line}");
    }
    series
}

/// The sum over all series of a family whose labels hold these words.
pub(crate) fn sum(series: &Series, family: &str, labels: &[&str]) -> f64 {
    let of = |name: &str| name.split('{').next() == Some(family);
    let fits = |name: &&String| of(name) && labels.iter().all(|label| name.contains(label));
    series.keys().filter(fits).map(|name| series[name]).sum()
}
