//! What can be wrong with bytes from a peer, and with a packet we were asked to write.

use crate::ReasonCode;
use core::fmt;

/// The peer broke the protocol. Every variant maps to one reason code in [`Error::reason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The bytes do not follow the packet's format; the text says where.
    Malformed(&'static str),
    /// The format is right but the content is forbidden; the text says where.
    Protocol(&'static str),
    /// The packet is larger than the limit given.
    TooLarge,
    /// CONNECT with a protocol name or level we do not speak.
    UnsupportedVersion,
    /// A topic name that is empty, holds a wildcard, or is too deep.
    TopicNameInvalid,
    /// A topic filter that is empty, misplaces a wildcard, breaks the form of `$share`, or is too deep.
    TopicFilterInvalid,
    /// Topic alias 0.
    TopicAliasInvalid,
    /// An empty client id where the version forbids it: in 3.1, and in 3.1.1 with a durable session.
    ClientIdInvalid,
}

impl Error {
    /// The reason code to close the connection with.
    pub const fn reason(self) -> ReasonCode {
        match self {
            Self::Malformed(_) => ReasonCode::MalformedPacket,
            Self::Protocol(_) => ReasonCode::ProtocolError,
            Self::TooLarge => ReasonCode::PacketTooLarge,
            Self::UnsupportedVersion => ReasonCode::UnsupportedProtocolVersion,
            Self::TopicNameInvalid => ReasonCode::TopicNameInvalid,
            Self::TopicFilterInvalid => ReasonCode::TopicFilterInvalid,
            Self::TopicAliasInvalid => ReasonCode::TopicAliasInvalid,
            Self::ClientIdInvalid => ReasonCode::ClientIdentifierNotValid,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(place) => write!(f, "malformed packet: {place}"),
            Self::Protocol(place) => write!(f, "protocol error: {place}"),
            Self::TooLarge => f.write_str("packet larger than the limit"),
            Self::UnsupportedVersion => f.write_str("unsupported protocol name or version"),
            Self::TopicNameInvalid => f.write_str("invalid topic name"),
            Self::TopicFilterInvalid => f.write_str("invalid topic filter"),
            Self::TopicAliasInvalid => f.write_str("topic alias 0"),
            Self::ClientIdInvalid => f.write_str("empty client identifier"),
        }
    }
}

impl core::error::Error for Error {}

/// The packet given cannot be written; nothing was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// A string or binary field above 65,535 bytes, or the packet above 268,435,455.
    TooLong,
    /// The packet or one of its values does not exist in this protocol version.
    NotInVersion,
    /// The packet holds a value that no version allows, or contradicts itself; the text says where.
    Invalid(&'static str),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("field or packet too long"),
            Self::NotInVersion => f.write_str("not in this protocol version"),
            Self::Invalid(place) => write!(f, "invalid value: {place}"),
        }
    }
}

impl core::error::Error for EncodeError {}
