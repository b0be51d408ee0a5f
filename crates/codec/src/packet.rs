//! The packets as values that borrow from the bytes they were read from.

mod encode;
mod list;
mod parse;
mod run;

pub use list::{Filters, FiltersIter, ReasonCodes, ReasonCodesIter, Topics, TopicsIter};
pub use run::{PublishRun, RunLimits, RunShape};

use crate::{
    AckProperties, AuthProperties, ConnAckProperties, ConnectProperties, DisconnectProperties, PacketType,
    PublishProperties, ReasonCode, SubscribeProperties, UserProperties, WillProperties,
};
use core::num::NonZeroU16;

/// Protocol version; the discriminant is the protocol level of CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    V31 = 3,
    V311 = 4,
    V5 = 5,
}

/// Quality of service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Qos {
    #[default]
    AtMostOnce = 0,
    AtLeastOnce = 1,
    ExactlyOnce = 2,
}

/// Any control packet.
#[derive(Clone, Debug, PartialEq)]
pub enum Packet<'a> {
    Connect(Connect<'a>),
    ConnAck(ConnAck<'a>),
    Publish(Publish<'a>),
    PubAck(Ack<'a>),
    PubRec(Ack<'a>),
    PubRel(Ack<'a>),
    PubComp(Ack<'a>),
    Subscribe(Subscribe<'a>),
    SubAck(SubAck<'a>),
    Unsubscribe(Unsubscribe<'a>),
    UnsubAck(UnsubAck<'a>),
    PingReq,
    PingResp,
    Disconnect(Disconnect<'a>),
    Auth(Auth<'a>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Connect<'a> {
    pub version: Version,
    /// The topmost bit of the protocol level: a Mosquitto-style bridge (3.1 and 3.1.1 only).
    pub bridge: bool,
    /// Clean session (3.x) or clean start (5).
    pub clean_start: bool,
    /// Seconds; 0 is off.
    pub keep_alive: u16,
    pub properties: ConnectProperties<'a>,
    pub client_id: &'a str,
    pub will: Option<Will<'a>>,
    pub username: Option<&'a str>,
    pub password: Option<&'a [u8]>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Will<'a> {
    pub qos: Qos,
    pub retain: bool,
    pub properties: WillProperties<'a>,
    pub topic: &'a str,
    pub payload: &'a [u8],
}

#[derive(Clone, Debug, PartialEq)]
pub struct ConnAck<'a> {
    pub session_present: bool,
    /// Written as the 3.x return code where the version is 3.x (see [`ReasonCode::connack_v3`]).
    pub reason: ReasonCode,
    pub properties: ConnAckProperties<'a>,
}

/// [`Publish::raw_properties`] takes no part in comparing: it shows `properties` once more.
#[derive(Clone, Debug, Default)]
pub struct Publish<'a> {
    pub dup: bool,
    pub qos: Qos,
    pub retain: bool,
    /// Empty only where a topic alias stands for it.
    pub topic: &'a str,
    /// Present exactly where `qos` is above 0.
    pub packet_id: Option<NonZeroU16>,
    pub properties: PublishProperties<'a>,
    /// The property block as it came, without its length, for [`PublishProperties::read`]. Empty in 3.x and where
    /// the packet was built by hand; not looked at when the packet is written.
    pub raw_properties: &'a [u8],
    pub payload: &'a [u8],
}

/// A PUBLISH of which the properties have not been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishView<'a> {
    pub dup: bool,
    pub qos: Qos,
    pub retain: bool,
    /// As [`Publish::packet_id`].
    pub packet_id: Option<NonZeroU16>,
    /// Empty only where a topic alias may stand for it.
    pub topic: &'a str,
    /// As [`Publish::raw_properties`].
    pub raw_properties: &'a [u8],
    pub payload: &'a [u8],
}

/// PUBACK, PUBREC, PUBREL, PUBCOMP.
#[derive(Clone, Debug, PartialEq)]
pub struct Ack<'a> {
    pub packet_id: NonZeroU16,
    pub reason: ReasonCode,
    pub properties: AckProperties<'a>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Subscribe<'a> {
    pub packet_id: NonZeroU16,
    pub properties: SubscribeProperties<'a>,
    pub filters: Filters<'a>,
}

/// The options of one subscription. In 3.x only `qos` travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscribeOptions {
    pub qos: Qos,
    pub no_local: bool,
    pub retain_as_published: bool,
    pub retain_handling: RetainHandling,
}

/// When retained messages are sent at subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetainHandling {
    #[default]
    Always = 0,
    IfNew = 1,
    Never = 2,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SubAck<'a> {
    pub packet_id: NonZeroU16,
    pub properties: AckProperties<'a>,
    pub codes: ReasonCodes<'a>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Unsubscribe<'a> {
    pub packet_id: NonZeroU16,
    pub user_properties: UserProperties<'a>,
    pub topics: Topics<'a>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct UnsubAck<'a> {
    pub packet_id: NonZeroU16,
    pub properties: AckProperties<'a>,
    /// Empty in 3.x.
    pub codes: ReasonCodes<'a>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Disconnect<'a> {
    pub reason: ReasonCode,
    pub properties: DisconnectProperties<'a>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Auth<'a> {
    pub reason: ReasonCode,
    pub properties: AuthProperties<'a>,
}

impl Version {
    /// The protocol level in CONNECT.
    #[inline]
    pub const fn level(self) -> u8 {
        self as u8
    }

    #[inline]
    pub const fn from_level(level: u8) -> Option<Self> {
        match level {
            3 => Some(Self::V31),
            4 => Some(Self::V311),
            5 => Some(Self::V5),
            _ => None,
        }
    }
}

impl Qos {
    #[inline]
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

impl Packet<'_> {
    #[inline]
    pub const fn kind(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::ConnAck(_) => PacketType::ConnAck,
            Self::Publish(_) => PacketType::Publish,
            Self::PubAck(_) => PacketType::PubAck,
            Self::PubRec(_) => PacketType::PubRec,
            Self::PubRel(_) => PacketType::PubRel,
            Self::PubComp(_) => PacketType::PubComp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::SubAck(_) => PacketType::SubAck,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::UnsubAck(_) => PacketType::UnsubAck,
            Self::PingReq => PacketType::PingReq,
            Self::PingResp => PacketType::PingResp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
        }
    }
}

impl PartialEq for Publish<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.dup, self.qos, self.retain, self.topic, self.packet_id, self.payload)
            == (other.dup, other.qos, other.retain, other.topic, other.packet_id, other.payload)
            && self.properties == other.properties
    }
}
