//! JSON as cJSON writes it: messages for `%j` and `%J`, and what `ctrl` says.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use grovemq_client::{Properties, Received};
use jiff::Zoned;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::io::{self, Write};

/// A JSON value. Members keep their order and may repeat; a text may be what the network brought instead of UTF-8.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(Vec<u8>),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// The payload as JSON; an empty one is null.
pub(crate) fn parse_payload(payload: &[u8]) -> Option<Json> {
    if payload.is_empty() { Some(Json::Null) } else { serde_json::from_slice(payload).ok() }
}

/// Prints a message; without `payload`, its own is printed as text.
pub(crate) fn print_message(
    out: &mut dyn Write,
    received: &Received,
    payload: Option<Json>,
    pretty: bool,
    now: &Zoned,
) -> io::Result<()> {
    let own = || own_payload(received);
    Json::Object(members_of(received, payload.unwrap_or_else(own), now)).print(out, pretty, 1)
}

/// Prints a message with its payload as JSON where it is, else as text; what is neither is `{"base64":…}`.
pub(crate) fn print_line(
    out: &mut dyn Write,
    received: &Received,
    pretty: bool,
    now: &Zoned,
) -> io::Result<()> {
    let payload = parse_payload(&received.message.payload).unwrap_or_else(|| own_payload(received));
    let mut members = members_of(received, payload, now);
    for (_, value) in &mut members {
        value.make_text();
    }
    Json::Object(members).print(out, pretty, 1)
}

fn own_payload(received: &Received) -> Json {
    let payload = &received.message.payload;
    if payload.is_empty() { Json::Null } else { Json::Text(payload.clone()) }
}

fn members_of(received: &Received, payload: Json, now: &Zoned) -> Vec<(String, Json)> {
    let message = &received.message;
    let text = Json::text;
    let mut members = vec![
        ("tst".to_owned(), text(&now.strftime("%Y-%m-%dT%H:%M:%S.%6fZ%z").to_string())),
        ("topic".to_owned(), text(&message.topic)),
        ("qos".to_owned(), Json::Number(f64::from(message.qos as u8))),
        ("retain".to_owned(), Json::Number(f64::from(u8::from(message.retain)))),
        ("payloadlen".to_owned(), len(message.payload.len())),
    ];
    if let Some(id) = received.packet_id {
        members.push(("mid".to_owned(), Json::Number(f64::from(u16::from(id)))));
    }
    let properties = properties_of(&message.properties);
    if !properties.is_empty() {
        members.push(("properties".to_owned(), Json::Object(properties)));
    }
    members.push(("payload".to_owned(), payload));
    members
}

fn len(len: usize) -> Json {
    // A payload is below 256 MiB.
    Json::Number(u32::try_from(len).map_or(f64::INFINITY, f64::from))
}

fn properties_of(properties: &Properties) -> Vec<(String, Json)> {
    let mut members = Vec::new();
    let mut add =
        |name: &str, value: Option<Json>| members.extend(value.map(|value| (name.to_owned(), value)));
    let text = |text: &Option<String>| text.as_ref().map(|text| Json::Text(text.as_bytes().to_vec()));
    let number = |number: u32| Json::Number(f64::from(number));
    add(
        "subscription-identifier",
        match *properties.subscription_ids {
            [] => None,
            [id] => Some(number(id)),
            ref ids => Some(Json::Array(ids.iter().copied().map(number).collect())),
        },
    );
    add("payload-format-indicator", properties.payload_format.map(|is_text| number(u32::from(is_text))));
    add("topic-alias", properties.topic_alias.map(|alias| number(u32::from(alias))));
    add("response-topic", text(&properties.response_topic));
    add("correlation-data", properties.correlation_data.clone().map(Json::Text));
    add("content-type", text(&properties.content_type));
    let user = properties.user.iter();
    let user: Vec<_> =
        user.map(|(key, value)| (key.clone(), Json::Text(value.as_bytes().to_vec()))).collect();
    add("user-properties", (!user.is_empty()).then_some(Json::Object(user)));
    add("message-expiry-interval", properties.message_expiry.map(number));
    members
}

impl Json {
    /// Replaces bytes that are no text. What is nested deeper than properties came as text.
    fn make_text(&mut self) {
        match self {
            Self::Text(bytes) if str::from_utf8(bytes).is_err() => {
                let encoded = BASE64_STANDARD.encode(bytes).into_bytes();
                *self = Self::Object(vec![("base64".to_owned(), Self::Text(encoded))]);
            }
            Self::Object(members) => {
                for (_, value) in members.iter_mut().filter(|(_, value)| matches!(value, Self::Text(_))) {
                    value.make_text();
                }
            }
            _ => {}
        }
    }

    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.as_bytes().to_vec())
    }

    /// An object of these members.
    pub(crate) fn object<const N: usize>(members: [(&str, Json); N]) -> Self {
        Self::Object(members.map(|(name, value)| (name.to_owned(), value)).into())
    }

    /// A member of an object.
    pub(crate) fn get(&self, name: &str) -> Option<&Json> {
        match self {
            Self::Object(members) => members.iter().find(|(known, _)| known == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The items of an array; of anything else none.
    pub(crate) fn items(&self) -> &[Json] {
        if let Self::Array(items) = self { items } else { &[] }
    }

    /// A text, harmless on a terminal.
    pub(crate) fn shown(&self) -> Option<String> {
        let Self::Text(bytes) = self else { return None };
        let harmless = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
        Some(String::from_utf8_lossy(bytes).chars().map(harmless).collect())
    }

    /// On one line.
    pub(crate) fn line(&self) -> Vec<u8> {
        self.bytes(false)
    }

    /// Over several lines.
    pub(crate) fn lines(&self) -> Vec<u8> {
        self.bytes(true)
    }

    fn bytes(&self, pretty: bool) -> Vec<u8> {
        let mut out = Vec::new();
        // a vector takes everything
        self.print(&mut out, pretty, 1).ok();
        out
    }

    /// `depth` is the number of tabs before members, for `pretty`.
    fn print(&self, out: &mut dyn Write, pretty: bool, depth: usize) -> io::Result<()> {
        match self {
            Self::Null => out.write_all(b"null"),
            Self::Bool(value) => write!(out, "{value}"),
            Self::Number(value) => out.write_all(number_text(*value).as_bytes()),
            Self::Text(bytes) => print_text(out, bytes),
            Self::Array(items) => {
                out.write_all(b"[")?;
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.write_all(if pretty { b", " } else { b"," })?;
                    }
                    item.print(out, pretty, depth + 1)?;
                }
                out.write_all(b"]")
            }
            Self::Object(members) => print_object(out, members, pretty, depth),
        }
    }
}

fn print_object(
    out: &mut dyn Write,
    members: &[(String, Json)],
    pretty: bool,
    depth: usize,
) -> io::Result<()> {
    let tabs = |out: &mut dyn Write, count: usize| (0..count).try_for_each(|_| out.write_all(b"\t"));
    out.write_all(if pretty { b"{\n" } else { b"{" })?;
    for (i, (name, value)) in members.iter().enumerate() {
        if i > 0 {
            out.write_all(if pretty { b",\n" } else { b"," })?;
        }
        if pretty {
            tabs(out, depth)?;
        }
        print_text(out, name.as_bytes())?;
        out.write_all(if pretty { b":\t" } else { b":" })?;
        value.print(out, pretty, depth + 1)?;
    }
    if pretty {
        if !members.is_empty() {
            out.write_all(b"\n")?;
        }
        tabs(out, depth - 1)?;
    }
    out.write_all(b"}")
}

fn print_text(out: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    out.write_all(b"\"")?;
    for &byte in bytes {
        match byte {
            b'"' => out.write_all(b"\\\"")?,
            b'\\' => out.write_all(b"\\\\")?,
            8 => out.write_all(b"\\b")?,
            12 => out.write_all(b"\\f")?,
            b'\n' => out.write_all(b"\\n")?,
            b'\r' => out.write_all(b"\\r")?,
            b'\t' => out.write_all(b"\\t")?,
            0..32 => write!(out, "\\u{byte:04x}")?,
            _ => out.write_all(&[byte])?,
        }
    }
    out.write_all(b"\"")
}

/// As C's `%1.15g`, or `%1.17g` where the former is another number.
fn number_text(value: f64) -> String {
    if !value.is_finite() {
        return "null".to_owned();
    }
    let short = general(value, 15);
    let read: f64 = short.parse().unwrap_or(f64::NAN);
    let tolerance = value.abs().max(read.abs()) * f64::EPSILON;
    if (value - read).abs() <= tolerance { short } else { general(value, 17) }
}

/// C's `%.<digits>g` of a finite number.
fn general(value: f64, digits: usize) -> String {
    let scientific = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| match text.split_once('.') {
        Some(_) => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        None => text.to_owned(),
    };
    match i32::try_from(digits).unwrap_or(i32::MAX) - 1 - exponent {
        decimals @ 0.. if exponent >= -4 => trim(&format!("{value:.*}", decimals.unsigned_abs() as usize)),
        _ => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{}e{sign}{:02}", trim(mantissa), exponent.unsigned_abs())
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "cJSON keeps all numbers as doubles")]
    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "cJSON keeps all numbers as doubles")]
    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.as_bytes().to_vec()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = Vec::new();
        while let Some(member) = members.next_entry()? {
            object.push(member);
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use grovemq_client::{Message, Qos};
    use std::num::NonZeroU16;

    fn print(received: &Received, payload: Option<Json>, pretty: bool) -> String {
        let now = "2026-11-22T16:20:08.675311616[UTC]".parse().unwrap();
        let mut out = Vec::new();
        print_message(&mut out, received, payload, pretty, &now).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn received(payload: &str) -> Received {
        Received { message: Message::new("f/a", payload), dup: false, packet_id: None, ack: None }
    }

    /// The payload as `%J` prints it.
    fn reprinted(payload: &str, pretty: bool) -> Option<String> {
        let value = parse_payload(payload.as_bytes())?;
        let mut out = Vec::new();
        value.print(&mut out, pretty, 1).unwrap();
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_message() {
        let head =
            r#"{"tst":"2026-11-22T16:20:08.675311Z+0000","topic":"f/a","qos":0,"retain":0,"payloadlen":"#;
        assert_eq!(print(&received("x"), None, false), format!(r#"{head}1,"payload":"x"}}"#));
        assert_eq!(print(&received(""), None, false), format!(r#"{head}0,"payload":null}}"#));
        let text = "\u{1}\u{7f}\t\"\\/\u{8}\u{c}\r\nü";
        let printed = r"\u0001".to_owned() + "\u{7f}" + r#"\t\"\\/\b\f\r\nü"#;
        assert_eq!(print(&received(text), None, false), format!(r#"{head}12,"payload":"{printed}"}}"#));
    }

    #[test]
    fn a_message_with_everything() {
        let mut message = received("x");
        message.packet_id = NonZeroU16::new(3);
        message.message.qos = Qos::AtLeastOnce;
        message.message.retain = true;
        message.message.properties = Properties {
            payload_format: Some(true),
            message_expiry: Some(100),
            topic_alias: Some(4),
            response_topic: Some("rt".to_owned()),
            correlation_data: Some(b"co".to_vec()),
            subscription_ids: vec![7],
            content_type: Some("ct".to_owned()),
            user: vec![("k".to_owned(), "v".to_owned()), ("k".to_owned(), "w".to_owned())],
        };
        let printed = print(&message, None, false);
        let rest = printed.split_once(r#""qos""#).unwrap().1;
        let expected = r#":1,"retain":1,"payloadlen":1,"mid":3,"properties":{"subscription-identifier":7,"payload-format-indicator":1,"topic-alias":4,"response-topic":"rt","correlation-data":"co","content-type":"ct","user-properties":{"k":"v","k":"w"},"message-expiry-interval":100},"payload":"x"}"#;
        assert_eq!(rest, expected);
        message.message.properties.subscription_ids.push(8);
        assert!(print(&message, None, false).contains(r#""subscription-identifier":[7,8],"#));
    }

    /// Payload and what Debian's `mosquitto_sub` made of it.
    #[test]
    fn payloads_are_printed_as_cjson_prints_them() {
        for (payload, printed) in [
            (
                r#"{"a": 1.50, "b":[1,2, {"c":null}], "u":"é\u00e9\/", "n":1e5, "big":12345678901234567890}"#,
                r#"{"a":1.5,"b":[1,2,{"c":null}],"u":"éé/","n":100000,"big":1.2345678901234567e+19}"#,
            ),
            (r#"{"a":1,"a":2}"#, r#"{"a":1,"a":2}"#),
            (" [1] ", "[1]"),
            ("true", "true"),
            (r#""x""#, r#""x""#),
            ("", "null"),
            ("1.0", "1"),
            ("-0", "-0"),
            ("0.1", "0.1"),
            ("1e-7", "1e-07"),
            ("1e20", "1e+20"),
            ("123456789012345678", "1.2345678901234568e+17"),
            ("3.14159265358979323846", "3.1415926535897931"),
            ("12345678901234.5", "12345678901234.5"),
            ("0.0001", "0.0001"),
            ("0.00001", "1e-05"),
        ] {
            assert_eq!(reprinted(payload, false).as_deref(), Some(printed), "{payload}");
        }
        for payload in [r#"{"a":1}x"#, "message", "{", "\u{1}"] {
            assert_eq!(reprinted(payload, false), None, "{payload}");
        }
    }

    #[test]
    fn a_line_is_json_whatever_the_payload() {
        let now = Zoned::default();
        for (payload, shown) in [
            (&b"{\"a\": 1}"[..], r#"{"a":1}"#),
            (b"12", "12"),
            (b"text\n", r#""text\n""#),
            (b"\xff\xfe", r#"{"base64":"//4="}"#),
            (b"", "null"),
        ] {
            let mut message = received("");
            message.message.payload = payload.to_vec();
            message.message.properties.correlation_data = Some(vec![0xff]);
            let mut out = Vec::new();
            print_line(&mut out, &message, false, &now).unwrap();
            let line = String::from_utf8(out).unwrap();
            assert!(line.ends_with(&format!(r#","payload":{shown}}}"#)), "{line}");
            assert!(line.contains(r#""correlation-data":{"base64":"/w=="}"#), "{line}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        assert_eq!(reprinted(&"[".repeat(100_000), false), None);
    }

    #[test]
    fn pretty_payloads_too() {
        let payload = r#"{"a":{},"b":[],"c":[1,{"x":1,"y":[{}]},"s"],"d":{"e":[{"f":1}]}}"#;
        let printed = "{\n\t\"a\":\t{\n\t},\n\t\"b\":\t[],\n\t\"c\":\t[1, {\n\t\t\t\"x\":\t1,\n\t\t\t\"y\":\t[{\n\t\t\t\t}]\n\t\t}, \"s\"],\n\t\"d\":\t{\n\t\t\"e\":\t[{\n\t\t\t\t\"f\":\t1\n\t\t\t}]\n\t}\n}";
        assert_eq!(reprinted(payload, true).as_deref(), Some(printed));
    }
}
