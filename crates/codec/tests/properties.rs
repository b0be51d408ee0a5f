//! Which property may stand in which packet, how often, and with which values: the specification's table 2-4 once
//! more, against every packet that can carry properties.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use grovemq_codec::{Error, Packet, Version, decode_frame};

/// A packet with room for properties: first byte, what stands before the block, what stands behind it.
struct Place {
    name: &'static str,
    first: u8,
    before: &'static [u8],
    after: &'static [u8],
}

const fn place(name: &'static str, first: u8, before: &'static [u8], after: &'static [u8]) -> Place {
    Place { name, first, before, after }
}

const PLACES: [Place; 13] = [
    place("CONNECT", 0x10, b"\0\x04MQTT\x05\x02\0\0", b"\0\x01c"),
    place("will", 0x10, b"\0\x04MQTT\x05\x06\0\0\0\0\x01c", b"\0\x01t\0\0"),
    place("CONNACK", 0x20, &[0, 0], b""),
    place("PUBLISH", 0x30, b"\0\x01t", b""),
    place("PUBACK", 0x40, &[0, 1, 0], b""),
    place("PUBREC", 0x50, &[0, 1, 0], b""),
    place("PUBREL", 0x62, &[0, 1, 0], b""),
    place("PUBCOMP", 0x70, &[0, 1, 0], b""),
    place("SUBSCRIBE", 0x82, &[0, 1], b"\0\x01t\0"),
    place("SUBACK", 0x90, &[0, 1], &[0]),
    place("UNSUBSCRIBE", 0xA2, &[0, 1], b"\0\x01t"),
    place("DISCONNECT", 0xE0, &[0], b""),
    place("AUTH", 0xF0, &[0], b""),
];

const ACKS: &[&str] = &["CONNACK", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBACK", "DISCONNECT", "AUTH"];
const MESSAGE: &[&str] = &["PUBLISH", "will"];
const BOTH_WAYS: &[&str] = &["CONNECT", "CONNACK"];

/// Id, a legal value, where it may stand.
const PROPERTIES: [(u8, &[u8], &[&str]); 26] = [
    (0x01, &[1], MESSAGE),
    (0x02, &[0, 0, 0, 60], MESSAGE),
    (0x03, b"\0\x04text", MESSAGE),
    (0x08, b"\0\x03a/b", MESSAGE),
    (0x09, &[0, 2, 0xFF, 0], MESSAGE),
    (0x0B, &[0x80, 1], &["PUBLISH", "SUBSCRIBE"]),
    (0x11, &[0xFF; 4], &["CONNECT", "CONNACK", "DISCONNECT"]),
    (0x12, b"\0\x02id", &["CONNACK"]),
    (0x13, &[0, 60], &["CONNACK"]),
    (0x15, b"\0\x01m", &["CONNECT", "CONNACK", "AUTH"]),
    (0x17, &[0], &["CONNECT"]),
    (0x18, &[0, 0, 0, 0], &["will"]),
    (0x19, &[1], &["CONNECT"]),
    (0x1A, b"\0\x01r", &["CONNACK"]),
    (0x1C, b"\0\x01s", &["CONNACK", "DISCONNECT"]),
    (0x1F, b"\0\x03why", ACKS),
    (0x21, &[0, 1], BOTH_WAYS),
    (0x22, &[0, 0], BOTH_WAYS),
    (0x23, &[0, 1], &["PUBLISH"]),
    (0x24, &[1], &["CONNACK"]),
    (0x25, &[0], &["CONNACK"]),
    (0x26, b"\0\x01k\0\x01v", &[]), // anywhere
    (0x27, &[0, 0, 0, 1], BOTH_WAYS),
    (0x28, &[1], &["CONNACK"]),
    (0x29, &[1], &["CONNACK"]),
    (0x2A, &[0], &["CONNACK"]),
];

fn parse(place: &Place, block: &[u8]) -> Result<(), Error> {
    let len = u8::try_from(block.len()).unwrap();
    let body = [place.before, &[len], block, place.after].concat();
    let packet = [&[place.first, u8::try_from(body.len()).unwrap()], &body[..]].concat();
    let frame = decode_frame(&packet, 1000).unwrap().unwrap();
    Packet::parse(&frame, Version::V5).map(drop)
}

fn is_allowed(id: u8, places: &[&str], place: &Place) -> bool {
    id == 0x26 || places.contains(&place.name)
}

fn with_id(id: u8, value: &[u8]) -> Vec<u8> {
    [&[id], value].concat()
}

#[test]
fn each_property_in_each_packet() {
    for place in &PLACES {
        assert_eq!(parse(place, &[]), Ok(()), "{}", place.name);
        for (id, value, places) in PROPERTIES {
            let once = with_id(id, value);
            let result = parse(place, &once);
            if is_allowed(id, places, place) {
                assert_eq!(result, Ok(()), "{id:#x} in {}", place.name);
            } else {
                // Fault A20.
                assert!(matches!(result, Err(Error::Malformed(_))), "{id:#x} in {}: {result:?}", place.name);
            }
        }
    }
}

#[test]
fn twice_only_where_the_specification_says_so() {
    for place in &PLACES {
        for (id, value, places) in PROPERTIES {
            if is_allowed(id, places, place) {
                let once = with_id(id, value);
                let result = parse(place, &[&once[..], &once[..]].concat());
                if id == 0x26 || (id == 0x0B && place.name == "PUBLISH") {
                    assert_eq!(result, Ok(()));
                } else {
                    // Fault A19.
                    assert!(
                        matches!(result, Err(Error::Protocol(_))),
                        "{id:#x} in {}: {result:?}",
                        place.name
                    );
                }
            }
        }
    }
}

#[test]
fn cut_properties_are_malformed() {
    // Faults A07, A21: at each byte of each property.
    for place in &PLACES {
        for (id, value, places) in PROPERTIES {
            if is_allowed(id, places, place) {
                for cut in 0..value.len() {
                    let result = parse(place, &with_id(id, &value[..cut]));
                    assert!(
                        matches!(result, Err(Error::Malformed(_))),
                        "{id:#x} in {}: {result:?}",
                        place.name
                    );
                }
            }
        }
    }
}

#[test]
fn unknown_properties_are_malformed() {
    let known: Vec<u8> = PROPERTIES.iter().map(|row| row.0).chain([0x16]).collect();
    for place in &PLACES {
        for id in (0..=127).filter(|id| !known.contains(id)) {
            let result = parse(place, &[id, 0, 0, 0, 0]);
            assert!(matches!(result, Err(Error::Malformed(_))), "{id:#x} in {}: {result:?}", place.name);
        }
    }
}

#[test]
fn values_out_of_range() {
    let in_place = |name: &str, block: &[u8]| {
        let place = PLACES.iter().find(|place| place.name == name).unwrap();
        parse(place, block).map_err(Error::reason).map_err(|reason| reason as u8)
    };
    // Fault A20: a flag that is neither 0 nor 1.
    for (name, id) in [
        ("CONNECT", 0x17),
        ("CONNECT", 0x19),
        ("PUBLISH", 0x01),
        ("will", 0x01),
        ("CONNACK", 0x24),
        ("CONNACK", 0x25),
        ("CONNACK", 0x28),
        ("CONNACK", 0x29),
        ("CONNACK", 0x2A),
    ] {
        assert_eq!(in_place(name, &[id, 2]), Err(0x82), "{id:#x}");
    }
    // Fault A22.
    for name in ["CONNECT", "CONNACK"] {
        assert_eq!(in_place(name, &[0x21, 0, 0]), Err(0x82));
        assert_eq!(in_place(name, &[0x27, 0, 0, 0, 0]), Err(0x82));
    }
    for name in ["SUBSCRIBE", "PUBLISH"] {
        assert_eq!(in_place(name, &[0x0B, 0]), Err(0x82));
        // Fault A02.
        assert_eq!(in_place(name, &[0x0B, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]), Err(0x81));
        // Fault A03: as for every variable byte integer.
        assert_eq!(in_place(name, &[0x0B, 0x85, 0x80, 0x00]), Ok(()));
        assert_eq!(in_place(name, &[0x8B, 0x00, 5]), Ok(()));
    }
    // Fault B02. // [MQTT-3.3.2-8]
    assert_eq!(in_place("PUBLISH", &[0x23, 0, 0]), Err(0x94));
    // [MQTT-3.3.2-14]
    for name in ["PUBLISH", "will"] {
        assert_eq!(in_place(name, b"\x08\0\x03a/+"), Err(0x82));
    }
    // Fault A24.
    for name in ["CONNECT", "CONNACK", "AUTH"] {
        assert_eq!(in_place(name, b"\x16\0\x01d"), Err(0x82));
        assert_eq!(in_place(name, b"\x16\0\x01d\x15\0\x01m"), Ok(()));
    }
    // Fault A15: texts. // [MQTT-1.5.7-1]
    for (name, block) in [
        ("PUBLISH", &b"\x03\0\x01\0"[..]),
        ("PUBLISH", b"\x08\0\x01\0"),
        ("will", b"\x03\0\x02\xC0\x80"),
        ("CONNECT", b"\x15\0\x03\xED\xA0\x80"),
        ("PUBACK", b"\x26\0\x01\0\0\x01v"),
        ("PUBACK", b"\x26\0\x01k\0\x01\xFF"),
        ("PUBACK", b"\x1F\0\x01\xFF"),
    ] {
        assert_eq!(in_place(name, block), Err(0x81), "{name} {block:x?}");
    }
}

#[test]
fn very_many_user_properties_cost_no_more_than_their_bytes() {
    // Fault A17.
    let block = b"\x26\0\x01k\0\x01v".repeat(15_000);
    let mut body = b"\0\x04MQTT\x05\x02\0\0".to_vec();
    grovemq_codec::write_block_len(block.len(), &mut body).unwrap();
    body.extend_from_slice(&block);
    body.extend_from_slice(b"\0\x01c");
    let mut packet = vec![0x10];
    grovemq_codec::write_block_len(body.len(), &mut packet).unwrap();
    packet.extend_from_slice(&body);
    let frame = decode_frame(&packet, 1 << 20).unwrap().unwrap();
    let Ok(Packet::Connect(connect)) = Packet::parse(&frame, Version::V5) else { panic!("not a CONNECT") };
    assert_eq!(connect.properties.user.iter().count(), 15_000);
}
