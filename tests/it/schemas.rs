//! `schemas/` against the types: files are as generated, golden events validate, changed ones do
//! not. After a wanted change: `MELTD_UPDATE_SCHEMAS=1 cargo test schemas`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use meltd::saga::upcast;
use meltd::schemas;
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas")
}

fn golden(name: &str) -> Value {
    let path = format!("tests/golden/v1/{name}.json");
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path));
    serde_json::from_str(&text.unwrap()).unwrap()
}

pub(crate) fn validator(schema: &Value) -> Validator {
    let options = jsonschema::draft202012::options();
    options.should_validate_formats(true).build(schema).unwrap()
}

/// Each event's name, schema and golden body.
fn events() -> Vec<(String, Value, Value)> {
    let files = schemas::files().into_iter();
    let events = files.filter_map(|(path, schema)| {
        let name = path.strip_prefix("events/")?.strip_suffix(".json")?;
        Some((name.to_owned(), schema, golden(name)))
    });
    events.collect()
}

fn files_on_disk(under: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(under).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_on_disk(&path, found);
        } else if path.extension().is_some_and(|e| e == "json") {
            let name = path.strip_prefix(folder()).unwrap();
            found.insert(name.to_str().unwrap().to_owned());
        }
    }
}

/// Seen red with a changed word in a file, and with a file too many.
#[test]
fn schema_files_are_what_the_types_say() {
    let is_update = std::env::var_os("MELTD_UPDATE_SCHEMAS").is_some();
    let mut expected = BTreeSet::new();
    for (path, schema) in schemas::files() {
        let text = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
        let file = folder().join(&path);
        if is_update {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, &text).unwrap();
        }
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        let how = "run MELTD_UPDATE_SCHEMAS=1 cargo test schemas";
        assert!(
            written == text,
            "schemas/{path} is not what the types say: {how}"
        );
        expected.insert(path);
    }
    let mut found = BTreeSet::new();
    files_on_disk(&folder(), &mut found);
    // The HTTP interface has a document of its own, and a test of its own.
    found.remove("openapi.json");
    assert_eq!(found, expected);
}

#[test]
fn every_event_has_a_schema_and_every_golden_body_fits_it() {
    let envelope = validator(&schemas::files()["envelope.json"]);
    let events = events();
    assert_eq!(events.len(), 26);
    for (name, schema, body) in &events {
        let errors: Vec<_> = validator(schema)
            .iter_errors(body)
            .map(|e| e.to_string())
            .collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
        assert!(envelope.is_valid(body), "{name}");
        assert!(upcast::read(&body.to_string()).is_ok());
    }
    for (name, schema, _) in &events {
        let schema = validator(schema);
        let others = events.iter().filter(|(other, ..)| other != name);
        for (other, _, body) in others {
            assert!(!schema.is_valid(body), "{other} passes for {name}");
        }
    }
}

/// Everything can be looked up where it is: ids are stable and unique, references resolve in the
/// file itself, and each property says what it means.
#[test]
fn every_schema_stands_alone_and_explains_itself() {
    let mut ids = BTreeSet::new();
    for (path, schema) in schemas::files() {
        let id = schema["$id"].as_str().unwrap();
        assert!(id.starts_with("urn:meltd:schema:"), "{path}: {id}");
        assert!(ids.insert(id.to_owned()), "{id} twice");
        assert!(schema["description"].is_string(), "{path} says nothing");
        walk(&schema, &mut |place| {
            if let Some(target) = place.get("$ref").and_then(Value::as_str) {
                let target = target
                    .strip_prefix('#')
                    .unwrap_or_else(|| panic!("{path}: {target}"));
                assert!(schema.pointer(target).is_some(), "{path}: {target} dangles");
            }
            let properties = place.get("properties").and_then(Value::as_object);
            for (name, property) in properties.into_iter().flatten() {
                let is_plain = name == "type" || name == "data" || property.get("const").is_some();
                let is_said = property.get("description").is_some();
                assert!(is_plain || is_said, "{path}: {name} has no description");
            }
        });
    }
    assert!(ids.contains("urn:meltd:schema:event:MeltPaid:v1"));
}

fn walk(value: &Value, see: &mut impl FnMut(&Value)) {
    see(value);
    match value {
        Value::Object(object) => object.values().for_each(|v| walk(v, see)),
        Value::Array(values) => values.iter().for_each(|v| walk(v, see)),
        _ => {}
    }
}

/// The path of every value in a document.
fn paths(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                paths(value, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                paths(value, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// A value of another type.
fn other_type(value: &Value) -> Value {
    match value {
        Value::String(_) | Value::Null => json!(true),
        Value::Number(_) => json!("7"),
        Value::Bool(_) | Value::Array(_) => json!({ "a": 1 }),
        Value::Object(_) => json!(["a"]),
    }
}

fn parent(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap()
}

/// A value of another type is refused by the schema and by the code; a field that is missing too,
/// but for those that may be null, which the code reads as null.
#[test]
fn changed_bodies_are_refused() {
    let mut tried = 0;
    for (name, schema, body) in events() {
        let schema = validator(&schema);
        let mut all = Vec::new();
        paths(&body, "", &mut all);
        for path in all.iter().filter(|path| !path.is_empty()) {
            let mut changed = body.clone();
            let place = changed.pointer_mut(path).unwrap();
            *place = other_type(place);
            assert!(
                !schema.is_valid(&changed),
                "{name}{path} is {}",
                changed.pointer(path).unwrap()
            );
            assert!(
                upcast::read(&changed.to_string()).is_err(),
                "{name}{path} is read"
            );

            let (above, field) = parent(path);
            let mut short = body.clone();
            let Some(Value::Object(object)) = short.pointer_mut(above) else {
                continue;
            };
            object.remove(field);
            let mut null = body.clone();
            *null.pointer_mut(path).unwrap() = Value::Null;
            let may_be_null = schema.is_valid(&null);
            // The commitment to a private half is left out where there is none.
            let optional = path == "/private_hash";
            assert_eq!(schema.is_valid(&short), optional, "{name} without {path}");
            let is_read = upcast::read(&short.to_string()).is_ok();
            assert_eq!(is_read, may_be_null || optional, "{name} without {path}");
            tried += 1;
        }
    }
    assert!(tried > 200, "{tried} fields were tried");
}

/// A field too many is refused by the schema. The code reads over it, on purpose: the hash chain
/// guards the bytes, and a log has to stay readable whatever a later version of v1 has noted in it.
#[test]
fn bodies_are_closed() {
    for (name, schema, body) in events() {
        let schema = validator(&schema);
        let mut all = Vec::new();
        paths(&body, "", &mut all);
        for path in &all {
            let mut changed = body.clone();
            let Some(Value::Object(object)) = changed.pointer_mut(path) else {
                continue;
            };
            object.insert("memo".to_owned(), json!("x"));
            assert!(!schema.is_valid(&changed), "{name}{path} is open");
            assert!(upcast::read(&changed.to_string()).is_ok(), "{name}{path}");
        }
    }
}

/// What a schema forbids and a Rust type does not: forms of ids and hashes, and other versions.
#[test]
fn forms_are_checked() {
    let requested = golden("MeltRequested");
    let schema = validator(&schemas::files()["events/MeltRequested.json"]);
    let cases = [
        ("/v", json!(2)),
        ("/saga", json!("01890A5D")),
        ("/at", json!("yesterday")),
        ("/kind", json!("burn")),
        ("/data/payment_hash", json!("ab")),
        ("/data/request_hash", json!("AB".repeat(32))),
        ("/data/amount_msat", json!(-1)),
        ("/data/amount_msat", json!(1.5)),
        ("/data/policy", json!("maybe")),
    ];
    for (path, value) in cases {
        let mut changed = requested.clone();
        *changed.pointer_mut(path).unwrap() = value.clone();
        assert!(!schema.is_valid(&changed), "{path} may be {value}");
    }
}
