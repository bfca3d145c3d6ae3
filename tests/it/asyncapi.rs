//! `schemas/asyncapi.yaml` against the code: subjects, streams, headers and events are those that
//! there are. Whether it is good AsyncAPI is for `scripts/asyncapi`.

use std::collections::BTreeSet;
use std::path::Path;

use meltd::ports::{ALERTS, Stream, header, subject};
use meltd::schemas;

const TEXT: &str = include_str!("../../schemas/asyncapi.yaml");

/// The values of a key, wherever it stands.
fn values(key: &str) -> Vec<&'static str> {
    let values = TEXT
        .lines()
        .filter_map(|line| line.trim().strip_prefix(key));
    values
        .map(|value| value.trim().trim_matches('\''))
        .collect()
}

/// Seen red with `melt.event.{type}`.
#[test]
fn channels_are_the_streams() {
    let addresses = values("address: ");
    // Each parameter is one token of the subject.
    let subjects: Vec<String> = addresses
        .iter()
        .map(|address| {
            let parts = address.split('.');
            let plain = parts.map(|part| if part.starts_with('{') { "x" } else { part });
            plain.collect::<Vec<_>>().join(".")
        })
        .collect();
    let taken: BTreeSet<Stream> = subjects.iter().filter_map(|s| Stream::taking(s)).collect();
    assert_eq!(taken, BTreeSet::from(Stream::ALL));
    let others: Vec<&String> = subjects
        .iter()
        .filter(|s| Stream::taking(s).is_none())
        .collect();
    assert_eq!(others, [ALERTS]);
    let titles = values("title: ");
    for stream in Stream::ALL {
        assert!(titles.contains(&stream.name()), "{}", stream.name());
        let fits = |s: &&String| subject::matches(stream.subjects(), s);
        assert_eq!(
            subjects.iter().filter(fits).count(),
            1,
            "{}",
            stream.subjects()
        );
    }
}

#[test]
fn messages_are_the_events_and_every_payload_is_a_schema() {
    let files = schemas::files();
    let events = files
        .keys()
        .filter_map(|path| path.strip_prefix("events/")?.strip_suffix(".json"));
    let events: BTreeSet<&str> = events.collect();
    let named: BTreeSet<&str> = values("name: ")
        .into_iter()
        .filter(|n| *n != "MIT")
        .collect();
    assert_eq!(named, events);
    let payloads = values("$ref: './");
    assert_eq!(payloads.len(), events.len() + 4);
    for payload in payloads {
        assert!(files.contains_key(payload), "{payload}");
        assert!(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("schemas")
                .join(payload)
                .exists()
        );
    }
    for event in &events {
        let channel = format!("      {event}:\n        $ref: '#/components/messages/{event}'");
        assert!(
            TEXT.contains(&channel),
            "the channel of events has no {event}"
        );
        let message = format!("      name: {event}\n");
        let at = TEXT.find(&message).unwrap();
        let payload = format!("$ref: './events/{event}.json'");
        assert!(
            TEXT[at..]
                .lines()
                .take(8)
                .any(|line| line.contains(&payload)),
            "{event}"
        );
    }
}

#[test]
fn headers_are_those_that_are_sent() {
    let all = [
        header::ID,
        header::SAGA,
        header::SEQ,
        header::HASH,
        header::PREV_HASH,
        header::REPLY_TO,
        header::REASON,
        header::DETAIL,
        header::DELIVERIES,
        header::ORIGINAL_ID,
    ];
    for header in all {
        assert!(TEXT.contains(&format!("        {header}:\n")), "{header}");
    }
}
