//! The transactions that dead processes leave open. A server does not end a transaction with the
//! connection that it came over: after a `kill -9` it keeps the heads and coins of a whole batch
//! locked for a minute. Whoever runs into one ends it.
//!
//! This is safe whoever is hit: a transaction that was not committed is undone, and its owner, if
//! it lives after all, is told so and tries again under its version and fence.

use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ReadConcern;

use super::Db;
use super::query::collect;

/// A transaction of ours takes milliseconds. One that had nothing to do for a second has lost its
/// process, or its process has lost its chance.
const IDLE_MICROS: i64 = 1_000_000;

/// Ends them, as well as it can: what is not possible now is possible for the next who collides,
/// or for the server's own limit.
pub(super) async fn end(db: &Db) {
    let admin = db.client.database("admin");
    // Other programs may share the server, so only the transactions of clients with our name.
    let idle = doc! {
        "type": "idleSession",
        "appName": &db.app_name,
        "transaction.timeInactiveMicros": { "$gte": IDLE_MICROS },
    };
    let sessions = admin
        .aggregate(vec![
            doc! { "$currentOp": { "allUsers": false, "idleSessions": true } },
            doc! { "$match": idle },
        ])
        .read_concern(ReadConcern::local())
        .await;
    let sessions: Vec<Document> = collect(sessions).await.unwrap_or_default();
    let id_of =
        |session: &Document| Some(doc! { "id": session.get_document("lsid").ok()?.get("id")? });
    let ids: Vec<_> = sessions.iter().filter_map(id_of).map(Bson::from).collect();
    if ids.is_empty() {
        return;
    }
    tracing::warn!(
        count = ids.len(),
        "ending transactions that a dead process left open"
    );
    let _ = admin.run_command(doc! { "killSessions": ids }).await;
}
