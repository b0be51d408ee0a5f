//! A client made of bytes, for tests that are not dialogues of their own.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::Wire;
use crate::notation::{bytes, expected, show};

/// How long nothing may come before a test believes that nothing will.
pub const QUIET: Duration = Duration::from_millis(80);

/// One connection to a broker. What is sent and awaited is written in the [notation](crate::notation).
#[derive(Debug)]
pub struct Peer {
    wire: Wire,
}

impl Peer {
    /// Only a connection.
    #[track_caller]
    pub fn open(address: SocketAddr) -> Self {
        Peer { wire: Wire::connect_to(address) }
    }

    /// Waits so long at most for what has to come, instead of [`SOON`](crate::SOON).
    pub fn with_patience(self, patience: Duration) -> Self {
        Peer { wire: self.wire.with_patience(patience) }
    }

    /// A client of MQTT 3.1.1 with a clean session.
    #[track_caller]
    pub fn v3(port: u16, id: &str) -> Self {
        Peer::v3_at(local(port), id)
    }

    /// A client of MQTT 5 with a clean start and no session expiry.
    #[track_caller]
    pub fn v5(port: u16, id: &str) -> Self {
        Peer::v5_at(local(port), id)
    }

    /// The same on any address.
    #[track_caller]
    pub fn v3_at(address: SocketAddr, id: &str) -> Self {
        let mut peer = Peer::open(address);
        peer.send(&format!("CONNECT{{\"MQTT\" 04 02 003c \"{id}\"}}"));
        peer.expect("CONNACK{0000}");
        peer
    }

    /// The same on any address.
    #[track_caller]
    pub fn v5_at(address: SocketAddr, id: &str) -> Self {
        let mut peer = Peer::open(address);
        peer.send(&format!("CONNECT{{\"MQTT\" 05 02 003c {{}} \"{id}\"}}"));
        peer.expect("CONNACK{0000 *}");
        peer
    }

    /// A connection on which this CONNECT's answer is this one.
    #[track_caller]
    pub fn connect(port: u16, body: &str, answer: &str) -> Self {
        let mut peer = Peer::open(local(port));
        peer.send(&format!("CONNECT{{{body}}}"));
        peer.expect(answer);
        peer
    }

    /// Sends what is written.
    #[track_caller]
    pub fn send(&mut self, text: &str) {
        self.wire.send_bytes(&bytes(text));
    }

    /// Sends to a broker that may close in between; what it does about it is awaited afterwards.
    pub fn send_anyway(&mut self, text: &str) {
        self.wire.try_send_bytes(&bytes(text));
    }

    /// Sends to a broker that may close in between; false if it did.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.wire.try_send_bytes(bytes)
    }

    /// Sends bytes.
    #[track_caller]
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.wire.send_bytes(bytes);
    }

    /// The next packets are these.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        for expected in expected(text) {
            match self.try_packet() {
                Some(packet) if expected.matches(&packet) => {}
                Some(packet) => panic!("awaited {text}\n    came {}", show(&packet)),
                None if self.wire.has_ended() => panic!("awaited {text}\n    came the end"),
                None => panic!("awaited {text}\n    came nothing"),
            }
        }
    }

    /// The next packets are these, in whatever order.
    #[track_caller]
    pub fn expect_in_any_order(&mut self, text: &str) {
        let mut left = expected(text);
        while !left.is_empty() {
            let packet = self.packet();
            let Some(at) = left.iter().position(|e| e.matches(&packet)) else {
                panic!("awaited in any order {text}\n    came {}", show(&packet))
            };
            left.remove(at);
        }
    }

    /// The next packet.
    #[track_caller]
    pub fn packet(&mut self) -> Vec<u8> {
        self.wire.packet()
    }

    /// The next packet, or `None` if the connection ends first.
    pub fn try_packet(&mut self) -> Option<Vec<u8>> {
        self.wire.try_packet()
    }

    /// Nothing comes for a moment.
    #[track_caller]
    pub fn silent(&mut self) {
        self.wire.expect_silence(QUIET);
    }

    /// The connection works, and nothing came before the answer.
    #[track_caller]
    pub fn ping(&mut self) {
        self.send("PINGREQ{}");
        self.expect("PINGRESP{}");
    }

    /// The broker closes without a word.
    #[track_caller]
    pub fn closed(&mut self) {
        self.wire.expect_closed();
    }

    /// The broker closes with this DISCONNECT of MQTT 5.
    #[track_caller]
    pub fn closed_with(&mut self, reason: u8) {
        let code = format!("DISCONNECT{{{reason:02x} *}}");
        self.expect(&code);
        self.closed();
    }

    /// How long the broker takes to close from now.
    #[track_caller]
    pub fn time_to_close(&mut self) -> Duration {
        let start = Instant::now();
        while self.wire.try_packet().is_some() {}
        start.elapsed()
    }

    /// No more is sent; what comes is still read.
    pub fn end(&mut self) {
        self.wire.end_of_sending();
    }

    /// Ends with a reset instead of an orderly close.
    pub fn reset(self) {
        self.wire.reset();
    }

    /// Subscribes at this QoS in 3.1.1, and waits for the answer.
    #[track_caller]
    pub fn subscribe_v3(&mut self, filter: &str, qos: u8) {
        self.send(&format!("SUBSCRIBE{{0001 \"{filter}\" {qos:02x}}}"));
        self.expect(&format!("SUBACK{{0001 {qos:02x}}}"));
    }

    /// Subscribes with these options in MQTT 5, and waits for the answer.
    #[track_caller]
    pub fn subscribe_v5(&mut self, filter: &str, options: u8) {
        self.send(&format!("SUBSCRIBE{{0001 {{}} \"{filter}\" {options:02x}}}"));
        self.expect(&format!("SUBACK{{0001 {{}} {:02x}}}", options & 3));
    }
}

/// This machine's address with this port.
pub fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
