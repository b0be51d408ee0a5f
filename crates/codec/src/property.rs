//! MQTT 5 properties, one typed struct per packet. In 3.x they are all empty.
//!
//! A block of properties is checked whole when its packet is parsed: ids known and allowed in this packet, none
//! twice that may stand once, values in their range. Order is free on reading; on writing it is that of the fields
//! in the table at the end of `block.rs`.

mod block;

pub use block::write_block_len;
pub(crate) use block::{Block, read_prefixed};

use crate::wire::Reader;
use alloc::{string::String, vec::Vec};
use core::fmt;

/// User properties in their order, not yet copied out.
#[derive(Clone, Copy)]
pub enum UserProperties<'a> {
    /// A validated property block; entries other than user properties are skipped on iteration.
    Encoded(&'a [u8]),
    List(&'a [(String, String)]),
}

/// Subscription identifiers of a PUBLISH from the server.
#[derive(Clone, Copy)]
pub enum SubscriptionIds<'a> {
    /// A validated property block; entries other than subscription identifiers are skipped on iteration.
    Encoded(&'a [u8]),
    List(&'a [u32]),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnectProperties<'a> {
    /// Seconds; `u32::MAX` never expires.
    pub session_expiry: Option<u32>,
    /// Not 0.
    pub receive_maximum: Option<u16>,
    /// Bytes; not 0.
    pub maximum_packet_size: Option<u32>,
    pub topic_alias_maximum: Option<u16>,
    pub request_response_information: Option<bool>,
    pub request_problem_information: Option<bool>,
    pub authentication_method: Option<&'a str>,
    /// Only with a method.
    pub authentication_data: Option<&'a [u8]>,
    pub user: UserProperties<'a>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct WillProperties<'a> {
    /// Seconds.
    pub delay: Option<u32>,
    /// `true`: the payload is UTF-8 text.
    pub payload_format: Option<bool>,
    /// Seconds.
    pub message_expiry: Option<u32>,
    pub content_type: Option<&'a str>,
    /// Without wildcards.
    pub response_topic: Option<&'a str>,
    pub correlation_data: Option<&'a [u8]>,
    pub user: UserProperties<'a>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnAckProperties<'a> {
    /// Seconds.
    pub session_expiry: Option<u32>,
    /// Not 0.
    pub receive_maximum: Option<u16>,
    /// 0 or 1.
    pub maximum_qos: Option<u8>,
    pub retain_available: Option<bool>,
    /// Bytes; not 0.
    pub maximum_packet_size: Option<u32>,
    pub assigned_client_id: Option<&'a str>,
    pub topic_alias_maximum: Option<u16>,
    pub reason_string: Option<&'a str>,
    pub wildcard_subscription_available: Option<bool>,
    pub subscription_ids_available: Option<bool>,
    pub shared_subscription_available: Option<bool>,
    /// Seconds.
    pub server_keep_alive: Option<u16>,
    pub response_information: Option<&'a str>,
    pub server_reference: Option<&'a str>,
    pub authentication_method: Option<&'a str>,
    /// Only with a method.
    pub authentication_data: Option<&'a [u8]>,
    pub user: UserProperties<'a>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct PublishProperties<'a> {
    /// `true`: the payload is UTF-8 text (which is not checked here).
    pub payload_format: Option<bool>,
    /// Seconds.
    pub message_expiry: Option<u32>,
    /// Not 0.
    pub topic_alias: Option<u16>,
    /// Without wildcards.
    pub response_topic: Option<&'a str>,
    pub correlation_data: Option<&'a [u8]>,
    /// From a server only; the receiving server refuses them. // [MQTT-3.3.4-6]
    pub subscription_ids: SubscriptionIds<'a>,
    pub content_type: Option<&'a str>,
    pub user: UserProperties<'a>,
}

/// PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AckProperties<'a> {
    pub reason_string: Option<&'a str>,
    pub user: UserProperties<'a>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct SubscribeProperties<'a> {
    /// Not 0.
    pub subscription_id: Option<u32>,
    pub user: UserProperties<'a>,
}

/// The packet shows its only property as a field of its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct UnsubscribeProperties<'a> {
    pub(crate) user: UserProperties<'a>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct DisconnectProperties<'a> {
    /// Seconds; from a client only. // [MQTT-3.14.2-2]
    pub session_expiry: Option<u32>,
    pub reason_string: Option<&'a str>,
    pub server_reference: Option<&'a str>,
    pub user: UserProperties<'a>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuthProperties<'a> {
    pub authentication_method: Option<&'a str>,
    /// Only with a method.
    pub authentication_data: Option<&'a [u8]>,
    pub reason_string: Option<&'a str>,
    pub user: UserProperties<'a>,
}

impl<'a> WillProperties<'a> {
    /// The properties that the will is published with: all but the delay.
    pub fn as_publish(&self) -> PublishProperties<'a> {
        PublishProperties {
            payload_format: self.payload_format,
            message_expiry: self.message_expiry,
            topic_alias: None,
            response_topic: self.response_topic,
            correlation_data: self.correlation_data,
            subscription_ids: SubscriptionIds::default(),
            content_type: self.content_type,
            user: self.user,
        }
    }
}

impl<'a> UserProperties<'a> {
    /// Names and values in their order; a name may come again.
    #[inline]
    pub fn iter(&self) -> UserPropertiesIter<'a> {
        UserPropertiesIter(match *self {
            Self::Encoded(block) => Source::Encoded(Reader::new(block)),
            Self::List(list) => Source::List(list.iter()),
        })
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    pub fn to_vec(&self) -> Vec<(String, String)> {
        self.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }
}

impl<'a> SubscriptionIds<'a> {
    #[inline]
    pub fn iter(&self) -> SubscriptionIdsIter<'a> {
        SubscriptionIdsIter(match *self {
            Self::Encoded(block) => Source::Encoded(Reader::new(block)),
            Self::List(list) => Source::List(list.iter()),
        })
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

/// See [`UserProperties::iter`].
#[derive(Clone, Debug)]
pub struct UserPropertiesIter<'a>(Source<'a, (String, String)>);

/// See [`SubscriptionIds::iter`].
#[derive(Clone, Debug)]
pub struct SubscriptionIdsIter<'a>(Source<'a, u32>);

#[derive(Clone, Debug)]
enum Source<'a, T> {
    Encoded(Reader<'a>),
    List(core::slice::Iter<'a, T>),
}

impl<'a> Iterator for UserPropertiesIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Source::List(list) => list.next().map(|(name, value)| (name.as_str(), value.as_str())),
            Source::Encoded(reader) => {
                block::seek(reader, block::USER_PROPERTY)?;
                Some((reader.string("").ok()?, reader.string("").ok()?))
            }
        }
    }
}

impl Iterator for SubscriptionIdsIter<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        match &mut self.0 {
            Source::List(list) => list.next().copied(),
            Source::Encoded(reader) => {
                block::seek(reader, block::SUBSCRIPTION_ID)?;
                reader.varint("").ok()
            }
        }
    }
}

impl Default for UserProperties<'_> {
    fn default() -> Self {
        Self::List(&[])
    }
}

impl Default for SubscriptionIds<'_> {
    fn default() -> Self {
        Self::List(&[])
    }
}

impl PartialEq for UserProperties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl PartialEq for SubscriptionIds<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl fmt::Debug for UserProperties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Debug for SubscriptionIds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for &UserProperties<'a> {
    type Item = (&'a str, &'a str);
    type IntoIter = UserPropertiesIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a> IntoIterator for &SubscriptionIds<'a> {
    type Item = u32;
    type IntoIter = SubscriptionIdsIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
