//! Delays between attempts to connect.

use crate::Reconnect;
use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// The shortest delay there is, so that no policy makes a busy loop.
const DELAY_MIN: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(crate) struct Backoff {
    policy: Reconnect,
    /// What the next delay is made from.
    base: Duration,
}

impl Backoff {
    pub(crate) fn new(policy: Reconnect) -> Self {
        let mut backoff = Self { policy, base: Duration::ZERO };
        backoff.reset();
        backoff
    }

    /// A connection has come to its end after this time online. Only one that lasted proves that things are well:
    /// otherwise two clients that push each other out, or a server that accepts and drops, would make a storm.
    pub(crate) fn connection_lasted(&mut self, online: Duration) {
        if online >= self.base {
            self.reset();
        }
    }

    /// The next delay; none where the policy is not to try again. `random` is any number.
    pub(crate) fn next(&mut self, random: u64) -> Option<Duration> {
        let Reconnect::Backoff { max, .. } = self.policy else { return None };
        let base = self.base;
        self.base = base.saturating_mul(2).min(max.max(DELAY_MIN));
        let part = f64::from(u32::try_from(random >> 32).unwrap_or(0)) / f64::from(u32::MAX);
        Some(base.mul_f64(1.0 - part / 2.0))
    }

    fn reset(&mut self) {
        if let Reconnect::Backoff { min, max } = self.policy {
            self.base = min.min(max).max(DELAY_MIN);
        }
    }
}

/// A number nobody can foresee, from the seed of the standard library's hash maps.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0u8)
}

/// For 3.1, whose servers do not assign ids: within the 23 characters it allows.
pub(crate) fn random_client_id() -> String {
    format!("grove-{:016x}", random())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn delays_double_to_the_maximum_and_start_over_after_a_lasting_connection() {
        let mut backoff = Backoff::new(Reconnect::Backoff { min: 100 * MS, max: 350 * MS });
        let delays: Vec<_> = (0..4).map(|_| backoff.next(0).unwrap()).collect();
        assert_eq!(delays, [100 * MS, 200 * MS, 350 * MS, 350 * MS]);
        backoff.connection_lasted(349 * MS);
        assert_eq!(backoff.next(0), Some(350 * MS), "too short to prove anything");
        backoff.connection_lasted(350 * MS);
        assert_eq!(backoff.next(0), Some(100 * MS));
    }

    #[test]
    fn jitter_takes_up_to_one_half() {
        let mut backoff = Backoff::new(Reconnect::Backoff { min: 100 * MS, max: 100 * MS });
        assert_eq!(backoff.next(u64::MAX), Some(50 * MS));
        for _ in 0..100 {
            let delay = backoff.next(random()).unwrap();
            assert!((50 * MS..=100 * MS).contains(&delay), "{delay:?}");
        }
    }

    #[test]
    fn odd_bounds_are_made_sane() {
        let mut backoff = Backoff::new(Reconnect::Backoff { min: Duration::ZERO, max: Duration::ZERO });
        assert_eq!(backoff.next(0), Some(MS));
        assert_eq!(backoff.next(0), Some(MS));
        assert_eq!(Backoff::new(Reconnect::Never).next(0), None);
    }

    #[test]
    fn made_up_ids_suit_3_1() {
        let id = random_client_id();
        assert!(id.len() <= 23 && id.is_ascii());
        assert_ne!(id, random_client_id());
    }
}
