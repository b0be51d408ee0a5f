//! Packets to bytes, in the shortest form that their version allows.

use super::{
    Ack, Auth, ConnAck, Connect, Disconnect, Packet, Publish, Qos, SubAck, Subscribe, UnsubAck, Unsubscribe,
    Version, Will,
};
use crate::{
    EncodeError, PacketType, ReasonCode,
    property::UnsubscribeProperties,
    topic::validate_name,
    wire::{Count, Encode, Sink, varint_of},
};
use alloc::vec::Vec;

/// Does the same with whatever packet it is.
macro_rules! on_each {
    ($packet:expr, $version:expr, $action:ident $(, $out:expr)?) => {
        match $packet {
            Packet::Connect(packet) => $action(packet, packet.version $(, $out)?),
            Packet::ConnAck(packet) => $action(packet, $version $(, $out)?),
            Packet::Publish(packet) => $action(packet, $version $(, $out)?),
            Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
                $action(&AckOf($packet.kind(), ack), $version $(, $out)?)
            }
            Packet::Subscribe(packet) => $action(packet, $version $(, $out)?),
            Packet::SubAck(packet) => $action(packet, $version $(, $out)?),
            Packet::Unsubscribe(packet) => $action(packet, $version $(, $out)?),
            Packet::UnsubAck(packet) => $action(packet, $version $(, $out)?),
            Packet::PingReq | Packet::PingResp => $action(&Ping($packet.kind()), $version $(, $out)?),
            Packet::Disconnect(packet) => $action(packet, $version $(, $out)?),
            Packet::Auth(packet) => $action(packet, $version $(, $out)?),
        }
    };
}

impl Packet<'_> {
    /// Appends the packet. On error nothing is appended. CONNECT goes by its own version.
    ///
    /// In 3.x there are no properties, and reason codes are left out or become 3.x's return codes.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        on_each!(self, version, append, out)
    }

    /// Bytes that [`Packet::encode`] would append.
    pub fn encoded_len(&self, version: Version) -> Result<usize, EncodeError> {
        on_each!(self, version, measure)
    }
}

impl Connect<'_> {
    /// See [`Packet::encode`].
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        append(self, self.version, out)
    }

    /// See [`Packet::encoded_len`].
    pub fn encoded_len(&self) -> Result<usize, EncodeError> {
        measure(self, self.version)
    }
}

impl Ack<'_> {
    /// Appends it as a PUBACK, PUBREC, PUBREL or PUBCOMP. See [`Packet::encode`].
    #[inline]
    pub fn encode(&self, kind: PacketType, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        append(&AckOf(kind, self), version, out)
    }

    /// See [`Packet::encoded_len`].
    pub fn encoded_len(&self, kind: PacketType, version: Version) -> Result<usize, EncodeError> {
        measure(&AckOf(kind, self), version)
    }
}

macro_rules! encode_methods {
    ($($name:ident)*) => {$(
        impl $name<'_> {
            /// See [`Packet::encode`].
            #[inline]
            pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
                append(self, version, out)
            }

            /// See [`Packet::encoded_len`].
            #[inline]
            pub fn encoded_len(&self, version: Version) -> Result<usize, EncodeError> {
                measure(self, version)
            }
        }
    )*};
}

encode_methods! { ConnAck Publish Subscribe SubAck Unsubscribe UnsubAck Disconnect Auth }

#[inline]
fn append<B: Body>(packet: &B, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let body = Versioned(packet, version);
    let len = Count::of(&body)?;
    let remaining = varint_of(len)?;
    out.reserve(HEADER_MAX + len);
    out.u8(packet.first_byte());
    out.varint(remaining)?;
    body.write(out)
}

#[inline]
fn measure<B: Body>(packet: &B, version: Version) -> Result<usize, EncodeError> {
    let len = Count::of(&Versioned(packet, version))?;
    let mut header = Count(1);
    header.varint(varint_of(len)?)?;
    Ok(header.0 + len)
}

const HEADER_MAX: usize = 5;

/// A packet's first byte, and what comes after the remaining length.
trait Body {
    fn first_byte(&self) -> u8;

    fn body<S: Sink>(&self, version: Version, out: &mut S) -> Result<(), EncodeError>;
}

struct Versioned<'p, B>(&'p B, Version);

impl<B: Body> Encode for Versioned<'_, B> {
    #[inline]
    fn write<S: Sink>(&self, out: &mut S) -> Result<(), EncodeError> {
        self.0.body(self.1, out)
    }
}

impl Body for Connect<'_> {
    fn first_byte(&self) -> u8 {
        0x10
    }

    fn body<S: Sink>(&self, _: Version, out: &mut S) -> Result<(), EncodeError> {
        let version = self.version;
        if S::CHECKS {
            self.check()?;
        }
        // [MQTT-3.1.2-1]
        out.string(if version == Version::V31 { "MQIsdp" } else { "MQTT" })?;
        out.u8(version.level() | u8::from(self.bridge) << 7);
        out.u8(self.flags());
        out.u16(self.keep_alive);
        properties(&self.properties, version, out)?;
        // [MQTT-3.1.3-1]
        out.string(self.client_id)?;
        if let Some(Will { properties: will_properties, topic, payload, .. }) = &self.will {
            properties(will_properties, version, out)?;
            out.string(topic)?;
            out.binary(payload)?;
        }
        self.username.map_or(Ok(()), |name| out.string(name))?;
        self.password.map_or(Ok(()), |password| out.binary(password))
    }
}

impl Connect<'_> {
    fn check(&self) -> Result<(), EncodeError> {
        let is_v5 = self.version == Version::V5;
        // [MQTT-3.1.1 3.1.2-22]
        if is_v5 && self.bridge || !is_v5 && self.password.is_some() && self.username.is_none() {
            return Err(EncodeError::NotInVersion);
        }
        // [MQTT-3.1.1 3.1.3-7]
        let may_be_empty = is_v5 || self.version == Version::V311 && self.clean_start;
        if self.client_id.is_empty() && !may_be_empty {
            return Err(EncodeError::Invalid("empty client identifier"));
        }
        self.will.as_ref().map_or(Ok(()), |will| check_name(will.topic))
    }

    fn flags(&self) -> u8 {
        let will =
            self.will.as_ref().map_or(0, |will| 0x04 | (will.qos as u8) << 3 | u8::from(will.retain) << 5);
        u8::from(self.clean_start) << 1
            | will
            | u8::from(self.password.is_some()) << 6
            | u8::from(self.username.is_some()) << 7
    }
}

impl Body for ConnAck<'_> {
    fn first_byte(&self) -> u8 {
        0x20
    }

    fn body<S: Sink>(&self, version: Version, out: &mut S) -> Result<(), EncodeError> {
        // [MQTT-3.2.2-6]; in 3.1 the bit does not exist.
        let session_present =
            self.session_present && self.reason == ReasonCode::Success && version != Version::V31;
        out.u8(u8::from(session_present));
        if version == Version::V5 {
            // [MQTT-3.2.2-8]
            reason(self.reason, PacketType::ConnAck, out)?;
            out.prefixed(&self.properties)
        } else {
            out.u8(self.reason.connack_v3());
            Ok(())
        }
    }
}

impl Body for Publish<'_> {
    #[inline]
    fn first_byte(&self) -> u8 {
        0x30 | u8::from(self.dup) << 3 | (self.qos as u8) << 1 | u8::from(self.retain)
    }

    #[inline]
    fn body<S: Sink>(&self, version: Version, out: &mut S) -> Result<(), EncodeError> {
        let is_aliased = version == Version::V5 && self.properties.topic_alias.is_some();
        if S::CHECKS && !(self.topic.is_empty() && is_aliased) {
            check_name(self.topic)?;
        }
        // [MQTT-3.3.1-2]
        out.require(!self.dup || self.qos != Qos::AtMostOnce, EncodeError::Invalid("DUP with QoS 0"))?;
        // [MQTT-2.2.1-2]
        out.require(
            self.packet_id.is_some() == (self.qos != Qos::AtMostOnce),
            EncodeError::Invalid("packet identifier and QoS do not agree"),
        )?;
        // Already free of NUL.
        out.binary(self.topic.as_bytes())?;
        if let Some(id) = self.packet_id {
            out.u16(id.get());
        }
        properties(&self.properties, version, out)?;
        out.slice(self.payload);
        Ok(())
    }
}

/// An acknowledgement together with its kind.
struct AckOf<'p, 'a>(PacketType, &'p Ack<'a>);

impl Body for AckOf<'_, '_> {
    #[inline]
    fn first_byte(&self) -> u8 {
        // [MQTT-3.6.1-1]
        (self.0 as u8) << 4 | if self.0 == PacketType::PubRel { 2 } else { 0 }
    }

    #[inline]
    fn body<S: Sink>(&self, version: Version, out: &mut S) -> Result<(), EncodeError> {
        use PacketType::{PubAck, PubComp, PubRec, PubRel};
        let Self(kind, ack) = self;
        out.require(
            matches!(kind, PubAck | PubRec | PubRel | PubComp),
            EncodeError::Invalid("packet type of an acknowledgement"),
        )?;
        out.u16(ack.packet_id.get());
        if version == Version::V5 {
            reason_and_properties(ack.reason, &ack.properties, *kind, out)
        } else {
            Ok(())
        }
    }
}

impl Body for Subscribe<'_> {
    fn first_byte(&self) -> u8 {
        // [MQTT-3.8.1-1]
        0x82
    }

    fn body<S: Sink>(&self, version: Version, out: &mut S) -> Result<(), EncodeError> {
        out.u16(self.packet_id.get());
        properties(&self.properties, version, out)?;
        self.filters.write(version, out)
    }
}

impl Body for SubAck<'_> {
    fn first_byte(&self) -> u8 {
        0x90
    }

    fn body<S: Sink>(&self, version: Version, out: &mut S) -> Result<(), EncodeError> {
        out.u16(self.packet_id.get());
        properties(&self.properties, version, out)?;
        self.codes.write(PacketType::SubAck, version, out)
    }
}

impl Body for Unsubscribe<'_> {
    fn first_byte(&self) -> u8 {
        // [MQTT-3.10.1-1]
        0xA2
    }

    fn body<S: Sink>(&self, version: Version, out: &mut S) -> Result<(), EncodeError> {
        out.u16(self.packet_id.get());
        properties(&UnsubscribeProperties { user: self.user_properties }, version, out)?;
        self.topics.write(out)
    }
}

impl Body for UnsubAck<'_> {
    fn first_byte(&self) -> u8 {
        0xB0
    }

    fn body<S: Sink>(&self, version: Version, out: &mut S) -> Result<(), EncodeError> {
        out.u16(self.packet_id.get());
        if version != Version::V5 {
            return Ok(());
        }
        out.prefixed(&self.properties)?;
        self.codes.write(PacketType::UnsubAck, version, out)
    }
}

/// PINGREQ or PINGRESP.
struct Ping(PacketType);

impl Body for Ping {
    fn first_byte(&self) -> u8 {
        (self.0 as u8) << 4
    }

    fn body<S: Sink>(&self, _: Version, _: &mut S) -> Result<(), EncodeError> {
        Ok(())
    }
}

impl Body for Disconnect<'_> {
    fn first_byte(&self) -> u8 {
        0xE0
    }

    /// In 3.x only a client may send it, and only to say goodbye.
    fn body<S: Sink>(&self, version: Version, out: &mut S) -> Result<(), EncodeError> {
        if version == Version::V5 {
            // [MQTT-3.14.2-1]
            reason_and_properties(self.reason, &self.properties, PacketType::Disconnect, out)
        } else {
            out.require(self.reason == ReasonCode::NormalDisconnection, EncodeError::NotInVersion)
        }
    }
}

impl Body for Auth<'_> {
    fn first_byte(&self) -> u8 {
        0xF0
    }

    fn body<S: Sink>(&self, version: Version, out: &mut S) -> Result<(), EncodeError> {
        out.require(version == Version::V5, EncodeError::NotInVersion)?;
        let has_properties = Count::of(&self.properties)? > 0;
        if self.reason == ReasonCode::Success && !has_properties {
            return Ok(());
        }
        out.require(
            self.reason == ReasonCode::Success || self.properties.authentication_method.is_some(),
            EncodeError::Invalid("AUTH without an authentication method"),
        )?;
        // [MQTT-3.15.2-1]
        reason(self.reason, PacketType::Auth, out)?;
        out.prefixed(&self.properties)
    }
}

/// The properties behind their length; nothing in 3.x.
#[inline]
fn properties<S: Sink>(block: &impl Encode, version: Version, out: &mut S) -> Result<(), EncodeError> {
    // [MQTT-2.2.2-1]
    if version == Version::V5 { out.prefixed(block) } else { Ok(()) }
}

#[inline]
fn reason<S: Sink>(reason: ReasonCode, kind: PacketType, out: &mut S) -> Result<(), EncodeError> {
    // [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1]
    out.require(reason.is_allowed_in(kind), EncodeError::Invalid("reason code"))?;
    out.u8(reason as u8);
    Ok(())
}

/// The end of a packet that may stop before its properties, and before its reason where that is success.
#[inline]
fn reason_and_properties<S: Sink>(
    code: ReasonCode,
    block: &impl Encode,
    kind: PacketType,
    out: &mut S,
) -> Result<(), EncodeError> {
    let has_properties = Count::of(block)? > 0;
    if has_properties || code != ReasonCode::Success {
        reason(code, kind, out)?;
    }
    if has_properties { out.prefixed(block) } else { Ok(()) }
}

#[inline]
fn check_name(topic: &str) -> Result<(), EncodeError> {
    // [MQTT-3.3.2-2]
    validate_name(topic).map_err(|_| EncodeError::Invalid("topic name"))
}
