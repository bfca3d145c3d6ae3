//! The hash chain: what was sealed opens, and whatever was changed since is found by name.

use meltd::saga::chain::{Broken, Hash, Record, Tail, genesis, link, open, record_id, seal};
use meltd::saga::command::Kind;
use meltd::saga::event::{Entry, Private};
use meltd::saga::ids::SagaId;

use crate::saga_events::*;
use crate::saga_kit::*;

fn tail() -> Tail {
    let saga = SagaId::new(SAGA);
    Tail {
        hash: genesis(&saga),
        kind: Kind::Melt,
        seq: 0,
        saga,
    }
}

/// The log of a paid melt, sealed.
fn sealed() -> (Vec<Entry>, Vec<Record>) {
    let entries = with(with(log_sent(1), paid()), committed(&[coin(100, 8)]));
    let mut tail = tail();
    let records = entries.iter().zip(0..).map(|(entry, n)| {
        let salt = format!("salt-{n}");
        seal(&mut tail, entry, at(n), &salt).unwrap()
    });
    let records = records.collect();
    (entries, records)
}

fn opened(records: &[Record]) -> Result<Vec<Entry>, Broken> {
    let mut tail = tail();
    records
        .iter()
        .map(|r| open(&mut tail, r).map(|(entry, _)| entry))
        .collect()
}

/// Computed with Python's hashlib from the definition in `chain`.
#[test]
fn the_hashes_are_those_of_the_definition() {
    let first = genesis(&SagaId::new(SAGA));
    let second = link(first, "{\"v\":1}");
    let third = link(second, "{\"v\":2}");
    let rows = [
        (
            first,
            "ac3d31080c3722f276576ada2395357c9193781b0d253e51e497e94b0791f038",
        ),
        (
            second,
            "74e1ccdaf0185d13bd6952e46971b365ac783d02e3f59cc5977f9e4ecdea635c",
        ),
        (
            third,
            "31691bca13411a0b46b14350c92435661cb94757fef6ecfc71441c2e9693fc76",
        ),
        (
            link(third, ""),
            "a761b86bf60886b10be45bc3aeb5c37b0db18e0272bf778152326b3c983ac737",
        ),
        (
            Hash::of(b""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
    ];
    for (hash, hex) in rows {
        assert_eq!(hash.to_hex(), hex);
        assert_eq!(Hash::from_hex(hex), Some(hash));
        assert_eq!(Hash::from_hex(&hex.to_uppercase()), Some(hash));
    }
    assert_eq!(
        payment_hash(),
        "a923c2c0e4fe77061ff1cb882171f6fdf926719bb7f5ffe2e05458438c52825e"
    );
}

#[test]
fn a_hash_is_64_hex_digits_and_nothing_else() {
    let good = "ab".repeat(32);
    assert!(Hash::from_hex(&good).is_some());
    for wrong in [
        "",
        "ab",
        &good[1..],
        &format!("{good}0"),
        &format!("{}gg", &good[2..]),
    ] {
        assert_eq!(Hash::from_hex(wrong), None, "{wrong}");
    }
    for sign in ["+a", "-a", " a", "a ", "é"] {
        assert_eq!(
            Hash::from_hex(&format!("{sign}{}", &good[2..])),
            None,
            "{sign}"
        );
    }
}

#[test]
fn what_was_sealed_opens_to_the_same_entries() {
    let (entries, records) = sealed();
    assert_eq!(opened(&records), Ok(entries));
    let mut before = genesis(&SagaId::new(SAGA)).to_hex();
    for (record, seq) in records.iter().zip(1..) {
        assert_eq!((record.seq, &record.prev_hash), (seq, &before));
        assert_eq!(record.id(), record_id(&record.saga, seq));
        before.clone_from(&record.hash);
    }
    assert_eq!(record_id(&SagaId::new("s"), 42), "s:000042");
    // What is stored as JSON comes back the same.
    for record in &records {
        let text = serde_json::to_string(record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), *record);
    }
}

#[test]
fn a_private_half_that_was_erased_still_opens() {
    let (entries, mut records) = sealed();
    for record in &mut records {
        record.private = None;
    }
    let opened = opened(&records).unwrap();
    for (have, want) in opened.iter().zip(&entries) {
        assert_eq!(have.event, want.event);
        assert_eq!(have.private, Private::default());
    }
}

#[test]
fn any_changed_byte_of_a_body_is_found() {
    let (_, records) = sealed();
    for at in 0..records.len() {
        let seq = records[at].seq;
        for byte in 0..records[at].body.len() {
            let mut changed = records.clone();
            let mut bytes = changed[at].body.clone().into_bytes();
            bytes[byte] = if bytes[byte] == b'x' { b'y' } else { b'x' };
            changed[at].body = String::from_utf8(bytes).unwrap();
            assert_eq!(opened(&changed), Err(Broken::Hash { seq }), "byte {byte}");
        }
    }
}

#[test]
fn a_changed_hash_or_copy_is_found() {
    let (_, records) = sealed();
    let other = Hash::of(b"other").to_hex();
    let rows: [fn(&mut Record, &str); 4] = [
        |r, other| r.hash = other.to_owned(),
        |r, other| r.prev_hash = other.to_owned(),
        |r, _| r.hash = r.hash.to_uppercase(),
        |r, _| r.name = "MeltRefused".to_owned(),
    ];
    for (row, spoil) in rows.iter().enumerate() {
        for at in 0..records.len() {
            let mut changed = records.clone();
            spoil(&mut changed[at], &other);
            let broken = opened(&changed).unwrap_err();
            assert_eq!(
                broken,
                Broken::Hash {
                    seq: records[at].seq
                },
                "row {row}"
            );
        }
    }
}

/// The body is sealed again as a whole, so that the chain itself holds.
#[test]
fn a_body_that_speaks_of_another_place_is_found() {
    let (entries, records) = sealed();
    let rows: [(fn(&mut Tail), bool); 4] = [
        (|_| {}, true),
        (|t| t.kind = Kind::Mint, false),
        (|t| t.seq = 7, false),
        (|t| t.saga = SagaId::new("another"), false),
    ];
    for (row, (spoil, is_good)) in rows.iter().enumerate() {
        let mut forged_tail = tail();
        spoil(&mut forged_tail);
        let mut forged = seal(&mut forged_tail, &entries[0], at(0), "salt-0").unwrap();
        (forged.saga, forged.seq) = (records[0].saga.clone(), 1);
        forged.hash = link(tail().hash, &forged.body).to_hex();
        assert_eq!(opened(&[forged]).is_ok(), *is_good, "row {row}");
    }
}

#[test]
fn a_cut_a_repeat_or_another_order_is_found() {
    let (_, records) = sealed();
    for at in 0..records.len() - 1 {
        let (expected, found) = (records[at].seq, records[at].seq + 1);
        let mut cut = records.clone();
        cut.remove(at);
        assert_eq!(opened(&cut), Err(Broken::Gap { expected, found }));
        let mut swapped = records.clone();
        swapped.swap(at, at + 1);
        assert_eq!(opened(&swapped), Err(Broken::Gap { expected, found }));
        let mut twice = records.clone();
        twice.insert(at, records[at].clone());
        let gap = Broken::Gap {
            expected: found,
            found: expected,
        };
        assert_eq!(opened(&twice), Err(gap));
        // Renumbered, so that the positions look right.
        for (record, seq) in cut.iter_mut().zip(1..) {
            record.seq = seq;
        }
        assert_eq!(opened(&cut), Err(Broken::Hash { seq: expected }));
    }
    let mut foreign = records.clone();
    foreign[1].saga = SagaId::new("another");
    assert!(matches!(
        opened(&foreign),
        Err(Broken::Gap { expected: 2, .. })
    ));
    // A cut tail is the head's to find: the rest is a chain of its own.
    assert!(opened(&records[..3]).is_ok());
}

#[test]
fn a_changed_private_half_is_found() {
    let (_, records) = sealed();
    for at in 0..records.len() {
        let seq = records[at].seq;
        let texts = match &records[at].private {
            Some(text) => vec![
                text.replace("salt-", "sald-"),
                "{}".to_owned(),
                String::new(),
            ],
            None => vec!["{\"salt\":\"s\"}".to_owned()],
        };
        for text in texts {
            let mut changed = records.clone();
            changed[at].private = Some(text);
            assert_eq!(opened(&changed), Err(Broken::Private { seq }));
        }
    }
}

#[test]
fn a_salt_keeps_guessable_values_from_being_confirmed() {
    let hashes = |salt| {
        let record = seal(&mut tail(), &quoted(), at(0), salt).unwrap();
        let envelope = open(&mut tail(), &record).unwrap().1;
        envelope.private_hash
    };
    assert!(hashes("one").is_some());
    assert_ne!(hashes("one"), hashes("two"));
    let record = seal(&mut tail(), &sent(1), at(0), "one").unwrap();
    assert_eq!(
        (record.private, record.body.contains("private_hash")),
        (None, false)
    );
}

#[test]
fn a_body_of_another_version_is_named_without_its_content() {
    let (_, records) = sealed();
    let rows = [
        (records[0].body.replace("{\"v\":1,", "{\"v\":2,"), "newer"),
        (records[0].body.replace("{\"v\":1,", "{"), "version"),
        (
            records[0].body.replace("MeltRequested", "MeltDreamed"),
            "MeltDreamed",
        ),
        ("no json".to_owned(), "expected"),
    ];
    for (body, why) in rows {
        let mut record = records[0].clone();
        record.hash = link(tail().hash, &body).to_hex();
        record.body = body;
        let broken = opened(&[record]).unwrap_err();
        assert!(matches!(broken, Broken::Body { seq: 1, .. }), "{broken}");
        assert!(broken.to_string().contains(why), "{broken}");
        assert!(!broken.to_string().contains(&payment_hash()), "{broken}");
    }
}
