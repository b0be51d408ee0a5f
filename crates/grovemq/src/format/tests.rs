//! The bytes that Debian's `mosquitto_sub` 2.0.11 printed for the same messages, and what only 2.1 has.

use super::*;
use grovemq_client::{Message, Properties, Qos};
use std::num::NonZeroU16;

fn bare(payload: &[u8]) -> Received {
    Received { message: Message::new("f/a", payload), dup: false, packet_id: None, ack: None }
}

/// A message with packet id and every property that a server passes on.
fn rich() -> Received {
    let properties = Properties {
        payload_format: Some(true),
        message_expiry: Some(100),
        topic_alias: None,
        response_topic: Some("rt".to_owned()),
        correlation_data: Some(b"co".to_vec()),
        subscription_ids: vec![7],
        content_type: Some("ct".to_owned()),
        user: vec![("k1".to_owned(), "v1".to_owned()), ("k2".to_owned(), "v2".to_owned())],
    };
    let message = Message::new("f/a", "hé\"l\nlo").qos(Qos::AtLeastOnce).properties(properties);
    Received { message, dup: false, packet_id: NonZeroU16::new(1), ack: None }
}

fn print(format: &str, received: &Received) -> String {
    let now = "2026-11-22T16:20:08.675311616[UTC]".parse().unwrap();
    let mut out = Vec::new();
    let format = Format::parse(format).unwrap();
    format.print_at(&mut out, received, false, &now).unwrap();
    String::from_utf8_lossy(&out).into_owned()
}

#[track_caller]
fn table(received: &Received, rows: &[(&str, &str)]) {
    for (format, expected) in rows {
        assert_eq!(print(format, received), *expected, "{format}");
    }
}

#[test]
fn every_field_of_a_message_with_properties() {
    table(
        &rich(),
        &[
            ("%A|%C|%D|%E|%F|%I", "|ct|co|100|1|2026-11-22T16:20:08+0000"),
            ("%l|%m|%p|%P|%q", "8|1|hé\"l\nlo|k1:v1 k2:v2|1"),
            ("%R|%r|%S|%t|%U", "rt|0|7|f/a|1795364408.675311616"),
            ("%x|%X", "68c3a9226c0a6c6f|68C3A9226C0A6C6F"),
            ("%5C|%5D|%5E|%5F|%5P|%5q|%5R|%5r|%5S", "   ct|co|  100|    1|k1:v1 k2:v2|1|   rt|0|    7"),
            ("%-5C|%-5E|%-5R|%-5S|", "ct   |100  |rt   |7    |"),
            ("%05C|%05E|%05R|%05S", "   ct|00100|   rt|00007"),
            ("%.1C|%5.1R|%-5.1R|", "c|    r|r    |"),
        ],
    );
}

#[test]
fn every_field_of_a_message_without_properties() {
    table(
        &bare(b"message"),
        &[
            ("%A|%C|%D|%E|%F|%R|%S|%P|", "||||||||"),
            ("%5A|%5C|%5D|%5E|%5F|%5R|%5S|%5P|%5m|", "     |     ||     |     ||     ||    0|"),
            ("%-03A|%-03C|%03C|%03R|%03S|%5.A|", "000|   |   ||000|     |"),
            ("%%|%5%|%05%", "%|%|%"),
            ("é%t tail%%", "éf/a tail%"),
            ("%.0t|%.t|%10.t|", "||          |"),
        ],
    );
}

#[test]
fn widths_of_numbers_and_topics() {
    table(
        &bare(b"hello"),
        &[
            ("[%6l][%06l][%-6l][%-06l][%.5l]", "[     5][000005][5     ][5     ][5]"),
            ("[%20t][%-5t][%05t][%.1t]", "[                 f/a][f/a  ][  f/a][f]"),
            ("[%5.2t][%-5.2t]", "[   f/][f/   ]"),
        ],
    );
    let wide = print("%99999999999999l", &bare(b"hello"));
    assert_eq!(wide.len(), 65_535);
}

#[test]
fn widths_of_payloads() {
    table(
        &bare(b"message"),
        &[
            ("%3p|%10p|%-10p|%010p", "mes|   message|message   |000message"),
            ("%18x|%6x|%06x|%8x", "            6d6573|6d6573|6d6573|  6d6573"),
            ("%.2x", "6d657373616765"),
        ],
    );
}

#[test]
fn groups_of_digits() {
    table(
        &bare(b"message"),
        &[("%.2:x", "6d:65:73:73:61:67:65"), ("%.4-X", "6D65-7373-6167-65"), ("%.0:x", "6d657373616765")],
    );
}

#[test]
fn floats() {
    let double = 2.125_f64.to_le_bytes();
    table(&bare(&double), &[("%.3d|%d|%8.1d|%f", "2.125|2.125000|     2.1|")]);
    table(&bare(&0.707_f32.to_le_bytes()), &[("%.3f|%-8.1f|%d", "0.707|0.7     |")]);
}

#[test]
fn times_and_escapes() {
    table(
        &bare(b""),
        &[
            ("@Y-@m-@dT@H:@M:@S.@N @@ @q", "2026-11-22T16:20:08.675311616 @ %q"),
            ("\\\\|\\0|\\a|\\e|\\n|\\r|\\t|\\v", "\\|\0|\u{7}|\u{1b}|\n|\r|\t|\u{b}"),
        ],
    );
}

#[test]
fn json_goes_between_other_fields() {
    let format = Format::parse("a%t %J b").unwrap();
    let mut out = Vec::new();
    let printed = format.print(&mut out, &bare(b"no json"), false).unwrap();
    assert_eq!((printed, &*out), (Printed::NotJson, &b"af/a  b"[..]));
    let mut out = Vec::new();
    assert_eq!(format.print(&mut out, &bare(b"[1]"), false).unwrap(), Printed::Whole);
}

#[test]
fn wrong_formats() {
    for (format, error) in [
        ("%", "Incomplete format specifier."),
        ("%10", "Incomplete format specifier."),
        ("%.", "Incomplete format specifier."),
        ("@", "Incomplete format specifier."),
        ("%z", "Invalid format specifier 'z'."),
        ("%0-5l", "Invalid format specifier '-'."),
        ("%--5l", "Invalid format specifier '-'."),
        ("%.-5l", "Invalid format specifier '-'."),
        ("%5.5.5l", "Invalid format specifier '.'."),
        ("%:x", "Invalid format specifier ':'."),
        ("\\", "Incomplete escape specifier."),
        ("\\q", "Invalid escape specifier 'q'."),
    ] {
        assert_eq!(Format::parse(format).unwrap_err().to_string(), error, "{format}");
    }
}
