//! Packets whose bytes are known: the specification's own examples, the shortest forms, and what is not written.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use grovemq_codec::{
    Ack, AckProperties, Auth, AuthProperties, ConnAck, ConnAckProperties, Connect, ConnectProperties,
    Disconnect, DisconnectProperties, EncodeError, Filters, Packet, PacketType, Publish, PublishProperties,
    Qos, ReasonCode, ReasonCodes, SubAck, Subscribe, SubscribeOptions, SubscribeProperties, Topics, UnsubAck,
    Unsubscribe, UserProperties, Version, Will, WillProperties, decode_frame,
};
use std::num::NonZeroU16;

use Version::{V5, V31, V311};

fn id(value: u16) -> NonZeroU16 {
    NonZeroU16::new(value).unwrap()
}

fn encode(packet: &Packet<'_>, version: Version) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::new();
    let result = packet.encode(version, &mut out);
    assert!(result.is_ok() || out.is_empty(), "nothing is written on error");
    assert_eq!(result.map(|()| out.len()), packet.encoded_len(version));
    result.map(|()| out)
}

/// That the packet has these bytes and the bytes are this packet.
fn same(packet: &Packet<'_>, version: Version, bytes: &[u8]) {
    assert_eq!(encode(packet, version).unwrap(), bytes, "{packet:?}");
    let frame = decode_frame(bytes, 1 << 20).unwrap().unwrap();
    assert_eq!(frame.len(), bytes.len());
    assert_eq!(Packet::parse(&frame, version).as_ref(), Ok(packet));
}

fn connect(version: Version) -> Connect<'static> {
    Connect {
        version,
        bridge: false,
        clean_start: true,
        keep_alive: 10,
        properties: ConnectProperties::default(),
        client_id: "c",
        will: None,
        username: None,
        password: None,
    }
}

fn ack(packet_id: u16, reason: ReasonCode) -> Ack<'static> {
    Ack { packet_id: id(packet_id), reason, properties: AckProperties::default() }
}

#[test]
fn connect_with_everything_the_variable_header_example_has() {
    let will = Will {
        qos: Qos::AtLeastOnce,
        retain: false,
        properties: WillProperties::default(),
        topic: "w",
        payload: b"gone",
    };
    let packet = |version| Connect {
        will: Some(will.clone()),
        username: Some("u"),
        password: Some(b"p"),
        ..connect(version)
    };
    // Figure "Variable header example" of 3.1.1: flags CE, keep alive 10.
    let v311 = b"\x10\x1C\0\x04MQTT\x04\xCE\0\x0A\0\x01c\0\x01w\0\x04gone\0\x01u\0\x01p";
    same(&Packet::Connect(packet(V311)), V311, v311);
    // The same of 5, with a session expiry of 10 s.
    let v5 = b"\x10\x23\0\x04MQTT\x05\xCE\0\x0A\x05\x11\0\0\0\x0A\0\x01c\0\0\x01w\0\x04gone\0\x01u\0\x01p";
    let mut with_expiry = packet(V5);
    with_expiry.properties.session_expiry = Some(10);
    same(&Packet::Connect(with_expiry), V5, v5);
    let v31 = b"\x10\x1E\0\x06MQIsdp\x03\xCE\0\x0A\0\x01c\0\x01w\0\x04gone\0\x01u\0\x01p";
    same(&Packet::Connect(packet(V31)), V31, v31);
}

#[test]
fn connect_of_a_bridge_has_the_topmost_bit_of_the_level() {
    let bridge = Connect { bridge: true, ..connect(V311) };
    same(&Packet::Connect(bridge), V311, b"\x10\x0D\0\x04MQTT\x84\x02\0\x0A\0\x01c");
    let bridge = Connect { bridge: true, ..connect(V5) };
    assert_eq!(encode(&Packet::Connect(bridge), V5), Err(EncodeError::NotInVersion));
}

#[test]
fn connect_of_3_1_may_leave_out_what_its_flags_announce() {
    let bytes = b"\x10\x0F\0\x06MQIsdp\x03\xC2\0\x0A\0\x01c";
    let frame = decode_frame(bytes, 100).unwrap().unwrap();
    let connect = Connect::parse(&frame).unwrap();
    assert_eq!((connect.username, connect.password), (None, None));
}

#[test]
fn connack_of_5_prints_its_properties_in_a_fixed_order() {
    let properties = ConnAckProperties {
        topic_alias_maximum: Some(10),
        maximum_packet_size: Some(2_000_000),
        receive_maximum: Some(20),
        ..ConnAckProperties::default()
    };
    let mut packet = ConnAck { session_present: false, reason: ReasonCode::Success, properties };
    let short = [0x20, 0x0E, 0, 0, 0x0B, 0x22, 0, 10, 0x27, 0, 0x1E, 0x84, 0x80, 0x21, 0, 20];
    same(&Packet::ConnAck(packet.clone()), V5, &short);
    packet.properties.assigned_client_id = Some("x");
    packet.properties.server_keep_alive = Some(60);
    let long = b"\x20\x15\0\0\x12\x22\0\x0A\x12\0\x01x\x13\0\x3C\x27\0\x1E\x84\x80\x21\0\x14";
    same(&Packet::ConnAck(packet.clone()), V5, long);
    // In 3.x none of it is there.
    assert_eq!(encode(&Packet::ConnAck(packet), V311).unwrap(), [0x20, 2, 0, 0]);
}

#[test]
fn connack_of_3_maps_reasons_and_knows_no_session_in_3_1() {
    let connack = |session_present, reason| {
        Packet::ConnAck(ConnAck { session_present, reason, properties: ConnAckProperties::default() })
    };
    same(&connack(true, ReasonCode::Success), V311, &[0x20, 2, 1, 0]);
    same(&connack(false, ReasonCode::NotAuthorized), V311, &[0x20, 2, 0, 5]);
    assert_eq!(encode(&connack(true, ReasonCode::Success), V31).unwrap(), [0x20, 2, 0, 0]);
    assert_eq!(encode(&connack(false, ReasonCode::Banned), V31).unwrap(), [0x20, 2, 0, 5]);
    // [MQTT-3.2.2-6]
    assert_eq!(encode(&connack(true, ReasonCode::ServerBusy), V5).unwrap(), [0x20, 3, 0, 0x89, 0]);
}

#[test]
fn publish_example() {
    // Figure "Publish Packet variable header non-normative example": a/b, packet identifier 10.
    let packet = Publish {
        qos: Qos::AtLeastOnce,
        topic: "a/b",
        packet_id: Some(id(10)),
        payload: b"hi",
        ..Publish::default()
    };
    same(&Packet::Publish(packet.clone()), V311, b"\x32\x09\0\x03a/b\0\x0Ahi");
    same(&Packet::Publish(packet.clone()), V5, b"\x32\x0A\0\x03a/b\0\x0A\0hi");
    let again = Publish { dup: true, retain: true, qos: Qos::ExactlyOnce, ..packet };
    same(&Packet::Publish(again), V311, b"\x3D\x09\0\x03a/b\0\x0Ahi");
    // Figure "UTF-8 Encoded String non-normative example": A and U+2A6D4.
    let topic = Publish { topic: "A\u{2A6D4}", ..Publish::default() };
    same(&Packet::Publish(topic), V311, b"\x30\x07\0\x05\x41\xF0\xAA\x9B\x94");
}

#[test]
fn publish_shows_its_properties_as_they_came() {
    // Not in the order that we write, and with a length longer than needed.
    let bytes = b"\x30\x13\0\x01t\x8D\0\x03\0\x01c\x26\0\x01k\0\x01v\x01\x01h";
    let frame = decode_frame(bytes, 100).unwrap().unwrap();
    let publish = Publish::parse(&frame, V5).unwrap();
    assert_eq!(publish.raw_properties, b"\x03\0\x01c\x26\0\x01k\0\x01v\x01\x01");
    assert_eq!(publish.payload, b"h");
    assert_eq!(publish.properties.user.to_vec(), [("k".to_string(), "v".to_string())]);
    assert_eq!(publish.properties.payload_format, Some(true));
    assert!(publish.properties.subscription_ids.is_empty());

    let mut prefixed = vec![0xEE];
    publish.properties.write_prefixed(&mut prefixed).unwrap();
    assert_eq!(prefixed, b"\xEE\x0D\x01\x01\x03\0\x01c\x26\0\x01k\0\x01v");
}

#[test]
fn subscribe_and_unsubscribe_examples() {
    // Figures "Payload byte format non-normative example": a/b with QoS 1, c/d with QoS 2, packet identifier 10.
    let filters =
        [("a/b", SubscribeOptions::qos(Qos::AtLeastOnce)), ("c/d", SubscribeOptions::qos(Qos::ExactlyOnce))];
    let subscribe = Packet::Subscribe(Subscribe {
        packet_id: id(10),
        properties: SubscribeProperties::default(),
        filters: Filters::List(&filters),
    });
    same(&subscribe, V311, b"\x82\x0E\0\x0A\0\x03a/b\x01\0\x03c/d\x02");
    same(&subscribe, V5, b"\x82\x0F\0\x0A\0\0\x03a/b\x01\0\x03c/d\x02");
    let unsubscribe = Packet::Unsubscribe(Unsubscribe {
        packet_id: id(10),
        user_properties: UserProperties::default(),
        topics: Topics::List(&["a/b", "c/d"]),
    });
    same(&unsubscribe, V311, b"\xA2\x0C\0\x0A\0\x03a/b\0\x03c/d");
    same(&unsubscribe, V5, b"\xA2\x0D\0\x0A\0\0\x03a/b\0\x03c/d");
}

#[test]
fn suback_and_unsuback() {
    let codes = [ReasonCode::GrantedQos0, ReasonCode::GrantedQos2, ReasonCode::UnspecifiedError];
    let suback = |codes| {
        Packet::SubAck(SubAck {
            packet_id: id(10),
            properties: AckProperties::default(),
            codes: ReasonCodes::List(codes),
        })
    };
    same(&suback(&codes), V311, b"\x90\x05\0\x0A\0\x02\x80");
    same(&suback(&codes), V5, b"\x90\x06\0\x0A\0\0\x02\x80");
    let refused = suback(&[ReasonCode::NotAuthorized]);
    assert_eq!(encode(&refused, V311).unwrap(), [0x90, 3, 0, 10, 0x80]);
    assert_eq!(encode(&refused, V5).unwrap(), [0x90, 4, 0, 10, 0, 0x87]);

    let unsuback =
        |codes| Packet::UnsubAck(UnsubAck { packet_id: id(10), properties: AckProperties::default(), codes });
    same(&unsuback(ReasonCodes::default()), V311, &[0xB0, 2, 0, 10]);
    same(&unsuback(ReasonCodes::List(&[ReasonCode::NoSubscriptionExisted])), V5, &[0xB0, 4, 0, 10, 0, 0x11]);
}

#[test]
fn acknowledgements_are_as_short_as_they_may_be() {
    for (packet, first) in [
        (Packet::PubAck(ack(10, ReasonCode::Success)), 0x40),
        (Packet::PubRec(ack(10, ReasonCode::Success)), 0x50),
        (Packet::PubRel(ack(10, ReasonCode::Success)), 0x62),
        (Packet::PubComp(ack(10, ReasonCode::Success)), 0x70),
    ] {
        for version in [V31, V311, V5] {
            same(&packet, version, &[first, 2, 0, 10]);
        }
    }
    let none = Packet::PubAck(ack(10, ReasonCode::NoMatchingSubscribers));
    same(&none, V5, &[0x40, 3, 0, 10, 0x10]);
    assert_eq!(encode(&none, V311).unwrap(), [0x40, 2, 0, 10]);
    let mut why = ack(10, ReasonCode::Success);
    why.properties.reason_string = Some("ok");
    same(&Packet::PubAck(why), V5, b"\x40\x09\0\x0A\0\x05\x1F\0\x02ok");
    // Four bytes, the last of which says that there are no properties: legal, though we never write it.
    let frame = decode_frame(&[0x40, 4, 0, 10, 0x10, 0], 100).unwrap().unwrap();
    assert_eq!(Packet::parse(&frame, V5), Ok(none));
}

#[test]
fn pings_disconnect_and_auth_are_as_short_as_they_may_be() {
    let disconnect =
        |reason| Packet::Disconnect(Disconnect { reason, properties: DisconnectProperties::default() });
    for version in [V31, V311, V5] {
        same(&Packet::PingReq, version, &[0xC0, 0]);
        same(&Packet::PingResp, version, &[0xD0, 0]);
        same(&disconnect(ReasonCode::NormalDisconnection), version, &[0xE0, 0]);
    }
    same(&disconnect(ReasonCode::SessionTakenOver), V5, &[0xE0, 1, 0x8E]);
    let properties = DisconnectProperties { session_expiry: Some(5), ..DisconnectProperties::default() };
    let expiry = Packet::Disconnect(Disconnect { reason: ReasonCode::Success, properties });
    same(&expiry, V5, &[0xE0, 7, 0, 5, 0x11, 0, 0, 0, 5]);

    let auth = |reason, method| {
        let properties = AuthProperties { authentication_method: method, ..AuthProperties::default() };
        Packet::Auth(Auth { reason, properties })
    };
    same(&auth(ReasonCode::Success, None), V5, &[0xF0, 0]);
    same(&auth(ReasonCode::ContinueAuthentication, Some("m")), V5, b"\xF0\x06\x18\x04\x15\0\x01m");
}

#[test]
fn what_a_version_lacks_is_not_written() {
    let goodbye = Disconnect { reason: ReasonCode::ServerBusy, properties: DisconnectProperties::default() };
    assert_eq!(encode(&Packet::Disconnect(goodbye), V311), Err(EncodeError::NotInVersion));
    let auth = Auth { reason: ReasonCode::Success, properties: AuthProperties::default() };
    assert_eq!(encode(&Packet::Auth(auth), V311), Err(EncodeError::NotInVersion));
    let password = Connect { password: Some(b"p"), ..connect(V311) };
    assert_eq!(encode(&Packet::Connect(password), V311), Err(EncodeError::NotInVersion));
    let password = Connect { password: Some(b"p"), ..connect(V5) };
    assert!(encode(&Packet::Connect(password), V5).is_ok());
}

#[test]
fn what_no_receiver_accepts_is_not_written() {
    let is_invalid = |packet: Packet<'_>, version| {
        assert!(matches!(encode(&packet, version), Err(EncodeError::Invalid(_))), "{packet:?}");
    };
    let publish = |publish: Publish<'static>| Packet::Publish(publish);
    is_invalid(publish(Publish::default()), V5);
    is_invalid(publish(Publish { topic: "a/+", ..Publish::default() }), V311);
    is_invalid(publish(Publish { topic: "a\0", ..Publish::default() }), V311);
    is_invalid(publish(Publish { topic: "a", qos: Qos::AtLeastOnce, ..Publish::default() }), V311);
    is_invalid(publish(Publish { topic: "a", packet_id: Some(id(1)), ..Publish::default() }), V311);
    is_invalid(publish(Publish { topic: "a", dup: true, ..Publish::default() }), V311);
    let aliased = |alias| {
        let properties = PublishProperties { topic_alias: Some(alias), ..PublishProperties::default() };
        publish(Publish { properties, ..Publish::default() })
    };
    same(&aliased(1), V5, &[0x30, 6, 0, 0, 3, 0x23, 0, 1]);
    is_invalid(aliased(0), V5);
    // Without the alias, which 3.x does not have, the topic is missing.
    is_invalid(aliased(1), V311);

    is_invalid(Packet::Connect(Connect { client_id: "", ..connect(V31) }), V31);
    is_invalid(Packet::Connect(Connect { client_id: "", clean_start: false, ..connect(V311) }), V311);
    is_invalid(Packet::Connect(Connect { username: Some("\0"), ..connect(V311) }), V311);
    is_invalid(Packet::PubRel(ack(1, ReasonCode::NotAuthorized)), V5);
    let (properties, filters) = (SubscribeProperties::default(), Filters::default());
    is_invalid(Packet::Subscribe(Subscribe { packet_id: id(1), properties, filters }), V5);
    let (user_properties, topics) = (UserProperties::default(), Topics::default());
    is_invalid(Packet::Unsubscribe(Unsubscribe { packet_id: id(1), user_properties, topics }), V5);
    let (properties, codes) = (AckProperties::default(), ReasonCodes::default());
    is_invalid(Packet::SubAck(SubAck { packet_id: id(1), properties, codes }), V5);
    let auth = Auth { reason: ReasonCode::ReAuthenticate, properties: AuthProperties::default() };
    is_invalid(Packet::Auth(auth), V5);

    let mut out = Vec::new();
    let wrong = ack(1, ReasonCode::Success).encode(PacketType::Publish, V5, &mut out);
    assert!(matches!(wrong, Err(EncodeError::Invalid(_))) && out.is_empty());
}

#[test]
fn fields_and_packets_that_are_too_long_are_not_written() {
    let long = "x".repeat(65_536);
    let connect = Connect { client_id: &long, ..connect(V311) };
    assert_eq!(encode(&Packet::Connect(connect), V311), Err(EncodeError::TooLong));
    let payload = vec![0; 268_435_455];
    let publish = Publish { topic: "a", payload: &payload, ..Publish::default() };
    let mut out = Vec::new();
    assert_eq!(publish.encode(V311, &mut out), Err(EncodeError::TooLong));
    assert!(out.is_empty());
    let fits = Publish { payload: &payload[3..], ..publish };
    assert_eq!(fits.encoded_len(V311), Ok(268_435_460));
}
