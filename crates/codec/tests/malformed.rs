//! Bytes that must be refused, each with its row of the fault catalogue and the reason code it closes with.

use grovemq_codec::{Ack, Connect, Error, Packet, Publish, Version, decode_frame};

use Version::{V5, V31, V311};

/// What frame and parser make of the bytes.
fn parse(bytes: &[u8], version: Version) -> Result<(), Error> {
    let frame = decode_frame(bytes, 100_000)?.expect("the row to be a whole packet");
    assert_eq!(frame.len(), bytes.len(), "the row to be one packet");
    Packet::parse(&frame, version).map(drop)
}

/// Fault, version, packet, reason code.
type Row = (&'static str, Version, &'static [u8], u8);

const CONNECT: &[Row] = &[
    ("A02 property length", V5, b"\x10\x11\0\x04MQTT\x05\x02\0\0\xFF\xFF\xFF\xFF\x7F\0\0", 0x81),
    ("A04 reserved type", V5, &[0x00, 0], 0x81),
    ("A07 name", V311, &[0x10, 8, 0xFF, 0xFF, b'M', b'Q', b'T', b'T', 4, 2], 0x81),
    ("A07 client id", V311, b"\x10\x0D\0\x04MQTT\x04\x02\0\0\xFF\xFFc", 0x81),
    ("A07 will topic", V311, b"\x10\x13\0\x04MQTT\x04\x06\0\0\0\x01c\xFF\xFFw\0\x01p", 0x81),
    ("A07 will payload", V311, b"\x10\x13\0\x04MQTT\x04\x06\0\0\0\x01c\0\x01w\xFF\xFFp", 0x81),
    ("A07 user name", V311, b"\x10\x10\0\x04MQTT\x04\x82\0\0\0\x01c\xFF\xFFu", 0x81),
    ("A07 password", V311, b"\x10\x13\0\x04MQTT\x04\xC2\0\0\0\x01c\0\x01u\xFF\xFFp", 0x81),
    ("A07 properties", V5, b"\x10\x0E\0\x04MQTT\x05\x02\0\0\x7F\0\x01c", 0x81),
    ("A08 trailing", V311, b"\x10\x0E\0\x04MQTT\x04\x02\0\0\0\x01c!", 0x81),
    ("A08 trailing, 5", V5, b"\x10\x0F\0\x04MQTT\x05\x02\0\0\0\0\x01c!", 0x81),
    ("A08 trailing, 3.1", V31, b"\x10\x10\0\x06MQIsdp\x03\x02\0\0\0\x01c!", 0x81),
    ("A10 reserved flag", V311, b"\x10\x0D\0\x04MQTT\x04\x03\0\0\0\x01c", 0x81),
    ("A10 reserved flag, 5", V5, b"\x10\x0E\0\x04MQTT\x05\x03\0\0\0\0\x01c", 0x81),
    ("A10 fixed header", V311, b"\x11\x0D\0\x04MQTT\x04\x02\0\0\0\x01c", 0x81),
    ("A11 QoS without will", V311, b"\x10\x0D\0\x04MQTT\x04\x0A\0\0\0\x01c", 0x81),
    ("A11 retain without will", V5, b"\x10\x0E\0\x04MQTT\x05\x22\0\0\0\0\x01c", 0x81),
    ("A11 will QoS 3", V311, b"\x10\x13\0\x04MQTT\x04\x1E\0\0\0\x01c\0\x01w\0\x01p", 0x81),
    ("A12 password alone", V311, b"\x10\x10\0\x04MQTT\x04\x42\0\0\0\x01c\0\x01p", 0x81),
    ("A12 user name missing", V311, b"\x10\x0D\0\x04MQTT\x04\x82\0\0\0\x01c", 0x81),
    ("A13 empty id, durable", V311, b"\x10\x0C\0\x04MQTT\x04\0\0\0\0\0", 0x85),
    ("A13 empty id in 3.1", V31, b"\x10\x0E\0\x06MQIsdp\x03\x02\0\0\0\0", 0x85),
    ("A15 id, surrogate", V311, b"\x10\x0F\0\x04MQTT\x04\x02\0\0\0\x03\xED\xA0\x80", 0x81),
    ("A15 id, NUL", V311, b"\x10\x0D\0\x04MQTT\x04\x02\0\0\0\x01\0", 0x81),
    ("A15 user name", V311, b"\x10\x11\0\x04MQTT\x04\x82\0\0\0\x01c\0\x02\xC0\x80", 0x81),
    ("A15 will topic", V311, b"\x10\x13\0\x04MQTT\x04\x06\0\0\0\x01c\0\x01\xFF\0\x01p", 0x81),
    ("A25 level 6", V5, b"\x10\x0E\0\x04MQTT\x06\x02\0\0\0\0\x01c", 0x84),
    ("A25 bridge bit in 5", V5, b"\x10\x0E\0\x04MQTT\x85\x02\0\0\0\0\x01c", 0x84),
    ("A25 MQTT 3", V31, b"\x10\x0D\0\x04MQTT\x03\x02\0\0\0\x01c", 0x84),
    ("A25 MQIsdp 4", V31, b"\x10\x0F\0\x06MQIsdp\x04\x02\0\0\0\x01c", 0x84),
    ("A25 other name", V311, b"\x10\x0D\0\x04mqtt\x04\x02\0\0\0\x01c", 0x84),
    ("A25 name that is no text", V311, b"\x10\x0D\0\x04\xFF\xFE\0\0\x04\x02\0\0\0\x01c", 0x84),
    ("B04 will topic", V311, b"\x10\x13\0\x04MQTT\x04\x06\0\0\0\x01c\0\x01#\0\x01p", 0x90),
    ("B01 will topic", V5, b"\x10\x14\0\x04MQTT\x05\x06\0\0\0\0\x01c\0\0\0\0\x01p", 0x90),
];

const PUBLISH: &[Row] = &[
    ("A07 topic", V311, &[0x30, 4, 0xFF, 0xFF, b'a', b'b'], 0x81),
    ("A07 properties", V5, b"\x30\x04\0\x01t\x05", 0x81),
    ("A02 property length", V5, b"\x30\x08\0\x01t\xFF\xFF\xFF\xFF\x7F", 0x81),
    ("A07 properties missing", V5, b"\x30\x03\0\x01t", 0x81),
    ("A07 packet id missing", V311, b"\x32\x04\0\x01t\0", 0x81),
    ("A07 empty body", V311, &[0x30, 0], 0x81),
    ("A15 topic, overlong", V311, b"\x30\x04\0\x02\xC0\x80", 0x81),
    ("A15 topic, surrogate", V5, b"\x30\x06\0\x03\xED\xA0\x80\0", 0x81),
    ("B01 no topic", V311, &[0x30, 2, 0, 0], 0x82),
    ("B01 no topic, no alias", V5, &[0x30, 3, 0, 0, 0], 0x82),
    ("B02 alias 0", V5, &[0x30, 6, 0, 0, 3, 0x23, 0, 0], 0x94),
    ("B04 +", V311, b"\x30\x05\0\x03a/+", 0x90),
    ("B04 #", V5, b"\x30\x04\0\x01#\0", 0x90),
    ("B04 NUL", V311, b"\x30\x05\0\x03a\0b", 0x81),
    ("B04 NUL and #", V311, b"\x30\x05\0\x03#\0b", 0x81),
    ("B10 packet id 0", V311, b"\x32\x05\0\x01t\0\0", 0x82),
    ("B11 QoS 3", V311, b"\x36\x05\0\x01t\0\x01", 0x81),
    ("B11 DUP with QoS 0", V5, b"\x38\x04\0\x01t\0", 0x81),
];

const LISTS: &[Row] = &[
    ("A10 SUBSCRIBE flags", V311, b"\x80\x06\0\x01\0\x01t\0", 0x81),
    ("A10 SUBSCRIBE with DUP", V311, b"\x8A\x06\0\x01\0\x01t\0", 0x81),
    ("A10 UNSUBSCRIBE with DUP", V5, b"\xAA\x06\0\x01\0\0\x01t", 0x81),
    ("A07 filter", V311, b"\x82\x06\0\x01\xFF\xFFt\0", 0x81),
    ("A07 filter, second", V311, b"\x82\x0A\0\x01\0\x01t\0\0\x05t\0", 0x81),
    ("A07 properties", V5, b"\x82\x07\0\x01\x7F\0\x01t\0", 0x81),
    ("A15 filter", V311, b"\x82\x07\0\x01\0\x02\xC0\x80\0", 0x81),
    ("A15 filter, NUL", V5, b"\x82\x07\0\x01\0\0\x01\0\0", 0x81),
    ("A15 UNSUBSCRIBE", V311, b"\xA2\x05\0\x01\0\x01\xFF", 0x81),
    ("B08 no filter", V311, &[0x82, 2, 0, 1], 0x82),
    ("B08 no filter, 5", V5, &[0x82, 3, 0, 1, 0], 0x82),
    ("B08 no options", V311, b"\x82\x05\0\x01\0\x01t", 0x81),
    ("B08 reserved bits", V5, b"\x82\x07\0\x01\0\0\x01t\x40", 0x81),
    ("B08 options of 5 in 3.1.1", V311, b"\x82\x06\0\x01\0\x01t\x04", 0x81),
    ("B08 retain handling 3", V5, b"\x82\x07\0\x01\0\0\x01t\x30", 0x82),
    ("B08 QoS 3", V311, b"\x82\x06\0\x01\0\x01t\x03", 0x82),
    ("B08 QoS 3, 5", V5, b"\x82\x07\0\x01\0\0\x01t\x03", 0x82),
    ("B08 UNSUBSCRIBE of nothing", V311, &[0xA2, 2, 0, 1], 0x82),
    ("B09 shared, no local", V5, b"\x82\x10\0\x01\0\0\x0A$share/g/t\x04", 0x82),
    ("B10 SUBSCRIBE", V311, b"\x82\x06\0\0\0\x01t\0", 0x82),
    ("B10 UNSUBSCRIBE", V5, b"\xA2\x06\0\0\0\0\x01t", 0x82),
];

const ANSWERS: &[Row] = &[
    ("A08 PUBACK", V311, &[0x40, 3, 0, 1, 0], 0x81),
    ("A08 PUBACK, 5", V5, &[0x40, 5, 0, 1, 0, 0, 0], 0x81),
    ("A08 PUBREC", V311, &[0x50, 4, 0, 1, 0, 0], 0x81),
    ("A08 PINGREQ", V311, &[0xC0, 1, 0], 0x81),
    ("A08 PINGRESP", V5, &[0xD0, 1, 0], 0x81),
    ("A08 DISCONNECT", V311, &[0xE0, 1, 0], 0x81),
    ("A08 DISCONNECT, 5", V5, &[0xE0, 3, 0, 0, 0], 0x81),
    ("A08 UNSUBACK", V311, &[0xB0, 3, 0, 1, 0], 0x81),
    ("A08 CONNACK", V311, &[0x20, 3, 0, 0, 0], 0x81),
    ("A10 PUBREL flags", V311, &[0x60, 2, 0, 1], 0x81),
    ("A10 PUBREL with DUP", V311, &[0x6A, 2, 0, 1], 0x81),
    ("A10 CONNACK flags", V311, &[0x20, 2, 2, 0], 0x81),
    ("A07 PUBACK", V311, &[0x40, 1, 0], 0x81),
    ("A07 PUBACK properties", V5, &[0x40, 4, 0, 1, 0, 9], 0x81),
    ("A20 PUBACK reason", V5, &[0x40, 3, 0, 1, 0x92], 0x81),
    ("A20 PUBREL reason", V5, &[0x62, 3, 0, 1, 0x10], 0x81),
    ("A20 unknown reason", V5, &[0xE0, 1, 0x7F], 0x81),
    ("A20 DISCONNECT reason", V5, &[0xE0, 1, 0x84], 0x81),
    ("A20 AUTH reason", V5, &[0xF0, 2, 0x80, 0], 0x81),
    ("A24 AUTH in 3.1.1", V311, &[0xF0, 0], 0x82),
    ("A24 AUTH without a method", V5, &[0xF0, 2, 0x18, 0], 0x82),
    ("A24 AUTH without properties", V5, &[0xF0, 1, 0x18], 0x81),
    ("B10 PUBACK", V311, &[0x40, 2, 0, 0], 0x82),
    ("B10 PUBREL", V5, &[0x62, 2, 0, 0], 0x82),
    ("E18 SUBACK without codes", V5, &[0x90, 3, 0, 1, 0], 0x81),
    ("E18 SUBACK of 5 in 3.1.1", V311, &[0x90, 3, 0, 1, 0x87], 0x81),
    ("E18 SUBACK of 3.1.1 in 5", V5, &[0x90, 3, 0, 1, 0x80], 0x81),
    ("E18 UNSUBACK of 3.1.1 in 5", V5, &[0xB0, 2, 0, 1], 0x81),
    ("E18 CONNACK return code", V311, &[0x20, 2, 0, 6], 0x81),
    ("E18 CONNACK, refused but present", V5, &[0x20, 3, 1, 0x87, 0], 0x82),
];

#[test]
fn malformed_packets_are_refused() {
    for &(row, version, bytes, reason) in [CONNECT, PUBLISH, LISTS, ANSWERS].into_iter().flatten() {
        let result = parse(bytes, version).map_err(|error| error.reason() as u8);
        assert_eq!(result, Err(reason), "{row}: {bytes:x?}");
    }
}

#[test]
fn version_3_1_is_let_through_where_it_is_laxer() {
    for (row, bytes) in [
        ("DUP on PUBREL", &b"\x6A\x02\0\x01"[..]),
        ("DUP on SUBSCRIBE", b"\x8A\x06\0\x01\0\x01t\0"),
        ("unused connect flag", b"\x10\x0F\0\x06MQIsdp\x03\x03\0\0\0\x01c"),
        ("unused byte of CONNACK", b"\x20\x02\xFF\0"),
    ] {
        assert_eq!(parse(bytes, V31), Ok(()), "{row}");
    }
}

#[test]
fn what_only_looks_wrong_is_accepted() {
    for (row, version, bytes) in [
        ("A03 remaining length", V311, &b"\x30\x83\0\0\x01t"[..]),
        ("A03 property length", V5, b"\x30\x05\0\x01t\x80\0"),
        ("A12 password alone in 5", V5, b"\x10\x11\0\x04MQTT\x05\x42\0\0\0\0\x01c\0\x01p"),
        ("A13 empty id", V311, b"\x10\x0C\0\x04MQTT\x04\x02\0\0\0\0"),
        ("A13 empty id, durable, 5", V5, b"\x10\x0D\0\x04MQTT\x05\0\0\0\0\0\0"),
        ("A14 odd id", V311, b"\x10\x12\0\x04MQTT\x04\x02\0\0\0\x06/+#\n\x1B$"),
        ("B07 filters are answered one by one", V5, b"\x82\x0E\0\x01\0\0\x02a#\0\0\x03$sh\x02"),
        ("B07 the empty filter too", V311, b"\x82\x05\0\x01\0\0\0"),
        ("B09 no local on a plain filter", V5, b"\x82\x07\0\x01\0\0\x01t\x04"),
        ("B21 is the receiver's to judge", V5, b"\x30\x06\0\x01t\x02\x0B\x01"),
        ("B22 payload is not looked at", V5, b"\x30\x07\0\x01t\x02\x01\x01\xFF"),
    ] {
        assert_eq!(parse(bytes, version), Ok(()), "{row}");
    }
}

#[test]
fn connect_cut_at_every_byte_is_malformed() {
    // Fault A06, with the length put right.
    let bytes = b"\x10\x23\0\x04MQTT\x05\xCE\0\x0A\x05\x11\0\0\0\x0A\0\x01c\0\0\x01w\0\x04gone\0\x01u\0\x01p";
    assert_eq!(parse(bytes, V5), Ok(()));
    for len in 0..bytes.len() - 2 {
        let mut short = vec![0x10, u8::try_from(len).unwrap()];
        short.extend_from_slice(&bytes[2..2 + len]);
        assert!(matches!(parse(&short, V5), Err(Error::Malformed(_))), "{len}");
    }
}

#[test]
fn deep_topics_are_refused() {
    // Fault B05.
    let publish = |topic: &str| {
        let mut bytes = vec![0x30];
        grovemq_codec::write_block_len(topic.len() + 2, &mut bytes).unwrap();
        bytes.extend_from_slice(&u16::try_from(topic.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(topic.as_bytes());
        parse(&bytes, V311)
    };
    assert_eq!(publish(&"/".repeat(65_535)), Err(Error::TopicNameInvalid));
    assert_eq!(publish(&"a/".repeat(32_767)), Err(Error::TopicNameInvalid));
    assert_eq!(publish(&"a".repeat(65_535)), Ok(()));
}

#[test]
fn a_parser_takes_its_own_packets_only() {
    let ping = decode_frame(&[0xC0, 0], 100).unwrap().unwrap();
    assert!(matches!(Connect::parse(&ping), Err(Error::Protocol(_))));
    assert!(matches!(Publish::parse(&ping, V5), Err(Error::Protocol(_))));
    assert!(matches!(Ack::parse(&ping, V5), Err(Error::Protocol(_))));
}
