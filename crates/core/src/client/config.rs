//! What a connection is to be, and the limits it keeps.

use super::Will;
use core::time::Duration;
use grovemq_codec::{VARINT_MAX, Version};

/// User name and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub username: Option<String>,
    /// In 3.x a password needs a user name. [MQTT-3.1.2-22]
    pub password: Option<Vec<u8>>,
}

impl core::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let password = self.password.as_ref().map(|_| "…");
        f.debug_struct("Credentials").field("username", &self.username).field("password", &password).finish()
    }
}

/// Everything [`Protocol`](super::Protocol) has to know before the first connection.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "switches of the protocol, independent of each other")]
pub struct Config {
    pub version: Version,
    /// Empty: the server assigns one (not in 3.1).
    pub client_id: String,
    /// Clean session (3.x) or clean start (5). In 5 it holds for the first connection; later ones resume the
    /// session where `session_expiry` lets it live.
    pub clean_start: bool,
    /// Announce as a bridge, in the way Mosquitto does (3.x).
    pub bridge: bool,
    /// Whole seconds, up to 65,535; zero is off.
    pub keep_alive: Duration,
    /// How long to wait for CONNACK once the transport stands.
    pub connack_timeout: Duration,
    /// How long after a PINGREQ silence is allowed before the connection counts as dead.
    pub ping_timeout: Duration,
    pub credentials: Option<Credentials>,
    pub will: Option<Will>,
    /// Seconds; `u32::MAX` never expires (MQTT 5).
    pub session_expiry: Option<u32>,
    /// Unacknowledged `QoS` 1 and 2 messages the server may have under way to us (MQTT 5).
    pub receive_maximum: Option<u16>,
    /// How many above that are taken nevertheless: some servers miscount after a connection was lost.
    pub receive_tolerance: u16,
    /// The largest packet we take, in bytes: announced in MQTT 5, enforced in all versions.
    pub maximum_packet_size: Option<u32>,
    /// The largest packet we send, in bytes, whatever the server takes.
    pub outgoing_packet_max: Option<u32>,
    /// Send with a lower `QoS`, or not retained, what the server does not take otherwise.
    pub adapt: bool,
    /// How many topic aliases the server may use (MQTT 5).
    pub topic_alias_maximum: u16,
    pub request_response_information: Option<bool>,
    pub request_problem_information: Option<bool>,
    pub authentication_method: Option<String>,
    pub authentication_data: Option<Vec<u8>>,
    /// User properties of CONNECT (MQTT 5).
    pub user: Vec<(String, String)>,
    /// Leave acknowledging of `QoS` 1 and 2 messages to the user.
    pub manual_ack: bool,
    /// Our own bound on unacknowledged `QoS` 1 and 2 messages under way to the server, whatever it allows. `None` is
    /// 1000 in MQTT 5 and 20 in 3.x, whose servers cannot say what they allow: Mosquitto drops a client that has
    /// more than 20 `QoS` 2 messages open.
    pub inflight_max: Option<u16>,
    /// Messages that may wait while offline or while the window is full.
    pub queue_len_max: usize,
    pub queue_bytes_max: usize,
    /// Report every packet as [`Event::Packet`](super::Event::Packet).
    pub trace: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            version: Version::V5,
            client_id: String::new(),
            clean_start: true,
            bridge: false,
            keep_alive: Duration::from_secs(60),
            connack_timeout: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(20),
            credentials: None,
            will: None,
            session_expiry: None,
            receive_maximum: None,
            receive_tolerance: 0,
            maximum_packet_size: None,
            outgoing_packet_max: None,
            adapt: false,
            topic_alias_maximum: 0,
            request_response_information: None,
            request_problem_information: None,
            authentication_method: None,
            authentication_data: None,
            user: Vec::new(),
            manual_ack: false,
            inflight_max: None,
            queue_len_max: 10_000,
            queue_bytes_max: 64 << 20,
            trace: false,
        }
    }
}

impl Config {
    /// The largest packet we take, header included.
    pub(super) fn packet_limit(&self) -> u32 {
        self.maximum_packet_size.unwrap_or(VARINT_MAX + 5)
    }

    pub(super) fn inflight_limit(&self) -> u16 {
        self.inflight_max.unwrap_or(if self.version == Version::V5 { 1000 } else { 20 }).max(1)
    }
}
