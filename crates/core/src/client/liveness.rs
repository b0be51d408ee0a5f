//! The clocks of a connection: the wait for CONNACK, keep-alive, the wait for PINGRESP.

use super::{Error, Time};
use grovemq_codec::PacketType;
use std::time::Duration;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// Send PINGREQ.
    Ping,
    Dead(PacketType),
}

impl Due {
    pub(super) fn error(self) -> Option<Error> {
        match self {
            Self::Dead(packet) => Some(Error::Timeout(packet)),
            Self::Nothing | Self::Ping => None,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Liveness {
    /// Until when CONNACK has to be there.
    connack: Option<Time>,
    /// Zero: off, and before CONNACK.
    keep_alive: Duration,
    ping_timeout: Duration,
    sent: Time,
    received: Time,
    /// A PINGREQ is unanswered since then.
    ping: Option<Time>,
    /// The driver does not read, so silence says nothing about the server.
    deaf: bool,
}

impl Liveness {
    pub(super) fn connecting(now: Time, connack_timeout: Duration) -> Self {
        Self { connack: Some(now + connack_timeout), sent: now, received: now, ..Self::default() }
    }

    pub(super) fn online(&mut self, now: Time, keep_alive: Duration, ping_timeout: Duration) {
        *self = Self {
            keep_alive,
            ping_timeout,
            sent: self.sent,
            received: now,
            deaf: self.deaf,
            ..Self::default()
        };
    }

    pub(super) fn sent(&mut self, now: Time) {
        self.sent = self.sent.max(now);
    }

    pub(super) fn received(&mut self, now: Time) {
        self.received = self.received.max(now);
    }

    pub(super) fn pinged(&mut self, now: Time) {
        self.ping.get_or_insert(now);
        self.sent(now);
    }

    pub(super) fn pong(&mut self) {
        self.ping = None;
    }

    pub(super) fn set_reading(&mut self, now: Time, reading: bool) {
        if self.deaf && reading && self.ping.is_some() {
            self.ping = Some(now);
        }
        self.deaf = !reading;
    }

    pub(super) fn due(&self, now: Time) -> Due {
        if self.connack.is_some_and(|at| at <= now) && !self.deaf {
            return Due::Dead(PacketType::ConnAck);
        }
        if self.dead_at().is_some_and(|at| at <= now) {
            return Due::Dead(PacketType::PingResp);
        }
        if self.ping_at().is_some_and(|at| at <= now) { Due::Ping } else { Due::Nothing }
    }

    pub(super) fn next(&self) -> Option<Time> {
        [self.connack.filter(|_| !self.deaf), self.dead_at(), self.ping_at()].into_iter().flatten().min()
    }

    /// Anything received since the PINGREQ counts as a sign of life: the answer may stand behind a long backlog.
    fn dead_at(&self) -> Option<Time> {
        self.ping.filter(|_| !self.deaf).map(|ping| ping.max(self.received) + self.ping_timeout)
    }

    /// A ping is due when we have been silent, which the server minds [MQTT-3.1.2-20], or when the server has, which
    /// would let a dead connection go unnoticed while we send.
    fn ping_at(&self) -> Option<Time> {
        if self.keep_alive.is_zero() {
            return None;
        }
        let silent_since =
            if self.ping.is_some() || self.deaf { self.sent } else { self.sent.min(self.received) };
        Some(silent_since + self.keep_alive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Time {
        Time(seconds * 1000)
    }

    fn online() -> Liveness {
        let mut l = Liveness::connecting(at(0), 5 * SECOND);
        l.online(at(0), 10 * SECOND, 3 * SECOND);
        l
    }

    #[test]
    fn connack_has_its_own_deadline() {
        let l = Liveness::connecting(at(1), 5 * SECOND);
        assert_eq!(l.next(), Some(at(6)));
        assert_eq!(l.due(at(5)), Due::Nothing);
        assert_eq!(l.due(at(6)), Due::Dead(PacketType::ConnAck));
    }

    #[test]
    fn silence_of_either_side_calls_for_a_ping() {
        let mut l = online();
        l.sent(at(8));
        assert_eq!(l.due(at(10)), Due::Ping, "the server has been silent");
        l.received(at(9));
        assert_eq!(l.next(), Some(at(18)));
        l.received(at(30));
        assert_eq!(l.due(at(18)), Due::Ping, "we have been silent");
    }

    #[test]
    fn unanswered_ping_is_death_unless_bytes_arrive() {
        let mut l = online();
        l.pinged(at(10));
        assert_eq!(l.next(), Some(at(13)));
        l.received(at(12));
        assert_eq!(l.due(at(13)), Due::Nothing);
        assert_eq!(l.due(at(15)), Due::Dead(PacketType::PingResp));
        l.pong();
        assert_eq!(l.due(at(15)), Due::Nothing);
    }

    #[test]
    fn a_driver_that_does_not_read_still_pings_but_never_buries() {
        let mut l = online();
        l.set_reading(at(1), false);
        l.pinged(at(10));
        assert_eq!(l.due(at(19)), Due::Nothing);
        assert_eq!(l.due(at(20)), Due::Ping);
        l.set_reading(at(50), true);
        assert_eq!(l.due(at(52)), Due::Ping);
        assert_eq!(l.due(at(53)), Due::Dead(PacketType::PingResp));
    }

    #[test]
    fn no_keep_alive_no_timer() {
        let mut l = Liveness::connecting(at(0), SECOND);
        l.online(at(0), Duration::ZERO, SECOND);
        assert_eq!(l.next(), None);
    }
}
