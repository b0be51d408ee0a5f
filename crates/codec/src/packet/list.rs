//! The lists that SUBSCRIBE, UNSUBSCRIBE and their answers carry: as validated bytes, or as the caller's slice.

use super::{Qos, RetainHandling, SubscribeOptions, Version};
use crate::{EncodeError, Error, PacketType, ReasonCode, wire::Reader, wire::Sink};
use core::{fmt, slice};

/// The subscriptions asked for by a SUBSCRIBE. Strings and option bits are checked; the syntax of the filters is
/// not, because each is answered on its own (see [`crate::topic::validate_filter`]).
#[derive(Clone, Copy)]
pub enum Filters<'a> {
    /// The payload of a SUBSCRIBE of this version, validated.
    Encoded(&'a [u8], Version),
    List(&'a [(&'a str, SubscribeOptions)]),
}

/// The filters of an UNSUBSCRIBE. Strings are checked, the syntax of the filters is not.
#[derive(Clone, Copy)]
pub enum Topics<'a> {
    /// The payload of an UNSUBSCRIBE, validated.
    Encoded(&'a [u8]),
    List(&'a [&'a str]),
}

/// The answers of a SUBACK or UNSUBACK, one for each filter, in their order.
#[derive(Clone, Copy)]
pub enum ReasonCodes<'a> {
    /// The payload of a SUBACK or UNSUBACK, validated.
    Encoded(&'a [u8]),
    List(&'a [ReasonCode]),
}

impl SubscribeOptions {
    const NO_LOCAL: u8 = 0b0000_0100;
    const RETAIN_AS_PUBLISHED: u8 = 0b0000_1000;

    /// The options with only a `QoS`, as 3.x has them.
    pub const fn qos(qos: Qos) -> Self {
        Self { qos, no_local: false, retain_as_published: false, retain_handling: RetainHandling::Always }
    }

    fn from_byte(byte: u8, version: Version) -> Result<Self, Error> {
        let reserved = if version == Version::V5 { 0b1100_0000 } else { 0b1111_1100 };
        // [MQTT-3.8.3-5]
        if byte & reserved != 0 {
            return Err(Error::Malformed("reserved bits of the subscription options"));
        }
        Ok(Self {
            qos: Qos::from_u8(byte & 3).ok_or(Error::Protocol("subscription with QoS 3"))?,
            no_local: byte & Self::NO_LOCAL != 0,
            retain_as_published: byte & Self::RETAIN_AS_PUBLISHED != 0,
            retain_handling: match byte >> 4 & 3 {
                0 => RetainHandling::Always,
                1 => RetainHandling::IfNew,
                2 => RetainHandling::Never,
                _ => return Err(Error::Protocol("retain handling 3")),
            },
        })
    }

    fn to_byte(self, version: Version) -> u8 {
        let qos = self.qos as u8;
        if version != Version::V5 {
            return qos;
        }
        qos | (u8::from(self.no_local) * Self::NO_LOCAL)
            | (u8::from(self.retain_as_published) * Self::RETAIN_AS_PUBLISHED)
            | ((self.retain_handling as u8) << 4)
    }
}

impl<'a> Filters<'a> {
    #[inline]
    pub fn iter(&self) -> FiltersIter<'a> {
        FiltersIter(match *self {
            Self::Encoded(bytes, version) => Source::Encoded(Reader::new(bytes), version),
            Self::List(list) => Source::List(list.iter()),
        })
    }

    /// Walks the bytes where the list is encoded.
    pub fn len(&self) -> usize {
        match self {
            Self::Encoded(..) => self.iter().count(),
            Self::List(list) => list.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    pub(super) fn parse(reader: Reader<'a>, version: Version) -> Result<Self, Error> {
        let mut rest = reader;
        // [MQTT-3.8.3-2]
        if rest.is_empty() {
            return Err(Error::Protocol("SUBSCRIBE without a filter"));
        }
        while !rest.is_empty() {
            let (filter, options) = Self::entry(&mut rest, version)?;
            // [MQTT-3.8.3-4]
            if options.no_local && filter.starts_with("$share/") {
                return Err(Error::Protocol("No Local on a shared subscription"));
            }
        }
        Ok(Self::Encoded(reader.rest(), version))
    }

    pub(super) fn write<S: Sink>(&self, version: Version, out: &mut S) -> Result<(), EncodeError> {
        out.require(!S::CHECKS || !self.is_empty(), EncodeError::Invalid("SUBSCRIBE without a filter"))?;
        self.iter().try_for_each(|(filter, options)| {
            out.string(filter)?;
            out.u8(options.to_byte(version));
            Ok(())
        })
    }

    #[inline]
    fn entry(reader: &mut Reader<'a>, version: Version) -> Result<(&'a str, SubscribeOptions), Error> {
        // [MQTT-3.8.3-1]
        let filter = reader.string("topic filter")?;
        Ok((filter, SubscribeOptions::from_byte(reader.u8("subscription options")?, version)?))
    }
}

impl<'a> Topics<'a> {
    #[inline]
    pub fn iter(&self) -> TopicsIter<'a> {
        TopicsIter(match *self {
            Self::Encoded(bytes) => Source::Encoded(Reader::new(bytes), ()),
            Self::List(list) => Source::List(list.iter()),
        })
    }

    /// Walks the bytes where the list is encoded.
    pub fn len(&self) -> usize {
        match self {
            Self::Encoded(_) => self.iter().count(),
            Self::List(list) => list.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    pub(super) fn parse(reader: Reader<'a>) -> Result<Self, Error> {
        let mut rest = reader;
        // [MQTT-3.10.3-2]
        if rest.is_empty() {
            return Err(Error::Protocol("UNSUBSCRIBE without a filter"));
        }
        while !rest.is_empty() {
            // [MQTT-3.10.3-1]
            rest.string("topic filter")?;
        }
        Ok(Self::Encoded(reader.rest()))
    }

    pub(super) fn write<S: Sink>(&self, out: &mut S) -> Result<(), EncodeError> {
        out.require(!S::CHECKS || !self.is_empty(), EncodeError::Invalid("UNSUBSCRIBE without a filter"))?;
        self.iter().try_for_each(|filter| out.string(filter))
    }
}

impl<'a> ReasonCodes<'a> {
    #[inline]
    pub fn iter(&self) -> ReasonCodesIter<'a> {
        ReasonCodesIter(match *self {
            Self::Encoded(bytes) => Source::Encoded(Reader::new(bytes), ()),
            Self::List(list) => Source::List(list.iter()),
        })
    }

    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Self::Encoded(bytes) => bytes.len(),
            Self::List(list) => list.len(),
        }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn parse(reader: Reader<'a>, kind: PacketType, version: Version) -> Result<Self, Error> {
        let bytes = reader.rest();
        if bytes.is_empty() {
            return Err(Error::Malformed("no reason codes"));
        }
        let is_good = |&byte: &u8| match version {
            Version::V5 => ReasonCode::from_u8(byte).is_some_and(|code| code.is_allowed_in(kind)),
            Version::V31 | Version::V311 => matches!(byte, 0..=2 | 0x80),
        };
        if bytes.iter().all(is_good) {
            Ok(Self::Encoded(bytes))
        } else {
            Err(Error::Malformed("reason code"))
        }
    }

    pub(super) fn write<S: Sink>(
        &self,
        kind: PacketType,
        version: Version,
        out: &mut S,
    ) -> Result<(), EncodeError> {
        out.require(!self.is_empty(), EncodeError::Invalid("no reason codes"))?;
        self.iter().try_for_each(|code| {
            // [MQTT-3.9.3-2] [MQTT-3.11.3-2]
            out.require(code.is_allowed_in(kind), EncodeError::Invalid("reason code"))?;
            out.u8(if version != Version::V5 && code.is_error() { 0x80 } else { code as u8 });
            Ok(())
        })
    }
}

/// See [`Filters::iter`].
#[derive(Clone, Debug)]
pub struct FiltersIter<'a>(Source<'a, (&'a str, SubscribeOptions), Version>);

/// See [`Topics::iter`].
#[derive(Clone, Debug)]
pub struct TopicsIter<'a>(Source<'a, &'a str>);

/// See [`ReasonCodes::iter`].
#[derive(Clone, Debug)]
pub struct ReasonCodesIter<'a>(Source<'a, ReasonCode>);

#[derive(Clone, Debug)]
enum Source<'a, T, Extra = ()> {
    Encoded(Reader<'a>, Extra),
    List(slice::Iter<'a, T>),
}

impl<'a> FiltersIter<'a> {
    /// What is still to be walked where the list is encoded: it makes a list of its own.
    pub fn rest(&self) -> &'a [u8] {
        self.0.rest()
    }
}

impl<'a> TopicsIter<'a> {
    /// See [`FiltersIter::rest`].
    pub fn rest(&self) -> &'a [u8] {
        self.0.rest()
    }
}

impl<'a, T, Extra> Source<'a, T, Extra> {
    fn rest(&self) -> &'a [u8] {
        match self {
            Self::Encoded(reader, _) => reader.rest(),
            Self::List(_) => &[],
        }
    }
}

impl<'a> Iterator for FiltersIter<'a> {
    type Item = (&'a str, SubscribeOptions);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Source::Encoded(reader, version) => Filters::entry(reader, *version).ok(),
            Source::List(list) => list.next().copied(),
        }
    }
}

impl<'a> Iterator for TopicsIter<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Source::Encoded(reader, ()) => reader.string("").ok(),
            Source::List(list) => list.next().copied(),
        }
    }
}

impl Iterator for ReasonCodesIter<'_> {
    type Item = ReasonCode;

    fn next(&mut self) -> Option<ReasonCode> {
        match &mut self.0 {
            Source::Encoded(reader, ()) => ReasonCode::from_u8(reader.u8("").ok()?),
            Source::List(list) => list.next().copied(),
        }
    }
}

/// What the three lists have in common besides their methods.
macro_rules! list {
    ($list:ident, $iter:ident, $item:ty) => {
        impl<'a> IntoIterator for &$list<'a> {
            type Item = $item;
            type IntoIter = $iter<'a>;

            fn into_iter(self) -> Self::IntoIter {
                self.iter()
            }
        }

        impl PartialEq for $list<'_> {
            fn eq(&self, other: &Self) -> bool {
                self.iter().eq(other.iter())
            }
        }

        impl fmt::Debug for $list<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_list().entries(self.iter()).finish()
            }
        }

        impl Default for $list<'_> {
            fn default() -> Self {
                Self::List(&[])
            }
        }
    };
}

list!(Filters, FiltersIter, (&'a str, SubscribeOptions));
list!(Topics, TopicsIter, &'a str);
list!(ReasonCodes, ReasonCodesIter, ReasonCode);
