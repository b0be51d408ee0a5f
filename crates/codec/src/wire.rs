//! Bounded reading and writing of MQTT's data types.
//!
//! A [`Reader`] only ever sees what is left of its own block, so no caller counts bytes. Writing is described once,
//! against [`Sink`], and done twice: into a [`Count`], which checks every value and adds up the length, then into
//! the output, which by then cannot fail.

use crate::{EncodeError, Error, VARINT_MAX, topic::has_any};
use alloc::vec::Vec;
use core::num::NonZeroU16;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next `len` bytes.
    #[inline]
    pub(crate) fn take(&mut self, len: usize, place: &'static str) -> Result<&'a [u8], Error> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(Error::Malformed(place))?;
        self.rest = rest;
        Ok(head)
    }

    #[inline]
    fn array<const N: usize>(&mut self, place: &'static str) -> Result<[u8; N], Error> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(Error::Malformed(place))?;
        self.rest = rest;
        Ok(*head)
    }

    #[inline]
    pub(crate) fn u8(&mut self, place: &'static str) -> Result<u8, Error> {
        self.array(place).map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn u16(&mut self, place: &'static str) -> Result<u16, Error> {
        self.array(place).map(u16::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self, place: &'static str) -> Result<u32, Error> {
        self.array(place).map(u32::from_be_bytes)
    }

    /// A variable byte integer of at most four bytes; spellings longer than needed are accepted.
    #[inline]
    pub(crate) fn varint(&mut self, place: &'static str) -> Result<u32, Error> {
        let first = self.u8(place)?;
        if first < 0x80 { Ok(u32::from(first)) } else { self.long_varint(first, place) }
    }

    fn long_varint(&mut self, first: u8, place: &'static str) -> Result<u32, Error> {
        let mut value = u32::from(first & 0x7F);
        for shift in [7, 14, 21] {
            let byte = self.u8(place)?;
            value |= u32::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Error::Malformed(place))
    }

    /// Bytes behind a two-byte length.
    #[inline]
    pub(crate) fn binary(&mut self, place: &'static str) -> Result<&'a [u8], Error> {
        let len = self.u16(place)?;
        self.take(usize::from(len), place)
    }

    /// Text behind a two-byte length: well-formed UTF-8 without NUL.
    #[inline]
    pub(crate) fn string(&mut self, place: &'static str) -> Result<&'a str, Error> {
        let text = self.string_with_nul(place)?;
        // [MQTT-1.5.4-2]
        if has_any(text.as_bytes(), [0, 0, 0]) { Err(Error::Malformed(place)) } else { Ok(text) }
    }

    /// As [`Reader::string`], for callers that look for NUL together with what else they forbid.
    #[inline]
    pub(crate) fn string_with_nul(&mut self, place: &'static str) -> Result<&'a str, Error> {
        // [MQTT-1.5.4-1]; a U+FEFF in front stays where it is. // [MQTT-1.5.4-3]
        core::str::from_utf8(self.binary(place)?).map_err(|_| Error::Malformed(place))
    }

    #[inline]
    pub(crate) fn packet_id(&mut self) -> Result<NonZeroU16, Error> {
        // [MQTT-2.2.1-3] [MQTT-2.2.1-4]
        NonZeroU16::new(self.u16("packet identifier")?).ok_or(Error::Protocol("packet identifier 0"))
    }

    /// A reader for the next `len` bytes alone.
    #[inline]
    pub(crate) fn sub(&mut self, len: usize, place: &'static str) -> Result<Self, Error> {
        self.take(len, place).map(Self::new)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What has not been read.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// That everything has been read.
    #[inline]
    pub(crate) fn end(&self, place: &'static str) -> Result<(), Error> {
        if self.rest.is_empty() { Ok(()) } else { Err(Error::Malformed(place)) }
    }
}

/// Something with a length that can be written.
pub(crate) trait Encode {
    fn write<S: Sink>(&self, out: &mut S) -> Result<(), EncodeError>;
}

/// Where bytes are written to.
pub(crate) trait Sink: Sized {
    /// Whether values are checked here; otherwise they have been.
    const CHECKS: bool;

    fn slice(&mut self, bytes: &[u8]);

    /// The block behind its length as a variable byte integer.
    fn prefixed(&mut self, block: &impl Encode) -> Result<(), EncodeError>;

    #[inline]
    fn require(&self, fact: bool, otherwise: EncodeError) -> Result<(), EncodeError> {
        if Self::CHECKS && !fact { Err(otherwise) } else { Ok(()) }
    }

    #[inline]
    fn u8(&mut self, value: u8) {
        self.slice(&[value]);
    }

    #[inline]
    fn u16(&mut self, value: u16) {
        self.slice(&value.to_be_bytes());
    }

    #[inline]
    fn u32(&mut self, value: u32) {
        self.slice(&value.to_be_bytes());
    }

    #[inline]
    fn varint(&mut self, mut value: u32) -> Result<(), EncodeError> {
        self.require(value <= VARINT_MAX, EncodeError::TooLong)?;
        // [MQTT-1.5.5-1] as few bytes as possible
        while value >= 0x80 {
            self.u8(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.u8(value.to_le_bytes()[0]);
        Ok(())
    }

    #[inline]
    fn binary(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.u16(u16::try_from(bytes.len()).map_err(|_| EncodeError::TooLong)?);
        self.slice(bytes);
        Ok(())
    }

    #[inline]
    fn string(&mut self, text: &str) -> Result<(), EncodeError> {
        // [MQTT-1.5.4-2]
        if Self::CHECKS && has_any(text.as_bytes(), [0, 0, 0]) {
            return Err(EncodeError::Invalid("NUL in a string"));
        }
        self.binary(text.as_bytes())
    }
}

/// Checks and measures.
#[derive(Debug, Default)]
pub(crate) struct Count(pub(crate) usize);

impl Count {
    /// The length of a block, all of whose values are in order.
    #[inline]
    pub(crate) fn of(block: &impl Encode) -> Result<usize, EncodeError> {
        let mut count = Self(0);
        block.write(&mut count)?;
        Ok(count.0)
    }
}

impl Sink for Count {
    const CHECKS: bool = true;

    #[inline]
    fn slice(&mut self, bytes: &[u8]) {
        // Saturating: the same text may be counted often enough to overflow where `usize` has 32 bits.
        self.0 = self.0.saturating_add(bytes.len());
    }

    #[inline]
    fn prefixed(&mut self, block: &impl Encode) -> Result<(), EncodeError> {
        let len = Self::of(block)?;
        self.varint(varint_of(len)?)?;
        self.0 = self.0.saturating_add(len);
        Ok(())
    }
}

impl Sink for Vec<u8> {
    const CHECKS: bool = false;

    #[inline]
    fn slice(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    #[inline]
    fn prefixed(&mut self, block: &impl Encode) -> Result<(), EncodeError> {
        let len = varint_of(Count::of(block)?)?;
        self.varint(len)?;
        if len == 0 { Ok(()) } else { block.write(self) }
    }
}

/// The length as a variable byte integer can carry it.
#[inline]
pub(crate) fn varint_of(len: usize) -> Result<u32, EncodeError> {
    u32::try_from(len).ok().filter(|&len| len <= VARINT_MAX).ok_or(EncodeError::TooLong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_at_their_edges() {
        for (value, bytes) in [
            (0, &[0][..]),
            (127, &[0x7F]),
            (128, &[0x80, 0x01]),
            (16_383, &[0xFF, 0x7F]),
            (16_384, &[0x80, 0x80, 0x01]),
            (2_097_151, &[0xFF, 0xFF, 0x7F]),
            (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
            (VARINT_MAX, &[0xFF, 0xFF, 0xFF, 0x7F]),
        ] {
            let mut out = Vec::new();
            out.varint(value).unwrap();
            assert_eq!(out, bytes);
            let mut count = Count(0);
            count.varint(value).unwrap();
            assert_eq!(count.0, bytes.len());
            assert_eq!(Reader::new(bytes).varint(""), Ok(value));
            for cut in 0..bytes.len() {
                assert_eq!(Reader::new(&bytes[..cut]).varint("v"), Err(Error::Malformed("v")));
            }
        }
        assert_eq!(Reader::new(&[0x80, 0x80, 0x80, 0x80, 0x00]).varint("v"), Err(Error::Malformed("v")));
        assert_eq!(Reader::new(&[0x85, 0x80, 0x00]).varint("v"), Ok(5));
        assert_eq!(Count(0).varint(VARINT_MAX + 1), Err(EncodeError::TooLong));
    }

    #[test]
    fn strings_are_utf8_without_nul() {
        let string = |text: &[u8]| {
            let mut bytes = Vec::new();
            bytes.binary(text).unwrap();
            Reader::new(&bytes).string("s").map(alloc::string::String::from)
        };
        // [MQTT-1.5.4-3] U+FEFF stays; other controls and noncharacters are let through.
        for good in
            ["", "a", "\u{1}\u{7F}\u{9F}", "\u{FEFF}a", "\u{FFFE}\u{FFFF}", "\u{D7FF}\u{E000}\u{10FFFF}"]
        {
            assert_eq!(string(good.as_bytes()).as_deref(), Ok(good));
        }
        // Fault A15. // [MQTT-1.5.4-1] [MQTT-1.5.4-2]
        let bad: [&[u8]; 11] = [
            b"\0",
            b"a\0b",
            b"0123456789abcdef\0",
            b"\xED\xA0\x80",             // U+D800
            b"\xED\xBF\xBF",             // U+DFFF
            b"\xED\xA0\x81\xED\xB0\x80", // a surrogate pair
            b"\xC0\x80",                 // NUL, overlong
            b"\xE0\x80\xAF",             // overlong
            b"\xF4\x90\x80\x80",         // above U+10FFFF
            b"\xC3",                     // cut
            b"\xFF",
        ];
        for bad in bad {
            assert_eq!(string(bad), Err(Error::Malformed("s")), "{bad:x?}");
        }
    }

    #[test]
    fn a_sub_reader_ends_where_it_was_told() {
        let mut reader = Reader::new(&[0, 3, b'a', b'b', b'c', 9]);
        let mut sub = reader.sub(4, "").unwrap();
        assert_eq!(sub.binary("field"), Err(Error::Malformed("field")));
        assert_eq!(reader.rest(), &[b'c', 9]);
        assert!(reader.sub(3, "").is_err());
        assert_eq!(reader.end("tail"), Err(Error::Malformed("tail")));
    }

    #[test]
    fn fields_that_are_too_long_are_not_written() {
        let long = alloc::vec![b'a'; 65_536];
        assert_eq!(Count(0).binary(&long), Err(EncodeError::TooLong));
        assert_eq!(Count(0).binary(&long[1..]), Ok(()));
        assert_eq!(Count(0).string("a\0"), Err(EncodeError::Invalid("NUL in a string")));
    }
}
