//! Addresses from which logins fail, and how long the next login from there has to wait.
//!
//! Each failure is forgotten [`LOGIN_FAILURE_TIME`] after the one before it. Up to [`LOGIN_FAILURES_FREE`] remembered ones
//! cost nothing; from there on each doubles the delay, up to the longest that is configured.

use crate::limits::{
    LOGIN_ADDRESSES_MAX, LOGIN_DELAY_MIN, LOGIN_DOUBLINGS_MAX, LOGIN_FAILURE_TIME, LOGIN_FAILURES_FREE,
    LOGINS_WAITING_PER_ADDRESS,
};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Whose failures are counted together: an address of IPv4, or a network of IPv6 as one customer gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Source(IpAddr);

impl Source {
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(a) => Ipv6Addr::from_bits(a.to_bits() & !u128::from(u64::MAX)).into(),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

#[derive(Debug)]
struct Record {
    /// When its last failure is forgotten.
    forgotten: Instant,
    /// Logins that wait now.
    waiting: u16,
    /// That it is delayed was said.
    told: bool,
}

#[derive(Debug)]
pub(crate) struct Guesses {
    /// `None`: nobody is delayed.
    delay_max: Option<Duration>,
    records: HashMap<Source, Record>,
}

impl Guesses {
    pub(crate) fn new(delay_max: Option<Duration>) -> Self {
        Self { delay_max, records: HashMap::new() }
    }

    pub(crate) fn set_delay_max(&mut self, delay_max: Option<Duration>) {
        self.delay_max = delay_max;
        if delay_max.is_none() {
            self.records.clear();
        }
    }

    /// Nothing has failed lately.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How long a login from there has to wait.
    pub(crate) fn delay(&self, now: Instant, source: Source) -> Option<Duration> {
        let failures = self.records.get(&source)?.failures(now);
        let doublings = failures.checked_sub(LOGIN_FAILURES_FREE)?;
        Some((LOGIN_DELAY_MIN * 2_u32.pow(doublings.min(LOGIN_DOUBLINGS_MAX))).min(self.delay_max?))
    }

    /// A login is about to wait; `false` when too many from there do.
    pub(crate) fn begin_wait(&mut self, source: Source) -> bool {
        let Some(record) = self.records.get_mut(&source) else { return true };
        if record.waiting >= LOGINS_WAITING_PER_ADDRESS {
            return false;
        }
        record.waiting += 1;
        true
    }

    /// It has waited.
    pub(crate) fn end_wait(&mut self, source: Source) {
        if let Some(record) = self.records.get_mut(&source) {
            record.waiting = record.waiting.saturating_sub(1);
        }
    }

    /// A login from there has failed; `true` when from now on they are delayed and were not before.
    pub(crate) fn fail(&mut self, now: Instant, source: Source) -> bool {
        if self.delay_max.is_none() {
            return false;
        }
        if !self.records.contains_key(&source) {
            self.make_room(now);
        }
        let fresh = Record { forgotten: now, waiting: 0, told: false };
        let record = self.records.entry(source).or_insert(fresh);
        if record.forgotten <= now {
            (record.forgotten, record.told) = (now, false);
        }
        let most = LOGIN_FAILURE_TIME * (LOGIN_FAILURES_FREE + LOGIN_DOUBLINGS_MAX);
        record.forgotten = (record.forgotten + LOGIN_FAILURE_TIME).min(now + most);
        let begins = !record.told && record.failures(now) >= LOGIN_FAILURES_FREE;
        record.told |= begins;
        begins
    }

    /// Where there are too many addresses, those with the least to remember are forgotten.
    fn make_room(&mut self, now: Instant) {
        if self.records.len() < LOGIN_ADDRESSES_MAX {
            return;
        }
        self.records.retain(|_, record| record.forgotten > now);
        while self.records.len() >= LOGIN_ADDRESSES_MAX {
            let Some(least) = self.records.iter().min_by_key(|(_, r)| r.forgotten).map(|(s, _)| *s) else {
                return;
            };
            self.records.remove(&least);
        }
    }
}

impl Record {
    /// Those not yet forgotten.
    fn failures(&self, now: Instant) -> u32 {
        let left = self.forgotten.saturating_duration_since(now).as_millis();
        u32::try_from(left.div_ceil(LOGIN_FAILURE_TIME.as_millis())).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Option<Duration> = Some(Duration::from_secs(8));

    fn source(address: &str) -> Source {
        Source::of(address.parse().unwrap())
    }

    #[test]
    fn the_delay_doubles_to_its_bound_and_is_forgotten() {
        let (mut guesses, start) = (Guesses::new(LONGEST), Instant::now());
        let (culprit, other) = (source("192.0.2.1"), source("192.0.2.2"));
        let mut delays = Vec::new();
        let mut told = Vec::new();
        for _ in 0..14 {
            told.push(guesses.fail(start, culprit));
            delays.push(guesses.delay(start, culprit).map_or(0, |d| d.as_millis()));
        }
        assert_eq!(delays, [0, 0, 0, 0, 250, 500, 1000, 2000, 4000, 8000, 8000, 8000, 8000, 8000]);
        assert_eq!(told.iter().position(|t| *t), Some(4));
        assert_eq!(told.iter().filter(|t| **t).count(), 1, "said once");
        assert_eq!(guesses.delay(start, other), None);
        // one failure less after each of these times
        let later = start + LOGIN_FAILURE_TIME * 5;
        assert_eq!(guesses.delay(later, culprit), Some(LOGIN_DELAY_MIN));
        assert_eq!(guesses.delay(later + LOGIN_FAILURE_TIME, culprit), None);
        // all forgotten: the next burst is said anew
        let next = start + LOGIN_FAILURE_TIME * 11;
        assert_eq!((0..6).filter(|_| guesses.fail(next, culprit)).count(), 1);
    }

    #[test]
    fn slow_failures_cost_nothing() {
        let (mut guesses, mut now) = (Guesses::new(LONGEST), Instant::now());
        for _ in 0..100 {
            guesses.fail(now, source("192.0.2.1"));
            now += LOGIN_FAILURE_TIME;
            assert_eq!(guesses.delay(now, source("192.0.2.1")), None);
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_source_and_a_mapped_address_is_ipv4() {
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:2"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
    }

    #[test]
    fn very_many_addresses_are_bounded_and_the_worst_is_kept() {
        let (mut guesses, now) = (Guesses::new(LONGEST), Instant::now());
        let worst = source("192.0.2.1");
        for _ in 0..8 {
            guesses.fail(now, worst);
        }
        for i in 0..100 + u32::try_from(LOGIN_ADDRESSES_MAX).unwrap() {
            guesses.fail(
                now + Duration::from_millis(i.into()),
                source(&format!("2001:db8:{:x}:{:x}::1", i >> 16, i & 0xffff)),
            );
        }
        assert_eq!(guesses.records.len(), LOGIN_ADDRESSES_MAX);
        assert!(guesses.delay(now, worst).is_some());
    }

    #[test]
    fn few_wait_from_one_address() {
        let (mut guesses, now) = (Guesses::new(LONGEST), Instant::now());
        let culprit = source("192.0.2.1");
        guesses.fail(now, culprit);
        let waiting = (0..1000).filter(|_| guesses.begin_wait(culprit)).count();
        assert_eq!(waiting, usize::from(LOGINS_WAITING_PER_ADDRESS));
        guesses.end_wait(culprit);
        assert!(guesses.begin_wait(culprit));
    }

    #[test]
    fn it_can_be_turned_off() {
        let (mut guesses, now) = (Guesses::new(None), Instant::now());
        assert_eq!((0..100).filter(|_| guesses.fail(now, source("192.0.2.1"))).count(), 0);
        assert!(guesses.is_empty());
    }
}
