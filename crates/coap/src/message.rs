//! Requests and responses as the user of an endpoint sees them.

use crate::blocks::Block;
use crate::{Code, Method, RequestId};
use coap_lite::{CoapOption, MessageClass, Packet};
use std::net::SocketAddr;

/// What an endpoint was asked to do. It is to be answered by [`Endpoint::respond`](crate::Endpoint::respond).
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub id: RequestId,
    pub from: SocketAddr,
    pub method: Method,
    /// Its sender waits for an acknowledgement; else it does not care too much.
    pub confirmable: bool,
    /// The segments of the path, decoded. A segment may hold any character, `/` too.
    pub path: Vec<String>,
    /// The arguments of the query, decoded.
    pub query: Vec<String>,
    /// A GET that asks for notifications of later changes, too.
    pub observes: bool,
    pub accept: Option<Format>,
    pub format: Option<Format>,
    pub payload: Vec<u8>,
}

impl Request {
    /// The value of `key=value` in the query.
    pub fn argument(&self, key: &str) -> Option<&str> {
        self.query.iter().find_map(|argument| argument.strip_prefix(key)?.strip_prefix('='))
    }
}

/// A number of the registry of content formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format(pub u16);

impl Format {
    /// `text/plain; charset=utf-8`
    pub const TEXT: Self = Self(0);
    pub const LINKS: Self = Self(40);
    pub const OCTETS: Self = Self(42);
    pub const JSON: Self = Self(50);
}

/// The answer to a request, or what a notification says.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    pub code: Code,
    pub format: Option<Format>,
    pub payload: Vec<u8>,
    /// Seconds for which the representation may be taken from a cache; `None` is the protocol's 60.
    pub max_age: Option<u32>,
}

impl Response {
    pub fn new(code: Code) -> Self {
        Self { code, format: None, payload: Vec::new(), max_age: None }
    }

    /// 2.05 with a representation.
    pub fn content(format: Format, payload: impl Into<Vec<u8>>) -> Self {
        Self { format: Some(format), payload: payload.into(), ..Self::new(Code::Content) }
    }

    /// An error with a sentence for whoever debugs.
    pub fn error(code: Code, why: &str) -> Self {
        Self { payload: why.into(), ..Self::new(code) }
    }

    #[must_use]
    pub fn max_age(mut self, seconds: u32) -> Self {
        self.max_age = Some(seconds);
        self
    }

    /// Without type, message id and token.
    pub(crate) fn packet(&self) -> Packet {
        let mut packet = Packet::new();
        packet.header.code = MessageClass::Response(self.code);
        if let Some(Format(number)) = self.format {
            packet.add_option(CoapOption::ContentFormat, number_bytes(number.into()));
        }
        if let Some(seconds) = self.max_age {
            packet.add_option(CoapOption::MaxAge, number_bytes(seconds));
        }
        packet
    }
}

/// A request's options.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Options {
    pub(crate) path: Vec<String>,
    pub(crate) query: Vec<String>,
    /// 0 registers, 1 ends it.
    pub(crate) observe: Option<u32>,
    pub(crate) accept: Option<Format>,
    pub(crate) format: Option<Format>,
    /// Of the answer.
    pub(crate) block2: Option<Block>,
    /// Of the request.
    pub(crate) block1: Option<Block>,
}

/// Segments and arguments in a request.
const SEGMENTS_MAX: usize = 256;

impl Options {
    /// An error is the code to answer with.
    pub(crate) fn of(packet: &Packet) -> Result<Self, Code> {
        let mut options = Self::default();
        for (number, values) in packet.options() {
            // of what may stand but once the first counts
            let value = values.front().map_or(&[][..], Vec::as_slice);
            match CoapOption::from(*number) {
                CoapOption::UriPath => options.path = texts(values.iter())?,
                CoapOption::UriQuery => options.query = texts(values.iter())?,
                CoapOption::Observe => options.observe = number_of(value, 3),
                CoapOption::Accept => options.accept = Some(format(value)?),
                CoapOption::ContentFormat => options.format = Some(format(value)?),
                CoapOption::Block2 => options.block2 = Some(Block::of(value).ok_or(Code::BadOption)?),
                CoapOption::Block1 => options.block1 = Some(Block::of(value).ok_or(Code::BadOption)?),
                CoapOption::ProxyUri | CoapOption::ProxyScheme => return Err(Code::ProxyingNotSupported),
                // one host and one port have all resources
                CoapOption::UriHost | CoapOption::UriPort => {}
                // critical ones have odd numbers and may not be passed over
                _ if number % 2 == 1 => return Err(Code::BadOption),
                _ => {}
            }
        }
        Ok(options)
    }

    /// Path and query: what copies and blocks of a request have in common.
    pub(crate) fn resource(&self) -> String {
        self.path.join("/")
    }
}

fn texts<'a>(values: impl ExactSizeIterator<Item = &'a Vec<u8>>) -> Result<Vec<String>, Code> {
    if values.len() > SEGMENTS_MAX {
        return Err(Code::BadOption);
    }
    values.map(|value| String::from_utf8(value.clone()).map_err(|_| Code::BadOption)).collect()
}

fn format(value: &[u8]) -> Result<Format, Code> {
    let number = number_of(value, 2).and_then(|n| u16::try_from(n).ok());
    number.map(Format).ok_or(Code::BadOption)
}

/// An option's number: big-endian, of at most so many bytes.
pub(crate) fn number_of(bytes: &[u8], most: usize) -> Option<u32> {
    (bytes.len() <= most).then(|| bytes.iter().fold(0, |n, byte| n << 8 | u32::from(*byte)))
}

/// The same without leading zeros.
pub(crate) fn number_bytes(number: u32) -> Vec<u8> {
    number.to_be_bytes().into_iter().skip(number.leading_zeros() as usize / 8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_leading_zeros() {
        for (number, bytes) in [(0, &[][..]), (1, &[1]), (256, &[1, 0]), (0x0001_0203, &[1, 2, 3])] {
            assert_eq!(number_bytes(number), bytes);
            assert_eq!(number_of(bytes, 4), Some(number));
        }
        assert_eq!(number_of(&[0; 4], 3), None);
    }

    #[test]
    fn options_that_may_not_be_passed_over_are_named() {
        let mut packet = Packet::new();
        packet.add_option(CoapOption::Size1, vec![9]);
        assert!(Options::of(&packet).is_ok(), "elective");
        packet.add_option(CoapOption::IfMatch, vec![9]);
        assert_eq!(Options::of(&packet), Err(Code::BadOption));
        let mut packet = Packet::new();
        packet.add_option(CoapOption::ProxyUri, b"coap://x/".to_vec());
        assert_eq!(Options::of(&packet), Err(Code::ProxyingNotSupported));
        let mut packet = Packet::new();
        packet.add_option(CoapOption::UriPath, vec![0xff]);
        assert_eq!(Options::of(&packet), Err(Code::BadOption));
    }
}
