//! The runbook: a heading for every code and every alarm, every command of the desk, and only
//! commands that exist.

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use meltd::cli::args::Cli;
use meltd::saga::code::Code;

const RUNBOOK: &str = include_str!("../../../docs/runbook.md");
const ALERTS: &str = include_str!("../../../deploy/alerts.yaml");

/// Guards that whoever meets a code finds it. Seen red with one heading removed.
#[test]
fn every_code_has_a_heading() {
    let headings: Vec<&str> = RUNBOOK
        .lines()
        .filter(|line| line.starts_with('#'))
        .flat_map(|line| line.trim_start_matches('#').split(&[' ', ','][..]))
        .collect();
    let missing: Vec<&str> = Code::ALL
        .iter()
        .map(|code| code.as_str())
        .filter(|code| !headings.contains(code))
        .collect();
    assert!(missing.is_empty(), "no heading for {missing:?}");
    let known = |word: &&&str| Code::ALL.iter().any(|code| code.as_str() == **word);
    let named = headings.iter().filter(|word| word.contains('_'));
    let unknown: Vec<_> = named.filter(|word| !known(word)).collect();
    assert!(unknown.is_empty(), "no code is called {unknown:?}");
}

/// The names that headings of alarms hold in brackets.
fn alarms() -> Vec<&'static str> {
    let alarms = RUNBOOK.split("\n## Alarms\n").nth(1).unwrap();
    let alarms = alarms.split("\n## ").next().unwrap();
    let headings = alarms.lines().filter(|line| line.starts_with("### "));
    let named = headings.filter_map(|line| line.strip_suffix(')')?.rsplit('(').next());
    named.flat_map(|names| names.split(", ")).collect()
}

/// Guards that whoever is woken by an alarm finds it. Seen red with MeltdOutboxParked left out, and
/// with a name that no alert has.
#[test]
fn every_alarm_has_a_heading() {
    let mut alerts: Vec<&str> = ALERTS
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() >= 12, "{alerts:?}");
    let mut headings = alarms();
    alerts.sort_unstable();
    headings.sort_unstable();
    assert_eq!(headings, alerts);
}

/// Guards that an alarm says what can be run. Seen red with `meltd relay state`.
#[test]
fn every_alarm_names_commands_that_can_be_run() {
    let runs = ALERTS
        .lines()
        .filter_map(|line| line.trim().strip_prefix("run: "));
    let mut checked = 0;
    for run in runs {
        let run = run.trim_matches('"');
        let commands = run.split(&[';', ','][..]).map(|part| {
            let part = part.trim();
            part.strip_prefix("then ").unwrap_or(part)
        });
        for command in commands.filter(|part| part.starts_with("meltd ")) {
            understood(command);
            checked += 1;
        }
    }
    assert!(checked >= 12, "{checked} commands");
}

/// Commands that an operator needs when something is wrong, with all that is below them.
const DESK: [&str; 9] = [
    "saga", "mints", "wallet", "recover", "restore", "doctor", "audit", "dlq", "relay",
];

/// Guards that no command of the desk is a secret. Seen red without `meltd saga verify`.
#[test]
fn every_command_of_the_desk_is_there() {
    let cli = Cli::command();
    let mut missing = Vec::new();
    for name in DESK {
        let command = cli.find_subcommand(name).unwrap();
        let below: Vec<&clap::Command> = command.get_subcommands().collect();
        let all = match below.is_empty() {
            true => vec![format!("meltd {name}")],
            false => below
                .iter()
                .map(|sub| format!("meltd {name} {}", sub.get_name()))
                .collect(),
        };
        missing.extend(
            all.into_iter()
                .filter(|text| !RUNBOOK.contains(text.as_str())),
        );
    }
    let options = [
        "--observe-only",
        "--dry-run",
        "--evidence",
        "--from-stream",
        "--counters",
    ];
    missing.extend(
        options
            .iter()
            .filter(|o| !RUNBOOK.contains(**o))
            .map(ToString::to_string),
    );
    assert!(missing.is_empty(), "not in the runbook: {missing:?}");
}

/// That this is a command line. Capital letters stand for values; a command may be named without
/// its arguments.
fn understood(text: &str) {
    let line = text.split(" # ").next().unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    if let Err(error) = Cli::try_parse_from(&words) {
        let named = error.kind() == ErrorKind::MissingRequiredArgument;
        assert!(named || !error.use_stderr(), "{text}: {error}");
    }
}

/// Guards that what it says to run can be run: each `meltd …` in code is a command line that is
/// understood. Capital letters stand for values. Seen red with `meltd wallet reconsile`.
#[test]
fn every_command_can_be_run() {
    let inline = RUNBOOK.split('`').skip(1).step_by(2);
    let fenced = RUNBOOK.lines().map(str::trim);
    let mut checked = 0;
    for text in inline
        .chain(fenced)
        .filter(|text| text.starts_with("meltd "))
    {
        understood(text);
        checked += 1;
    }
    assert!(checked > 30, "{checked} commands");
}
