//! How many callers may wait for a melt, or follow events, at once. A caller beyond it is told to
//! come back before anything was adopted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::answer::{Answer, Failure};
use crate::saga::code::Code;

/// The places. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    all_max: usize,
    each_max: usize,
    taken: Mutex<HashMap<String, usize>>,
}

/// A place; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    owner: String,
}

impl Places {
    /// So many in all, so many for each owner.
    pub(super) fn new(all_max: usize, each_max: usize) -> Self {
        Places(Arc::new(Inner {
            all_max,
            each_max,
            taken: Mutex::default(),
        }))
    }

    /// A place for this owner.
    ///
    /// # Errors
    /// 429.
    pub(super) fn take(&self, owner: &str) -> Answer<Place> {
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = taken.values().sum();
        let own = taken.get(owner).copied().unwrap_or(0);
        if all >= self.0.all_max || own >= self.0.each_max {
            return Err(Failure::of(Code::TooManyMelts));
        }
        taken.insert(owner.to_owned(), own.saturating_add(1));
        Ok(Place {
            places: self.clone(),
            owner: owner.to_owned(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self
            .places
            .0
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.owner) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.remove(&self.owner);
            }
        }
    }
}
