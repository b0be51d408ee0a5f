//! Confirmable messages on their way: repeated, ever more slowly, until they are acknowledged or given up (RFC 7252, 4.2).

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// `ACK_TIMEOUT`
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);
/// `MAX_RETRANSMIT`
pub(crate) const REPETITIONS: u32 = 4;

pub(crate) type Key = (SocketAddr, u16);

#[derive(Debug, Default)]
pub(crate) struct Transmissions {
    under_way: HashMap<Key, Transmission>,
    due: BTreeSet<(Instant, Key)>,
}

#[derive(Debug)]
struct Transmission {
    bytes: Vec<u8>,
    timeout: Duration,
    repeated: u32,
    due: Instant,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Again(SocketAddr, Vec<u8>),
    GivenUp(Key),
}

impl Transmissions {
    pub(crate) fn len(&self) -> usize {
        self.under_way.len()
    }

    /// `jitter` of 0 to 255 makes the first pause up to half as long again (`ACK_RANDOM_FACTOR`).
    pub(crate) fn begin(&mut self, now: Instant, key: Key, bytes: Vec<u8>, jitter: u8) {
        let timeout = TIMEOUT + TIMEOUT * u32::from(jitter) / 512;
        let due = now + timeout;
        self.end(key);
        self.under_way.insert(key, Transmission { bytes, timeout, repeated: 0, due });
        self.due.insert((due, key));
    }

    /// Acknowledged, or refused; `false` for one that is not under way.
    pub(crate) fn end(&mut self, key: Key) -> bool {
        let Some(ended) = self.under_way.remove(&key) else { return false };
        self.due.remove(&(ended.due, key));
        true
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    pub(crate) fn expire(&mut self, now: Instant) -> Option<Due> {
        let (due, key) = *self.due.first().filter(|(due, _)| *due <= now)?;
        self.due.remove(&(due, key));
        let transmission = self.under_way.get_mut(&key)?;
        if transmission.repeated == REPETITIONS {
            self.under_way.remove(&key);
            return Some(Due::GivenUp(key));
        }
        transmission.repeated += 1;
        transmission.timeout *= 2;
        transmission.due = now + transmission.timeout;
        self.due.insert((transmission.due, key));
        Some(Due::Again(key.0, transmission.bytes.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_four_times_at_doubling_distance_and_given_up() {
        let (mut transmissions, start) = (Transmissions::default(), Instant::now());
        let key = ("127.0.0.1:5683".parse().unwrap(), 7);
        transmissions.begin(start, key, b"x".to_vec(), 0);
        let mut at = Vec::new();
        let mut given_up = None;
        while let Some(due) = transmissions.next_due() {
            match transmissions.expire(due).unwrap() {
                Due::Again(to, bytes) => {
                    assert_eq!((to, &*bytes), (key.0, &b"x"[..]));
                    at.push((due - start).as_secs());
                }
                Due::GivenUp(which) => given_up = Some((which, (due - start).as_secs())),
            }
        }
        assert_eq!((at, given_up), (vec![2, 6, 14, 30], Some((key, 62))));
        assert_eq!(transmissions.len(), 0);
    }

    #[test]
    fn what_is_acknowledged_is_not_repeated() {
        let (mut transmissions, start) = (Transmissions::default(), Instant::now());
        let key = ("127.0.0.1:5683".parse().unwrap(), 7);
        transmissions.begin(start, key, b"x".to_vec(), 255);
        assert_eq!(transmissions.expire(start + TIMEOUT), None, "later by chance");
        assert!(transmissions.end(key));
        assert!(!transmissions.end(key));
        assert_eq!(transmissions.next_due(), None);
    }
}
