//! Packets as they are written in dialogues and tests.
//!
//! | written | is |
//! |---|---|
//! | `3c`, `0001` | bytes in hexadecimal |
//! | `PUBLISH`, `PUBLISH1+dup`, `SUBACK` | the first byte of that packet |
//! | `{…}` | what is inside, after its length as a variable byte integer: a packet's body, a block of properties |
//! | `"text"` | text after its length in two bytes |
//! | `'text'` | text |
//! | `\n`, `\"`, `\\`, `\xed` in a text | that character, that byte |
//! | `(…)` | what is inside, as one thing |
//! | `300*61`, `300*"a"`, `300*(…)` | the next thing as many times |
//! | `..` | when awaited: any one byte |
//! | `*` | when awaited: whatever follows in the packet |

use std::iter::Peekable;
use std::str::Chars;

/// A packet that is awaited.
#[derive(Debug, PartialEq, Eq)]
pub struct Expected {
    first: u8,
    body: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Byte(u8),
    Any,
    Rest,
    Group(Vec<Piece>),
}

/// Bytes to send.
#[track_caller]
pub fn bytes(text: &str) -> Vec<u8> {
    let wild = |piece: Piece| match piece {
        Piece::Byte(byte) => byte,
        _ => panic!("`..` and `*` cannot be sent: {text}"),
    };
    flat(parse(text)).into_iter().map(wild).collect()
}

/// Packets to wait for.
#[track_caller]
pub fn expected(text: &str) -> Vec<Expected> {
    let mut pieces = parse(text).into_iter();
    let mut packets = Vec::new();
    while let Some(first) = pieces.next() {
        match (first, pieces.next()) {
            (Piece::Byte(first), Some(Piece::Group(body))) => {
                packets.push(Expected { first, body: flat(body) });
            }
            _ => panic!("an awaited packet is written `FIRST{{BODY}}`: {text}"),
        }
    }
    packets
}

impl Expected {
    /// Is this whole packet the one meant?
    pub fn matches(&self, packet: &[u8]) -> bool {
        let Some((first, rest)) = packet.split_first() else { return false };
        let header = rest.iter().take_while(|&&b| b & 0x80 != 0).count() + 1;
        let mut body = rest.iter().skip(header);
        for piece in &self.body {
            match (piece, body.next()) {
                (Piece::Rest, _) => return *first == self.first,
                (Piece::Byte(wanted), Some(byte)) if wanted == byte => {}
                (Piece::Any, Some(_)) => {}
                _ => return false,
            }
        }
        *first == self.first && body.next().is_none()
    }
}

/// Bytes for a message of a failed test; the middle of long ones left out.
pub fn show(bytes: &[u8]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    match bytes.len() {
        0..=96 => hex(bytes),
        len => format!("{} … ({len} bytes)", hex(&bytes[..64])),
    }
}

#[track_caller]
fn parse(text: &str) -> Vec<Piece> {
    let mut chars = text.chars().peekable();
    let pieces = sequence(&mut chars, text);
    assert!(chars.next().is_none(), "a closing bracket without its opening one: {text}");
    pieces
}

fn sequence(chars: &mut Peekable<Chars<'_>>, text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    while let Some(&c) = chars.peek() {
        if c == '}' || c == ')' {
            break;
        }
        if c.is_whitespace() {
            chars.next();
        } else {
            pieces.extend(item(chars, text));
        }
    }
    pieces
}

/// One thing: a text, a group, a run of letters and digits, or a sign.
fn item(chars: &mut Peekable<Chars<'_>>, text: &str) -> Vec<Piece> {
    match chars.next() {
        Some('{') => {
            let inside = sequence(chars, text);
            assert_eq!(chars.next(), Some('}'), "a `{{` without its `}}`: {text}");
            vec![Piece::Group(inside)]
        }
        Some('(') => {
            let inside = sequence(chars, text);
            assert_eq!(chars.next(), Some(')'), "a `(` without its `)`: {text}");
            inside
        }
        Some('"') => {
            let string = quoted(chars, '"', text);
            let len = u16::try_from(string.len()).unwrap_or_else(|_| panic!("too long a text: {text}"));
            len.to_be_bytes().into_iter().chain(string).map(Piece::Byte).collect()
        }
        Some('\'') => quoted(chars, '\'', text).into_iter().map(Piece::Byte).collect(),
        Some('*') => vec![Piece::Rest],
        Some('.') => {
            assert_eq!(chars.next(), Some('.'), "any byte is written `..`: {text}");
            vec![Piece::Any]
        }
        Some(first) => {
            let mut run = String::from(first);
            while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '+') {
                run.push(c);
            }
            if run.bytes().all(|b| b.is_ascii_digit()) && chars.next_if_eq(&'*').is_some() {
                let one = item(chars, text);
                return std::iter::repeat_n(one, run.parse().unwrap()).flatten().collect();
            }
            word(&run, text).into_iter().map(Piece::Byte).collect()
        }
        None => panic!("something is missing: {text}"),
    }
}

fn quoted(chars: &mut Peekable<Chars<'_>>, end: char, text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        match chars.next().unwrap_or_else(|| panic!("a text without its end: {text}")) {
            c if c == end => return bytes,
            '\\' => match chars.next() {
                Some('n') => bytes.push(b'\n'),
                Some('x') => {
                    let digits: String = chars.by_ref().take(2).collect();
                    bytes.push(u8::from_str_radix(&digits, 16).unwrap_or_else(|e| panic!("{e}: {text}")));
                }
                Some(c) => bytes.extend(c.to_string().bytes()),
                None => panic!("a text without its end: {text}"),
            },
            c => bytes.extend(c.to_string().bytes()),
        }
    }
}

/// Hexadecimal bytes, or the name of a packet with its flags.
fn word(run: &str, text: &str) -> Vec<u8> {
    let mut parts = run.split('+');
    let first = match parts.next().unwrap_or_default() {
        "CONNECT" => 0x10,
        "CONNACK" => 0x20,
        "PUBLISH" => 0x30,
        "PUBLISH1" => 0x32,
        "PUBLISH2" => 0x34,
        "PUBACK" => 0x40,
        "PUBREC" => 0x50,
        "PUBREL" => 0x62,
        "PUBCOMP" => 0x70,
        "SUBSCRIBE" => 0x82,
        "SUBACK" => 0x90,
        "UNSUBSCRIBE" => 0xa2,
        "UNSUBACK" => 0xb0,
        "PINGREQ" => 0xc0,
        "PINGRESP" => 0xd0,
        "DISCONNECT" => 0xe0,
        "AUTH" => 0xf0,
        digits => {
            assert!(
                digits.is_ascii() && digits.len() % 2 == 0,
                "neither hexadecimal nor a name: {run} in {text}"
            );
            let pair = |at: usize| u8::from_str_radix(digits.get(at..at + 2).unwrap_or_default(), 16);
            return (0..digits.len())
                .step_by(2)
                .map(|at| pair(at).unwrap_or_else(|e| panic!("{e}: {run} in {text}")))
                .collect();
        }
    };
    vec![parts.fold(first, |byte, flag| match flag {
        "dup" => byte | 8,
        "retain" => byte | 1,
        other => panic!("{other} is no flag: {text}"),
    })]
}

/// Groups become their length and what is in them.
fn flat(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut out = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let Piece::Group(inside) = piece else {
            out.push(piece);
            continue;
        };
        let inside = flat(inside);
        assert!(
            !inside.contains(&Piece::Rest),
            "`*` stands in a packet's body only, not in a block inside it"
        );
        let mut len = inside.len();
        loop {
            let (low, rest) = (u8::try_from(len & 0x7f).unwrap_or(0), len >> 7);
            out.push(Piece::Byte(if rest > 0 { low | 0x80 } else { low }));
            len = rest;
            if len == 0 {
                break;
            }
        }
        out.extend(inside);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_written_with_their_lengths() {
        assert_eq!(bytes("PUBLISH1+dup{\"a/b\" 0001 {} 'x\\xff'}"), b"\x3a\x0a\0\x03a/b\0\x01\0x\xff");
        assert_eq!(bytes("3*61 2*\"b\" 1*(0A)"), b"aaa\0\x01b\0\x01b\x0a");
        assert_eq!(bytes("PUBLISH{200*00}")[..3], [0x30, 0xc8, 0x01]);
    }

    #[test]
    fn awaited_packets_may_leave_bytes_open() {
        let one = |text: &str| expected(text).remove(0);
        assert!(one("CONNACK{00 00 *}").matches(b"\x20\x03\0\0\0"));
        assert!(!one("CONNACK{00 00 *}").matches(b"\x20\x03\0\x05\0"));
        assert!(!one("CONNACK{00 00}").matches(b"\x20\x03\0\0\0"));
        assert!(one("SUBACK{.. 01 {} 02}").matches(b"\x90\x04\x07\x01\0\x02"));
        assert!(!one("PUBLISH{}").matches(b"\x31\0"));
        assert_eq!(expected("PINGRESP{} SUBACK{0001 00}").len(), 2);
    }

    #[test]
    #[should_panic(expected = "is no flag")]
    fn a_typing_error_is_not_sent() {
        bytes("PUBLISH+qos1{}");
    }
}
