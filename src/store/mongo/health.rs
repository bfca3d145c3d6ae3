//! How the server is, and the facts about the database that are written once.

use chrono::DateTime;
use futures::TryStreamExt;
use mongodb::bson::{Document, doc};
use mongodb::options::ReturnDocument;

use super::fault::{damaged, store_error};
use super::indexes::indexes;
use super::{Db, schema};
use crate::ports::{Health, StoreError};

/// Writes a fact unless it stands already; returns what stands.
pub(super) async fn stamp(db: Db, name: String, value: String) -> Result<String, StoreError> {
    let born = doc! { "$setOnInsert": { "value": value } };
    let meta = db.meta::<Document>();
    let stands = meta
        .find_one_and_update(doc! { "_id": &name }, born)
        .upsert(true)
        .return_document(ReturnDocument::After);
    let stands = stands.await.map_err(store_error)?;
    let value = stands
        .as_ref()
        .and_then(|found| found.get_str("value").ok());
    value
        .map(str::to_owned)
        .ok_or_else(|| damaged("meta", &name))
}

/// Version, replica set and clock; and whether validators and indexes are as they were made.
pub(super) async fn of(db: Db) -> Result<Health, StoreError> {
    let admin = db.client.database("admin");
    let hello = admin.run_command(doc! { "hello": 1 }).await;
    let hello = hello.map_err(store_error)?;
    let build = admin.run_command(doc! { "buildInfo": 1 }).await;
    let build = build.map_err(store_error)?;
    let version = build.get_str("version").unwrap_or("of unknown version");
    let set = hello.get_str("setName").unwrap_or("behind mongos");
    let members = hello.get_array("hosts").map_or(0, Vec::len);
    let now = hello.get_datetime("localTime");
    let now = now.map_err(|_| damaged("server", "localTime"))?;
    Ok(Health {
        about: format!("MongoDB {version}, replica set {set} with {members} member(s)"),
        now: DateTime::from_timestamp_millis(now.timestamp_millis())
            .ok_or_else(|| damaged("server", "localTime"))?,
        problems: differences(&db).await?,
    })
}

/// What somebody has changed since [`schema::prepare`].
async fn differences(db: &Db) -> Result<Vec<String>, StoreError> {
    let found = db.database.list_collections().await.map_err(store_error)?;
    let found: Vec<_> = found.try_collect().await.map_err(store_error)?;
    let mut problems = Vec::new();
    for (name, validator) in schema::validators() {
        let here = found.iter().find(|c| c.name == name);
        if here.and_then(|c| c.options.validator.as_ref()) != Some(&validator) {
            problems.push(format!(
                "collection {name} is missing or has another validator: start meltd once more"
            ));
        }
    }
    for (name, wanted) in indexes() {
        let here = db.database.collection::<Document>(name);
        let here = here.list_index_names().await.map_err(store_error)?;
        let names = wanted
            .iter()
            .filter_map(|i| i.options.as_ref()?.name.as_ref());
        for index in names.filter(|index| !here.contains(*index)) {
            problems.push(format!(
                "index {index} of {name} is missing: start meltd once more"
            ));
        }
    }
    Ok(problems)
}
