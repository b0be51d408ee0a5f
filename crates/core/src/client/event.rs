//! What the machine tells its driver.

use super::Received;
use core::{fmt, num::NonZeroU16, time::Duration};
use grovemq_codec::{PacketType, Qos, ReasonCode, SubscribeOptions};

/// What happened. `token` is what the driver gave with the command.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// CONNACK said yes.
    Connected(ConnAckInfo),
    /// CONNACK said no. [`Event::Closed`] follows.
    Refused(Refusal),
    Message(Received),
    /// A publication has ended: `QoS` 0 is written, `QoS` 1 or 2 acknowledged, or it failed.
    Published {
        token: u64,
        result: Result<PublishAck, Error>,
    },
    /// SUBACK, one code per filter in the order of the request; a code may be an error.
    Subscribed {
        token: u64,
        result: Result<Vec<ReasonCode>, Error>,
    },
    /// UNSUBACK, one code per filter; in 3.x, which has none, all are [`ReasonCode::Success`].
    Unsubscribed {
        token: u64,
        result: Result<Vec<ReasonCode>, Error>,
    },
    /// A remembered subscription could not be renewed on a new session and is forgotten.
    SubscriptionLost {
        filter: String,
        reason: ReasonCode,
    },
    /// The server goes on with an authentication exchange; answer with [`Protocol::auth`](super::Protocol::auth).
    Auth {
        reason: ReasonCode,
        data: Option<Vec<u8>>,
    },
    /// The connection is over: write what output there is, then close the transport.
    Closed(Error),
    /// A packet went by (only with [`Config::trace`](super::Config::trace)).
    Packet(Direction, PacketNote),
}

/// What CONNACK said, with the protocol's defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the packet, independent of each other")]
pub struct ConnAckInfo {
    pub session_present: bool,
    pub reason: ReasonCode,
    /// The id in use, whoever chose it.
    pub client_id: String,
    pub assigned_client_id: Option<String>,
    /// The keep-alive in force.
    pub keep_alive: Duration,
    /// The server's override of ours, in seconds.
    pub server_keep_alive: Option<u16>,
    /// The server's override of ours, in seconds.
    pub session_expiry: Option<u32>,
    pub receive_maximum: u16,
    pub maximum_qos: Qos,
    pub retain_available: bool,
    /// Bytes; none: no limit.
    pub maximum_packet_size: Option<u32>,
    pub topic_alias_maximum: u16,
    pub wildcard_subscription_available: bool,
    pub subscription_ids_available: bool,
    pub shared_subscription_available: bool,
    pub reason_string: Option<String>,
    pub response_information: Option<String>,
    pub server_reference: Option<String>,
    pub user: Vec<(String, String)>,
}

/// A CONNACK that refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: ReasonCode,
    /// The return code as 3.1.1 has it, where the connection speaks 3.x.
    pub v3_code: Option<u8>,
    pub reason_string: Option<String>,
    pub server_reference: Option<String>,
    pub user: Vec<(String, String)>,
}

/// How a publication ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishAck {
    /// [`ReasonCode::Success`] or [`ReasonCode::NoMatchingSubscribers`].
    pub reason: ReasonCode,
    /// Present exactly where `QoS` > 0.
    pub packet_id: Option<NonZeroU16>,
}

/// Why a request failed or a connection ended; the variant says whose fault it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The server broke the protocol.
    Protocol(grovemq_codec::Error),
    /// The server refused a request of ours: CONNECT, PUBLISH (in its PUBACK or PUBREC).
    Refused { packet: PacketType, reason: ReasonCode, text: Option<String> },
    /// The server ended the connection with DISCONNECT.
    ServerClosed { reason: ReasonCode, text: Option<String> },
    /// This packet did not come in time.
    Timeout(PacketType),
    /// The server did not prove that it knows the password.
    Unproven,
    /// The transport went away.
    ConnectionLost,
    /// The server said in CONNACK that it does not do this.
    Unsupported(ReasonCode),
    /// The packet is above what the server takes; both in bytes.
    TooLarge { size: usize, limit: u32 },
    /// Our own queue is full.
    QueueFull,
    /// The message's expiry passed while it waited.
    Expired,
    /// The request itself is wrong; the text says where.
    Invalid(&'static str),
    /// The client was told to disconnect.
    Closed,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with_text = |f: &mut fmt::Formatter<'_>, text: &Option<String>| match text {
            Some(text) => write!(f, " ({text})"),
            None => Ok(()),
        };
        match self {
            Self::Protocol(error) => write!(f, "the server broke the protocol: {error}"),
            Self::Refused { packet, reason, text } => {
                write!(f, "the server refused {packet:?}: {reason}")?;
                with_text(f, text)
            }
            Self::ServerClosed { reason, text } => {
                write!(f, "the server closed the connection: {reason}")?;
                with_text(f, text)
            }
            Self::Timeout(packet) => write!(f, "no {packet:?} in time"),
            Self::Unproven => f.write_str("the server did not prove that it knows the password"),
            Self::ConnectionLost => f.write_str("the connection was lost"),
            Self::Unsupported(reason) => write!(f, "the server does not offer this: {reason}"),
            Self::TooLarge { size, limit } => write!(f, "packet of {size} bytes; the server takes {limit}"),
            Self::QueueFull => f.write_str("the queue of unsent requests is full"),
            Self::Expired => f.write_str("the message expired before it could be sent"),
            Self::Invalid(what) => write!(f, "invalid request: {what}"),
            Self::Closed => f.write_str("the client is closed"),
        }
    }
}

impl core::error::Error for Error {}

impl From<grovemq_codec::Error> for Error {
    fn from(error: grovemq_codec::Error) -> Self {
        Self::Protocol(error)
    }
}

/// Which way a packet went, seen from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Sent,
    Received,
}

/// A packet in the few words a debug line needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PacketNote {
    Connect,
    /// The code as it stood on the wire (a 3.x return code or a reason code).
    ConnAck {
        code: u8,
    },
    Publish {
        dup: bool,
        qos: Qos,
        retain: bool,
        packet_id: u16,
        topic: String,
        payload_len: usize,
    },
    PubAck {
        packet_id: u16,
        reason: ReasonCode,
    },
    PubRec {
        packet_id: u16,
        reason: ReasonCode,
    },
    PubRel {
        packet_id: u16,
        reason: ReasonCode,
    },
    PubComp {
        packet_id: u16,
        reason: ReasonCode,
    },
    Subscribe {
        packet_id: u16,
        filters: Vec<(String, SubscribeOptions)>,
    },
    SubAck {
        packet_id: u16,
        codes: Vec<ReasonCode>,
    },
    Unsubscribe {
        packet_id: u16,
        filters: Vec<String>,
    },
    UnsubAck {
        packet_id: u16,
        codes: Vec<ReasonCode>,
    },
    PingReq,
    PingResp,
    Disconnect {
        reason: ReasonCode,
    },
    Auth {
        reason: ReasonCode,
    },
}
