//! What every `Bus` must do: one suite, run on each implementation by `bus_contract!`. A case gets
//! a fixture with empty streams of its own and may open it more than once: a second handle is what
//! another process would have.

use std::time::Duration;

use meltd::ports::{Bus, Message};

pub(crate) mod queue;
pub(crate) mod streams;

/// How long a command stays with one puller in this suite.
pub(crate) const ACK_WAIT: Duration = Duration::from_secs(1);

/// Empty streams, and the way to them.
pub(crate) trait Fixture: Sized {
    /// The implementation under test.
    type Bus: Bus;

    /// Fresh, empty streams, prepared.
    async fn fresh() -> Self;

    /// Opens them. Each call gives an independent handle.
    async fn open(&self) -> Self::Bus;

    /// Removes them after a case that passed.
    async fn remove(self) {}
}

/// A message with a body that says which it is.
pub(crate) fn message(subject: &str, id: &str) -> Message {
    Message {
        subject: subject.to_owned(),
        id: id.to_owned(),
        headers: Vec::new(),
        body: format!("{{\"id\":\"{id}\"}}"),
    }
}

/// Expands to one test per case of the suite: `bus_contract!(MyFixture);`.
macro_rules! bus_contract {
    ($fixture:ty) => {
        bus_contract!(@group $fixture, queue:
            a_command_comes_to_one_puller_and_is_done,
            an_id_is_soon_free_for_other_producers,
            a_command_that_nobody_settles_comes_again,
            later_is_after_the_delay,
            never_is_never,
            settling_twice_is_no_error,
            two_pullers_share_the_queue,
            a_pull_gives_what_is_there_without_waiting,
            a_pull_waits_for_the_first,
            an_empty_pull_ends_in_time,
        );
        bus_contract!(@group $fixture, streams:
            positions_follow_the_order_of_publishing,
            a_message_comes_back_as_it_was,
            a_repeat_is_stored_once,
            ids_are_of_one_stream,
            what_can_never_be_stored_is_said_so,
            a_reader_begins_where_it_wants,
            a_reader_narrows_by_subject,
            a_reader_waits_for_the_first,
            an_empty_read_ends_in_time,
            a_read_past_the_end_is_empty,
            one_message_by_its_position,
            a_removed_message_is_gone,
            nobody_edits_the_record,
            the_queue_cannot_be_read,
            facts_say_what_is_there,
            an_alert_is_told_and_stored_nowhere,
        );
    };
    (@group $fixture:ty, $group:ident: $($case:ident,)*) => {
        mod $group {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $case() {
                    use $crate::bus_contract::Fixture as _;
                    let fixture = <$fixture>::fresh().await;
                    $crate::bus_contract::$group::$case(&fixture).await;
                    fixture.remove().await;
                }
            )*
        }
    };
}
