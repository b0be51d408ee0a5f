//! Retained messages that have expired are dropped now and then, in slices, by the first shard for all.

use super::Shard;
use crate::journal::Record;
use crate::router::Cursor;
use crate::timers::Timer;
use crate::{MessageRef, Time};

/// Topics looked at in one turn.
const SWEEP_TOPICS: usize = 2000;

/// A walk over all retained messages.
#[derive(Debug, Default)]
pub(super) struct Sweep(Option<Cursor>);

impl Sweep {
    pub(super) fn is_under_way(&self) -> bool {
        self.0.is_some()
    }
}

impl Shard {
    pub(super) fn on_sweep_timer(&mut self, now: Time) {
        self.sweep.0.get_or_insert(Cursor::Start);
        self.timers.set(now + self.settings.limits.retained_sweep_period, Timer::Sweep);
    }

    /// A slice of the walk.
    pub(super) fn sweep_some(&mut self, now: Time) {
        let Some(mut cursor) = self.sweep.0.take() else { return };
        let swept = self.router.retained_mut().sweep(now, &mut cursor, SWEEP_TOPICS);
        let stored = self.clients.journal.is_on();
        for message in swept.iter().filter(|_| stored) {
            let gone = MessageRef { payload: &[], properties: &[], ..message.view() };
            self.clients.journal.record(Record::Retained(gone.to_shared()));
        }
        self.sweep.0 = Some(cursor).filter(|at| *at != Cursor::Start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{Peer, Silent};
    use crate::{Limits, ListenerSettings, Router, Settings};
    use core::time::Duration;
    use grovemq_codec::Qos;
    use std::sync::Arc;

    fn shard(id: u16, limits: Limits) -> Shard {
        let listener = ListenerSettings { allow_anonymous: true, ..ListenerSettings::default() };
        let settings = Settings { listeners: vec![listener], limits, ..Settings::default() };
        let router = Arc::new(Router::new(foldhash::fast::FixedState::with_seed(1)));
        Shard::new(id, 1, router, Arc::new(settings), Box::new(Silent))
    }

    #[test]
    fn the_expired_go_in_slices_at_their_time() {
        let period = Duration::from_secs(60);
        let mut shard = shard(0, Limits { retained_sweep_period: period, ..Limits::default() });
        let some = SWEEP_TOPICS * 2;
        for n in 0..some {
            let expires = (n % 2 == 0).then_some(Time(1000));
            let topic = format!("t/{n}");
            let m = MessageRef {
                topic: &topic,
                properties: &[],
                payload: b"x",
                qos: Qos::AtMostOnce,
                retain: true,
                expires,
            };
            shard.router.retained_mut().set(m.to_shared(), usize::MAX);
        }
        assert_eq!(shard.next_timeout(), Some(Time(0) + period));
        shard.handle_timeout(Time(5000));
        assert_eq!(shard.router.retained().len(), some, "it is not time yet");
        let mut slices = 0;
        let now = Time(0) + period;
        shard.handle_timeout(now);
        while shard.has_work() {
            let before = shard.router.retained().len();
            shard.handle_timeout(now);
            assert!(before - shard.router.retained().len() <= SWEEP_TOPICS, "a slice is too large");
            slices += 1;
        }
        assert!(slices > 0);
        assert_eq!(shard.router.retained().len(), some / 2);
        assert_eq!(shard.next_timeout(), Some(now + period), "it comes again");
    }

    #[test]
    fn who_retains_more_than_there_is_room_for_is_told() {
        let mut shard = shard(0, Limits { retained_max: 1, ..Limits::default() });
        let key = shard.handle_open(Time(0), Peer { address: None, listener: 0, secured: None });
        shard.handle_input(Time(0), key, b"\x10\x0e\0\x04MQTT\x05\x02\0\0\0\0\x01a");
        let mut answers = |packet: &[u8]| {
            let n = shard.outbox(key).map_or(0, crate::Outbox::len);
            shard.sent(Time(0), key, n);
            shard.handle_input(Time(0), key, packet);
            shard.outbox(key).and_then(crate::Outbox::as_single).unwrap_or_default().to_vec()
        };
        // b is one too many, at every QoS; a may be replaced, and removed to make room
        for (packet, answer) in [
            (&b"\x33\x07\0\x01a\0\x01\0x"[..], &b"\x40\x03\0\x01\x10"[..]),
            (b"\x33\x07\0\x01b\0\x02\0x", b"\x40\x03\0\x02\x97"),
            (b"\x35\x07\0\x01b\0\x03\0x", b"\x50\x03\0\x03\x97"),
            // the id is free again
            (b"\x62\x02\0\x03", b"\x70\x03\0\x03\x92"),
            (b"\x31\x05\0\x01b\0x", b""),
            (b"\x33\x07\0\x01a\0\x04\0y", b"\x40\x03\0\x04\x10"),
            (b"\x33\x06\0\x01b\0\x05\0", b"\x40\x03\0\x05\x10"),
            (b"\x33\x06\0\x01a\0\x06\0", b"\x40\x03\0\x06\x10"),
            (b"\x33\x07\0\x01b\0\x07\0x", b"\x40\x03\0\x07\x10"),
        ] {
            assert_eq!(answers(packet), answer, "{packet:x?}");
        }
    }
}
