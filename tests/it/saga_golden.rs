//! The stored bytes of every event. A change of shape must not go unnoticed: published bodies are
//! verified by others for ever. After a wanted change: `MELTD_UPDATE_GOLDEN=1 cargo test golden`,
//! together with a new version in `upcast` if events of the old shape exist anywhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use meltd::saga::chain::{Hash, Record, Tail, genesis, open, seal};
use meltd::saga::event::{Entry, Private};
use meltd::saga::evolve::evolve;
use meltd::saga::ids::SagaId;
use meltd::saga::state::Saga;
use meltd::saga::upcast;

use crate::saga_kit::{SAGA, at};
use crate::saga_samples::samples;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

fn tail(saga: &Saga) -> Tail {
    let id = SagaId::new(SAGA);
    Tail {
        hash: genesis(&id),
        kind: saga.kind(),
        seq: saga.seq,
        saga: id,
    }
}

/// Sealed at a fixed time and place, with a fixed salt.
fn sealed(saga: &Saga, entry: &Entry) -> Record {
    seal(&mut tail(saga), entry, at(0), "golden-salt").unwrap()
}

/// The first sample of each event.
fn first_samples() -> Vec<(Saga, Entry)> {
    let mut names = BTreeSet::new();
    let samples = samples().into_iter();
    samples
        .filter(|(_, e)| names.insert(e.event.name()))
        .collect()
}

#[test]
fn golden_bodies_are_written_byte_for_byte() {
    let is_update = std::env::var_os("MELTD_UPDATE_GOLDEN").is_some();
    for (saga, entry) in first_samples() {
        let body = sealed(&saga, &entry).body;
        let path = folder().join(format!("{}.json", entry.event.name()));
        if is_update {
            std::fs::create_dir_all(folder()).unwrap();
            std::fs::write(&path, &body).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(body, golden, "{} is written otherwise", entry.event.name());
    }
}

#[test]
fn golden_bodies_load_and_follow_their_state() {
    for (saga, entry) in first_samples() {
        let name = entry.event.name();
        let path = folder().join(format!("{name}.json"));
        let body = std::fs::read_to_string(path).unwrap();
        let envelope = upcast::read(&body).unwrap();
        assert_eq!(envelope.event, entry.event);
        assert_eq!((envelope.v, envelope.at), (1, at(0)));
        assert_eq!(envelope.compliance, entry.event.compliance());
        let loaded = Entry {
            event: envelope.event,
            private: Private::default(),
        };
        let next = evolve(saga, &loaded);
        assert!(next.is_ok(), "{name}: {next:?}");
    }
}

/// The names are read from the source, so that a new variant cannot be left out.
#[test]
fn every_event_has_a_golden_file_and_every_file_an_event() {
    let source = include_str!("../../src/saga/event/mod.rs");
    let variants = source.split("pub enum Event {").nth(1).unwrap();
    let variants = variants.split('}').next().unwrap().lines();
    let names: BTreeSet<String> = variants
        .filter_map(|line| line.trim().split_once('('))
        .map(|(name, _)| name.to_owned())
        .collect();
    assert_eq!(names.len(), 26);
    let files = std::fs::read_dir(folder()).unwrap().map(|file| {
        let name = file.unwrap().file_name().into_string().unwrap();
        name.trim_end_matches(".json").to_owned()
    });
    assert_eq!(files.collect::<BTreeSet<_>>(), names);
}

#[test]
fn every_sample_survives_being_sealed_and_opened() {
    for (saga, entry) in samples() {
        let record = sealed(&saga, &entry);
        let (opened, envelope) = open(&mut tail(&saga), &record).unwrap();
        assert_eq!(opened, entry);
        assert_eq!(record.name, entry.event.name());
        let private = record
            .private
            .as_deref()
            .map(|p| Hash::of(p.as_bytes()).to_hex());
        assert_eq!(envelope.private_hash, private);
    }
}

/// What is published can neither be spent nor tell who paid what to whom.
#[test]
fn no_body_holds_a_private_value() {
    let mut checked = 0;
    for (saga, entry) in samples() {
        let body = sealed(&saga, &entry).body;
        let private = &entry.private;
        let texts = [
            &private.npub,
            &private.quote_id,
            &private.invoice,
            &private.preimage,
        ];
        let texts = texts.into_iter().flatten();
        let parts = private.signatures.iter().flat_map(|s| [&s.c, &s.e, &s.s]);
        for text in texts.chain(parts) {
            assert!(
                !body.contains(text.as_str()),
                "{}: {text}",
                entry.event.name()
            );
            checked += 1;
        }
        assert!(!body.contains("golden-salt"));
    }
    assert!(checked > 30, "the samples hold {checked} private values");
}

#[test]
fn a_private_half_comes_back_whole() {
    let private = Private {
        npub: Some("n".to_owned()),
        quote_id: Some("q".to_owned()),
        invoice: Some("i".to_owned()),
        preimage: Some("p".to_owned()),
        signatures: Vec::new(),
    };
    for (saga, mut entry) in samples() {
        entry.private = private.clone();
        let record = sealed(&saga, &entry);
        assert_eq!(open(&mut tail(&saga), &record).unwrap().0, entry);
    }
}
