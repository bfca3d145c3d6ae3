//! The bus of one process: the contract suite, and its bounds.

use std::time::Duration;

use meltd::bus::memory::MemoryBus;
use meltd::ports::{Begin, Bus, BusError, Stream};

use crate::bus_contract::{ACK_WAIT, Fixture, message};

pub(crate) struct Memory(MemoryBus);

impl Fixture for Memory {
    type Bus = MemoryBus;

    async fn fresh() -> Self {
        Memory(MemoryBus::with_ack_wait(ACK_WAIT))
    }

    async fn open(&self) -> MemoryBus {
        self.0.clone()
    }
}

bus_contract!(Memory);

/// Invariant: a process that runs for a year does not fill its memory with events, and a queue
/// that nobody empties refuses instead of forgetting.
#[tokio::test(start_paused = true)]
async fn memory_is_bounded() {
    let bus = MemoryBus::new();
    for n in 0..10_005 {
        let event = message("melt.events.A", &format!("e{n}"));
        assert_eq!(bus.publish(event).await.unwrap().sequence, n + 1);
    }
    let facts = bus.facts(Stream::Events).await.unwrap().unwrap();
    assert_eq!(
        (facts.first, facts.last, facts.messages),
        (6, 10_005, 10_000)
    );
    let wait = Duration::ZERO;
    let read = bus
        .read(Stream::Events, Begin::First, None, 1, wait)
        .await
        .unwrap();
    assert_eq!(read[0].sequence, 6);

    for n in 0..10_000 {
        let command = message("melt.cmd.a", &format!("c{n}"));
        bus.publish(command).await.unwrap();
    }
    let full = bus.publish(message("melt.cmd.a", "one too many")).await;
    assert!(matches!(full, Err(BusError::Away(_))), "{full:?}");
    let repeat = bus.publish(message("melt.cmd.a", "c7")).await.unwrap();
    assert!(repeat.duplicate);
    let taken = bus.pull(1, wait).await.unwrap();
    bus.ack(&taken[0].receipt).await.unwrap();
    bus.publish(message("melt.cmd.a", "one too many"))
        .await
        .unwrap();
}

/// Invariant: an id is remembered for two minutes, as long as on a server, and not for ever.
#[tokio::test(start_paused = true)]
async fn an_id_is_forgotten_after_the_window() {
    let bus = MemoryBus::new();
    bus.publish(message("melt.events.A", "x")).await.unwrap();
    tokio::time::advance(Duration::from_secs(119)).await;
    assert!(
        bus.publish(message("melt.events.A", "x"))
            .await
            .unwrap()
            .duplicate
    );
    tokio::time::advance(Duration::from_secs(1)).await;
    let again = bus.publish(message("melt.events.A", "x")).await.unwrap();
    assert_eq!((again.sequence, again.duplicate), (2, false));
}
