//! Client options, and the check that the server has what the store relies on.

use std::time::Duration;

use mongodb::Client;
use mongodb::bson::{Document, doc};
use mongodb::options::{
    Acknowledgment, ClientOptions, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern,
};

use super::Db;
use super::fault::{brief, store_error};
use crate::ports::StoreError;
use crate::saga::code::Code;

/// The database when the URI names none.
const DEFAULT_DATABASE: &str = "meltd";

/// The driver's default of 10 would queue callers inside of the driver, out of sight of our
/// deadlines: one saga in flight makes about one call at a time, and a worker drives some dozens.
const MAX_POOL_SIZE: u32 = 64;

/// Half of a call's deadline: a caller hears that there is no primary, not that time is up.
const SERVER_SELECTION: Duration = Duration::from_secs(5);

/// A host that takes this long for a TCP connection is as good as away.
const CONNECT: Duration = Duration::from_secs(5);

/// Below a call's deadline, so that "not durable" arrives as such.
pub(super) const WRITE_CONCERN_WAIT: Duration = Duration::from_secs(8);

/// How long one host is asked by itself what it is, after nobody could be used.
const PROBE: Duration = Duration::from_secs(2);

/// MongoDB 6.0: what the store is tested on. Older ones lack indexed `$$NOW` comparisons.
const MIN_WIRE_VERSION: i32 = 17;

/// Connects and checks; nothing is written.
pub(super) async fn open(uri: &str) -> Result<Db, StoreError> {
    let mut options = ClientOptions::parse(uri).await.map_err(|error| {
        let code = Code::StoreInvalid;
        StoreError::Unusable(format!("{code}: {} {}", code.advice(), brief(&error)))
    })?;
    strict(&mut options);
    let name = options.default_database.clone();
    let name = name.unwrap_or_else(|| DEFAULT_DATABASE.to_owned());
    // All processes on one database have the same name there: they tidy up after each other.
    let app_name = options.app_name.get_or_insert(format!("meltd:{name}"));
    let app_name = app_name.clone();
    let client = Client::with_options(options.clone()).map_err(store_error)?;
    let database = client.database(&name);
    match hello(&client).await {
        Ok(answer) => check(&answer)?,
        Err(error) => {
            client.shutdown().immediate(true).await;
            return Err(explain(options, error).await);
        }
    }
    Ok(Db {
        client,
        database,
        app_name,
    })
}

/// What every call of this client asks for, whatever the URI says: safety is not an option.
fn strict(options: &mut ClientOptions) {
    options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
    options.read_concern = Some(ReadConcern::majority());
    options.write_concern = Some(durable());
    options.retry_writes = Some(true);
    options.retry_reads = Some(true);
    options.max_pool_size = Some(MAX_POOL_SIZE);
    options.server_selection_timeout = Some(SERVER_SELECTION);
    options.connect_timeout = Some(CONNECT);
}

/// Majority and journal.
pub(super) fn durable() -> WriteConcern {
    WriteConcern::builder()
        .w(Acknowledgment::Majority)
        .journal(true)
        .w_timeout(WRITE_CONCERN_WAIT)
        .build()
}

async fn hello(client: &Client) -> mongodb::error::Result<Document> {
    let admin = client.database("admin");
    admin.run_command(doc! { "hello": 1 }).await
}

/// Refuses a server that has no transactions or is too old.
fn check(hello: &Document) -> Result<(), StoreError> {
    let sharded = hello.get_str("msg") == Ok("isdbgrid");
    if !sharded && hello.get_str("setName").is_err() {
        let code = Code::StoreNoReplicaSet;
        let found = if hello.get_bool("isreplicaset") == Ok(true) {
            "the server was started with --replSet but not initiated: run rs.initiate() once"
        } else {
            "the server answers as a standalone"
        };
        let text = format!("{code}: {found}. {}", code.advice());
        return Err(StoreError::Unusable(text));
    }
    let version = hello.get_i32("maxWireVersion").unwrap_or(0);
    if version < MIN_WIRE_VERSION {
        let text = format!("MongoDB 6.0 or later is needed; this one has wire version {version}");
        return Err(StoreError::Unusable(text));
    }
    Ok(())
}

/// Asks each host by itself why none of them could be used: a standalone server is left out by a
/// client that looks for a replica set, which would look like a dead network.
async fn explain(mut options: ClientOptions, error: mongodb::error::Error) -> StoreError {
    let hosts = std::mem::take(&mut options.hosts);
    options.direct_connection = Some(true);
    options.repl_set_name = None;
    options.server_selection_timeout = Some(PROBE);
    for host in hosts {
        options.hosts = vec![host];
        let Ok(client) = Client::with_options(options.clone()) else {
            continue;
        };
        let answer = hello(&client).await;
        client.shutdown().immediate(true).await;
        if let Ok(Err(refusal)) = answer.map(|hello| check(&hello)) {
            return refusal;
        }
    }
    store_error(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_servers_with_transactions_are_taken() {
        let set = doc! { "setName": "rs0", "maxWireVersion": 17 };
        let mongos = doc! { "msg": "isdbgrid", "maxWireVersion": 17 };
        assert_eq!(check(&set), Ok(()));
        assert_eq!(check(&mongos), Ok(()));

        let standalone = doc! { "isWritablePrimary": true, "maxWireVersion": 17 };
        let waiting = doc! { "isreplicaset": true, "maxWireVersion": 17 };
        for (hello, word) in [(standalone, "standalone"), (waiting, "rs.initiate()")] {
            let Err(StoreError::Unusable(text)) = check(&hello) else {
                panic!("{hello} was taken");
            };
            assert!(text.starts_with("STORE_NO_REPLICA_SET: "), "{text}");
            assert!(text.contains(word), "{text}");
        }

        let old = doc! { "setName": "rs0", "maxWireVersion": 13 };
        assert!(matches!(check(&old), Err(StoreError::Unusable(_))));
    }

    #[tokio::test]
    async fn the_uri_cannot_weaken_the_client() {
        let uri =
            "mongodb://h/?w=0&readPreference=secondary&readConcernLevel=local&retryWrites=false";
        let mut options = ClientOptions::parse(uri).await.unwrap();
        strict(&mut options);
        assert_eq!(options.write_concern, Some(durable()));
        assert_eq!(options.read_concern, Some(ReadConcern::majority()));
        assert_eq!(options.retry_writes, Some(true));
        let primary = SelectionCriteria::ReadPreference(ReadPreference::Primary);
        assert_eq!(options.selection_criteria, Some(primary));
    }
}
