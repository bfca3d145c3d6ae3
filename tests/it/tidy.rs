//! The house rules that a compiler does not know: who may use whom, how long a file
//! and a function may get, what the repository never says.

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn rust_files(under: &str) -> Vec<(String, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(ROOT).join(under), &mut found);
    found.sort();
    found
        .into_iter()
        .map(|path| {
            let name = path
                .strip_prefix(ROOT)
                .unwrap()
                .to_string_lossy()
                .into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// What a module may name of this crate and of others. The longest matching prefix rules.
const TABLE: &[(&str, &[&str], &[&str])] = &[
    // (files, modules of this crate, other crates)
    (
        "src/saga/",
        &["saga"],
        &["serde", "serde_json", "schemars", "sha2", "chrono"],
    ),
    ("src/ports/", &["saga"], &["serde", "chrono", "thiserror"]),
    (
        "src/wire/",
        &["saga", "ports", "wire"],
        &["serde", "serde_json", "schemars", "chrono"],
    ),
    ("src/driver/", LOOP, LOOP_CRATES),
    ("src/perform/", LOOP, LOOP_CRATES),
    ("src/intake/", LOOP, LOOP_CRATES),
    ("src/queue/", LOOP, LOOP_CRATES),
    ("src/readiness.rs", LOOP, LOOP_CRATES),
    ("src/serve/", SERVE, LOOP_CRATES),
    ("src/relay/", &["saga", "ports", "metrics"], LOOP_CRATES),
    ("src/recovery", LOOP, LOOP_CRATES),
    ("src/breaker.rs", LOOP, LOOP_CRATES),
    ("src/pool.rs", LOOP, LOOP_CRATES),
    ("src/audit.rs", LOOP, LOOP_CRATES),
    ("src/reconcile/", LOOP, LOOP_CRATES),
    ("src/restore.rs", LOOP, LOOP_CRATES),
    ("src/doctor.rs", LOOP, LOOP_CRATES),
    ("src/desk/", LOOP, LOOP_CRATES),
    ("src/stream/", LOOP, STREAM_CRATES),
    (
        "src/schemas.rs",
        &["saga", "stream", "wire"],
        &["schemars", "serde", "serde_json"],
    ),
    ("src/failpoint.rs", &[], &[]),
    ("src/npub.rs", &[], &["bech32"]),
    ("src/balance.rs", LOOP, LOOP_CRATES),
    ("src/config/", &["*"], &["*"]),
    ("src/api/", API, &["*"]),
    ("src/clock.rs", &["ports"], &["chrono"]),
    (
        "src/store/mongo",
        &["saga", "ports", "store"],
        &["mongodb", "futures", "tokio", STORE],
    ),
    (
        "src/store/sqlite",
        &["saga", "ports", "store"],
        &["rusqlite", "tokio", "hex", STORE],
    ),
    ("src/store/", &["saga", "ports", "store"], &[]),
    (
        "src/mint/",
        &["saga", "ports", "mint", "metrics"],
        &["cdk", "*"],
    ),
    (
        "src/metrics/",
        &["saga", "ports", "driver", "metrics"],
        &["prometheus_client", "chrono"],
    ),
    (
        "src/bus/nats",
        &["saga", "ports", "bus"],
        &[
            "async_nats",
            "futures",
            "tokio",
            "serde",
            "serde_json",
            "chrono",
            "tracing",
        ],
    ),
    (
        "src/bus/",
        &["saga", "ports", "bus", "clock"],
        &["tokio", "chrono", "tracing"],
    ),
    ("src/config/", &["*"], &["*"]),
    ("src/cli", &["*"], &["*"]),
    ("src/main.rs", &["*"], &["*"]),
    ("src/wiring/", &["*"], &["*"]),
    ("src/lib.rs", &["*"], &["*"]),
];
/// Of the HTTP face: the loops, and never an adapter.
const API: &[&str] = &[
    "api", "saga", "ports", "driver", "intake", "recovery", "pool", "balance", "npub", "config",
    "metrics", "desk",
];
const LOOP: &[&str] = &[
    "saga",
    "ports",
    "wire",
    "driver",
    "perform",
    "intake",
    "recovery",
    "breaker",
    "audit",
    "reconcile",
    "stream",
    "pool",
    "queue",
    "readiness",
    "failpoint",
    "metrics",
    "npub",
];
/// What runs the loops in one process.
const SERVE: &[&str] = &[
    "api",
    "config",
    "saga",
    "ports",
    "wire",
    "driver",
    "intake",
    "pool",
    "queue",
    "relay",
    "readiness",
    "reconcile",
    "recovery",
    "serve",
    "stream",
    "metrics",
];
const LOOP_CRATES: &[&str] = &[
    "tokio",
    "tokio_util",
    "tracing",
    "chrono",
    "futures",
    "thiserror",
    "serde",
    "serde_json",
    "uuid",
];
/// What the stream's readers may use: their format is a published one, with a schema.
const STREAM_CRATES: &[&str] = &[
    "tokio",
    "tracing",
    "chrono",
    "thiserror",
    "serde",
    "serde_json",
    "schemars",
];
/// Crates that both stores may use beside their driver.
const STORE: &str = "getrandom,serde,serde_json,chrono,tracing,uuid,thiserror";

/// Every crate that the manifest names, as code spells it.
fn crates() -> Vec<String> {
    let manifest = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).unwrap();
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap();
    let dependencies = dependencies.split("[lints").next().unwrap();
    let names = dependencies
        .lines()
        .filter_map(|line| line.split_once(" = "));
    names
        .map(|(name, _)| name.trim().replace('-', "_"))
        .collect()
}

fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//"))
}

fn names(text: &str, prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in code_lines(text) {
        for part in line.split(prefix).skip(1) {
            let name: String = part
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            found.push(name);
        }
    }
    found
}

/// Guards the import table: the pure core stays pure, adapters never meet.
/// Seen red with `use tokio::time` in src/saga/plan.rs.
#[test]
fn modules_use_only_what_the_table_allows() {
    let crates = crates();
    let mut broken = Vec::new();
    for (file, text) in rust_files("src") {
        if file.ends_with("tests.rs") {
            continue;
        }
        let rows = TABLE.iter().filter(|(prefix, ..)| file.starts_with(prefix));
        let Some((_, ours, theirs)) = rows.max_by_key(|(prefix, ..)| prefix.len()) else {
            broken.push(format!("{file} has no row in the table"));
            continue;
        };
        let allowed = |list: &[&str], name: &str| {
            list.iter()
                .flat_map(|entry| entry.split(','))
                .any(|e| e == "*" || e == name)
        };
        for module in names(&text, "crate::") {
            if !allowed(ours, &module) {
                broken.push(format!("{file} uses crate::{module}"));
            }
        }
        for name in &crates {
            let uses = code_lines(&text).any(|line| {
                line.starts_with(&format!("use {name}::"))
                    || line.contains(&format!(" {name}::"))
                    || line.contains(&format!("({name}::"))
            });
            if uses && !allowed(theirs, name) {
                broken.push(format!("{file} uses the crate {name}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Guards that the pure core has no clock, randomness, thread or I/O of the standard library.
#[test]
fn the_pure_core_touches_nothing_outside() {
    let banned = [
        "async ",
        ".await",
        "Utc::now",
        "SystemTime",
        "Instant",
        "std::fs",
        "std::net",
        "std::env",
        "std::thread",
        "std::io",
        "println!",
        "getrandom",
        "Uuid::",
    ];
    for (file, text) in rust_files("src/saga") {
        for line in code_lines(&text) {
            for word in banned {
                assert!(!line.contains(word), "{file}: {word} in: {line}");
            }
        }
    }
}

/// Guards the size of files (500 lines) and of lines (100 columns).
#[test]
fn files_and_lines_stay_short() {
    let mut broken = Vec::new();
    for (file, text) in rust_files("src").into_iter().chain(rust_files("tests")) {
        let lines = text.lines().count();
        if lines > 500 {
            broken.push(format!("{file} has {lines} lines"));
        }
        for (at, line) in text.lines().enumerate() {
            if line.chars().count() > 100 && !line.contains("= \"") && !line.contains("://") {
                broken.push(format!("{file}:{} is over 100 columns", at + 1));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// One match with a line an event: longer than a function may be, and easier to read whole.
const TABLES: &[&str] = &["fn evolve(", "fn apply(&mut self, entry"];

/// Guards the size of functions: at most 60 lines in `src`, tables aside.
#[test]
fn functions_stay_short() {
    let mut broken = Vec::new();
    for (file, text) in rust_files("src") {
        let mut open: Option<(usize, usize, String)> = None;
        for (at, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let starts = line
                .trim_start()
                .trim_start_matches("pub ")
                .trim_start_matches("pub(crate) ")
                .trim_start_matches("pub(super) ")
                .trim_start_matches("async ");
            if open.is_none() && starts.starts_with("fn ") {
                open = Some((at, indent, starts.chars().take(40).collect()));
            }
            let Some((began, depth, name)) = &open else {
                continue;
            };
            let ends = indent == *depth && (line.trim() == "}" || line.trim_end().ends_with(';'));
            if ends || (at == *began && line.trim_end().ends_with('}')) {
                let is_table = TABLES.iter().any(|table| name.starts_with(table));
                if at - began > 60 && !is_table {
                    broken.push(format!(
                        "{file}:{} {name} has {} lines",
                        began + 1,
                        at - began
                    ));
                }
                open = None;
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Guards that every module says what it holds.
#[test]
fn every_module_opens_with_its_purpose() {
    for (file, text) in rust_files("src").into_iter().chain(rust_files("tests")) {
        assert!(text.starts_with("//!"), "{file} does not say what it holds");
    }
}
