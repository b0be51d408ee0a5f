//! What clients make the broker hold (`memory_limit`): the sum of all threads' counts, and the process's resident memory as
//! a check.
//!
//! What is counted is exact but not everything: sessions, subscriptions and half-read packets are not in it. The resident
//! memory has everything, but an allocator gives little of what was freed back to the system. So the resident memory counts
//! less what was freed since it was largest.

use crate::limits::MEMORY_PERIOD;
use crate::log::Log;
use crate::sys::heap_bytes;
use grovemq_core::{Time, take_held};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Shared by all threads that make or drop messages.
#[derive(Debug)]
pub(crate) struct Memory {
    /// In bytes; 0 is none.
    limit: AtomicU64,
    held: AtomicI64,
    short: AtomicBool,
    /// When the resident memory is looked at next.
    next_look: AtomicU64,
    gauge: Mutex<Gauge>,
    log: Log,
}

impl Memory {
    /// With what this thread has counted so far, as by restoring sessions.
    pub(crate) fn new(limit: Option<u64>, log: Log) -> Self {
        Self {
            limit: AtomicU64::new(limit.unwrap_or(0)),
            held: AtomicI64::new(take_held()),
            short: AtomicBool::new(false),
            next_look: AtomicU64::new(0),
            gauge: Mutex::default(),
            log,
        }
    }

    pub(crate) fn set_limit(&self, limit: Option<u64>) {
        self.limit.store(limit.unwrap_or(0), Ordering::Relaxed);
        self.next_look.store(0, Ordering::Relaxed);
    }

    /// Adds what this thread has counted since the last time. To be called now and then by each thread, and before it
    /// sleeps.
    pub(crate) fn add(&self) {
        let grown = take_held();
        if grown != 0 {
            self.held.fetch_add(grown, Ordering::Relaxed);
        }
    }

    /// Whether there is so much that nothing new may be held. Says so in the log when it begins and ends.
    pub(crate) fn is_short(&self, now: Time) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let short = self.short.load(Ordering::Relaxed);
        if limit == 0 && !short {
            return false;
        }
        let held = u64::try_from(self.held.load(Ordering::Relaxed)).unwrap_or(0);
        let due = now.0 >= self.next_look.load(Ordering::Relaxed);
        if due || (held >= limit && !short) {
            self.look(now, limit, held);
        }
        self.short.load(Ordering::Relaxed)
    }

    /// When somebody has to look again whether it is still short; there may be nothing else to wake up for.
    pub(crate) fn next_look(&self) -> Option<Time> {
        self.short.load(Ordering::Relaxed).then(|| Time(self.next_look.load(Ordering::Relaxed)))
    }

    #[cold]
    fn look(&self, now: Time, limit: u64, held: u64) {
        let mut gauge = self.gauge.lock().unwrap_or_else(PoisonError::into_inner);
        self.next_look.store((now + MEMORY_PERIOD).0, Ordering::Relaxed);
        let was = self.short.load(Ordering::Relaxed);
        let used = gauge.used(held, heap_bytes());
        let short = is_above(used, limit, was);
        self.short.store(short, Ordering::Relaxed);
        if short && !was {
            self.log.warning(format!(
                "Warning: Memory is short: {used} bytes are in use, and 'memory_limit' is {limit}. Messages that would \
                 have to wait, messages to be retained and new sessions are refused."
            ));
        } else if was && !short {
            self.log.warning(format!(
                "Memory is no longer short: {used} bytes are in use. Nothing is refused any more."
            ));
        }
    }
}

/// What is in use, from what is counted and what the system says.
#[derive(Debug, Default)]
struct Gauge {
    /// The most that was ever resident, and the most that was ever counted. What lies between that and what is counted now
    /// was freed.
    peak: (u64, u64),
}

impl Gauge {
    fn used(&mut self, held: u64, resident: u64) -> u64 {
        self.peak = (self.peak.0.max(resident), self.peak.1.max(held));
        let freed = self.peak.1.saturating_sub(held);
        held.max(resident.min(self.peak.0.saturating_sub(freed)))
    }
}

/// A tenth has to go before it is over.
fn is_above(used: u64, limit: u64, was: bool) -> bool {
    limit > 0 && used >= if was { limit - limit / 10 } else { limit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_freed_does_not_count_even_if_the_allocator_keeps_it() {
        let mut gauge = Gauge::default();
        assert_eq!(gauge.used(10, 50), 50, "what is not counted is seen");
        assert_eq!(gauge.used(60, 55), 60, "what is counted is believed");
        assert_eq!(gauge.used(60, 100), 100);
        assert_eq!(gauge.used(20, 100), 60, "forty were freed and kept");
        assert_eq!(gauge.used(20, 30), 30, "or given back");
        assert_eq!(gauge.used(20, 110), 70, "ten more, although forty are free");
        assert_eq!(gauge.used(70, 110), 110, "counted late, or in memory that was kept");
        assert_eq!(gauge.used(10, 110), 50, "sixty were freed");
    }

    #[test]
    fn it_begins_at_the_limit_and_ends_a_tenth_below() {
        let states = [(99, false), (100, true), (91, true), (89, false), (95, false)];
        let mut short = false;
        for (used, expected) in states {
            short = is_above(used, 100, short);
            assert_eq!(short, expected, "{used}");
        }
        assert!(!is_above(u64::MAX, 0, true), "no limit any more");
    }
}
