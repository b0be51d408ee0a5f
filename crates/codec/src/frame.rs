//! Packet boundaries, with flags and the size limit checked before a body is read or kept.

use crate::Error;

/// The largest value of a variable byte integer, and so of a packet's remaining length.
pub const VARINT_MAX: u32 = 268_435_455;

/// One whole packet, still as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub kind: PacketType,
    /// The low four bits of the first byte.
    pub flags: u8,
    pub body: &'a [u8],
    /// Header and body.
    pub bytes: &'a [u8],
}

/// The kind of a packet; the discriminant is the high half of its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PacketType {
    Connect = 1,
    ConnAck = 2,
    Publish = 3,
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
    Subscribe = 8,
    SubAck = 9,
    Unsubscribe = 10,
    UnsubAck = 11,
    PingReq = 12,
    PingResp = 13,
    Disconnect = 14,
    Auth = 15,
}

/// Cuts the first packet off `buf`; the next one begins at [`Frame::len`]. `None`: not all of it is there yet.
///
/// `limit` counts header and body, in bytes. What the header alone can tell fails as soon as the header is there:
/// type 0, reserved flags, `QoS` 3, DUP with `QoS` 0, a remaining length of more than four bytes, and a packet above
/// the limit.
///
/// A remaining length spelt with more bytes than needed (`80 00`) is accepted, as is every other variable byte
/// integer: 3.1.1 does not forbid it, and devices in the field do it. The encoder never writes one.
///
/// PUBREL, SUBSCRIBE and UNSUBSCRIBE may carry the DUP bit here, because 3.1 has it; parsing refuses it for the
/// later versions.
#[inline]
pub fn decode_frame(buf: &[u8], limit: u32) -> Result<Option<Frame<'_>>, Error> {
    let Some(header) = Header::read(buf, limit)? else { return Ok(None) };
    let Some(bytes) = buf.get(..header.len_whole) else { return Ok(None) };
    let Some(body) = bytes.get(header.len..) else { return Ok(None) };
    Ok(Some(Frame { kind: header.kind, flags: header.flags, body, bytes }))
}

/// The length of the first packet, header included, once its header is complete, even where its body is not there
/// yet. It is at most `limit`; errors are those of [`decode_frame`].
#[inline]
pub fn frame_len(buf: &[u8], limit: u32) -> Result<Option<usize>, Error> {
    Ok(Header::read(buf, limit)?.map(|header| header.len_whole))
}

impl Frame<'_> {
    /// Bytes of header and body together; at least 2.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a frame is never empty")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }
}

impl PacketType {
    /// The type of this number, which is the high half of a packet's first byte.
    #[inline]
    pub const fn from_u8(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Connect,
            2 => Self::ConnAck,
            3 => Self::Publish,
            4 => Self::PubAck,
            5 => Self::PubRec,
            6 => Self::PubRel,
            7 => Self::PubComp,
            8 => Self::Subscribe,
            9 => Self::SubAck,
            10 => Self::Unsubscribe,
            11 => Self::UnsubAck,
            12 => Self::PingReq,
            13 => Self::PingResp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return None,
        })
    }

    /// One bit for each value that the flags of this type may have.
    const fn flags_allowed(self) -> u16 {
        match self {
            // [MQTT-3.3.1-4] not both QoS bits; [MQTT-3.3.1-2] no DUP with QoS 0.
            Self::Publish => 0b0011_1100_0011_1111,
            // [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1], and with DUP for 3.1.
            Self::PubRel | Self::Subscribe | Self::Unsubscribe => 1 << 0b0010 | 1 << 0b1010,
            // [MQTT-2.1.3-1]
            _ => 1,
        }
    }
}

struct Header {
    kind: PacketType,
    flags: u8,
    /// Of the header itself.
    len: usize,
    /// Of header and body.
    len_whole: usize,
}

impl Header {
    #[inline]
    fn read(buf: &[u8], limit: u32) -> Result<Option<Self>, Error> {
        let Some((&first, rest)) = buf.split_first() else { return Ok(None) };
        let flags = first & 0x0F;
        let Some(kind) = PacketType::from_u8(first >> 4) else {
            return Err(Error::Malformed("packet type 0"));
        };
        if kind.flags_allowed() >> flags & 1 == 0 {
            return Err(Error::Malformed("fixed header flags"));
        }
        let (len, body) = match *rest {
            [] => return Ok(None),
            [a, ..] if a < 0x80 => (2, u32::from(a)),
            _ => match long_remaining_length(rest)? {
                Some(found) => found,
                None => return Ok(None),
            },
        };
        // At most 5 + VARINT_MAX, so neither the sum nor the conversion can overflow.
        let len_whole = len + body as usize;
        if len_whole > limit as usize {
            return Err(Error::TooLarge);
        }
        Ok(Some(Self { kind, flags, len, len_whole }))
    }
}

/// The header's length and the body's, where the remaining length takes two bytes or more.
fn long_remaining_length(rest: &[u8]) -> Result<Option<(usize, u32)>, Error> {
    let mut value = 0;
    for (i, &byte) in rest.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * i);
        if byte < 0x80 {
            return Ok(Some((i + 2, value)));
        }
    }
    if rest.len() < 4 { Ok(None) } else { Err(Error::Malformed("remaining length of more than four bytes")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u32 = 1 << 20;

    #[test]
    fn a_packet_is_cut_at_its_length() {
        let frame = decode_frame(&[0x40, 2, 0, 1, 0xC0, 0], LIMIT).unwrap().unwrap();
        assert_eq!(
            frame,
            Frame { kind: PacketType::PubAck, flags: 0, body: &[0, 1], bytes: &[0x40, 2, 0, 1] }
        );
        assert_eq!(frame.len(), 4);
    }

    #[test]
    fn an_unfinished_packet_is_no_error() {
        for buf in [&[][..], &[0x40], &[0x40, 2], &[0x40, 2, 0], &[0x30, 0x80], &[0x30, 0xFF, 0xFF, 0x01]] {
            assert_eq!(decode_frame(buf, LIMIT), Ok(None), "{buf:x?}");
        }
        assert_eq!(frame_len(&[0x30, 0x80], LIMIT), Ok(None));
        assert_eq!(frame_len(&[0x30, 0x80, 0x01], LIMIT), Ok(Some(131)));
    }

    #[test]
    fn remaining_length_has_up_to_four_bytes() {
        let whole = |buf: &[u8]| frame_len(buf, u32::MAX).unwrap().unwrap();
        assert_eq!(whole(&[0x30, 0x7F]), 2 + 127);
        assert_eq!(whole(&[0x30, 0xFF, 0x7F]), 3 + 16_383);
        assert_eq!(whole(&[0x30, 0xFF, 0xFF, 0x7F]), 4 + 2_097_151);
        assert_eq!(whole(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]), 5 + VARINT_MAX as usize);
        // Fault A03: longer than needed, but the same number.
        assert_eq!(whole(&[0x30, 0x82, 0x00]), 3 + 2);
        assert_eq!(whole(&[0x30, 0x80, 0x80, 0x80, 0x00]), 5);
    }

    #[test]
    fn a_fifth_length_byte_is_malformed_at_once() {
        // Fault A01, for each type with flags that pass.
        for first in
            [0x10, 0x20, 0x30, 0x40, 0x50, 0x62, 0x70, 0x82, 0x90, 0xA2, 0xB0, 0xC0, 0xD0, 0xE0, 0xF0]
        {
            let buf = [first, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F];
            assert!(matches!(decode_frame(&buf, u32::MAX), Err(Error::Malformed(_))));
            assert!(matches!(decode_frame(&buf[..5], u32::MAX), Err(Error::Malformed(_))));
        }
    }

    #[test]
    fn the_limit_counts_header_and_body_and_needs_no_body() {
        assert_eq!(frame_len(&[0x30, 98], 100), Ok(Some(100)));
        assert_eq!(frame_len(&[0x30, 99], 100), Err(Error::TooLarge));
        // Fault A04: 256 MB announced.
        assert_eq!(decode_frame(&[0x10, 0xFF, 0xFF, 0xFF, 0x7F], 100_000), Err(Error::TooLarge));
    }

    #[test]
    fn flags_are_checked_on_the_first_byte() {
        for first in 0..=u8::MAX {
            let allowed = match first >> 4 {
                0 => false,
                3 => first & 6 != 6 && (first & 8 == 0 || first & 6 != 0),
                6 | 8 | 10 => first & 7 == 2,
                _ => first << 4 == 0,
            };
            assert_eq!(decode_frame(&[first], LIMIT).is_ok(), allowed, "{first:02x}");
        }
    }
}
