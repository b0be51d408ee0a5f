//! MQTT packets as lines of text.

use super::Way;
use grovemq_codec::{
    Ack, ConnAck, Connect, Error, Filters, Frame, Packet, Publish, PublishProperties, Qos, ReasonCode,
    Subscribe, UserProperties, Version, decode_frame, frame_len,
};
use std::fmt::Write as _;

/// A packet above this is named, not shown, in bytes.
const SHOWN_BYTES_MAX: usize = 1 << 20;
/// Characters, or bytes, of a payload that are shown.
const PREVIEW_MAX: usize = 80;

/// Cuts the bytes of one connection into packets.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// As the client said in CONNECT.
    version: Option<Version>,
    to_server: Half,
    to_client: Half,
}

#[derive(Debug, Default)]
struct Half {
    /// Less than a packet.
    bytes: Vec<u8>,
    /// Bytes of a packet that is too large to be shown.
    skipped: usize,
    /// There is no making sense of the rest.
    is_lost: bool,
}

impl Decoder {
    /// Adds a line for each packet that is now complete.
    pub(super) fn take(&mut self, way: Way, bytes: &[u8], lines: &mut Vec<String>) {
        let half = match way {
            Way::ToServer => &mut self.to_server,
            Way::ToClient => &mut self.to_client,
        };
        if half.is_lost {
            return;
        }
        let skipped = half.skipped.min(bytes.len());
        half.skipped -= skipped;
        half.bytes.extend_from_slice(bytes.get(skipped..).unwrap_or_default());
        let mut taken = 0;
        loop {
            let rest = half.bytes.get(taken..).unwrap_or_default();
            match next(rest) {
                Ok(Next::Packet(frame)) => {
                    lines.push(shown(&frame, &mut self.version));
                    taken += frame.len();
                }
                Ok(Next::Large(len)) => {
                    lines.push(format!("(packet of {len} bytes, not shown)"));
                    half.skipped = len.saturating_sub(rest.len());
                    taken += rest.len().min(len);
                }
                Ok(Next::Unfinished) => break,
                Err(error) => {
                    lines.push(format!("(no MQTT: {error}; the rest is not shown)"));
                    half.is_lost = true;
                    half.bytes = Vec::new();
                    return;
                }
            }
        }
        half.bytes.drain(..taken);
    }
}

enum Next<'a> {
    Packet(Frame<'a>),
    Large(usize),
    Unfinished,
}

fn next(bytes: &[u8]) -> Result<Next<'_>, Error> {
    match frame_len(bytes, u32::MAX)? {
        Some(len) if len > SHOWN_BYTES_MAX => Ok(Next::Large(len)),
        Some(_) => Ok(decode_frame(bytes, u32::MAX)?.map_or(Next::Unfinished, Next::Packet)),
        None => Ok(Next::Unfinished),
    }
}

fn shown(frame: &Frame<'_>, version: &mut Option<Version>) -> String {
    let name = format!("{:?}", frame.kind).to_uppercase();
    let packet = match Packet::parse(frame, version.unwrap_or(Version::V311)) {
        Ok(packet) => packet,
        Err(error) => return format!("{name} malformed: {error}"),
    };
    let mut text = name;
    match &packet {
        Packet::Connect(connect) => {
            *version = Some(connect.version);
            show_connect(&mut text, connect);
        }
        Packet::ConnAck(ack) => show_connack(&mut text, ack),
        Packet::Publish(publish) => show_publish(&mut text, publish),
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            show_ack(&mut text, ack);
        }
        Packet::Subscribe(subscribe) => show_subscribe(&mut text, subscribe),
        Packet::SubAck(ack) => {
            add(&mut text, "id", ack.packet_id);
            ack.codes.iter().for_each(|code| add_reason(&mut text, code));
            add_text(&mut text, "reason", ack.properties.reason_string);
        }
        Packet::Unsubscribe(unsubscribe) => {
            add(&mut text, "id", unsubscribe.packet_id);
            unsubscribe.topics.iter().for_each(|topic| add_text(&mut text, "", Some(topic)));
            add_user(&mut text, &unsubscribe.user_properties);
        }
        Packet::UnsubAck(ack) => {
            add(&mut text, "id", ack.packet_id);
            ack.codes.iter().for_each(|code| add_reason(&mut text, code));
        }
        Packet::PingReq | Packet::PingResp => {}
        Packet::Disconnect(disconnect) => {
            add_reason(&mut text, disconnect.reason);
            add_text(&mut text, "reason", disconnect.properties.reason_string);
            add_user(&mut text, &disconnect.properties.user);
        }
        Packet::Auth(auth) => {
            add_reason(&mut text, auth.reason);
            add_text(&mut text, "method", auth.properties.authentication_method);
        }
    }
    text
}

/// The password is not for everybody who looks over the shoulder.
fn show_connect(text: &mut String, connect: &Connect<'_>) {
    let version = match connect.version {
        Version::V31 => "3.1",
        Version::V311 => "3.1.1",
        Version::V5 => "5",
    };
    add(text, "MQTT", version);
    add_text(text, "client", Some(connect.client_id));
    add(text, "keep-alive", connect.keep_alive);
    add_flag(text, "clean", connect.clean_start);
    add_flag(text, "bridge", connect.bridge);
    add_text(text, "user", connect.username);
    add_flag(text, "password", connect.password.is_some());
    if let Some(will) = &connect.will {
        add_text(text, "will", Some(will.topic));
        add_qos(text, will.qos);
        add_flag(text, "retain", will.retain);
        let _infallible = write!(text, " {}", preview(will.payload));
    }
    let properties = &connect.properties;
    add_some(text, "session-expiry", properties.session_expiry);
    add_some(text, "receive-maximum", properties.receive_maximum);
    add_some(text, "maximum-packet-size", properties.maximum_packet_size);
    add_text(text, "authentication", properties.authentication_method);
    add_user(text, &properties.user);
}

fn show_connack(text: &mut String, ack: &ConnAck<'_>) {
    add_reason(text, ack.reason);
    add_flag(text, "session-present", ack.session_present);
    let properties = &ack.properties;
    add_text(text, "client", properties.assigned_client_id);
    add_some(text, "keep-alive", properties.server_keep_alive);
    add_some(text, "session-expiry", properties.session_expiry);
    add_some(text, "receive-maximum", properties.receive_maximum);
    add_some(text, "maximum-qos", properties.maximum_qos);
    add_some(text, "maximum-packet-size", properties.maximum_packet_size);
    add_some(text, "topic-alias-maximum", properties.topic_alias_maximum);
    add_some(text, "retain-available", properties.retain_available);
    add_text(text, "reason", properties.reason_string);
    add_user(text, &properties.user);
}

fn show_publish(text: &mut String, publish: &Publish<'_>) {
    add_text(text, "", Some(publish.topic));
    add_qos(text, publish.qos);
    add_some(text, "id", publish.packet_id);
    add_flag(text, "dup", publish.dup);
    add_flag(text, "retain", publish.retain);
    let PublishProperties { topic_alias, message_expiry, response_topic, content_type, user, .. } =
        &publish.properties;
    add_some(text, "alias", *topic_alias);
    add_some(text, "expiry", *message_expiry);
    add_text(text, "response-topic", *response_topic);
    add_text(text, "content-type", *content_type);
    publish.properties.subscription_ids.iter().for_each(|id| add(text, "subscription", id));
    add_user(text, user);
    let _infallible = write!(text, " {} bytes {}", publish.payload.len(), preview(publish.payload));
}

fn show_ack(text: &mut String, ack: &Ack<'_>) {
    add(text, "id", ack.packet_id);
    if ack.reason != ReasonCode::Success {
        add_reason(text, ack.reason);
    }
    add_text(text, "reason", ack.properties.reason_string);
}

fn show_subscribe(text: &mut String, subscribe: &Subscribe<'_>) {
    add(text, "id", subscribe.packet_id);
    add_some(text, "subscription", subscribe.properties.subscription_id);
    let filters: &Filters<'_> = &subscribe.filters;
    for (filter, options) in filters {
        add_text(text, "", Some(filter));
        add_qos(text, options.qos);
        add_flag(text, "no-local", options.no_local);
        add_flag(text, "retain-as-published", options.retain_as_published);
        if options.retain_handling as u8 > 0 {
            add(text, "retain-handling", options.retain_handling as u8);
        }
    }
    add_user(text, &subscribe.properties.user);
}

fn add(text: &mut String, name: &str, value: impl std::fmt::Display) {
    let _infallible = write!(text, " {name}={value}");
}

fn add_some(text: &mut String, name: &str, value: Option<impl std::fmt::Display>) {
    if let Some(value) = value {
        add(text, name, value);
    }
}

fn add_flag(text: &mut String, name: &str, is_set: bool) {
    if is_set {
        let _infallible = write!(text, " {name}");
    }
}

/// In quotes, and without anything that a terminal would obey.
fn add_text(text: &mut String, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        let equals = if name.is_empty() { "" } else { "=" };
        let _infallible = write!(text, " {name}{equals}{value:?}");
    }
}

fn add_qos(text: &mut String, qos: Qos) {
    let _infallible = write!(text, " q{}", qos as u8);
}

fn add_reason(text: &mut String, reason: ReasonCode) {
    let _infallible = write!(text, " {:#04x} ({reason})", reason as u8);
}

fn add_user(text: &mut String, user: &UserProperties<'_>) {
    for (name, value) in user {
        let _infallible = write!(text, " {name:?}:{value:?}");
    }
}

fn preview(payload: &[u8]) -> String {
    let more = |is_more| if is_more { "…" } else { "" };
    if let Ok(text) = str::from_utf8(payload) {
        let shown: String = text.chars().take(PREVIEW_MAX).collect();
        return format!("{shown:?}{}", more(shown.len() < text.len()));
    }
    let shown = payload.get(..PREVIEW_MAX / 2).unwrap_or(payload);
    let mut hex = String::from("0x");
    for byte in shown {
        let _infallible = write!(hex, "{byte:02x}");
    }
    hex + more(shown.len() < payload.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(way: Way, pieces: &[&[u8]]) -> Vec<String> {
        let mut decoder = Decoder::default();
        let mut lines = Vec::new();
        for piece in pieces {
            decoder.take(way, piece, &mut lines);
        }
        lines
    }

    #[test]
    fn packets_are_shown_however_the_bytes_come() {
        let connect = b"\x10\x13\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01x\x00\x01u\x00\x01p";
        let publish = b"\x33\x09\x00\x03a/b\x00\x07\x1b[";
        let bytes = [&connect[..], publish, b"\xc0\x00"].concat();
        let expected = [
            "CONNECT MQTT=3.1.1 client=\"x\" keep-alive=60 clean user=\"u\" password",
            "PUBLISH \"a/b\" q1 id=7 retain 2 bytes \"\\u{1b}[\"",
            "PINGREQ",
        ];
        assert_eq!(lines(Way::ToServer, &[&bytes]), expected);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(lines(Way::ToServer, &single), expected);
    }

    #[test]
    fn what_is_no_mqtt_is_said_once() {
        let found = lines(Way::ToServer, &[b"\x00\x00", b"GET / HTTP/1.1\r\n"]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("(no MQTT: "), "{found:?}");
        let found = lines(Way::ToServer, &[b"\x20\x01\x00\xc0\x00"]);
        assert!(found[0].starts_with("CONNACK malformed: "), "{found:?}");
        assert_eq!(found[1], "PINGREQ");
    }

    #[test]
    fn a_large_packet_is_skipped() {
        // remaining length 2 MiB
        let mut bytes = b"\x30\x80\x80\x80\x01\x00\x01a".to_vec();
        bytes.resize(5 + (2 << 20), b'x');
        bytes.extend(b"\xd0\x00");
        let expected = ["(packet of 2097157 bytes, not shown)", "PINGRESP"];
        for size in [1000, 1 << 20, 4 << 20] {
            assert_eq!(lines(Way::ToClient, &bytes.chunks(size).collect::<Vec<_>>()), expected, "{size}");
        }
    }

    #[test]
    fn payloads_are_cut_and_harmless() {
        assert_eq!(preview(b"a\"b\n"), r#""a\"b\n""#);
        assert_eq!(preview(&[0xff, 1]), "0xff01");
        assert_eq!(preview("ü".repeat(100).as_bytes()), format!("\"{}\"…", "ü".repeat(80)));
        assert!(preview(&[0xff; 100]).ends_with("ff…"));
    }
}
