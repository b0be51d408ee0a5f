//! Two streams of any bytes at once into one broker: it comes to rest after each piece, sends whole packets only, has as many
//! connections as there are streams, and forgets both clients.
//!
//! The first byte chooses the broker. Then, again and again: what to do and to which stream, how many bytes, and the bytes.
#![no_main]

use grovemq_codec::{Packet, Version, decode_frame};
use grovemq_core::Limits;
use grovemq_fuzz::Broker;
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

const STEPS_MAX: usize = 60;
/// Longer than any session is allowed to live.
const FOREVER: u64 = 100_000_000;

fuzz_target!(|data: &[u8]| {
    let Some((&kind, mut rest)) = data.split_first() else { return };
    let mut pair = Pair::new(kind);
    for _ in 0..STEPS_MAX {
        let [what, len, after @ ..] = rest else { break };
        let (bytes, after) = after.split_at(after.len().min(usize::from(*len)));
        rest = after;
        pair.step(usize::from(what & 1), what >> 1 & 7, bytes);
    }
    pair.end();
});

struct Pair {
    broker: Broker,
    streams: [usize; 2],
}

impl Pair {
    fn new(kind: u8) -> Self {
        let small = Limits {
            packet_bytes_max: 200,
            inflight_max: 2,
            receive_max: 2,
            queue_messages_max: 3,
            output_bytes_max: 100,
            output_bytes_hard_max: 1000,
            subscriptions_max: 3,
            retained_max: 2,
            cache_topics_max: 2,
            turn_deliveries_max: 2,
            ..Limits::default()
        };
        let limits = if kind & 1 == 0 { Limits::default() } else { small };
        let limits = Limits {
            session_expiry_max: Some(1000),
            connect_time_max: Duration::from_secs(10),
            keep_alive_max: 1000,
            ..limits
        };
        let shards = if kind & 2 == 0 { 1 } else { 2 };
        let mut broker = Broker::new(limits, shards, kind & 4 == 0, kind & 8 != 0);
        let streams = [broker.open(), broker.open()];
        Self { broker, streams }
    }

    fn step(&mut self, side: usize, what: u8, bytes: &[u8]) {
        let stream = self.streams[side];
        match what {
            0..=3 => self.broker.feed(stream, bytes),
            4 => {
                self.broker.cut(stream);
                self.read(stream);
                self.streams[side] = self.broker.open();
                self.broker.feed(self.streams[side], bytes);
            }
            5 => self.broker.wait(1 << (bytes.len() % 24)),
            6 => {
                let reading = self.broker.streams[stream].reading;
                self.broker.set_reading(stream, !reading);
            }
            _ if self.broker.store.is_some() => {
                self.broker.kill();
                self.streams.map(|stream| self.read(stream));
                self.streams = [self.broker.open(), self.broker.open()];
            }
            _ => {}
        }
        self.streams.map(|stream| self.read(stream));
    }

    /// Looks at what a client got: whole packets of its version.
    fn read(&mut self, stream: usize) {
        let stream = &mut self.broker.streams[stream];
        let output = std::mem::take(&mut stream.output);
        let mut rest = &output[..];
        while let Some(frame) = decode_frame(rest, u32::MAX).expect("a good header") {
            let parses = |version| Packet::parse(&frame, version).is_ok();
            assert!(parses(Version::V5) || parses(Version::V311), "{:?}", frame.bytes);
            rest = &rest[frame.len()..];
        }
        assert!(rest.is_empty(), "half a packet: {rest:?}");
    }

    /// Both leave, and after their time is up nothing is left of them.
    fn end(mut self) {
        for stream in self.streams {
            self.broker.cut(stream);
            self.read(stream);
        }
        assert_eq!(self.broker.len().1, 0);
        self.broker.wait(FOREVER);
        assert!(self.broker.is_empty(), "{:?}", self.broker.len());
        assert_eq!(self.broker.subscriptions(), 0);
        let Some(store) = &mut self.broker.store else { return };
        let lines = String::from_utf8(grovemq_fuzz::exported(store)).expect("text");
        assert!(!lines.contains(r#""kind":"session""#), "{lines}");
    }
}
