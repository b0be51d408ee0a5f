//! Frames of RFC 6455, decoded where they lie.

/// The longest data frame taken: the longest MQTT packet. Nothing is reserved for it.
const FRAME_BYTES_MAX: u64 = 268_435_460;
/// The longest payload of a control frame. (RFC 6455, 5.5)
pub(crate) const CONTROL_BYTES_MAX: usize = 125;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

pub(crate) const CLOSE_NORMAL: u16 = 1000;
const CLOSE_PROTOCOL: u16 = 1002;
const CLOSE_UNSUPPORTED: u16 = 1003;
const CLOSE_TOO_BIG: u16 = 1009;

/// What a client did wrong, with the code to close with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    pub code: u16,
    pub what: &'static str,
}

const fn protocol(what: &'static str) -> Violation {
    Violation { code: CLOSE_PROTOCOL, what }
}

/// Takes a client's frames apart. Keeps at most one unfinished header and one control frame.
#[derive(Debug)]
pub struct Decoder {
    header: [u8; 14],
    /// Bytes of the header read; the payload follows when it is whole.
    have: usize,
    in_payload: bool,
    /// Bytes of the payload still to come.
    left: u64,
    mask: [u8; 4],
    opcode: u8,
    last: bool,
    /// A message of several frames is under way.
    in_message: bool,
    control: [u8; CONTROL_BYTES_MAX],
    control_len: usize,
    ping: Option<usize>,
    ping_bytes: [u8; CONTROL_BYTES_MAX],
    closed: Option<u16>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            header: [0; 14],
            have: 0,
            in_payload: false,
            left: 0,
            mask: [0; 4],
            opcode: 0,
            last: false,
            in_message: false,
            control: [0; CONTROL_BYTES_MAX],
            control_len: 0,
            ping: None,
            ping_bytes: [0; CONTROL_BYTES_MAX],
            closed: None,
        }
    }
}

impl Decoder {
    /// Decodes bytes as they came from the client; the payload of data frames moves to the front. Returns its length.
    /// After a close frame everything is ignored.
    pub fn decode(&mut self, bytes: &mut [u8]) -> Result<usize, Violation> {
        let (mut from, mut to) = (0, 0);
        while from < bytes.len() && self.closed.is_none() {
            if !self.in_payload {
                let Some(byte) = bytes.get(from) else { break };
                from += 1;
                self.take_header_byte(*byte)?;
            }
            if self.in_payload {
                let left = usize::try_from(self.left).unwrap_or(usize::MAX);
                let n = left.min(bytes.len() - from);
                if is_control(self.opcode) {
                    self.take_control(bytes.get(from..from + n).unwrap_or_default());
                } else {
                    bytes.copy_within(from..from + n, to);
                    unmask(bytes.get_mut(to..to + n).unwrap_or_default(), self.mask);
                    to += n;
                }
                from += n;
                self.left -= n as u64;
                self.mask.rotate_left(n % 4);
                if self.left == 0 {
                    self.end_frame()?;
                }
            }
        }
        Ok(to)
    }

    /// The payload of the last ping since the last call. Earlier ones need no answer. (RFC 6455, 5.5.3)
    pub fn take_ping(&mut self) -> Option<&[u8]> {
        let len = self.ping.take()?;
        self.ping_bytes.get(..len)
    }

    /// The client has closed, with this code.
    pub fn closed(&self) -> Option<u16> {
        self.closed
    }

    fn take_header_byte(&mut self, byte: u8) -> Result<(), Violation> {
        if let Some(place) = self.header.get_mut(self.have) {
            *place = byte;
        }
        self.have += 1;
        match self.have {
            1 => self.check_first(byte),
            2 => self.check_second(byte),
            _ if self.have < self.header_len() => Ok(()),
            _ => self.begin_payload(),
        }
    }

    fn check_first(&mut self, byte: u8) -> Result<(), Violation> {
        if byte & 0x70 != 0 {
            return Err(protocol("reserved bits are set"));
        }
        self.opcode = byte & 0x0f;
        self.last = byte & 0x80 != 0;
        match self.opcode {
            BINARY if self.in_message => Err(protocol("a new message within a message")),
            CONTINUATION if !self.in_message => Err(protocol("a continuation of nothing")),
            CONTINUATION | BINARY => Ok(()),
            // [MQTT-6.0.0-1]
            TEXT => Err(Violation { code: CLOSE_UNSUPPORTED, what: "a text frame" }),
            CLOSE | PING | PONG if self.last => Ok(()),
            CLOSE | PING | PONG => Err(protocol("a control frame in parts")),
            _ => Err(protocol("an unknown opcode")),
        }
    }

    fn check_second(&mut self, byte: u8) -> Result<(), Violation> {
        if byte & 0x80 == 0 {
            return Err(protocol("a frame without mask"));
        }
        if is_control(self.opcode) && usize::from(byte & 0x7f) > CONTROL_BYTES_MAX {
            return Err(protocol("a control frame too long"));
        }
        Ok(())
    }

    fn header_len(&self) -> usize {
        let [_, second, ..] = self.header;
        match second & 0x7f {
            126 => 8,
            127 => 14,
            _ => 6,
        }
    }

    fn begin_payload(&mut self) -> Result<(), Violation> {
        let h = &self.header;
        (self.left, self.mask) = match h[1] & 0x7f {
            126 => (u64::from(u16::from_be_bytes([h[2], h[3]])), [h[4], h[5], h[6], h[7]]),
            127 => {
                let len = u64::from_be_bytes([h[2], h[3], h[4], h[5], h[6], h[7], h[8], h[9]]);
                (len, [h[10], h[11], h[12], h[13]])
            }
            short => (u64::from(short), [h[2], h[3], h[4], h[5]]),
        };
        if self.left > FRAME_BYTES_MAX {
            return Err(Violation { code: CLOSE_TOO_BIG, what: "a frame too long" });
        }
        self.have = 0;
        self.control_len = 0;
        self.in_payload = true;
        Ok(())
    }

    fn take_control(&mut self, bytes: &[u8]) {
        let end = self.control_len + bytes.len();
        if let Some(place) = self.control.get_mut(self.control_len..end) {
            place.copy_from_slice(bytes);
            unmask(place, self.mask);
            self.control_len = end;
        }
    }

    fn end_frame(&mut self) -> Result<(), Violation> {
        self.in_payload = false;
        let payload = self.control.get(..self.control_len).unwrap_or_default();
        match self.opcode {
            PING => {
                self.ping_bytes = self.control;
                self.ping = Some(self.control_len);
            }
            CLOSE => match payload {
                [] => self.closed = Some(CLOSE_NORMAL),
                [_] => return Err(protocol("half a close code")),
                [a, b, ..] => self.closed = Some(u16::from_be_bytes([*a, *b])),
            },
            PONG => {}
            _ => self.in_message = !self.last,
        }
        Ok(())
    }
}

/// The header of a binary frame to a client, and its length.
pub(crate) fn binary_header(len: usize) -> ([u8; 10], usize) {
    let mut header = [0; 10];
    header[0] = 0x80 | BINARY;
    if let Ok(short) = u8::try_from(len)
        && short < 126
    {
        header[1] = short;
        (header, 2)
    } else if let Ok(medium) = u16::try_from(len) {
        header[1] = 126;
        header[2..4].copy_from_slice(&medium.to_be_bytes());
        (header, 4)
    } else {
        header[1] = 127;
        header[2..10].copy_from_slice(&(len as u64).to_be_bytes());
        (header, 10)
    }
}

/// The header of a control frame to a client.
pub(crate) fn pong_header(len: usize) -> [u8; 2] {
    [0x80 | PONG, u8::try_from(len).unwrap_or(0)]
}

/// A close frame to a client.
pub(crate) fn close_frame(code: u16) -> [u8; 4] {
    let [a, b] = code.to_be_bytes();
    [0x80 | CLOSE, 2, a, b]
}

fn is_control(opcode: u8) -> bool {
    opcode & 8 != 0
}

fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut chunks = bytes.chunks_exact_mut(8);
    for chunk in &mut chunks {
        if let Ok(word) = <[u8; 8]>::try_from(&*chunk) {
            chunk.copy_from_slice(&(u64::from_ne_bytes(word) ^ wide).to_ne_bytes());
        }
    }
    for (byte, mask) in chunks.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client's frame.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [0x11, 0x22, 0x33, 0x44];
        let (header, n) = binary_header(payload.len());
        let mut bytes = header[..n].to_vec();
        bytes[0] = first;
        bytes[1] |= 0x80;
        bytes.extend(mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
        bytes
    }

    fn decoded(bytes: &[u8]) -> Result<Vec<u8>, Violation> {
        let mut bytes = bytes.to_vec();
        let n = Decoder::default().decode(&mut bytes)?;
        bytes.truncate(n);
        Ok(bytes)
    }

    fn code(bytes: &[u8]) -> u16 {
        decoded(bytes).unwrap_err().code
    }

    #[test]
    fn payloads_of_all_lengths_come_out_whole_however_they_are_cut() {
        for len in [0, 1, 2, 7, 8, 9, 125, 126, 127, 300, 65_535, 65_536, 70_001] {
            let payload: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let stream = [frame(0x82, &payload), frame(0x82, b"end")].concat();
            let expected = [&payload[..], b"end"].concat();
            for piece in [1, 2, 3, 5, 13, 4096, stream.len()] {
                let mut decoder = Decoder::default();
                let mut out = Vec::new();
                for chunk in stream.chunks(piece) {
                    let mut chunk = chunk.to_vec();
                    let n = decoder.decode(&mut chunk).unwrap();
                    out.extend_from_slice(&chunk[..n]);
                }
                assert!(out == expected, "length {len} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn d07_a_million_one_byte_fragments_need_no_memory_and_pings_between_them_are_heard() {
        let mut decoder = Decoder::default();
        let mut got = 0;
        for i in 0..1_000_000 {
            let mut bytes = frame(if i == 0 { 0x02 } else { 0x00 }, b"x");
            bytes.extend(frame(0x89, b"there?"));
            got += decoder.decode(&mut bytes).unwrap();
        }
        assert_eq!(got, 1_000_000);
        assert_eq!(decoder.take_ping(), Some(&b"there?"[..]));
        assert_eq!(decoder.take_ping(), None);
    }

    #[test]
    fn d07_each_violation_has_its_code() {
        let table: &[(&str, Vec<u8>, u16)] = &[
            ("RSV1, as permessage-deflate sets it", frame(0xc2, b"x"), 1002),
            ("RSV2", frame(0xa2, b"x"), 1002),
            ("unmasked", vec![0x82, 0x01, 0x00], 1002),
            ("text", frame(0x81, b"x"), 1003),
            ("opcode 3", frame(0x83, b"x"), 1002),
            ("opcode 11", frame(0x8b, b"x"), 1002),
            ("ping of 126 bytes", frame(0x89, &[0; 126]), 1002),
            ("ping in parts", frame(0x09, b"x"), 1002),
            ("continuation of nothing", frame(0x80, b"x"), 1002),
            ("message within a message", [frame(0x02, b"x"), frame(0x82, b"y")].concat(), 1002),
            ("close with one byte", frame(0x88, b"x"), 1002),
            ("2^63 bytes", vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], 1009),
            ("300 MB", vec![0x82, 0xff, 0, 0, 0, 0, 0x12, 0, 0, 0, 1, 2, 3, 4], 1009),
        ];
        for (name, bytes, expected) in table {
            assert_eq!(code(bytes), *expected, "{name}");
        }
    }

    #[test]
    fn nothing_counts_after_a_close_frame() {
        let mut bytes =
            [frame(0x82, b"a"), frame(0x88, &[3, 0xe9]), frame(0x82, b"b"), vec![0xff; 9]].concat();
        let mut decoder = Decoder::default();
        assert_eq!(decoder.decode(&mut bytes), Ok(1));
        assert_eq!(decoder.closed(), Some(1001));
        assert_eq!(decoder.decode(&mut [0xff; 20]), Ok(0));
    }

    #[test]
    fn empty_frames_are_legal() {
        assert_eq!(decoded(&[frame(0x82, b""), frame(0x82, b"a"), frame(0x88, b"")].concat()).unwrap(), b"a");
    }
}
