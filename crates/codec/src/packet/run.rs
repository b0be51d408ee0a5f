//! A publisher's burst to one topic as one piece: PUBLISH packets that differ in nothing but their payloads.

use super::{PublishView, Qos, Version};
use crate::Frame;

/// First byte of a PUBLISH of `QoS` 0 that is not retained.
const FIRST_BYTE: u8 = 0x30;
/// The largest remaining length that two bytes hold; larger packets are no part of a run.
const REMAINING_MAX: usize = 16_383;

/// PUBLISH packets of `QoS` 0, not retained, with the same topic and the same properties, in the bytes they came in, which
/// any receiver of that version can be sent as they are. There is at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishRun<'a> {
    topic: &'a str,
    bytes: &'a [u8],
    shape: RunShape,
}

/// What is known of a run beside its topic and its bytes, which are enough to have it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunShape {
    /// Of version 5.
    pub v5: bool,
    pub packets: u32,
    /// Bytes of all payloads.
    pub payload_bytes: u32,
    /// Bytes of the largest packet.
    pub packet_bytes_max: u32,
    /// What comes before the payload in each body: topic and properties.
    variable_header: u32,
    /// The end of that, without its length.
    properties: u32,
}

/// Where a run has to end.
#[derive(Clone, Copy, Debug)]
pub struct RunLimits {
    /// Of the whole run; one packet alone may be larger.
    pub bytes_max: usize,
    /// Of each packet.
    pub packet_bytes_max: usize,
    /// Of each payload.
    pub payload_bytes_max: usize,
}

impl<'a> PublishRun<'a> {
    /// The packets at the beginning of `buf` that go together with its first one, which was parsed already. `None`:
    /// that one is above the limits, or cannot be forwarded as it is, whatever its properties say.
    #[inline]
    pub fn gather(
        buf: &'a [u8],
        first: &Frame<'a>,
        view: &PublishView<'a>,
        version: Version,
        limits: RunLimits,
    ) -> Option<Self> {
        let v5 = version == Version::V5;
        let (topic, properties) = (view.topic, view.raw_properties.len());
        let variable_header = 2 + topic.len() + if v5 { varint_len(properties) + properties } else { 0 };
        // [MQTT-1.5.5-1] lengths that were spelt with more bytes than needed are not passed on
        let shortest = first.body.len() == variable_header + view.payload.len()
            && first.bytes.len() == 1 + varint_len(first.body.len()) + first.body.len();
        let fits = first.body.len() <= REMAINING_MAX
            && first.bytes.len() <= limits.packet_bytes_max
            && view.payload.len() <= limits.payload_bytes_max;
        let plain = view.qos == Qos::AtMostOnce && !view.retain && !view.dup && !topic.is_empty();
        if !shortest || !fits || !plain {
            return None;
        }
        let prefix = first.body.get(..variable_header)?;
        let (mut end, mut packets, mut packet_bytes_max) = (first.bytes.len(), 1, first.bytes.len());
        let mut payload_bytes = view.payload.len();
        while let Some(packet) = next(buf.get(end..)?, prefix)
            && end + packet.bytes <= limits.bytes_max
            && packet.bytes <= limits.packet_bytes_max
            && packet.payload.len() <= limits.payload_bytes_max
        {
            end += packet.bytes;
            packets += 1;
            payload_bytes += packet.payload.len();
            packet_bytes_max = packet_bytes_max.max(packet.bytes);
        }
        let shape = RunShape {
            v5,
            packets,
            payload_bytes: u32::try_from(payload_bytes).ok()?,
            packet_bytes_max: u32::try_from(packet_bytes_max).ok()?,
            variable_header: u32::try_from(variable_header).ok()?,
            properties: u32::try_from(properties).ok()?,
        };
        Some(Self { topic, bytes: buf.get(..end)?, shape })
    }

    /// A run taken apart before, with copies of its parts.
    pub fn from_parts(topic: &'a str, bytes: &'a [u8], shape: RunShape) -> Self {
        Self { topic, bytes, shape }
    }

    /// Its first packets, as many as fit into so many bytes, but one at least.
    #[must_use]
    pub fn first(&self, bytes_max: usize, packets_max: u32) -> Self {
        if self.bytes.len() <= bytes_max && self.shape.packets <= packets_max {
            return *self;
        }
        let header = self.shape.variable_header as usize;
        let (mut end, mut largest) = (0, 0);
        let mut shape = RunShape { packets: 0, payload_bytes: 0, ..self.shape };
        while let Some((bytes, body)) = self.bytes.get(end..).and_then(body)
            && (shape.packets == 0 || (end + bytes <= bytes_max && shape.packets < packets_max))
        {
            end += bytes;
            largest = largest.max(bytes);
            shape.packets += 1;
            let payload = body.len().saturating_sub(header);
            shape.payload_bytes += u32::try_from(payload).unwrap_or(0);
        }
        shape.packet_bytes_max = u32::try_from(largest).unwrap_or(u32::MAX);
        Self { topic: self.topic, bytes: self.bytes.get(..end).unwrap_or_default(), shape }
    }

    #[inline]
    pub fn topic(&self) -> &'a str {
        self.topic
    }

    /// All packets.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    #[inline]
    pub fn shape(&self) -> RunShape {
        self.shape
    }

    /// The packets' properties as bytes, and the payload of each.
    pub fn payloads(&self) -> (&'a [u8], impl Iterator<Item = &'a [u8]> + use<'a>) {
        let (header, properties) = (self.shape.variable_header as usize, self.shape.properties as usize);
        let first = body(self.bytes).map_or(&[][..], |(_, body)| body);
        let prefix = first.get(..header).unwrap_or_default();
        let properties = prefix.get(prefix.len().saturating_sub(properties)..).unwrap_or_default();
        let mut rest = self.bytes;
        let payloads = core::iter::from_fn(move || {
            let (bytes, body) = body(rest)?;
            rest = rest.get(bytes..)?;
            body.get(header..)
        });
        (properties, payloads)
    }
}

/// A packet behind the first.
struct Follower<'a> {
    bytes: usize,
    payload: &'a [u8],
}

#[inline]
fn next<'a>(buf: &'a [u8], prefix: &[u8]) -> Option<Follower<'a>> {
    let (bytes, body) = body(buf)?;
    Some(Follower { bytes, payload: body.strip_prefix(prefix)? })
}

/// Length and body of a packet with that first byte and a remaining length of as many bytes as needed, two at most.
#[inline]
fn body(buf: &[u8]) -> Option<(usize, &[u8])> {
    let (header, remaining) = match *buf {
        [FIRST_BYTE, a, ..] if a < 0x80 => (2, usize::from(a)),
        [FIRST_BYTE, a, b, ..] if (1..0x80).contains(&b) => (3, usize::from(a & 0x7f) | usize::from(b) << 7),
        _ => return None,
    };
    Some((header + remaining, buf.get(header..header + remaining)?))
}

/// Bytes that a variable byte integer takes.
fn varint_len(n: usize) -> usize {
    match n {
        0..128 => 1,
        128..=REMAINING_MAX => 2,
        // the same for all that is no part of a run
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Packet, Publish, PublishProperties, decode_frame};
    use alloc::vec::Vec;

    const LIMITS: RunLimits =
        RunLimits { bytes_max: 10_000, packet_bytes_max: 5000, payload_bytes_max: 4000 };

    fn packet(version: Version, topic: &str, content_type: Option<&str>, payload: &[u8]) -> Vec<u8> {
        let properties = PublishProperties { content_type, ..PublishProperties::default() };
        let publish = Publish { topic, properties, payload, ..Publish::default() };
        let mut bytes = Vec::new();
        Packet::Publish(publish).encode(version, &mut bytes).unwrap();
        bytes
    }

    fn gather(buf: &[u8], version: Version, limits: RunLimits) -> Option<PublishRun<'_>> {
        let first = decode_frame(buf, 1 << 20).unwrap().unwrap();
        let view = PublishView::parse(&first, version).unwrap();
        PublishRun::gather(buf, &first, &view, version, limits)
    }

    #[test]
    fn a_run_has_all_packets_to_one_topic_with_the_same_properties_and_no_others() {
        for (version, properties) in
            [(Version::V311, None), (Version::V5, None), (Version::V5, Some("text/plain"))]
        {
            let payloads: [&[u8]; 4] = [b"one", b"", &[7; 300], b"four"];
            let mut run: Vec<u8> = Vec::new();
            for payload in payloads {
                run.extend(packet(version, "a/b", properties, payload));
            }
            let mut retained = packet(version, "a/b", properties, b"x");
            retained[0] |= 1;
            let mut others = Vec::from([
                packet(version, "a/c", properties, b"x"),
                packet(version, "a/bb", properties, b"x"),
                retained,
                Vec::from([0xc0, 0]),
                Vec::new(),
            ]);
            if version == Version::V5 {
                others.push(packet(version, "a/b", Some("text/html "), b"x"));
            }
            for other in others {
                let buf = [&run[..], &other].concat();
                let found = gather(&buf, version, LIMITS).unwrap();
                assert_eq!((found.topic(), found.bytes()), ("a/b", &run[..]));
                let shape = found.shape();
                assert_eq!((shape.packets, shape.payload_bytes), (4, 307));
                assert_eq!(shape.v5, version == Version::V5);
                let again = PublishRun::from_parts("a/b", &run, shape);
                let (block, found) = again.payloads();
                assert_eq!(block.is_empty(), properties.is_none());
                assert_eq!(found.collect::<Vec<_>>(), payloads);
            }
        }
    }

    #[test]
    fn a_packet_that_is_not_all_there_waits_for_the_next_run() {
        let one = packet(Version::V311, "t", None, b"payload");
        let two = [&one[..], &one].concat();
        for end in one.len()..two.len() {
            let found = gather(&two[..end], Version::V311, LIMITS).unwrap();
            assert_eq!((found.bytes().len(), found.shape().packets), (one.len(), 1));
        }
    }

    #[test]
    fn limits_hold() {
        let one = packet(Version::V311, "t", None, &[1; 100]);
        let buf = one.repeat(10);
        let packets = |limits| gather(&buf, Version::V311, limits).map(|run| run.shape().packets);
        assert_eq!(packets(LIMITS), Some(10));
        assert_eq!(packets(RunLimits { bytes_max: one.len() * 3, ..LIMITS }), Some(3));
        assert_eq!(packets(RunLimits { bytes_max: one.len() * 3 - 1, ..LIMITS }), Some(2));
        assert_eq!(packets(RunLimits { bytes_max: 0, ..LIMITS }), Some(1), "there is always one");
        assert_eq!(packets(RunLimits { packet_bytes_max: one.len() - 1, ..LIMITS }), None);
        assert_eq!(packets(RunLimits { payload_bytes_max: 99, ..LIMITS }), None);
        let growing = [&one[..], &packet(Version::V311, "t", None, &[1; 101])].concat();
        let limits = RunLimits { payload_bytes_max: 100, ..LIMITS };
        assert_eq!(gather(&growing, Version::V311, limits).unwrap().shape().packets, 1);
        let huge = packet(Version::V311, "t", None, &[1; REMAINING_MAX]);
        let all = RunLimits { bytes_max: 1 << 20, packet_bytes_max: 1 << 20, payload_bytes_max: 1 << 20 };
        assert_eq!(gather(&huge, Version::V311, all), None);
    }

    #[test]
    fn the_first_packets_of_a_run_are_the_run_of_those() {
        let payloads = [&[1; 300][..], b"", b"three", &[4; 120], b"five"];
        for version in [Version::V311, Version::V5] {
            let packets = payloads.map(|payload| packet(version, "a/b", None, payload));
            let buf = packets.concat();
            let run = gather(&buf, version, LIMITS).unwrap();
            for n in 1..=packets.len() {
                let bytes = packets[..n].concat();
                let expected = gather(&bytes, version, LIMITS).unwrap();
                assert_eq!(run.first(usize::MAX, u32::try_from(n).unwrap()), expected);
                assert_eq!(run.first(bytes.len(), u32::MAX), expected);
                let next = packets.get(n).map_or(0, Vec::len);
                assert_eq!(run.first(bytes.len() + next.saturating_sub(1), u32::MAX), expected);
            }
            assert_eq!(run.first(0, 0).bytes(), packets[0], "one at least");
        }
    }

    /// [MQTT-1.5.5-1]
    #[test]
    fn lengths_with_more_bytes_than_needed_are_not_passed_on() {
        let good = packet(Version::V311, "t", None, b"x");
        let wide = [&[0x30, 0x84, 0x00][..], &good[2..]].concat();
        assert_eq!(gather(&wide, Version::V311, LIMITS), None);
        let behind = [&good[..], &wide].concat();
        assert_eq!(gather(&behind, Version::V311, LIMITS).unwrap().bytes(), &good[..]);
        // the length of no properties in two bytes
        let wide = [0x30, 6, 0, 1, b't', 0x80, 0x00, b'x'];
        assert_eq!(gather(&wide, Version::V5, LIMITS), None);
    }

    #[test]
    fn other_packets_begin_no_run() {
        let one = packet(Version::V311, "t", None, b"x");
        for first in [0x31, 0x32, 0x34] {
            let mut other = [&one[..], &[0, 0]].concat();
            (other[0], other[1], other[5], other[6]) = (first, 6, 0, 1);
            assert_eq!(gather(&other, Version::V311, LIMITS), None, "{first:x}");
        }
        // topic alias 1 in place of the topic
        assert_eq!(gather(&[0x30, 6, 0, 0, 3, 0x23, 0, 1], Version::V5, LIMITS), None);
    }
}
