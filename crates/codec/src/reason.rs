//! Reason codes of MQTT 5 and their return codes in 3.x.

use crate::PacketType;
use core::fmt;

/// Declares the codes once: name, value, the specification's words, and the packets that may carry it.
macro_rules! reason_codes {
    ($($name:ident = $value:literal, $text:literal, [$($kind:ident)*];)*) => {
        /// Why something succeeded or failed. `as u8` gives the byte on the wire.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum ReasonCode {
            $(#[doc = $text] $name = $value,)*
        }

        impl ReasonCode {
            /// Every code, in the order of their values.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code of this value, if MQTT 5 defines one.
            pub const fn from_u8(value: u8) -> Option<Self> {
                match value {
                    $($value => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Whether MQTT 5 lets this packet carry the code.
            pub const fn is_allowed_in(self, kind: PacketType) -> bool {
                match self {
                    $(Self::$name => matches!(kind, $(PacketType::$kind)|*),)*
                }
            }

            const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

reason_codes! {
    Success = 0x00, "Success",
        [ConnAck PubAck PubRec PubRel PubComp SubAck UnsubAck Disconnect Auth];
    GrantedQos1 = 0x01, "Granted QoS 1", [SubAck];
    GrantedQos2 = 0x02, "Granted QoS 2", [SubAck];
    DisconnectWithWill = 0x04, "Disconnect with Will Message", [Disconnect];
    NoMatchingSubscribers = 0x10, "No matching subscribers", [PubAck PubRec];
    NoSubscriptionExisted = 0x11, "No subscription existed", [UnsubAck];
    ContinueAuthentication = 0x18, "Continue authentication", [Auth];
    ReAuthenticate = 0x19, "Re-authenticate", [Auth];
    UnspecifiedError = 0x80, "Unspecified error", [ConnAck PubAck PubRec SubAck UnsubAck Disconnect];
    MalformedPacket = 0x81, "Malformed Packet", [ConnAck Disconnect];
    ProtocolError = 0x82, "Protocol Error", [ConnAck Disconnect];
    ImplementationSpecificError = 0x83, "Implementation specific error",
        [ConnAck PubAck PubRec SubAck UnsubAck Disconnect];
    UnsupportedProtocolVersion = 0x84, "Unsupported Protocol Version", [ConnAck];
    ClientIdentifierNotValid = 0x85, "Client Identifier not valid", [ConnAck];
    BadUserNameOrPassword = 0x86, "Bad User Name or Password", [ConnAck];
    NotAuthorized = 0x87, "Not authorized", [ConnAck PubAck PubRec SubAck UnsubAck Disconnect];
    ServerUnavailable = 0x88, "Server unavailable", [ConnAck];
    ServerBusy = 0x89, "Server busy", [ConnAck Disconnect];
    Banned = 0x8A, "Banned", [ConnAck];
    ServerShuttingDown = 0x8B, "Server shutting down", [Disconnect];
    BadAuthenticationMethod = 0x8C, "Bad authentication method", [ConnAck Disconnect];
    KeepAliveTimeout = 0x8D, "Keep Alive timeout", [Disconnect];
    SessionTakenOver = 0x8E, "Session taken over", [Disconnect];
    TopicFilterInvalid = 0x8F, "Topic Filter invalid", [SubAck UnsubAck Disconnect];
    TopicNameInvalid = 0x90, "Topic Name invalid", [ConnAck PubAck PubRec Disconnect];
    PacketIdentifierInUse = 0x91, "Packet Identifier in use", [PubAck PubRec SubAck UnsubAck];
    PacketIdentifierNotFound = 0x92, "Packet Identifier not found", [PubRel PubComp];
    ReceiveMaximumExceeded = 0x93, "Receive Maximum exceeded", [Disconnect];
    TopicAliasInvalid = 0x94, "Topic Alias invalid", [Disconnect];
    PacketTooLarge = 0x95, "Packet too large", [ConnAck Disconnect];
    MessageRateTooHigh = 0x96, "Message rate too high", [Disconnect];
    QuotaExceeded = 0x97, "Quota exceeded", [ConnAck PubAck PubRec SubAck Disconnect];
    AdministrativeAction = 0x98, "Administrative action", [Disconnect];
    PayloadFormatInvalid = 0x99, "Payload format invalid", [ConnAck PubAck PubRec Disconnect];
    RetainNotSupported = 0x9A, "Retain not supported", [ConnAck Disconnect];
    QosNotSupported = 0x9B, "QoS not supported", [ConnAck Disconnect];
    UseAnotherServer = 0x9C, "Use another server", [ConnAck Disconnect];
    ServerMoved = 0x9D, "Server moved", [ConnAck Disconnect];
    SharedSubscriptionsNotSupported = 0x9E, "Shared Subscriptions not supported", [SubAck Disconnect];
    ConnectionRateExceeded = 0x9F, "Connection rate exceeded", [ConnAck Disconnect];
    MaximumConnectTime = 0xA0, "Maximum connect time", [Disconnect];
    SubscriptionIdentifiersNotSupported = 0xA1, "Subscription Identifiers not supported",
        [SubAck Disconnect];
    WildcardSubscriptionsNotSupported = 0xA2, "Wildcard Subscriptions not supported", [SubAck Disconnect];
}

impl ReasonCode {
    /// Success in a DISCONNECT.
    #[expect(non_upper_case_globals, reason = "reads as the variant it stands for")]
    pub const NormalDisconnection: Self = Self::Success;
    /// Success in a SUBACK.
    #[expect(non_upper_case_globals, reason = "reads as the variant it stands for")]
    pub const GrantedQos0: Self = Self::Success;

    /// The code that a 3.x CONNACK's return code stands for; the numbers above 5 are reserved.
    pub const fn from_connack_v3(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Success),
            1 => Some(Self::UnsupportedProtocolVersion),
            2 => Some(Self::ClientIdentifierNotValid),
            3 => Some(Self::ServerUnavailable),
            4 => Some(Self::BadUserNameOrPassword),
            5 => Some(Self::NotAuthorized),
            _ => None,
        }
    }

    /// The return code of a 3.x CONNACK that comes nearest: "server unavailable" where trying again or elsewhere
    /// may help, "not authorised" where the server will not have this client.
    pub const fn connack_v3(self) -> u8 {
        match self {
            Self::UnsupportedProtocolVersion => 1,
            Self::ClientIdentifierNotValid => 2,
            Self::BadUserNameOrPassword => 4,
            Self::ServerUnavailable
            | Self::UnspecifiedError
            | Self::ImplementationSpecificError
            | Self::ServerBusy
            | Self::ServerShuttingDown
            | Self::MessageRateTooHigh
            | Self::QuotaExceeded
            | Self::UseAnotherServer
            | Self::ServerMoved
            | Self::ConnectionRateExceeded
            | Self::MaximumConnectTime => 3,
            other if other.is_error() => 5,
            _ => 0,
        }
    }

    /// Whether the code tells of a failure (0x80 and above).
    pub const fn is_error(self) -> bool {
        self as u8 >= 0x80
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn bytes_and_codes_agree() {
        let known = (0..=u8::MAX).filter_map(ReasonCode::from_u8).collect::<alloc::vec::Vec<_>>();
        assert_eq!(known, ReasonCode::ALL);
        assert!((0..=u8::MAX).all(|b| ReasonCode::from_u8(b).is_none_or(|code| code as u8 == b)));
        assert_eq!(ReasonCode::ALL.len(), 43);
    }

    #[test]
    fn errors_begin_at_0x80() {
        assert!(!ReasonCode::ReAuthenticate.is_error());
        assert!(ReasonCode::UnspecifiedError.is_error());
    }

    #[test]
    fn v3_return_codes_are_defined_and_come_back() {
        for code in 0..=5 {
            assert_eq!(ReasonCode::from_connack_v3(code).map(ReasonCode::connack_v3), Some(code));
        }
        assert_eq!(ReasonCode::from_connack_v3(6), None);
        // A refusal must never read as an acceptance.
        assert!(ReasonCode::ALL.iter().all(|code| (code.connack_v3() == 0) != code.is_error()));
        assert_eq!(ReasonCode::Banned.connack_v3(), 5);
        assert_eq!(ReasonCode::ServerBusy.connack_v3(), 3);
    }

    #[test]
    fn codes_belong_to_packets() {
        let count = |kind| ReasonCode::ALL.iter().filter(|code| code.is_allowed_in(kind)).count();
        let counts = [
            (PacketType::ConnAck, 22),
            (PacketType::PubAck, 9),
            (PacketType::PubRec, 9),
            (PacketType::PubRel, 2),
            (PacketType::PubComp, 2),
            (PacketType::SubAck, 12),
            (PacketType::UnsubAck, 7),
            (PacketType::Disconnect, 30),
            (PacketType::Auth, 3),
            (PacketType::Publish, 0),
        ];
        assert!(
            counts.iter().all(|&(kind, n)| count(kind) == n),
            "{:?}",
            counts.map(|(kind, _)| count(kind))
        );
    }

    #[test]
    fn words_are_the_specifications() {
        assert_eq!(ReasonCode::BadUserNameOrPassword.to_string(), "Bad User Name or Password");
        assert_eq!(ReasonCode::NormalDisconnection.to_string(), "Success");
    }
}
