//! The HTTP request that opens a WebSocket, and its answer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use std::fmt;

/// The longest request, in bytes.
pub const REQUEST_BYTES_MAX: usize = 8192;
/// The most header lines in it.
const HEADERS_MAX: usize = 64;
/// RFC 6455, 1.3.
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A request that is accepted.
#[derive(Debug, PartialEq, Eq)]
pub struct Accepted {
    /// What to answer.
    pub reply: String,
    /// Length of the request; frames follow.
    pub len: usize,
}

/// A request that is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected {
    pub status: u16,
    pub what: &'static str,
}

impl Rejected {
    const fn bad(what: &'static str) -> Self {
        Self { status: 400, what }
    }

    /// What to answer before closing.
    pub fn reply(self) -> String {
        let title = match self.status {
            403 => "Forbidden",
            405 => "Method Not Allowed",
            426 => "Upgrade Required",
            431 => "Request Header Fields Too Large",
            _ => "Bad Request",
        };
        let version =
            if self.status == 426 { "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" } else { "" };
        format!("HTTP/1.1 {} {title}\r\n{version}Content-Length: 0\r\nConnection: close\r\n\r\n", self.status)
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
}

/// Looks at a request as far as it has come; `None` when it is not whole. Pages of any origin are welcome if `origins` is
/// empty. Extensions are never agreed on.
pub fn parse(bytes: &[u8], origins: &[String]) -> Result<Option<Accepted>, Rejected> {
    let too_large = Rejected { status: 431, what: "request header too large" };
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let window = bytes.get(..REQUEST_BYTES_MAX).unwrap_or(bytes);
    let len = match request.parse(window) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if bytes.len() >= REQUEST_BYTES_MAX => return Err(too_large),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(too_large),
        Err(_) => return Err(Rejected::bad("no HTTP request")),
    };
    if request.method != Some("GET") {
        return Err(Rejected { status: 405, what: "HTTP method is not GET" });
    }
    if request.version != Some(1) {
        return Err(Rejected::bad("HTTP version is not 1.1"));
    }
    let headers = &*request.headers;
    if !words(headers, "upgrade").any(|w| w.eq_ignore_ascii_case("websocket")) {
        return Err(Rejected { status: 426, what: "no WebSocket was asked for" });
    }
    if !words(headers, "connection").any(|w| w.eq_ignore_ascii_case("upgrade")) {
        return Err(Rejected::bad("no upgrade of the connection was asked for"));
    }
    if one(headers, "sec-websocket-version")? != "13" {
        return Err(Rejected { status: 426, what: "WebSocket version is not 13" });
    }
    let key = one(headers, "sec-websocket-key")?;
    if STANDARD.decode(key).map_or(0, |k| k.len()) != 16 {
        return Err(Rejected::bad("bad Sec-WebSocket-Key"));
    }
    if !origins.is_empty() && !origins.iter().any(|o| one(headers, "origin").is_ok_and(|v| v == o)) {
        return Err(Rejected { status: 403, what: "non-matching http origin" });
    }
    // [MQTT-6.0.0-3]
    let ours = |w: &&str| matches!(*w, "mqtt" | "mqttv3.1");
    let Some(protocol) = words(headers, "sec-websocket-protocol").find(ours) else {
        return Err(Rejected::bad("subprotocol mqtt was not asked for"));
    };
    // [MQTT-6.0.0-4]
    let reply = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n",
        accept(key)
    );
    Ok(Some(Accepted { reply, len }))
}

/// RFC 6455, 4.2.2, point 5.4.
fn accept(key: &str) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(MAGIC).finalize())
}

fn values<'a>(headers: &'a [httparse::Header<'a>], name: &'a str) -> impl Iterator<Item = &'a str> {
    let named = headers.iter().filter(move |h| h.name.eq_ignore_ascii_case(name));
    named.filter_map(|h| core::str::from_utf8(h.value).ok()).map(str::trim)
}

fn words<'a>(headers: &'a [httparse::Header<'a>], name: &'a str) -> impl Iterator<Item = &'a str> {
    values(headers, name).flat_map(|v| v.split(',')).map(str::trim)
}

/// A header that must be there once.
fn one<'a>(headers: &'a [httparse::Header<'a>], name: &'a str) -> Result<&'a str, Rejected> {
    let mut all = values(headers, name);
    match (all.next(), all.next()) {
        (Some(value), None) => Ok(value),
        (None, _) => Err(Rejected::bad("a header is missing")),
        _ => Err(Rejected::bad("a header is repeated")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "GET /mqtt HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
                        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                        Sec-WebSocket-Extensions: permessage-deflate\r\n\
                        Sec-WebSocket-Protocol: chat, mqtt\r\nOrigin: http://good\r\n\r\n";

    fn status(request: &str, origins: &[&str]) -> u16 {
        let origins: Vec<String> = origins.iter().map(ToString::to_string).collect();
        match parse(request.as_bytes(), &origins) {
            Ok(Some(_)) => 101,
            Ok(None) => 0,
            Err(e) => {
                assert!(e.reply().starts_with(&format!("HTTP/1.1 {} ", e.status)));
                e.status
            }
        }
    }

    #[test]
    fn d09_the_answer_is_the_originals_byte_for_byte_and_never_agrees_on_deflate() {
        let accepted = parse([GOOD, "rest"].concat().as_bytes(), &[]).unwrap().unwrap();
        assert_eq!(accepted.len, GOOD.len());
        assert_eq!(
            accepted.reply,
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
        );
    }

    #[test]
    fn a_request_that_is_not_whole_waits() {
        for end in 0..GOOD.len() {
            assert_eq!(status(GOOD.get(..end).unwrap(), &[]), 0, "cut at {end}");
        }
    }

    #[test]
    fn d06_each_bad_request_has_its_status() {
        let without =
            |line: &str| GOOD.split_inclusive("\r\n").filter(|l| !l.starts_with(line)).collect::<String>();
        let table: &[(&str, String, u16)] = &[
            ("no subprotocol", without("Sec-WebSocket-Protocol"), 400),
            ("other subprotocol", GOOD.replace("chat, mqtt", "chat"), 400),
            ("old subprotocol", GOOD.replace("chat, mqtt", "mqttv3.1"), 101),
            ("no key", without("Sec-WebSocket-Key"), 400),
            ("short key", GOOD.replace("dGhlIHNhbXBsZSBub25jZQ==", "AAAA"), 400),
            (
                "two keys",
                GOOD.replace("Origin", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin"),
                400,
            ),
            ("version 8", GOOD.replace(": 13", ": 8"), 426),
            ("no upgrade", without("Upgrade"), 426),
            ("no connection", without("Connection"), 400),
            ("POST", GOOD.replace("GET", "POST"), 405),
            ("HTTP/1.0", GOOD.replace("1.1", "1.0"), 400),
            ("no HTTP", "\x10\x0c\0\x04MQTT".into(), 400),
            ("long header", GOOD.replace("Origin: ", &format!("Origin: {}", "x".repeat(1 << 20))), 431),
            ("many headers", GOOD.replace("Origin", &format!("{}Origin", "a: b\r\n".repeat(100))), 431),
        ];
        for (name, request, expected) in table {
            assert_eq!(status(request, &[]), *expected, "{name}");
        }
        assert_eq!(status(GOOD, &["http://evil", "http://good"]), 101);
        assert_eq!(status(GOOD, &["http://evil"]), 403);
        assert_eq!(status(&without("Origin"), &["http://evil"]), 403);
    }
}
