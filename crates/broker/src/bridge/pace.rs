//! When to connect again, and where to.

use grovemq_config::BridgeRestart;
use std::time::Duration;

/// Which address is next, and after which delay: decorrelated jitter, so that bridges do not come back in step.
#[derive(Debug)]
pub(super) struct Pace {
    restart: BridgeRestart,
    addresses: usize,
    current: usize,
    delay: Duration,
}

/// The delay before the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delay {
    pub(super) time: Duration,
    /// The connection before had lasted.
    pub(super) reset: bool,
    /// It is not the same each time.
    pub(super) varies: bool,
}

impl Pace {
    pub(super) fn new(restart: BridgeRestart, addresses: usize) -> Self {
        Self { restart, addresses: addresses.max(1), current: 0, delay: restart.base }
    }

    /// Index of the address to try.
    pub(super) fn address(&self) -> usize {
        self.current
    }

    /// Another address than the first.
    pub(super) fn is_away(&self) -> bool {
        self.current != 0
    }

    /// The first address answers again: it is the next.
    pub(super) fn return_to_first(&mut self) {
        self.current = self.addresses - 1;
    }

    /// An attempt has failed, or a connection that `lasted` so long is gone: the next address is tried. `random` is any
    /// number.
    pub(super) fn next(&mut self, lasted: Option<Duration>, random: u64) -> Delay {
        self.current = (self.current + 1) % self.addresses;
        let BridgeRestart { base, cap, stable } = self.restart;
        let Some(cap) = cap else { return Delay { time: base, reset: false, varies: false } };
        let reset = lasted.is_some_and(|lasted| lasted >= stable);
        if reset {
            self.delay = base;
        } else {
            let part = f64::from(u32::try_from(random >> 32).unwrap_or(0)) / f64::from(u32::MAX);
            let span = self.delay.saturating_mul(3).saturating_sub(base);
            self.delay = (base + span.mul_f64(part)).min(cap);
        }
        Delay { time: self.delay, reset, varies: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pace(cap: Option<u32>, addresses: usize) -> Pace {
        let cap = cap.map(|seconds| seconds * SECOND);
        Pace::new(BridgeRestart { base: 2 * SECOND, cap, stable: 10 * SECOND }, addresses)
    }

    #[test]
    fn delays_wander_between_base_and_cap() {
        let mut pace = pace(Some(30), 1);
        let delays: Vec<_> = (0..4).map(|_| pace.next(None, u64::MAX).time.as_secs()).collect();
        assert_eq!(delays, [6, 18, 30, 30]);
        assert_eq!(pace.next(None, 0).time, 2 * SECOND);
        let mut random = 1_u64;
        for _ in 0..1000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let delay = pace.next(None, random).time;
            assert!((2 * SECOND..=30 * SECOND).contains(&delay), "{delay:?}");
        }
    }

    #[test]
    fn a_connection_that_lasted_begins_anew() {
        let mut pace = pace(Some(30), 1);
        pace.next(None, u64::MAX);
        let short = pace.next(Some(9 * SECOND), u64::MAX);
        assert_eq!(short, Delay { time: 18 * SECOND, reset: false, varies: true });
        assert_eq!(
            pace.next(Some(10 * SECOND), u64::MAX),
            Delay { time: 2 * SECOND, reset: true, varies: true }
        );
    }

    #[test]
    fn without_a_cap_it_is_always_the_same() {
        let mut pace = pace(None, 1);
        for lasted in [None, Some(SECOND), Some(20 * SECOND)] {
            assert_eq!(pace.next(lasted, u64::MAX), Delay { time: 2 * SECOND, reset: false, varies: false });
        }
    }

    #[test]
    fn addresses_take_turns() {
        let mut pace = pace(None, 3);
        let mut seen = vec![pace.address()];
        for _ in 0..4 {
            pace.next(None, 0);
            seen.push(pace.address());
        }
        assert_eq!(seen, [0, 1, 2, 0, 1]);
        assert!(pace.is_away());
        pace.return_to_first();
        pace.next(None, 0);
        assert_eq!(pace.address(), 0);
    }
}
