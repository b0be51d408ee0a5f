//! What the core tells the outside world: for logs, nothing depends on it.

use crate::Time;
use grovemq_codec::{Packet, Qos, ReasonCode, SubscribeOptions, Version};
use std::net::SocketAddr;

/// Where a connection came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// `None` for connections that have no address.
    pub address: Option<SocketAddr>,
    /// Index of the listener; that of [`Peer::INSIDE`] is none.
    pub listener: u16,
    /// Version and cipher suite of TLS, in the words of the log.
    pub secured: Option<&'static str>,
}

impl Peer {
    /// A client inside the broker's own process.
    pub const INSIDE: Self = Self { address: None, listener: u16::MAX, secured: None };
}

/// What [`Cause::Protocol`] says of a client that speaks TLS to a listener that does not.
pub const UNEXPECTED_TLS: &str = "TLS on a listener without TLS";

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// DISCONNECT from the client, with this reason code.
    Disconnect(ReasonCode),
    /// The stream ended without one.
    StreamEnded,
    /// The stream broke.
    StreamError,
    Malformed(&'static str),
    Protocol(&'static str),
    PacketTooLarge,
    PayloadTooLarge,
    NotAuthorized,
    BadCredentials,
    ServerUnavailable,
    ClientIdInvalid,
    UnsupportedVersion,
    TopicNameInvalid,
    TopicAliasInvalid,
    BadAuthenticationMethod,
    KeepAliveTimeout,
    ConnectTimeout,
    TakenOver,
    ReceiveMaximumExceeded,
    QosNotSupported,
    RetainNotSupported,
    QuotaExceeded,
    Administrative,
    Shutdown,
}

impl Cause {
    /// The reason code that tells the client. The only place where causes become codes.
    pub fn reason(self) -> ReasonCode {
        match self {
            Self::Disconnect(code) => code,
            Self::StreamEnded | Self::StreamError => ReasonCode::UnspecifiedError,
            Self::Malformed(_) => ReasonCode::MalformedPacket,
            Self::Protocol(_) => ReasonCode::ProtocolError,
            Self::PacketTooLarge | Self::PayloadTooLarge => ReasonCode::PacketTooLarge,
            Self::NotAuthorized => ReasonCode::NotAuthorized,
            Self::BadCredentials => ReasonCode::BadUserNameOrPassword,
            Self::ServerUnavailable => ReasonCode::ServerUnavailable,
            Self::ClientIdInvalid => ReasonCode::ClientIdentifierNotValid,
            Self::UnsupportedVersion => ReasonCode::UnsupportedProtocolVersion,
            Self::TopicNameInvalid => ReasonCode::TopicNameInvalid,
            Self::TopicAliasInvalid => ReasonCode::TopicAliasInvalid,
            Self::BadAuthenticationMethod => ReasonCode::BadAuthenticationMethod,
            Self::KeepAliveTimeout => ReasonCode::KeepAliveTimeout,
            Self::ConnectTimeout => ReasonCode::MaximumConnectTime,
            Self::TakenOver => ReasonCode::SessionTakenOver,
            Self::ReceiveMaximumExceeded => ReasonCode::ReceiveMaximumExceeded,
            Self::QosNotSupported => ReasonCode::QosNotSupported,
            Self::RetainNotSupported => ReasonCode::RetainNotSupported,
            Self::QuotaExceeded => ReasonCode::QuotaExceeded,
            Self::Administrative => ReasonCode::AdministrativeAction,
            Self::Shutdown => ReasonCode::ServerShuttingDown,
        }
    }
}

impl From<grovemq_codec::Error> for Cause {
    fn from(e: grovemq_codec::Error) -> Self {
        use grovemq_codec::Error;
        match e {
            Error::Malformed(what) => Self::Malformed(what),
            Error::Protocol(what) => Self::Protocol(what),
            Error::TooLarge => Self::PacketTooLarge,
            Error::UnsupportedVersion => Self::UnsupportedVersion,
            Error::TopicNameInvalid | Error::TopicFilterInvalid => Self::TopicNameInvalid,
            Error::TopicAliasInvalid => Self::TopicAliasInvalid,
            Error::ClientIdInvalid => Self::ClientIdInvalid,
        }
    }
}

/// Something worth a line in a log.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    Opened {
        peer: Peer,
    },
    Connected(Connected<'a>),
    /// `client_id` is `None` before CONNECT was accepted.
    Disconnected {
        peer: Peer,
        client_id: Option<&'a str>,
        username: Option<&'a str>,
        cause: Cause,
        /// Messages for it that were dropped since its session began: it was too slow for them, or away too long.
        dropped: u32,
    },
    Received {
        client_id: &'a str,
        packet: &'a Packet<'a>,
    },
    SentPublish {
        client_id: &'a str,
        dup: bool,
        qos: Qos,
        retain: bool,
        packet_id: u16,
        topic: &'a str,
        bytes: usize,
    },
    /// Any other packet to a client: name, packet id (0 is none) and reason code.
    Sent {
        client_id: &'a str,
        name: &'static str,
        packet_id: u16,
        reason: u8,
    },
    Subscribed {
        client_id: &'a str,
        filter: &'a str,
        options: SubscribeOptions,
        granted: ReasonCode,
    },
    Unsubscribed {
        client_id: &'a str,
        filter: &'a str,
    },
    Denied {
        client_id: &'a str,
        username: Option<&'a str>,
        topic: &'a str,
        qos: Qos,
        retain: bool,
        packet_id: u16,
        bytes: usize,
        reason: &'a str,
    },
    /// The first of a run of messages that a client was too slow for.
    Dropping {
        client_id: &'a str,
    },
    /// A client publishes faster than it may and is read from more slowly; the first time of a run.
    Slowed {
        client_id: &'a str,
    },
    /// The run is over, because the client has caught up or is gone; so many messages it were.
    Dropped {
        client_id: &'a str,
        count: u32,
    },
    /// The first of a run of messages that were to be retained, and for which there is no room.
    RetainedFull {
        client_id: &'a str,
        topic: &'a str,
    },
    /// There is room again; so many messages were refused.
    RetainedRoom {
        count: u32,
    },
    SessionExpired {
        client_id: &'a str,
    },
}

#[derive(Clone, Copy, Debug)]
pub struct Connected<'a> {
    pub peer: Peer,
    pub client_id: &'a str,
    pub version: Version,
    pub clean_start: bool,
    /// Seconds.
    pub keep_alive: u16,
    pub username: Option<&'a str>,
    pub bridge: bool,
    pub session_present: bool,
    pub will: Option<WillSummary<'a>>,
}

#[derive(Clone, Copy, Debug)]
pub struct WillSummary<'a> {
    pub topic: &'a str,
    pub bytes: usize,
    pub qos: Qos,
    pub retain: bool,
}

/// Receives events, on the event loop.
pub trait Observe: Send {
    /// Whether single packets are of interest; asked once per turn.
    fn wants_packets(&self) -> bool;
    fn on(&mut self, now: Time, event: Event<'_>);
}

/// Nobody listens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observe for Silent {
    fn wants_packets(&self) -> bool {
        false
    }

    fn on(&mut self, _: Time, _: Event<'_>) {}
}

/// Counters of a shard since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub bytes_received: u64,
    pub bytes_sent: u64,
    pub messages_received: u64,
    pub messages_sent: u64,
    pub publish_received: u64,
    pub publish_sent: u64,
    pub publish_dropped: u64,
    pub publish_bytes_received: u64,
    pub publish_bytes_sent: u64,
    /// Streams accepted.
    pub connections: u64,
    /// CONNECT packets received.
    pub connects: u64,
    pub sessions_expired: u64,
}

/// What a shard holds at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Sessions, connected or not.
    pub sessions: u64,
    /// Clients that are connected.
    pub connected: u64,
    /// Messages queued or in flight, counted once for each receiver.
    pub messages: u64,
    /// Their topics, properties and payloads.
    pub message_bytes: u64,
    /// Bytes the clients' streams have not taken yet.
    pub output_bytes: u64,
}
