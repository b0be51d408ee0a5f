//! Bodies larger than a datagram, in blocks (RFC 7959).

use crate::endpoint::Limits;
use crate::message::{number_bytes, number_of};
use crate::{Code, Response};
use coap_lite::{CoapOption, Packet};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long a body may take from one block to the next.
const ASSEMBLY_TIME: Duration = Duration::from_secs(60);
/// Of 1,024 bytes, the largest there is.
const EXPONENT_MAX: u8 = 6;

/// One of the blocks of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) number: u32,
    pub(crate) more: bool,
    /// The size is 16 bytes, doubled so many times.
    pub(crate) exponent: u8,
}

impl Block {
    pub(crate) const WHOLE: Self = Self { number: 0, more: false, exponent: EXPONENT_MAX };

    pub(crate) fn of(value: &[u8]) -> Option<Self> {
        let value = number_of(value, 3)?;
        let exponent = u8::try_from(value & 7).ok().filter(|exponent| *exponent <= EXPONENT_MAX)?;
        Some(Self { number: value >> 4, more: value & 8 != 0, exponent })
    }

    pub(crate) fn value(self) -> Vec<u8> {
        number_bytes(self.number << 4 | u32::from(self.more) << 3 | u32::from(self.exponent))
    }

    pub(crate) fn size(self) -> usize {
        16 << self.exponent
    }

    fn offset(self) -> usize {
        usize::try_from(self.number).unwrap_or(usize::MAX).saturating_mul(self.size())
    }
}

/// The answer as one packet: all of it, or the block that was asked for.
pub(crate) fn cut(response: &Response, wanted: Option<Block>) -> Packet {
    let wanted = wanted.unwrap_or(Block::WHOLE);
    let body = &response.payload;
    let (offset, size) = (wanted.offset(), wanted.size());
    if offset > 0 && offset >= body.len() {
        return Response::error(Code::BadOption, "there is no such block").packet_with_payload();
    }
    let mut packet = response.packet();
    let end = body.len().min(offset.saturating_add(size));
    packet.payload = body.get(offset..end).unwrap_or_default().to_vec();
    let more = end < body.len();
    if more || wanted.number > 0 {
        packet.add_option(CoapOption::Block2, Block { more, ..wanted }.value());
        // blocks of different states must not be put together
        packet.add_option(CoapOption::ETag, crc32fast::hash(body).to_be_bytes().to_vec());
    }
    if more && wanted.number == 0 {
        packet.add_option(CoapOption::Size2, number_bytes(u32::try_from(body.len()).unwrap_or(u32::MAX)));
    }
    packet
}

impl Response {
    pub(crate) fn packet_with_payload(&self) -> Packet {
        let mut packet = self.packet();
        packet.payload.clone_from(&self.payload);
        packet
    }
}

/// Bodies of requests that come in blocks.
#[derive(Debug, Default)]
pub(crate) struct Assemblies(HashMap<(SocketAddr, String), Assembly>);

#[derive(Debug)]
struct Assembly {
    body: Vec<u8>,
    due: Instant,
}

impl Assemblies {
    /// Adds a block. The whole body after the last one, the code to answer with before it and where the block does not fit.
    pub(crate) fn add(
        &mut self,
        now: Instant,
        key: (SocketAddr, String),
        block: Block,
        payload: &[u8],
        limits: &Limits,
    ) -> Result<Vec<u8>, Code> {
        self.0.retain(|_, assembly| assembly.due > now);
        let mut body = match self.0.remove(&key) {
            // a body begun anew
            _ if block.number == 0 => Vec::new(),
            Some(assembly) => assembly.body,
            None => return Err(Code::RequestEntityIncomplete),
        };
        if body.len() != block.offset() || (block.more && payload.len() != block.size()) {
            return Err(Code::RequestEntityIncomplete);
        }
        if body.len() + payload.len() > limits.body_bytes_max || self.0.len() >= limits.assemblies_max {
            return Err(Code::RequestEntityTooLarge);
        }
        body.extend_from_slice(payload);
        if block.more {
            self.0.insert(key, Assembly { body, due: now + ASSEMBLY_TIME });
            return Err(Code::Continue);
        }
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Format;

    fn block(number: u32, more: bool, exponent: u8) -> Block {
        Block { number, more, exponent }
    }

    #[test]
    fn a_long_answer_is_given_in_blocks() {
        let body: Vec<u8> = (0..2500_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let response = Response::content(Format::TEXT, body.clone());
        let mut read = Vec::new();
        for number in 0..3 {
            let packet = cut(&response, (number > 0).then(|| block(number, false, 6)));
            let got = Block::of(packet.get_first_option(CoapOption::Block2).unwrap()).unwrap();
            assert_eq!(got, block(number, number < 2, 6));
            read.extend(packet.payload);
        }
        assert_eq!(read, body);
        assert_eq!(cut(&response, Some(block(3, false, 6))).header.get_code(), "4.02");
        assert_eq!(cut(&response, Some(block(u32::MAX >> 12, false, 6))).header.get_code(), "4.02");
        assert_eq!(cut(&response, Some(block(1, false, 0))).payload, &body[16..32]);
        let short = cut(&Response::content(Format::TEXT, "True"), None);
        assert_eq!((short.get_option(CoapOption::Block2), &*short.payload), (None, &b"True"[..]));
    }

    #[test]
    fn a_long_request_is_put_together() {
        let (mut assemblies, now, limits) = (Assemblies::default(), Instant::now(), Limits::default());
        let key = || ("127.0.0.1:5683".parse().unwrap(), "a".to_owned());
        let mut add = |now, b, payload: &[u8]| assemblies.add(now, key(), b, payload, &limits);
        assert_eq!(
            add(now, block(1, true, 0), &[1; 16]),
            Err(Code::RequestEntityIncomplete),
            "without a first"
        );
        assert_eq!(add(now, block(0, true, 0), &[1; 16]), Err(Code::Continue));
        assert_eq!(add(now, block(1, true, 0), &[2; 16]), Err(Code::Continue));
        assert_eq!(add(now, block(2, false, 0), &[3; 3]).unwrap().len(), 35);
        assert_eq!(add(now, block(0, true, 0), &[1; 16]), Err(Code::Continue));
        assert_eq!(
            add(now, block(2, true, 0), &[1; 16]),
            Err(Code::RequestEntityIncomplete),
            "one is missing"
        );
        assert_eq!(add(now, block(0, true, 0), &[1; 16]), Err(Code::Continue));
        let later = now + ASSEMBLY_TIME;
        assert_eq!(add(later, block(1, false, 0), &[1; 16]), Err(Code::RequestEntityIncomplete), "too late");
    }

    #[test]
    fn bodies_are_bounded_in_size_and_number() {
        let (mut assemblies, now) = (Assemblies::default(), Instant::now());
        let limits = Limits { body_bytes_max: 40, assemblies_max: 2, ..Limits::default() };
        let from: SocketAddr = "127.0.0.1:5683".parse().unwrap();
        let mut add = |name: &str, b| assemblies.add(now, (from, name.to_owned()), b, &[1; 16], &limits);
        assert_eq!(add("a", block(0, true, 0)), Err(Code::Continue));
        assert_eq!(add("b", block(0, true, 0)), Err(Code::Continue));
        assert_eq!(add("c", block(0, true, 0)), Err(Code::RequestEntityTooLarge), "a third");
        assert_eq!(add("a", block(1, true, 0)), Err(Code::Continue));
        assert_eq!(add("a", block(2, true, 0)), Err(Code::RequestEntityTooLarge), "48 bytes");
    }
}
