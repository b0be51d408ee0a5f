//! Why a request failed or a connection ended.

use grovemq_core::client as core;
use std::{fmt, io};

use grovemq_codec::{PacketType, ReasonCode};

/// Why a request failed or a connection ended; the variant says whose fault it was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The server broke the protocol.
    Protocol(grovemq_codec::Error),
    /// The server refused a request of ours: CONNECT, PUBLISH in its PUBACK or PUBREC, or the SUBSCRIBE of a stream.
    Refused { packet: PacketType, reason: ReasonCode, text: Option<String> },
    /// The server ended the connection with DISCONNECT.
    ServerClosed { reason: ReasonCode, text: Option<String> },
    /// No transport came about, or none that answered, within the connect timeout.
    ConnectTimeout,
    /// This packet did not come in time.
    Timeout(PacketType),
    /// Nobody answered a request in time.
    NoAnswer,
    /// The server did not prove that it knows the password.
    Unproven,
    /// The server closed the transport without a word.
    ConnectionLost,
    /// The host's name has no address.
    Resolve { host: String, text: String },
    /// The operating system reports trouble with the socket.
    Io { kind: io::ErrorKind, text: String },
    /// We do not trust the server's certificate, or it does not speak TLS as it should.
    Tls(String),
    /// The server ended TLS with an alert: it does not take our certificate, or has nothing in common with us.
    TlsRefused(String),
    /// The server does not speak WebSocket, or not as it should.
    WebSocket(String),
    /// The proxy refused.
    Proxy(String),
    /// What was configured cannot be; the text names the file or the part of a URL.
    Setup(String),
    /// The session's store refused; the text is its own.
    Store(String),
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
    /// The client is closed.
    Closed,
}

impl From<core::Error> for Error {
    fn from(error: core::Error) -> Self {
        match error {
            core::Error::Protocol(e) => Self::Protocol(e),
            core::Error::Refused { packet, reason, text } => Self::Refused { packet, reason, text },
            core::Error::ServerClosed { reason, text } => Self::ServerClosed { reason, text },
            core::Error::Timeout(packet) => Self::Timeout(packet),
            core::Error::Unproven => Self::Unproven,
            core::Error::ConnectionLost => Self::ConnectionLost,
            core::Error::Unsupported(reason) => Self::Unsupported(reason),
            core::Error::TooLarge { size, limit } => Self::TooLarge { size, limit },
            core::Error::QueueFull => Self::QueueFull,
            core::Error::Expired => Self::Expired,
            core::Error::Invalid(what) => Self::Invalid(what),
            core::Error::Closed => Self::Closed,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        let inner = error.get_ref();
        if let Some(error) = inner.and_then(|e| e.downcast_ref::<rustls::Error>()) {
            return match error {
                rustls::Error::AlertReceived(alert) => Self::TlsRefused(format!("{alert:?}")),
                error => Self::Tls(error.to_string()),
            };
        }
        if let Some(error) = inner.and_then(|e| e.downcast_ref::<Self>()) {
            return error.clone();
        }
        Self::Io { kind: error.kind(), text: error.to_string() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let because =
            |text: &Option<String>| text.as_ref().map_or(String::new(), |text| format!(" ({text})"));
        match self {
            Self::Protocol(error) => write!(f, "the server broke the protocol: {error}"),
            Self::Refused { packet, reason, text } => {
                write!(f, "the server refused {packet:?}: {reason}{}", because(text))
            }
            Self::ServerClosed { reason, text } => {
                write!(f, "the server closed the connection: {reason}{}", because(text))
            }
            Self::ConnectTimeout => f.write_str("no connection in time"),
            Self::Timeout(packet) => write!(f, "no {packet:?} in time"),
            Self::NoAnswer => f.write_str("nobody answered in time"),
            Self::Unproven => f.write_str("the server did not prove that it knows the password"),
            Self::ConnectionLost => f.write_str("the connection was lost"),
            Self::Resolve { host, text } => write!(f, "{host}: {text}"),
            Self::Io { text, .. } | Self::Setup(text) | Self::Store(text) => f.write_str(text),
            Self::Tls(text) => write!(f, "TLS: {text}"),
            Self::TlsRefused(alert) => write!(f, "the server refused TLS: {alert}"),
            Self::WebSocket(text) => write!(f, "WebSocket: {text}"),
            Self::Proxy(text) => write!(f, "proxy {text}"),
            Self::Unsupported(reason) => write!(f, "the server does not offer this: {reason}"),
            Self::TooLarge { size, limit } => write!(f, "packet of {size} bytes; the server takes {limit}"),
            Self::QueueFull => f.write_str("the queue of unsent requests is full"),
            Self::Expired => f.write_str("the message expired before it could be sent"),
            Self::Invalid(what) => write!(f, "invalid request: {what}"),
            Self::Closed => f.write_str("the client is closed"),
        }
    }
}

impl std::error::Error for Error {}
