//! The runbook: a heading for every code, and only commands that exist.

use clap::Parser;
use clap::error::ErrorKind;
use meltd::cli::args::Cli;
use meltd::saga::code::Code;

const RUNBOOK: &str = include_str!("../../../docs/runbook.md");

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
        let line = text.split(" # ").next().unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let parsed = Cli::try_parse_from(&words);
        if let Err(error) = parsed {
            // A command may be named without its arguments.
            let named = error.kind() == ErrorKind::MissingRequiredArgument;
            assert!(named || !error.use_stderr(), "{text}: {error}");
        }
        checked += 1;
    }
    assert!(checked > 30, "{checked} commands");
}
