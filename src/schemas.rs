//! The JSON Schemas (2020-12) of everything that meltd publishes or reads from the bus, made from
//! the types themselves. `schemas/` holds them as files; a test compares the two.
//!
//! Each file stands alone: what it refers to is in its own `$defs`. Bodies are closed, because a
//! change of a body's shape is a new version (`v`) with files of its own. Codes are open: a code
//! may be added at any time, and `codes.json` lists those that there are.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::saga::code::Code;
use crate::saga::event::{Envelope, Event};
use crate::saga::upcast;
use crate::stream::heads::{HeadsMessage, Statement};
use crate::wire::{CriticalAlert, DeadLetter, MeltReply, MeltSubmit};

/// What every `$id` begins with. A URN, because a schema's name must not depend on where it is
/// served from; the rest is the file's name and the version of the shape.
const URN: &str = "urn:meltd:schema";

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// All schema files, by their path under `schemas/`.
pub fn files() -> BTreeMap<String, Value> {
    let mut files = BTreeMap::new();
    let events = events();
    for (name, schema) in &events {
        files.insert(format!("events/{name}.json"), schema.clone());
    }
    let names: Vec<&String> = events.keys().collect();
    files.insert("envelope.json".to_owned(), envelope(&names));
    files.insert("codes.json".to_owned(), codes());
    let messages = [
        (
            "command.json",
            message::<MeltSubmit>(Side::Reads, "command:v1", "Command"),
        ),
        (
            "reply.json",
            message::<MeltReply>(Side::Writes, "reply:v1", "Reply"),
        ),
        (
            "dead-letter.json",
            message::<DeadLetter>(Side::Writes, "dead-letter:v1", "DeadLetter"),
        ),
        (
            "alert.json",
            message::<CriticalAlert>(Side::Writes, "alert:v1", "CriticalAlert"),
        ),
        (
            "heads.json",
            message::<HeadsMessage>(Side::Writes, "heads:v1", "Heads"),
        ),
        (
            "heads-statement.json",
            message::<Statement>(Side::Writes, "heads-statement:v1", "HeadsStatement"),
        ),
    ];
    files.extend(messages.map(|(path, schema)| (path.to_owned(), schema)));
    files
}

/// The whole body of each event, by the event's name. The names come out of the schema of
/// [`Event`], so that none can be forgotten here.
fn events() -> BTreeMap<String, Value> {
    let (union, defs) = generate::<Event>(Side::Writes);
    let outside = outer(None);
    let variants = union.get("oneOf").and_then(Value::as_array);
    let mut events = BTreeMap::new();
    for variant in variants.into_iter().flatten() {
        let name = variant.pointer("/properties/type/const");
        let data = variant.pointer("/properties/data");
        let (Some(name), Some(data)) = (name.and_then(Value::as_str), data) else {
            continue;
        };
        let said = data.get("$ref").and_then(Value::as_str).unwrap_or_default();
        let said = defs.get(said.trim_start_matches("#/$defs/"));
        let said = said.and_then(|def| def.get("description"));
        let mut schema = outside.clone();
        set(&mut schema, "/properties/type", json!({ "const": name }));
        set(&mut schema, "/properties/data", data.clone());
        let text = said.cloned().unwrap_or_default();
        let id = format!("event:{name}:v{}", upcast::VERSION);
        events.insert(name.to_owned(), whole(&id, name, &text, schema, &defs));
    }
    events
}

/// What all bodies have in common, for readers that do not look into `data`.
fn envelope(names: &[&String]) -> Value {
    let said = "The fields of every published event. What is in `data` depends on `type`: see \
                events/<type>.json.";
    let id = format!("envelope:v{}", upcast::VERSION);
    whole(
        &id,
        "Envelope",
        &said.into(),
        outer(Some(names)),
        &Map::new(),
    )
}

/// The fields around an event, with inlined words, for the events of these names.
fn outer(names: Option<&[&String]>) -> Value {
    let (mut schema, defs) = generate::<Envelope>(Side::Writes);
    if let Some(object) = schema.as_object_mut() {
        // The flattened event comes as alternatives; each event has a file of its own instead.
        object.remove("oneOf");
        object.remove("anyOf");
    }
    for field in ["kind", "compliance"] {
        let path = format!("/properties/{field}");
        let Some(told) = schema.pointer(&path).cloned() else {
            continue;
        };
        let word = told.get("$ref").and_then(Value::as_str).unwrap_or_default();
        let Some(mut def) = defs.get(word.trim_start_matches("#/$defs/")).cloned() else {
            continue;
        };
        if let (Some(def), Some(said)) = (def.as_object_mut(), told.get("description")) {
            def.insert("description".to_owned(), said.clone());
        }
        set(&mut schema, &path, def);
    }
    let version = json!({
        "const": upcast::VERSION,
        "description": "Version of the body's shape.",
    });
    set(&mut schema, "/properties/v", version);
    let name = match names {
        Some(names) => json!({ "enum": names, "description": "The event's name." }),
        None => Value::Bool(true),
    };
    set(&mut schema, "/properties/type", name);
    let data = json!({ "type": "object", "description": "The event's own fields." });
    set(&mut schema, "/properties/data", data);
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.extend([json!("type"), json!("data")]);
    }
    schema
}

/// The codes, each with its severity and what to do.
fn codes() -> Value {
    let codes = Code::ALL.iter().map(|code| {
        json!({
            "const": code.as_str(),
            "description": code.advice(),
            "x-severity": code.severity(),
        })
    });
    json!({
        "$schema": DIALECT,
        "$id": format!("{URN}:codes"),
        "title": "Code",
        "description": "Every machine-readable reason, with its severity and what to do. A code \
                        keeps its meaning for ever; new ones may be added.",
        "oneOf": codes.collect::<Vec<_>>(),
    })
}

/// Whether meltd reads a shape or writes it: what may be left out is left out by the other side
/// only.
enum Side {
    Reads,
    Writes,
}

/// The schema of a message that stands alone.
fn message<T: JsonSchema>(side: Side, id: &str, title: &str) -> Value {
    let (schema, defs) = generate::<T>(side);
    let said = schema.get("description").cloned().unwrap_or_default();
    whole(id, title, &said, schema, &defs)
}

/// The schema of a type, and everything that it refers to.
fn generate<T: JsonSchema>(side: Side) -> (Value, Map<String, Value>) {
    let settings = SchemaSettings::draft2020_12();
    let settings = match side {
        Side::Reads => settings.for_deserialize(),
        Side::Writes => settings.for_serialize(),
    };
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value();
    let defs = schema.as_object_mut().and_then(|s| s.remove("$defs"));
    let mut defs = match defs {
        Some(Value::Object(defs)) => defs,
        _ => Map::new(),
    };
    if defs.contains_key("Code") {
        let open = json!({
            "type": "string",
            "pattern": "^[A-Z][A-Z0-9_]*$",
            "description": "A machine-readable reason: see codes.json. New ones may be added.",
        });
        defs.insert("Code".to_owned(), open);
    }
    (schema, defs)
}

/// A file: the schema with its names, its own `$defs`, closed objects and flowing text.
fn whole(id: &str, title: &str, said: &Value, schema: Value, defs: &Map<String, Value>) -> Value {
    let mut needed = BTreeSet::new();
    reach(&schema, defs, &mut needed);
    let mut own = Map::new();
    for name in needed {
        if let Some(def) = defs.get(&name) {
            own.insert(name, def.clone());
        }
    }
    let mut file = Map::new();
    file.insert("$schema".to_owned(), json!(DIALECT));
    file.insert("$id".to_owned(), json!(format!("{URN}:{id}")));
    file.insert("title".to_owned(), json!(title));
    file.insert("description".to_owned(), said.clone());
    if let Some(object) = schema.as_object() {
        let names = ["$schema", "title", "description"];
        let rest = object
            .iter()
            .filter(|(name, _)| !names.contains(&name.as_str()));
        file.extend(rest.map(|(name, value)| (name.clone(), value.clone())));
    }
    if !own.is_empty() {
        file.insert("$defs".to_owned(), Value::Object(own));
    }
    let mut schema = Value::Object(file);
    tidy(&mut schema);
    schema
}

/// The names of everything that a schema refers to, directly or not.
fn reach(schema: &Value, defs: &Map<String, Value>, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(object) => {
            let name = object.get("$ref").and_then(Value::as_str);
            let name = name.and_then(|text| text.strip_prefix("#/$defs/"));
            if let Some(name) = name
                && found.insert(name.to_owned())
                && let Some(def) = defs.get(name)
            {
                reach(def, defs, found);
            }
            object.values().for_each(|value| reach(value, defs, found));
        }
        Value::Array(values) => values.iter().for_each(|value| reach(value, defs, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Closes every object, and lets descriptions flow: the breaks of a comment are those of the
/// source.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.contains_key("properties") {
                object.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            if let Some(Value::String(text)) = object.get_mut("description") {
                let words: Vec<&str> = text.split_whitespace().collect();
                *text = words.join(" ").replace("[`", "`").replace("`]", "`");
            }
            object.values_mut().for_each(tidy);
        }
        Value::Array(values) => values.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Puts a value at a path whose parent is an object.
fn set(schema: &mut Value, path: &str, value: Value) {
    let Some((parent, field)) = path.rsplit_once('/') else {
        return;
    };
    if let Some(Value::Object(parent)) = schema.pointer_mut(parent) {
        parent.insert(field.to_owned(), value);
    }
}
