//! A bus in memory that forgets: no window for repeats, answers that are lost, a stream that goes
//! back or is made anew.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use meltd::ports::{
    Begin, Bus, BusError, Delivery, Message, Published, Stored, Stream, StreamFacts,
};

use super::world::Life;

/// What the server has.
pub struct Tape {
    pub created: DateTime<Utc>,
    pub messages: Vec<Message>,
    /// Ids that the server remembers although their messages are gone.
    pub ghosts: BTreeSet<String>,
    /// So many answers from now on are lost: the message is stored, and nobody is told.
    pub deaf: u32,
    /// So many messages from now on are lost themselves.
    pub lost: u32,
}

impl Tape {
    pub fn new() -> Self {
        Tape {
            created: DateTime::from_timestamp(1_790_000_000, 0).unwrap(),
            messages: Vec::new(),
            ghosts: BTreeSet::new(),
            deaf: 0,
            lost: 0,
        }
    }

    /// The newest messages are lost.
    pub fn go_back(&mut self, to: usize) {
        self.messages.truncate(to);
    }

    /// Another stream of the same name.
    pub fn make_anew(&mut self) {
        self.created += TimeDelta::seconds(1);
        self.messages.clear();
    }
}

/// One process's view of it.
pub struct SimBus {
    pub tape: Arc<Mutex<Tape>>,
    pub life: Life,
}

impl SimBus {
    async fn call<T>(&self, act: impl FnOnce(&mut Tape) -> T) -> T {
        self.life.call(|| act(&mut self.tape.lock().unwrap())).await
    }
}

fn stored(message: &Message, at: usize) -> Stored {
    Stored {
        sequence: at as u64 + 1,
        at: DateTime::UNIX_EPOCH,
        message: message.clone(),
    }
}

impl Bus for SimBus {
    type Receipt = ();

    async fn prepare(&self, _: &[Stream]) -> Result<(), BusError> {
        Ok(())
    }

    async fn publish(&self, message: Message) -> Result<Published, BusError> {
        self.call(|tape| {
            if tape.ghosts.contains(&message.id) {
                return Ok(Published {
                    sequence: 1,
                    duplicate: true,
                });
            }
            if tape.lost > 0 {
                tape.lost -= 1;
                return Err(BusError::Away("no answer".to_owned()));
            }
            tape.messages.push(message);
            if tape.deaf > 0 {
                tape.deaf -= 1;
                return Err(BusError::Away("no answer".to_owned()));
            }
            Ok(Published {
                sequence: tape.messages.len() as u64,
                duplicate: false,
            })
        })
        .await
    }

    async fn alert(&self, _: String) -> Result<(), BusError> {
        Ok(())
    }

    async fn pull(&self, _: usize, _: Duration) -> Result<Vec<Delivery<()>>, BusError> {
        Ok(Vec::new())
    }

    async fn ack(&self, _: &()) -> Result<(), BusError> {
        Ok(())
    }

    async fn later(&self, _: &(), _: Duration) -> Result<(), BusError> {
        Ok(())
    }

    async fn term(&self, _: &()) -> Result<(), BusError> {
        Ok(())
    }

    async fn facts(&self, _: Stream) -> Result<Option<StreamFacts>, BusError> {
        self.call(|tape| {
            let count = tape.messages.len() as u64;
            Ok(Some(StreamFacts {
                created: tape.created,
                first: 1,
                last: count,
                messages: count,
                bytes: 0,
            }))
        })
        .await
    }

    async fn read(
        &self,
        _: Stream,
        begin: Begin,
        _: Option<&str>,
        limit: usize,
        _: Duration,
    ) -> Result<Vec<Stored>, BusError> {
        let from = match begin {
            Begin::At(sequence) => sequence.saturating_sub(1) as usize,
            Begin::First | Begin::Time(_) => 0,
        };
        let tape = self.tape.lock().unwrap();
        let rest = tape.messages.iter().enumerate().skip(from).take(limit);
        Ok(rest.map(|(at, message)| stored(message, at)).collect())
    }

    async fn at(&self, _: Stream, sequence: u64) -> Result<Option<Stored>, BusError> {
        self.call(|tape| {
            let at = sequence.checked_sub(1).map(|at| at as usize);
            let found = at.and_then(|at| Some((tape.messages.get(at)?, at)));
            Ok(found.map(|(message, at)| stored(message, at)))
        })
        .await
    }

    async fn remove(&self, _: Stream, _: u64) -> Result<bool, BusError> {
        Ok(false)
    }

    fn connected(&self) -> bool {
        true
    }
}
