//! All deadlines of a shard in order. Few change per second: keep-alive is re-checked only when it runs out.

use crate::Time;
use crate::slab::Key;
use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Connect deadline or keep-alive.
    Connection(Key),
    /// The end of a re-authentication.
    Exchange(Key),
    /// A client that publishes too fast has rested.
    Rest(Key),
    Will(Key),
    SessionExpiry(Key),
    /// Expired retained messages are looked for.
    Sweep,
}

#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeSet<(Time, Timer)>,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Time, timer: Timer) {
        self.due.insert((at, timer));
    }

    pub(crate) fn stop(&mut self, at: Option<Time>, timer: Timer) {
        if let Some(at) = at {
            self.due.remove(&(at, timer));
        }
    }

    pub(crate) fn next(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    pub(crate) fn pop_due(&mut self, now: Time) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.due.pop_first().map(|(_, timer)| timer)
    }
}
