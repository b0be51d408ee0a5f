//! How fast one client may publish. Who is faster is not read from for a while; nothing is dropped.
//!
//! Each message moves a mark into the future, by the time that the client may take for it. When the mark is more than a
//! second ahead, the client rests until it is not: so much may come at once.

use crate::Time;
use core::num::NonZeroU32;

const SECOND: u64 = 1_000_000_000;
const MILLISECOND: u64 = 1_000_000;

/// The most one client may publish in a second, in the long run; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublishRate {
    /// Messages.
    pub messages: Option<NonZeroU32>,
    /// Bytes of PUBLISH packets.
    pub bytes: Option<NonZeroU32>,
}

/// A client's account.
#[derive(Debug)]
pub(crate) struct Meter {
    rate: PublishRate,
    /// By when all messages so far were due, in nanoseconds of the core's clock.
    messages_mark: u64,
    /// The same for bytes.
    bytes_mark: u64,
    /// Nothing is read from the client until then.
    pub(crate) rests: Option<Time>,
    /// That it rests was said; not again before it has been slow enough for a while.
    told: bool,
}

impl Meter {
    /// `None` where there is nothing to measure.
    pub(crate) fn new(rate: PublishRate) -> Option<Box<Self>> {
        (rate != PublishRate::default())
            .then(|| Box::new(Self { rate, messages_mark: 0, bytes_mark: 0, rests: None, told: false }))
    }

    /// A PUBLISH packet of so many bytes has come. Gives until when the client has to rest, if it has to, and whether that
    /// is worth a line.
    pub(crate) fn count(&mut self, now: Time, bytes: usize) -> Option<(Time, bool)> {
        let now = now.0.saturating_mul(MILLISECOND);
        if self.messages_mark.max(self.bytes_mark) <= now {
            self.told = false;
        }
        advance(&mut self.messages_mark, now, 1, self.rate.messages);
        advance(&mut self.bytes_mark, now, bytes as u64, self.rate.bytes);
        let rests_until = self.messages_mark.max(self.bytes_mark).saturating_sub(SECOND);
        if rests_until <= now {
            return None;
        }
        let until = Time(rests_until.div_ceil(MILLISECOND));
        self.rests = Some(until);
        Some((until, !core::mem::replace(&mut self.told, true)))
    }
}

fn advance(mark: &mut u64, now: u64, amount: u64, rate: Option<NonZeroU32>) {
    if let Some(rate) = rate {
        let time = u128::from(amount) * u128::from(SECOND) / u128::from(rate.get());
        *mark = now.max(*mark).saturating_add(u64::try_from(time).unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(messages: u32, bytes: u32) -> Meter {
        let rate = PublishRate { messages: NonZeroU32::new(messages), bytes: NonZeroU32::new(bytes) };
        *Meter::new(rate).unwrap()
    }

    /// How many messages of so many bytes pass in these seconds, from a client that sends all it may.
    fn passed(meter: &mut Meter, bytes: usize, seconds: u64) -> u64 {
        let (mut now, mut count) = (Time(5_000), 0);
        while now.0 <= 5_000 + seconds * 1000 {
            count += 1;
            if let Some((until, _)) = meter.count(now, bytes) {
                assert!(until > now);
                now = until;
            }
        }
        count
    }

    #[test]
    fn in_the_long_run_the_rate_is_kept() {
        for rate in [1, 7, 1000, 30_000] {
            let count = passed(&mut meter(rate, 0), 100, 100);
            let expected = u64::from(rate) * 101;
            assert!(count.abs_diff(expected) <= 1 + u64::from(rate) / 500, "{rate}: {count}");
        }
        let count = passed(&mut meter(0, 10_000), 100, 100);
        assert!(count.abs_diff(10_100) <= 2, "{count}");
        // the lower of the two counts
        assert_eq!(passed(&mut meter(1000, 1000), 100, 10), passed(&mut meter(0, 1000), 100, 10));
    }

    #[test]
    fn a_burst_of_a_second_passes_and_is_said_once() {
        let mut meter = meter(10, 0);
        for _ in 0..10 {
            assert_eq!(meter.count(Time(1000), 5), None);
        }
        assert_eq!(meter.count(Time(1000), 5), Some((Time(1100), true)));
        assert_eq!(meter.count(Time(1100), 5), Some((Time(1200), false)));
        // all is forgotten after a quiet second
        assert_eq!(meter.count(Time(2300), 5), None);
        for _ in 0..9 {
            assert_eq!(meter.count(Time(2300), 5), None);
        }
        assert_eq!(meter.count(Time(2300), 5), Some((Time(2400), true)));
    }

    #[test]
    fn no_number_is_too_large() {
        let mut meter = meter(1, 1);
        for _ in 0..3 {
            assert!(meter.count(Time(u64::MAX), usize::MAX).is_none(), "there is no later time");
            assert!(meter.count(Time(0), usize::MAX).is_some());
        }
        assert_eq!(Meter::new(PublishRate::default()).map(|_| ()), None);
    }
}
