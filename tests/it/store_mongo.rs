//! The MongoDB store: the contract suite on a real replica set, and what only a server can do to
//! it. `MELTD_TEST_MONGO_URL` names the server (`scripts/services env` prints it).

mod crash;
mod faults;
mod publishing;
mod server;

use meltd::store::mongo::MongoStore;
use mongodb::Client;

use crate::store_contract::Fixture;

/// A database of its own on the test server.
pub(crate) struct Mongo {
    name: String,
}

impl Mongo {
    /// The server's URI with this database in it and `options` added.
    pub(crate) fn uri(&self, options: &str) -> String {
        let server = server();
        let (hosts, given) = server.split_once('?').unwrap_or((&server, ""));
        let hosts = hosts.trim_end_matches('/');
        let options: Vec<_> = [given, options]
            .into_iter()
            .filter(|o| !o.is_empty())
            .collect();
        format!("{hosts}/{}?{}", self.name, options.join("&"))
    }

    /// A client of the test's own, to look behind the store.
    async fn client(&self) -> Client {
        Client::with_uri_str(self.uri("")).await.unwrap()
    }
}

fn server() -> String {
    std::env::var("MELTD_TEST_MONGO_URL").expect(
        "these tests need a MongoDB replica set: start one with scripts/services up, then \
         eval \"$(scripts/services env)\" sets MELTD_TEST_MONGO_URL",
    )
}

impl Fixture for Mongo {
    type Store = MongoStore;

    async fn fresh() -> Self {
        let name = format!("meltd_test_{}", uuid::Uuid::now_v7().simple());
        Mongo { name }
    }

    async fn open(&self) -> MongoStore {
        MongoStore::connect(&self.uri("")).await.unwrap()
    }

    async fn remove(self) {
        let client = self.client().await;
        client.database(&self.name).drop().await.unwrap();
    }
}

store_contract!(Mongo);
