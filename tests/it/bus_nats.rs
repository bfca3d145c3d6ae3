//! The NATS adapter: the contract suite on a real server, and what only a server can do to it.
//! `MELTD_TEST_NATS_URL` names the shared server (`scripts/services env` prints it).

mod config;
mod roles;
mod server;
mod tls;

use async_nats::jetstream;
use meltd::bus::nats::{NatsBus, Settings};
use meltd::ports::{Bus, Stream};

use crate::bus_contract::{ACK_WAIT, Fixture};
use crate::nats_server::small;

/// Streams of its own on the test server.
pub(crate) struct Nats {
    pub(crate) settings: Settings,
}

fn server() -> String {
    std::env::var("MELTD_TEST_NATS_URL").expect(
        "these tests need a nats-server with JetStream: start one with scripts/services up, then \
         eval \"$(scripts/services env)\" sets MELTD_TEST_NATS_URL",
    )
}

impl Nats {
    /// A client of the test's own, to look behind the bus.
    pub(crate) async fn context(&self) -> jetstream::Context {
        let client = async_nats::connect(&self.settings.url).await.unwrap();
        jetstream::new(client)
    }

    /// The name of a stream on the server.
    pub(crate) fn name(&self, stream: Stream) -> String {
        format!(
            "{}_{}",
            self.settings.prefix.as_deref().unwrap(),
            stream.name()
        )
    }
}

impl Fixture for Nats {
    type Bus = NatsBus;

    async fn fresh() -> Self {
        let prefix = format!("T{}", uuid::Uuid::now_v7().simple());
        let settings = Settings {
            prefix: Some(prefix),
            ack_wait: ACK_WAIT,
            ..small(&server())
        };
        let nats = Nats { settings };
        nats.open().await.prepare(&Stream::ALL).await.unwrap();
        nats
    }

    async fn open(&self) -> NatsBus {
        NatsBus::connect(&self.settings).await.unwrap()
    }

    async fn remove(self) {
        let context = self.context().await;
        for stream in Stream::ALL {
            context.delete_stream(self.name(stream)).await.unwrap();
        }
    }
}

bus_contract!(Nats);
