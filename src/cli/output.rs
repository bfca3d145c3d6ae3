//! What a command says: its answer on standard output, as text or as one JSON document, and errors
//! and progress on standard error. A closed pipe is nobody's error.

use std::io::{IsTerminal, Write};

use serde::Serialize;

use super::exit::{Exit, Failure};

/// What a command found out or did.
pub trait Answer: Serialize {
    /// For a person; complete lines.
    fn human(&self) -> String;

    /// Why it is not what was asked for, if it is not.
    fn failure(&self) -> Option<&Failure> {
        None
    }
}

/// Where a command's words go.
#[derive(Clone, Copy, Debug)]
pub struct Out {
    json: bool,
    progress: bool,
}

impl Out {
    /// As the options say; progress only where somebody looks.
    pub fn new(json: bool, verbose: bool) -> Self {
        let progress = verbose || std::io::stderr().is_terminal();
        Out { json, progress }
    }

    /// True if the answer is JSON.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Prints how a command ended.
    pub fn end(self, result: Result<impl Answer, Failure>) -> Exit {
        let answer = match result {
            Ok(answer) => answer,
            Err(failure) => return self.fail(&failure),
        };
        if self.json {
            document(&answer);
        } else {
            print(&answer.human());
        }
        match answer.failure() {
            Some(failure) if !self.json => explain(failure),
            Some(failure) => failure.exit,
            None => Exit::Done,
        }
    }

    /// Prints why there is no answer at all.
    pub fn fail(self, failure: &Failure) -> Exit {
        if self.json {
            document(failure);
            return failure.exit;
        }
        explain(failure)
    }

    /// A line for whoever watches.
    pub fn progress(self, line: &str) {
        if self.progress {
            note(line);
        }
    }
}

/// A line on standard error, whether somebody watches or not.
pub fn note(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Text on standard output, at once.
pub fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}

fn document(value: &impl Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => print(&format!("{text}\n")),
        Err(why) => note(&format!("the answer cannot be written as JSON: {why}")),
    }
}

fn explain(failure: &Failure) -> Exit {
    note(&format!("error[{}]: {}", failure.code, failure.message));
    failure.exit
}

/// Names and values in two columns; empty values are left out.
pub fn fields(rows: &[(&str, String)]) -> String {
    let shown: Vec<_> = rows.iter().filter(|(_, value)| !value.is_empty()).collect();
    let width = shown.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    shown
        .iter()
        .map(|(name, value)| format!("{name:width$}  {value}\n"))
        .collect()
}

/// A table with a head. Columns whose cells are all numbers stand to the right.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let column = |i: usize| rows.iter().filter_map(move |row| row.get(i));
    let is_number = |cell: &String| cell.parse::<i128>().is_ok();
    let widths: Vec<(usize, bool)> = head
        .iter()
        .enumerate()
        .map(|(i, name)| {
            let widest = column(i).map(|cell| cell.chars().count()).max();
            let right = !rows.is_empty() && column(i).all(is_number);
            (widest.unwrap_or(0).max(name.len()), right)
        })
        .collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (cell, (width, right)) in cells.zip(&widths) {
            let gap = if text.is_empty() { "" } else { "  " };
            let width = *width;
            text += &match right {
                true => format!("{gap}{cell:>width$}"),
                false => format!("{gap}{cell:width$}"),
            };
        }
        format!("{}\n", text.trim_end())
    };
    let mut text = line(&mut head.iter().copied());
    for row in rows {
        text += &line(&mut row.iter().map(String::as_str));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [("a", "7"), ("bcd", "12345")];
        let rows = rows.map(|(a, b)| vec![a.to_owned(), b.to_owned()]);
        let text = table(&["name", "sat"], &rows);
        assert_eq!(text, "name    sat\na         7\nbcd   12345\n");
        assert_eq!(table(&["name", "sat"], &[]), "name  sat\n");
        let rows = [
            ("id", "1".to_owned()),
            ("none", String::new()),
            ("state", "x".to_owned()),
        ];
        assert_eq!(fields(&rows), "id     1\nstate  x\n");
    }
}
