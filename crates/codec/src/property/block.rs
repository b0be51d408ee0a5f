//! Property blocks as bytes: one table for reading and writing.

use super::{
    AckProperties, AuthProperties, ConnAckProperties, ConnectProperties, DisconnectProperties,
    PublishProperties, SubscribeProperties, SubscriptionIds, UnsubscribeProperties, UserProperties,
    WillProperties,
};
use crate::{
    EncodeError, Error,
    topic::is_wildcard,
    wire::{Count, Encode, Reader, Sink, varint_of},
};
use alloc::vec::Vec;

pub(super) const USER_PROPERTY: u32 = 0x26;
pub(super) const SUBSCRIPTION_ID: u32 = 0x0B;

/// A property block that a packet carries.
pub(crate) trait Block<'a>: Encode + Default + PartialEq {
    /// Reads the block without its length.
    fn read(block: Reader<'a>) -> Result<Self, Error>;
}

/// Reads a block behind its length.
#[inline]
pub(crate) fn read_prefixed<'a, B: Block<'a>>(reader: &mut Reader<'a>) -> Result<B, Error> {
    let len = reader.varint("property length")?;
    if len == 0 { Ok(B::default()) } else { B::read(reader.sub(len as usize, "property length")?) }
}

impl<'a> PublishProperties<'a> {
    /// Reads a block without its length, as [`crate::Publish::raw_properties`] keeps it.
    pub fn read(block: &'a [u8]) -> Result<Self, Error> {
        Block::read(Reader::new(block))
    }

    /// Appends the block without its length: what [`PublishProperties::read`] takes. On error nothing is appended.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        varint_of(self.encoded_len()?)?;
        Encode::write(self, out)
    }

    /// Appends the block behind its length: what stands in a PUBLISH. On error nothing is appended.
    pub fn write_prefixed(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.prefixed(self)
    }

    /// Bytes of the block without its length.
    pub fn encoded_len(&self) -> Result<usize, EncodeError> {
        Count::of(self)
    }
}

/// Appends `len` as the variable byte integer that stands before a property block.
pub fn write_block_len(len: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    out.varint(varint_of(len)?)
}

/// Moves the reader behind the id of the next property of this kind.
pub(super) fn seek(reader: &mut Reader<'_>, wanted: u32) -> Option<()> {
    loop {
        let id = reader.varint("").ok()?;
        if id == wanted {
            return Some(());
        }
        match id {
            0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2A => reader.take(1, "").ok().map(drop),
            0x13 | 0x21 | 0x22 | 0x23 => reader.take(2, "").ok().map(drop),
            0x02 | 0x11 | 0x18 | 0x27 => reader.take(4, "").ok().map(drop),
            SUBSCRIPTION_ID => reader.varint("").ok().map(drop),
            USER_PROPERTY => reader.binary("").and_then(|_| reader.binary("")).ok().map(drop),
            _ => reader.binary("").ok().map(drop),
        }?;
    }
}

/// A property that this packet does not carry.
#[cold]
fn misplaced(id: u32) -> Error {
    match id {
        0x01..=0x03 | 0x08 | 0x09 | 0x0B | 0x11..=0x13 | 0x15..=0x19 | 0x1A | 0x1C | 0x1F | 0x21..=0x2A => {
            // MQTT 5, 2.2.2.2: an identifier that is not valid for the packet's type is malformed
            Error::Malformed("property not allowed in this packet")
        }
        _ => Error::Malformed("unknown property"),
    }
}

/// How a property's value is read and checked, by the words of the table below.
mod read {
    use super::{Error, Reader, SubscriptionIds, UserProperties, is_wildcard};

    /// A reader at the value, what came before it read, and the name for errors.
    pub(super) struct At<'r, 'a> {
        pub(super) reader: &'r mut Reader<'a>,
        /// The block from this property's id on.
        pub(super) from: &'a [u8],
        pub(super) name: &'static str,
    }

    /// Puts the value where none was.
    fn once<T>(slot: &mut Option<T>, value: T, name: &'static str) -> Result<(), Error> {
        if slot.replace(value).is_some() { Err(Error::Protocol(name)) } else { Ok(()) }
    }

    pub(super) fn long(slot: &mut Option<u32>, at: &mut At<'_, '_>) -> Result<(), Error> {
        once(slot, at.reader.u32(at.name)?, at.name)
    }

    pub(super) fn long_not_zero(slot: &mut Option<u32>, at: &mut At<'_, '_>) -> Result<(), Error> {
        match at.reader.u32(at.name)? {
            0 => Err(Error::Protocol(at.name)),
            value => once(slot, value, at.name),
        }
    }

    pub(super) fn short(slot: &mut Option<u16>, at: &mut At<'_, '_>) -> Result<(), Error> {
        once(slot, at.reader.u16(at.name)?, at.name)
    }

    pub(super) fn short_not_zero(slot: &mut Option<u16>, at: &mut At<'_, '_>) -> Result<(), Error> {
        match at.reader.u16(at.name)? {
            0 => Err(Error::Protocol(at.name)),
            value => once(slot, value, at.name),
        }
    }

    pub(super) fn alias(slot: &mut Option<u16>, at: &mut At<'_, '_>) -> Result<(), Error> {
        match at.reader.u16(at.name)? {
            // [MQTT-3.3.2-8]
            0 => Err(Error::TopicAliasInvalid),
            value => once(slot, value, at.name),
        }
    }

    pub(super) fn bit(slot: &mut Option<u8>, at: &mut At<'_, '_>) -> Result<(), Error> {
        match at.reader.u8(at.name)? {
            value @ 0..=1 => once(slot, value, at.name),
            _ => Err(Error::Protocol(at.name)),
        }
    }

    pub(super) fn flag(slot: &mut Option<bool>, at: &mut At<'_, '_>) -> Result<(), Error> {
        match at.reader.u8(at.name)? {
            value @ 0..=1 => once(slot, value == 1, at.name),
            _ => Err(Error::Protocol(at.name)),
        }
    }

    pub(super) fn text<'a>(slot: &mut Option<&'a str>, at: &mut At<'_, 'a>) -> Result<(), Error> {
        once(slot, at.reader.string(at.name)?, at.name)
    }

    pub(super) fn topic<'a>(slot: &mut Option<&'a str>, at: &mut At<'_, 'a>) -> Result<(), Error> {
        let topic = at.reader.string(at.name)?;
        // [MQTT-3.3.2-14]
        if is_wildcard(topic) {
            return Err(Error::Protocol("wildcard in the response topic"));
        }
        once(slot, topic, at.name)
    }

    pub(super) fn binary<'a>(slot: &mut Option<&'a [u8]>, at: &mut At<'_, 'a>) -> Result<(), Error> {
        once(slot, at.reader.binary(at.name)?, at.name)
    }

    pub(super) fn number(slot: &mut Option<u32>, at: &mut At<'_, '_>) -> Result<(), Error> {
        match at.reader.varint(at.name)? {
            0 => Err(Error::Protocol(at.name)),
            value => once(slot, value, at.name),
        }
    }

    pub(super) fn numbers<'a>(slot: &mut SubscriptionIds<'a>, at: &mut At<'_, 'a>) -> Result<(), Error> {
        if at.reader.varint(at.name)? == 0 {
            return Err(Error::Protocol(at.name));
        }
        if let SubscriptionIds::List(_) = slot {
            *slot = SubscriptionIds::Encoded(at.from);
        }
        Ok(())
    }

    pub(super) fn pairs<'a>(slot: &mut UserProperties<'a>, at: &mut At<'_, 'a>) -> Result<(), Error> {
        // [MQTT-1.5.7-1]
        at.reader.string(at.name)?;
        at.reader.string(at.name)?;
        if let UserProperties::List(_) = slot {
            *slot = UserProperties::Encoded(at.from);
        }
        Ok(())
    }
}

/// How a property's value is checked and written, by the same words.
mod write {
    use super::{
        EncodeError, SUBSCRIPTION_ID, Sink, SubscriptionIds, USER_PROPERTY, UserProperties, is_wildcard,
    };

    type Done = Result<(), EncodeError>;

    const ZERO: EncodeError = EncodeError::Invalid("property that may not be 0");

    #[expect(clippy::unnecessary_wraps, reason = "one signature for every row of the table")]
    pub(super) fn long<S: Sink>(value: Option<u32>, id: u8, out: &mut S) -> Done {
        if let Some(value) = value {
            out.u8(id);
            out.u32(value);
        }
        Ok(())
    }

    pub(super) fn long_not_zero<S: Sink>(value: Option<u32>, id: u8, out: &mut S) -> Done {
        out.require(value != Some(0), ZERO)?;
        long(value, id, out)
    }

    #[expect(clippy::unnecessary_wraps, reason = "one signature for every row of the table")]
    pub(super) fn short<S: Sink>(value: Option<u16>, id: u8, out: &mut S) -> Done {
        if let Some(value) = value {
            out.u8(id);
            out.u16(value);
        }
        Ok(())
    }

    pub(super) fn short_not_zero<S: Sink>(value: Option<u16>, id: u8, out: &mut S) -> Done {
        out.require(value != Some(0), ZERO)?;
        short(value, id, out)
    }

    pub(super) use short_not_zero as alias; // [MQTT-3.3.2-8]

    pub(super) fn bit<S: Sink>(value: Option<u8>, id: u8, out: &mut S) -> Done {
        if let Some(value) = value {
            out.require(value <= 1, EncodeError::Invalid("maximum QoS above 1"))?;
            out.slice(&[id, value]);
        }
        Ok(())
    }

    pub(super) fn flag<S: Sink>(value: Option<bool>, id: u8, out: &mut S) -> Done {
        bit(value.map(u8::from), id, out)
    }

    pub(super) fn text<S: Sink>(value: Option<&str>, id: u8, out: &mut S) -> Done {
        let Some(value) = value else { return Ok(()) };
        out.u8(id);
        out.string(value)
    }

    pub(super) fn topic<S: Sink>(value: Option<&str>, id: u8, out: &mut S) -> Done {
        // [MQTT-3.3.2-14]
        if S::CHECKS && value.is_some_and(is_wildcard) {
            return Err(EncodeError::Invalid("wildcard in the response topic"));
        }
        text(value, id, out)
    }

    pub(super) fn binary<S: Sink>(value: Option<&[u8]>, id: u8, out: &mut S) -> Done {
        let Some(value) = value else { return Ok(()) };
        out.u8(id);
        out.binary(value)
    }

    pub(super) fn number<S: Sink>(value: Option<u32>, id: u8, out: &mut S) -> Done {
        let Some(value) = value else { return Ok(()) };
        out.require(value != 0, ZERO)?;
        out.u8(id);
        out.varint(value)
    }

    pub(super) fn numbers<S: Sink>(values: SubscriptionIds<'_>, id: u8, out: &mut S) -> Done {
        debug_assert_eq!(u32::from(id), SUBSCRIPTION_ID);
        if let SubscriptionIds::List([]) = values {
            return Ok(());
        }
        values.iter().try_for_each(|value| number(Some(value), id, out))
    }

    pub(super) fn pairs<S: Sink>(pairs: UserProperties<'_>, id: u8, out: &mut S) -> Done {
        debug_assert_eq!(u32::from(id), USER_PROPERTY);
        if let UserProperties::List([]) = pairs {
            return Ok(());
        }
        pairs.iter().try_for_each(|(name, value)| {
            out.u8(id);
            out.string(name)?;
            out.string(value)
        })
    }
}

/// Makes [`Encode`] and [`Block`] from the rows: field, how its value is read and written, id.
macro_rules! blocks {
    ($($name:ident { $($field:ident: $how:ident $id:literal,)* } $(=> $check:ident)?)*) => {$(
        impl Encode for $name<'_> {
            #[inline]
            fn write<S: Sink>(&self, out: &mut S) -> Result<(), EncodeError> {
                $(if S::CHECKS {
                    $check(self.authentication_method, self.authentication_data).map_err(|_| EncodeError::Invalid(METHOD))?;
                })?
                $(write::$how(self.$field, $id, out)?;)*
                Ok(())
            }
        }

        impl<'a> Block<'a> for $name<'a> {
            fn read(mut block: Reader<'a>) -> Result<Self, Error> {
                let mut properties = Self::default();
                while !block.is_empty() {
                    let from = block.rest();
                    let reader = &mut block;
                    match reader.varint("property id")? {
                        $($id => read::$how(
                            &mut properties.$field,
                            &mut read::At { reader, from, name: stringify!($field) },
                        )?,)*
                        id => return Err(misplaced(id)),
                    }
                }
                $($check(properties.authentication_method, properties.authentication_data)?;)?
                Ok(properties)
            }
        }
    )*};
}

const METHOD: &str = "authentication data without a method";

fn data_needs_method(method: Option<&str>, data: Option<&[u8]>) -> Result<(), Error> {
    if data.is_some() && method.is_none() { Err(Error::Protocol(METHOD)) } else { Ok(()) }
}

blocks! {
    ConnectProperties {
        session_expiry: long 0x11,
        receive_maximum: short_not_zero 0x21,
        maximum_packet_size: long_not_zero 0x27,
        topic_alias_maximum: short 0x22,
        request_response_information: flag 0x19,
        request_problem_information: flag 0x17,
        authentication_method: text 0x15,
        authentication_data: binary 0x16,
        user: pairs 0x26,
    } => data_needs_method

    WillProperties {
        delay: long 0x18,
        payload_format: flag 0x01,
        message_expiry: long 0x02,
        content_type: text 0x03,
        response_topic: topic 0x08,
        correlation_data: binary 0x09,
        user: pairs 0x26,
    }

    ConnAckProperties {
        topic_alias_maximum: short 0x22,
        session_expiry: long 0x11,
        maximum_qos: bit 0x24,
        retain_available: flag 0x25,
        assigned_client_id: text 0x12,
        reason_string: text 0x1F,
        wildcard_subscription_available: flag 0x28,
        subscription_ids_available: flag 0x29,
        shared_subscription_available: flag 0x2A,
        server_keep_alive: short 0x13,
        response_information: text 0x1A,
        server_reference: text 0x1C,
        authentication_method: text 0x15,
        authentication_data: binary 0x16,
        user: pairs 0x26,
        maximum_packet_size: long_not_zero 0x27,
        receive_maximum: short_not_zero 0x21,
    } => data_needs_method

    PublishProperties {
        payload_format: flag 0x01,
        message_expiry: long 0x02,
        topic_alias: alias 0x23,
        response_topic: topic 0x08,
        correlation_data: binary 0x09,
        subscription_ids: numbers 0x0B,
        content_type: text 0x03,
        user: pairs 0x26,
    }

    AckProperties {
        reason_string: text 0x1F,
        user: pairs 0x26,
    }

    SubscribeProperties {
        subscription_id: number 0x0B,
        user: pairs 0x26,
    }

    UnsubscribeProperties {
        user: pairs 0x26,
    }

    DisconnectProperties {
        session_expiry: long 0x11,
        reason_string: text 0x1F,
        server_reference: text 0x1C,
        user: pairs 0x26,
    }

    AuthProperties {
        authentication_method: text 0x15,
        authentication_data: binary 0x16,
        reason_string: text 0x1F,
        user: pairs 0x26,
    } => data_needs_method
}
