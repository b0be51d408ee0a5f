//! Frames to packets. Nothing is copied, every byte of a frame is accounted for.

use super::{
    Ack, Auth, ConnAck, Connect, Disconnect, Filters, Packet, Publish, PublishView, Qos, ReasonCodes, SubAck,
    Subscribe, Topics, UnsubAck, Unsubscribe, Version, Will,
};
use crate::{
    AckProperties, AuthProperties, DisconnectProperties, Error, Frame, PacketType, PublishProperties,
    ReasonCode,
    property::{Block, UnsubscribeProperties, read_prefixed},
    topic::{has_any, validate_name},
    wire::Reader,
};

const TRAILING: &str = "bytes after the end of the packet";

impl<'a> Packet<'a> {
    /// Reads any packet. CONNECT brings its own version; `version` is the one agreed on for all others.
    pub fn parse(frame: &Frame<'a>, version: Version) -> Result<Self, Error> {
        Ok(match frame.kind {
            PacketType::Connect => Self::Connect(Connect::parse(frame)?),
            PacketType::ConnAck => Self::ConnAck(ConnAck::parse(frame, version)?),
            PacketType::Publish => Self::Publish(Publish::parse(frame, version)?),
            PacketType::PubAck => Self::PubAck(Ack::parse(frame, version)?),
            PacketType::PubRec => Self::PubRec(Ack::parse(frame, version)?),
            PacketType::PubRel => Self::PubRel(Ack::parse(frame, version)?),
            PacketType::PubComp => Self::PubComp(Ack::parse(frame, version)?),
            PacketType::Subscribe => Self::Subscribe(Subscribe::parse(frame, version)?),
            PacketType::SubAck => Self::SubAck(SubAck::parse(frame, version)?),
            PacketType::Unsubscribe => Self::Unsubscribe(Unsubscribe::parse(frame, version)?),
            PacketType::UnsubAck => Self::UnsubAck(UnsubAck::parse(frame, version)?),
            PacketType::PingReq => {
                body_of(frame, PacketType::PingReq)?.end(TRAILING)?;
                Self::PingReq
            }
            PacketType::PingResp => {
                body_of(frame, PacketType::PingResp)?.end(TRAILING)?;
                Self::PingResp
            }
            PacketType::Disconnect => Self::Disconnect(Disconnect::parse(frame, version)?),
            PacketType::Auth => Self::Auth(Auth::parse(frame, version)?),
        })
    }
}

/// The bits of the CONNECT flags.
mod connect_flags {
    pub(super) const RESERVED: u8 = 0x01;
    pub(super) const CLEAN: u8 = 0x02;
    pub(super) const WILL: u8 = 0x04;
    pub(super) const WILL_QOS: u8 = 0x18;
    pub(super) const WILL_RETAIN: u8 = 0x20;
    pub(super) const PASSWORD: u8 = 0x40;
    pub(super) const USERNAME: u8 = 0x80;
}

impl<'a> Connect<'a> {
    pub fn parse(frame: &Frame<'a>) -> Result<Self, Error> {
        let mut body = body_of(frame, PacketType::Connect)?;
        let (version, bridge) = protocol(&mut body)?;
        let flags = body.u8("connect flags")?;
        let has = |bits| flags & bits != 0;
        // [MQTT-3.1.2-3]; 3.1 does not use the bit.
        if has(connect_flags::RESERVED) && version != Version::V31 {
            return Err(Error::Malformed("reserved connect flag"));
        }
        // [MQTT-3.1.1 3.1.2-22], lifted in 5.
        if has(connect_flags::PASSWORD) && !has(connect_flags::USERNAME) && version != Version::V5 {
            return Err(Error::Malformed("password without a user name"));
        }
        let keep_alive = body.u16("keep alive")?;
        let properties = properties_of(&mut body, version)?;
        // [MQTT-3.1.3-1] the order of what follows; [MQTT-3.1.3-3] [MQTT-3.1.3-4]
        let client_id = body.string("client identifier")?;
        let clean_start = has(connect_flags::CLEAN);
        if client_id.is_empty() && (version == Version::V31 || version == Version::V311 && !clean_start) {
            return Err(Error::ClientIdInvalid);
        }
        let will = Will::parse(&mut body, flags, version)?;
        // 3.1 lets the flags be set and the fields be missing.
        let is_there = |body: &Reader<'_>| version != Version::V31 || !body.is_empty();
        // [MQTT-3.1.2-17] [MQTT-3.1.3-12] [MQTT-3.1.2-19]
        let has_username = has(connect_flags::USERNAME) && is_there(&body);
        let username = has_username.then(|| body.string("user name")).transpose()?;
        let has_password = has(connect_flags::PASSWORD) && is_there(&body);
        let password = has_password.then(|| body.binary("password")).transpose()?;
        // [MQTT-3.1.2-16] [MQTT-3.1.2-18]
        body.end(TRAILING)?;
        Ok(Self { version, bridge, clean_start, keep_alive, properties, client_id, will, username, password })
    }
}

/// Protocol name and level; the level's topmost bit marks a bridge.
fn protocol(body: &mut Reader<'_>) -> Result<(Version, bool), Error> {
    const BRIDGE: u8 = 0x80;
    // Not a string: what is no MQTT at all is told as that, not as bad UTF-8.
    let name = body.binary("protocol name")?;
    let level = body.u8("protocol level")?;
    // [MQTT-3.1.2-1] [MQTT-3.1.2-2]
    match (name, Version::from_level(level & !BRIDGE)) {
        (b"MQIsdp", Some(Version::V31)) => Ok((Version::V31, level & BRIDGE != 0)),
        (b"MQTT", Some(Version::V311)) => Ok((Version::V311, level & BRIDGE != 0)),
        (b"MQTT", Some(Version::V5)) if level & BRIDGE == 0 => Ok((Version::V5, false)),
        _ => Err(Error::UnsupportedVersion),
    }
}

impl<'a> Will<'a> {
    fn parse(body: &mut Reader<'a>, flags: u8, version: Version) -> Result<Option<Self>, Error> {
        if flags & connect_flags::WILL == 0 {
            // [MQTT-3.1.2-11] [MQTT-3.1.2-13]
            return if flags & (connect_flags::WILL_QOS | connect_flags::WILL_RETAIN) == 0 {
                Ok(None)
            } else {
                Err(Error::Malformed("will flags without a will"))
            };
        }
        // [MQTT-3.1.2-12]
        let qos =
            Qos::from_u8((flags & connect_flags::WILL_QOS) >> 3).ok_or(Error::Malformed("will QoS 3"))?;
        // [MQTT-3.1.2-9]
        let properties = properties_of(body, version)?;
        // [MQTT-3.1.3-11]
        let topic = body.string("will topic")?;
        validate_name(topic)?;
        let payload = body.binary("will payload")?;
        Ok(Some(Self { qos, retain: flags & connect_flags::WILL_RETAIN != 0, properties, topic, payload }))
    }
}

impl<'a> ConnAck<'a> {
    pub fn parse(frame: &Frame<'a>, version: Version) -> Result<Self, Error> {
        let mut body = body_of(frame, PacketType::ConnAck)?;
        let flags = body.u8("connect acknowledge flags")?;
        // [MQTT-3.2.2-1]; in 3.1 the byte is not used.
        if flags > 1 && version != Version::V31 {
            return Err(Error::Malformed("connect acknowledge flags"));
        }
        let session_present = flags & 1 != 0 && version != Version::V31;
        let reason = if version == Version::V5 {
            reason_of(&mut body, PacketType::ConnAck)?
        } else {
            let code = body.u8("return code")?;
            ReasonCode::from_connack_v3(code).ok_or(Error::Malformed("return code"))?
        };
        // [MQTT-3.2.2-6]
        if session_present && reason != ReasonCode::Success {
            return Err(Error::Protocol("session present in a refusal"));
        }
        let properties = properties_of(&mut body, version)?;
        body.end(TRAILING)?;
        Ok(Self { session_present, reason, properties })
    }
}

impl<'a> Publish<'a> {
    #[inline]
    pub fn parse(frame: &Frame<'a>, version: Version) -> Result<Self, Error> {
        let view = PublishView::parse(frame, version)?;
        Ok(view.with(view.properties()?))
    }
}

impl<'a> PublishView<'a> {
    #[inline]
    pub fn parse(frame: &Frame<'a>, version: Version) -> Result<Self, Error> {
        let mut body = body_of(frame, PacketType::Publish)?;
        // [MQTT-3.3.1-4]; a frame of our own making has been checked already.
        let qos = Qos::from_u8(frame.flags >> 1 & 3).ok_or(Error::Malformed("QoS 3"))?;
        // [MQTT-3.3.2-1]
        let topic = body.string_with_nul("topic name")?;
        if !topic.is_empty() {
            validate_name(topic).map_err(|error| name_error(topic, error))?;
        }
        // [MQTT-2.2.1-2]
        let packet_id = if qos == Qos::AtMostOnce { None } else { Some(body.packet_id()?) };
        let mut raw_properties: &[u8] = &[];
        if version == Version::V5 {
            let len = body.varint("property length")?;
            raw_properties = body.take(len as usize, "property length")?;
        }
        // [MQTT-4.7.3-1]; with properties, there may be an alias
        if topic.is_empty() && raw_properties.is_empty() {
            return Err(EMPTY_TOPIC);
        }
        let (dup, retain) = (frame.flags & 8 != 0, frame.flags & 1 != 0);
        Ok(Self { dup, qos, retain, packet_id, topic, raw_properties, payload: body.rest() })
    }

    /// The properties, read now.
    #[inline]
    pub fn properties(&self) -> Result<PublishProperties<'a>, Error> {
        if self.raw_properties.is_empty() {
            return Ok(PublishProperties::default());
        }
        let properties: PublishProperties<'a> = Block::read(Reader::new(self.raw_properties))?;
        // [MQTT-4.7.3-1]
        if self.topic.is_empty() && properties.topic_alias.is_none() {
            return Err(EMPTY_TOPIC);
        }
        Ok(properties)
    }

    /// The whole packet, with what [`PublishView::properties`] gave.
    #[inline]
    pub fn with(self, properties: PublishProperties<'a>) -> Publish<'a> {
        let Self { dup, qos, retain, packet_id, topic, raw_properties, payload } = self;
        Publish { dup, qos, retain, topic, packet_id, properties, raw_properties, payload }
    }
}

const EMPTY_TOPIC: Error = Error::Protocol("empty topic name");

/// NUL makes the string malformed, whatever else it may hold.
#[cold]
fn name_error(topic: &str, error: Error) -> Error {
    // [MQTT-1.5.4-2]
    if has_any(topic.as_bytes(), [0, 0, 0]) { Error::Malformed("topic name") } else { error }
}

impl<'a> Ack<'a> {
    /// Reads a PUBACK, PUBREC, PUBREL or PUBCOMP; the frame tells which.
    #[inline]
    pub fn parse(frame: &Frame<'a>, version: Version) -> Result<Self, Error> {
        match frame.kind {
            PacketType::PubAck | PacketType::PubRec | PacketType::PubComp => {}
            PacketType::PubRel => no_dup(frame, version)?,
            _ => return Err(OTHER_KIND),
        }
        let mut body = Reader::new(frame.body);
        let packet_id = body.packet_id()?;
        let mut ack = Self { packet_id, reason: ReasonCode::Success, properties: AckProperties::default() };
        if version == Version::V5 && !body.is_empty() {
            ack.reason = reason_of(&mut body, frame.kind)?;
            if !body.is_empty() {
                ack.properties = read_prefixed(&mut body)?;
            }
        }
        body.end(TRAILING)?;
        Ok(ack)
    }
}

impl<'a> Subscribe<'a> {
    pub fn parse(frame: &Frame<'a>, version: Version) -> Result<Self, Error> {
        no_dup(frame, version)?;
        let mut body = body_of(frame, PacketType::Subscribe)?;
        let packet_id = body.packet_id()?;
        let properties = properties_of(&mut body, version)?;
        Ok(Self { packet_id, properties, filters: Filters::parse(body, version)? })
    }
}

impl<'a> SubAck<'a> {
    pub fn parse(frame: &Frame<'a>, version: Version) -> Result<Self, Error> {
        let mut body = body_of(frame, PacketType::SubAck)?;
        let packet_id = body.packet_id()?;
        let properties = properties_of(&mut body, version)?;
        Ok(Self { packet_id, properties, codes: ReasonCodes::parse(body, PacketType::SubAck, version)? })
    }
}

impl<'a> Unsubscribe<'a> {
    pub fn parse(frame: &Frame<'a>, version: Version) -> Result<Self, Error> {
        no_dup(frame, version)?;
        let mut body = body_of(frame, PacketType::Unsubscribe)?;
        let packet_id = body.packet_id()?;
        let user_properties = properties_of::<UnsubscribeProperties<'_>>(&mut body, version)?.user;
        Ok(Self { packet_id, user_properties, topics: Topics::parse(body)? })
    }
}

impl<'a> UnsubAck<'a> {
    pub fn parse(frame: &Frame<'a>, version: Version) -> Result<Self, Error> {
        let mut body = body_of(frame, PacketType::UnsubAck)?;
        let packet_id = body.packet_id()?;
        let properties = properties_of(&mut body, version)?;
        let codes = if version == Version::V5 {
            ReasonCodes::parse(body, PacketType::UnsubAck, version)?
        } else {
            body.end(TRAILING)?;
            ReasonCodes::default()
        };
        Ok(Self { packet_id, properties, codes })
    }
}

impl<'a> Disconnect<'a> {
    pub fn parse(frame: &Frame<'a>, version: Version) -> Result<Self, Error> {
        let mut body = body_of(frame, PacketType::Disconnect)?;
        let mut reason = ReasonCode::NormalDisconnection;
        let mut properties = DisconnectProperties::default();
        if version == Version::V5 && !body.is_empty() {
            reason = reason_of(&mut body, PacketType::Disconnect)?;
            if !body.is_empty() {
                properties = read_prefixed(&mut body)?;
            }
        }
        body.end(TRAILING)?;
        Ok(Self { reason, properties })
    }
}

impl<'a> Auth<'a> {
    pub fn parse(frame: &Frame<'a>, version: Version) -> Result<Self, Error> {
        let mut body = body_of(frame, PacketType::Auth)?;
        if version != Version::V5 {
            return Err(Error::Protocol("AUTH before MQTT 5"));
        }
        let mut auth = Self { reason: ReasonCode::Success, properties: AuthProperties::default() };
        if !body.is_empty() {
            auth.reason = reason_of(&mut body, PacketType::Auth)?;
            auth.properties = read_prefixed(&mut body)?;
            body.end(TRAILING)?;
        }
        if auth.reason != ReasonCode::Success && auth.properties.authentication_method.is_none() {
            return Err(Error::Protocol("AUTH without an authentication method"));
        }
        Ok(auth)
    }
}

const OTHER_KIND: Error = Error::Protocol("another packet than expected");

/// The body of a frame that is to be of this kind.
#[inline]
fn body_of<'a>(frame: &Frame<'a>, kind: PacketType) -> Result<Reader<'a>, Error> {
    if frame.kind == kind { Ok(Reader::new(frame.body)) } else { Err(OTHER_KIND) }
}

/// The DUP bit outside PUBLISH went out with 3.1.
#[inline]
fn no_dup(frame: &Frame<'_>, version: Version) -> Result<(), Error> {
    // [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1]
    if frame.flags & 8 != 0 && version != Version::V31 {
        return Err(Error::Malformed("fixed header flags"));
    }
    Ok(())
}

#[inline]
fn properties_of<'a, B: Block<'a>>(body: &mut Reader<'a>, version: Version) -> Result<B, Error> {
    if version == Version::V5 { read_prefixed(body) } else { Ok(B::default()) }
}

#[inline]
fn reason_of(body: &mut Reader<'_>, kind: PacketType) -> Result<ReasonCode, Error> {
    ReasonCode::from_u8(body.u8("reason code")?)
        .filter(|reason| reason.is_allowed_in(kind))
        .ok_or(Error::Malformed("reason code"))
}
